"""Two sessions on one job, in every order of their steps: no anomaly, no deadlock.

Each side is one transaction of one service. Where the first has done its work and not committed yet, the
second starts; it must either go past, or wait and then see what the first left. Both orders are tried,
and the first one ending by a commit and by a rollback.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import combinations_with_replacement, product
from typing import Any
from uuid import UUID

import pytest

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.jobs.actions import History, Missed, Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import leases
from scheduler_api.database.runs.claims import Terms
from scheduler_api.database.statements import Session
from scheduler_api.errors import SchedulerError
from scheduler_api.services.history import backfill, checks
from scheduler_api.services.jobs import actions, editing
from scheduler_api.services.runs import claims, holding, passes, repairs, retrying
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Room
from scheduler_api.targets import Failure
from tests.factories import ACTOR, CIPHER, NOON, add_job, empty, execute, logs, scalar, until_it_waits_or_ends

NOW = NOON + timedelta(minutes=2, seconds=30)
Side = Callable[[Session, datetime], Awaitable[Any]]


async def claim(session: Session, now: datetime) -> Any:
    return await passes.run_pass(session, now, 10, now)


async def edit(session: Session, now: datetime) -> Any:
    return await editing.edit(
        session, now, ACTOR, CIPHER, 1, JobPatch.model_validate({"cron": "*/5 * * * *"})
    )


async def rename(session: Session, now: datetime) -> Any:
    return await editing.edit(
        session, now, ACTOR, CIPHER, 1, JobPatch.model_validate({"jobname": "Renamed", "jitter": 5})
    )


async def pause(session: Session, now: datetime) -> Any:
    return await actions.pause(session, now, ACTOR, 1, Pause())


async def resume(session: Session, now: datetime) -> Any:
    return await actions.resume(session, now, ACTOR, 1, Resume(missed=Missed.SKIP))


async def delete(session: Session, now: datetime) -> Any:
    return await editing.delete(session, now, ACTOR, 1, History.KEEP)


async def remove(session: Session, now: datetime) -> Any:
    return await editing.delete(session, now, ACTOR, 1, History.REMOVE)


async def run_now(session: Session, now: datetime) -> Any:
    return await actions.run_now(session, now, ACTOR, 1)


async def skip(session: Session, now: datetime) -> Any:
    return await actions.skip_next(session, now, ACTOR, 1)


async def make_up(session: Session, now: datetime) -> Any:
    order = {"since": "2030-01-31T11:00:00Z", "until": "2030-01-31T13:00:00Z"}
    return await backfill.backfill(session, now, ACTOR, 1, Backfill.model_validate(order))


async def heal(session: Session, now: datetime) -> Any:
    return await repairs.repair(session, now, 1)


async def claim_call(session: Session, now: datetime) -> Any:
    return await claims.claim(session, now, Room.of(10), Terms("tests", timedelta(seconds=15), 10))


async def settle(session: Session, now: datetime) -> Any:
    return await holding.settle_ends(session, now, [Ended(1, TOKEN, "finished", httpstatus=200)], frozenset())


async def fail(session: Session, now: datetime) -> Any:
    ended = Ended(1, TOKEN, "failed", Failure.STATUS, "No.", again=True, httpstatus=503)
    return await holding.settle_ends(session, now, [ended], frozenset())


async def reap(session: Session, now: datetime) -> Any:
    return await holding.reap(session, now, await leases.expired(session, now, 10))


async def cancel(session: Session, now: datetime) -> Any:
    return await retrying.cancel(session, now, ACTOR, 1)


async def retarget(session: Session, now: datetime) -> Any:
    patch = JobPatch.model_validate({"target": {"url": "http://b.example/"}, "overlap": True})
    return await editing.edit(session, now, ACTOR, CIPHER, 1, patch)


TOKEN = UUID(int=1)
SIDES: list[Side] = [claim, edit, rename, pause, resume, delete, remove, run_now, skip, make_up, heal]
PAIRS = list(combinations_with_replacement(SIDES, 2))
CALL_SIDES: list[Side] = [claim_call, settle, fail, reap, cancel]
CALL_PAIRS = list(combinations_with_replacement(CALL_SIDES, 2)) + [
    (one, other) for one in CALL_SIDES for other in (*SIDES[1:], retarget) if other is not make_up
]


class Undone(Exception):
    """Ends a transaction by a rollback."""


async def side_by_side(
    database: Database, first: Side, second: Side, *, undo: bool, now: datetime = NOW
) -> list[BaseException]:
    """Let `second` begin after `first` has done its work, and before it ends."""
    worked = asyncio.Event()
    go_on = asyncio.Event()

    async def one(session: Session, _: datetime) -> None:
        await first(session, now)
        worked.set()
        await go_on.wait()
        if undo:
            raise Undone

    async def other(session: Session, _: datetime) -> None:
        await second(session, now)

    begun = asyncio.create_task(database.transact(one))
    waiting = asyncio.create_task(worked.wait())
    await asyncio.wait({begun, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    following = asyncio.create_task(database.transact(other))
    await until_it_waits_or_ends(database, following)
    go_on.set()
    ended = await asyncio.gather(begun, following, return_exceptions=True)
    return [error for error in ended if isinstance(error, BaseException) and not isinstance(error, Undone)]


#: In one test for each pair: a new connection to the database costs more than an order of steps.
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda side: side.__name__)
async def test_two_at_once_leave_a_ledger_that_adds_up(database: Database, one: Side, other: Side) -> None:
    for (first, second), undo, paused in product(both(one, other), (False, True), (False, True)):
        order = (first, second, f"{undo=}, {paused=}")
        await empty(database)
        await add_job(database, interval=60, validfrom=NOON - timedelta(seconds=1))
        if paused:
            await database.transact(at_noon)
        errors = await side_by_side(database, first, second, undo=undo)
        assert_told_in_words(errors, order)
        if not await scalar(database, "SELECT count(*) FROM job"):
            assert await logs(database, 1) == [], order
            continue
        await assert_clean(database, order)
        deleted = await scalar(database, "SELECT deletedat IS NOT NULL FROM job")
        assert not deleted or "pending" not in {log.status for log in await logs(database, 1)}, order
        # And what is left goes on as if nothing had been.
        await database.transact(lambda session, _: claim(session, NOW + timedelta(hours=1)))
        await assert_clean(database, order)


@pytest.mark.parametrize(("one", "other"), CALL_PAIRS, ids=lambda side: side.__name__)
async def test_two_at_once_on_a_run_that_is_under_way(database: Database, one: Side, other: Side) -> None:
    # Every second pair with overlap; which of them changes with the names only.
    overlap = (len(one.__name__) + len(other.__name__)) % 2 == 1
    for (first, second), undo in product(both(one, other), (False, True)):
        order = (first, second, f"{undo=}")
        await empty(database)
        target = {"url": "http://a.example/", "retries": 1, "backoff": 1}
        since = NOON - timedelta(seconds=1)
        await add_job(database, interval=60, target=target, overlap=overlap, validfrom=since)
        await database.transact(lambda session, _: claim_call(session, NOON))
        await execute(database, "UPDATE joblog SET leasetoken = :token WHERE logid = 1", token=TOKEN)
        errors = await side_by_side(database, first, second, undo=undo)
        assert_told_in_words(errors, order)
        if not await scalar(database, "SELECT count(*) FROM job"):
            assert await logs(database, 1) == [], order
            continue
        await assert_clean(database, order)
        # And what is left goes on as if nothing had been.
        for minutes in (60, 61, 62):
            await go_on(database, NOW + timedelta(minutes=minutes))
        deleted = await scalar(database, "SELECT deletedat IS NOT NULL FROM job")
        statuses = {log.status for log in await logs(database, 1)}
        assert not deleted or statuses <= {"finished", "failed", "skipped"}, order
        await assert_clean(database, order)


def both(one: Side, other: Side) -> set[tuple[Side, Side]]:
    """In either order; one alone, where both are the same."""
    return {(one, other), (other, one)}


async def go_on(database: Database, now: datetime) -> None:
    """Claim what is due, and give up what nobody ends."""

    async def work(session: Session, _: datetime) -> None:
        await claim_call(session, now)
        await reap(session, now + timedelta(minutes=1))

    await database.transact(work)


def assert_told_in_words(errors: list[BaseException], order: object) -> None:
    """Nobody met an error that is not told, or that asks for another try."""
    assert [error for error in errors if not isinstance(error, SchedulerError)] == [], order
    assert not [error for error in errors if "try" in str(error)], (order, errors)


async def assert_clean(database: Database, order: object) -> None:
    report = await database.snapshot(checks.check_job, 1)
    assert report.clean, (order, report.findings)


async def at_noon(session: Session, _: datetime) -> None:
    await actions.pause(session, NOON, ACTOR, 1, Pause())


def test_there_are_enough_pairs() -> None:
    assert len(PAIRS) >= 12
