"""What somebody else holds a row of is left for later, and the others are done; nobody waits for long."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import is_of_a_row
from scheduler_api.database.runs.claims import Terms
from scheduler_api.database.statements import Session
from scheduler_api.errors import DatabaseBusy
from scheduler_api.services.jobs import actions
from scheduler_api.services.runs import claims, holding, passes
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.holding import Batch
from scheduler_api.services.runs.passes import PassReport
from scheduler_api.services.runs.shares import Room
from scheduler_api.workers.singly import whole_else_singly
from tests.factories import NOON, add_job, execute, logs, scalar
from tests.servers import dsn

TARGET = {"url": "http://a.example/"}


@pytest.fixture
async def hurried(worker_database: URL, database: Database) -> AsyncIterator[Database]:
    """As the connections of what works on many rows at once."""
    assert await scalar(database, "SELECT count(*) FROM job") == 0
    settings = {"lock_timeout": "100ms"}
    hurried = Database(worker_database, name="hurried", pool=PoolOptions(2, 0, 30.0, settings), patience=60)
    yield hurried
    await hurried.close()


@contextlib.asynccontextmanager
async def locked(url: URL, statement: str) -> AsyncIterator[None]:
    stranger = await asyncpg.connect(dsn(url))
    try:
        async with stranger.transaction():
            await stranger.execute(statement)
            yield
    finally:
        await stranger.close()


async def run_pass(database: Database, now: datetime = NOON) -> PassReport:
    def work(singly: bool) -> Awaitable[PassReport]:
        return database.transact(lambda session, _: passes.run_pass(session, now, 100, now, singly=singly))

    return await whole_else_singly("a pass", work)


async def test_a_pass_leaves_a_run_whose_follower_is_held(
    database: Database, hurried: Database, worker_database: URL
) -> None:
    parent = await add_job(database, interval=60)
    other = await add_job(database, interval=60)
    none: dict[str, Any] = {"startdate": None, "starttime": None, "due": None}
    child = await add_job(database, after={"jobid": parent, "on": "any"}, afterjobid=parent, **none)
    async with locked(worker_database, f"SELECT FROM job WHERE jobid = {child} FOR UPDATE"):
        expected = PassReport(claimed=2, finished=1, withheld=1, held={parent})
        assert await run_pass(hurried) == expected
    assert [log.status for log in await logs(database, other)] == ["finished", "pending"]
    assert [log.status for log in await logs(database, parent)] == ["pending"]
    assert (await run_pass(hurried)).finished == 1
    assert len(await logs(database, child)) == 1


async def claim(database: Database, now: datetime) -> Claim:
    async def work(session: Session, _: datetime) -> Claim:
        return await claims.claim(session, now, Room.of(10), Terms("tests", timedelta(seconds=15), 100))

    return await database.transact(work)


async def test_ends_are_settled_but_for_that_whose_rows_are_held(
    database: Database, hurried: Database, worker_database: URL
) -> None:
    for _ in range(3):
        await add_job(database, interval=60, target=TARGET)
    started = (await claim(hurried, NOON)).started
    ends = [Ended(one.logid, one.token, "finished", httpstatus=200) for one in started]

    async def settle(singly: bool) -> Batch:
        async def work(session: Session, _: datetime) -> Batch:
            return await holding.settle_ends(session, NOON, ends, frozenset(), singly=singly)

        return await hurried.transact(work)

    async with locked(worker_database, "SELECT FROM logattempt WHERE logid = 2 FOR UPDATE"):
        with pytest.raises(DatabaseBusy) as refusal:
            await settle(singly=False)
        assert is_of_a_row(refusal.value)
        done = await settle(singly=True)
        assert done.held == {started[1].token}
        assert done.settled == {started[0].token: "finished", started[2].token: "finished"}
    done = await settle(singly=False)
    assert done.settled == {started[1].token: "finished"}


@pytest.mark.parametrize("statement", ["SELECT FROM joblog WHERE logid = 1 FOR UPDATE", "SELECT 1"])
async def test_a_lease_that_cannot_be_renewed_now_is_not_lost(
    database: Database, hurried: Database, worker_database: URL, statement: str
) -> None:
    await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(hurried, NOON)).started
    held = [(1, started.token)]
    async with locked(worker_database, statement):
        renewed = await hurried.transact(holding.renew, held, timedelta(seconds=15))
    is_locked = "FOR UPDATE" in statement
    assert (renewed.renewed, renewed.locked) == (
        set() if is_locked else {started.token},
        {started.token} if is_locked else set(),
    )


async def test_a_lease_that_has_run_out_is_seen_only_where_it_could_be_renewed(
    database: Database, hurried: Database, worker_database: URL
) -> None:
    await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(hurried, NOON)).started
    await execute(database, "UPDATE joblog SET leaseuntil = now() - interval '1 s'")
    async with locked(worker_database, "SELECT FROM joblog FOR UPDATE"):
        assert await hurried.transact(holding.expired) == []
    async with locked(worker_database, "LOCK TABLE joblog IN SHARE MODE"):
        with pytest.raises(DatabaseBusy):
            await hurried.transact(holding.expired)
    assert await hurried.transact(holding.expired) == [started.token]


async def test_pauses_end_but_for_that_whose_job_is_held(
    database: Database, hurried: Database, worker_database: URL
) -> None:
    for _ in range(3):
        await add_job(database, interval=60, due=None, active=False, pausedat=NOON)
    await execute(database, "UPDATE job SET pauseduntil = now() - interval '1 s', resumefrom = pausedat")
    async with locked(worker_database, "SELECT FROM job WHERE jobid = 2 FOR UPDATE"):
        assert await hurried.transact(actions.resume_all, [1, 2, 3]) == 2
        active = "SELECT array_agg(jobid ORDER BY jobid) FROM job WHERE active"
        assert await scalar(database, active) == [1, 3]
    assert await hurried.transact(actions.resume_all, [1, 2, 3]) == 3
    assert await scalar(database, active) == [1, 2, 3]
