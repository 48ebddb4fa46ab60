"""Claims of several replicas at once: those of different hosts do not wait, and no limit is exceeded."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.system.limits import LimitOrder, LimitScope
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import counting
from scheduler_api.database.runs.claims import Started
from scheduler_api.database.statements import Session
from scheduler_api.services.jobs import actions, editing
from scheduler_api.services.runs import claims
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Passed, Room
from scheduler_api.services.system import limits
from scheduler_api.targets import urls
from tests import pooler
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, rows, scalar, until_it_waits_or_ends
from tests.services.runs.test_claims import TERMS, after, at, claim, failed, finished, settle

ONE, OTHER = "http://one.example/", "http://other.example/"


async def beside(database: Database, work: Callable[[], Awaitable[Any]]) -> tuple[Claim, Any]:
    """A claim, and what comes of some work before that is committed."""

    async def both(session: Session, _: datetime) -> tuple[Claim, Any]:
        first = await claims.claim(session, after(1), Room.of(100), TERMS)
        async with asyncio.timeout(20):
            return first, await work()

    return await database.transact(both)


def jobs_of(found: Claim) -> list[int]:
    return [started.jobid for started in found.started]


async def test_claims_of_calls_to_different_hosts_do_not_wait_for_each_other(database: Database) -> None:
    one = await add_job(database, target={"url": ONE})
    more: list[int] = []

    async def work() -> Claim:
        # Calls to both are due, while another replica has just claimed one to the first of them.
        more.append(await add_job(database, target={"url": ONE}))
        more.append(await add_job(database, target={"url": OTHER}))
        return await claim(database, after(1))

    first, second = await beside(database, work)
    assert jobs_of(first) == [one]
    assert jobs_of(second) == more[1:]
    # It looks again in a moment.
    assert second.contended
    third = await claim(database, after(1))
    assert (jobs_of(third), third.contended) == (more[:1], False)


async def test_a_claim_of_calls_to_a_host_waits_for_another_one(database: Database) -> None:
    await add_job(database, target={"url": ONE})
    waiting: list[asyncio.Task[Claim]] = []
    terms = TERMS._replace(hostmost=2)

    async def work() -> None:
        for _ in range(2):
            await add_job(database, target={"url": ONE})
        waiting.append(asyncio.create_task(claim(database, after(1), terms=terms)))
        await until_it_waits_or_ends(database, waiting[0])
        assert not waiting[0].done()

    first, _ = await beside(database, work)
    second = await waiting[0]
    # It counts what the other has begun.
    assert (len(first.started), len(second.started)) == (1, 1)
    third = await claim(database, after(1), terms=terms)
    assert (third.started, third.bounded) == ([], True)


async def test_a_host_whose_turn_is_not_got_in_time_is_left_to_a_later_claim(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no row that somebody holds: to claim one by one would wait as long once more."""
    monkeypatch.setattr(counting, "PATIENCE", 10)
    await add_job(database, target={"url": ONE})

    async def work() -> Claim:
        await add_job(database, target={"url": ONE})
        return await claim(database, after(1))

    with capture_logs() as said:
        first, second = await beside(database, work)
        assert (len(first.started), second.started, second.contended) == (1, [], True)
        assert len((await claim(database, after(1))).started) == 1
    warned = [(one["log_level"], one["host"]) for one in said if "turn" in one["event"]]
    assert warned == [("warning", urls.host_of(ONE))]


@pytest.mark.parametrize("seconds", [1.0, 2.0])
async def test_a_turn_is_waited_for_no_longer_than_a_statement_may_take(
    database: Database, worker_database: URL, seconds: float
) -> None:
    await add_job(database, target={"url": ONE})

    async def work() -> Claim:
        await add_job(database, target={"url": ONE})
        async with pooler.hurried(worker_database, seconds) as hurried:
            return await claim(hurried, after(1))

    first, second = await beside(database, work)
    assert (len(first.started), second.started, second.contended) == (1, [], True)


@pytest.mark.parametrize("scope", ["tag", "project"])
@pytest.mark.parametrize("order", [LimitOrder(limit=1), LimitOrder(rate=60)])
async def test_calls_that_share_a_limit_across_hosts_never_exceed_it(
    database: Database, scope: str, order: LimitOrder
) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('shop', now())")
    of_limit = {"tags": ["slow"]} if scope == "tag" else {"project": "shop"}
    name = "slow" if scope == "tag" else "shop"
    await at(database, NOON, limits.put, ACTOR, LimitScope(scope), name, order)
    one = await add_job(database, target={"url": ONE}, **of_limit)

    async def work() -> tuple[int, Claim]:
        await add_job(database, target={"url": OTHER}, **of_limit)
        free = await add_job(database, target={"url": OTHER})
        return free, await claim(database, after(1))

    first, (free, second) = await beside(database, work)
    assert jobs_of(first) == [one]
    # What is not part of it starts meanwhile.
    assert jobs_of(second) == [free]
    assert second.contended
    third = await claim(database, after(1))
    assert (third.started, third.contended, third.bounded) == ([], False, True)
    await settle(database, after(2), *map(finished, first.started))
    assert len((await claim(database, after(2))).started) == 1


async def test_runs_of_a_job_whose_calls_go_to_different_hosts_never_exceed_its_limit(
    database: Database,
) -> None:
    one = await add_job(database, target={"url": ONE})

    async def work() -> Claim:
        # It was edited: another run of it goes elsewhere.
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)"
            " VALUES (:jobid, :noon, :noon, 'http', 'other.example', 'manual')",
            jobid=one,
            noon=NOON,
        )
        return await claim(database, after(1))

    first, second = await beside(database, work)
    assert (jobs_of(first), jobs_of(second)) == ([one], [])
    assert (await claim(database, after(1))).started == []
    await settle(database, after(2), *map(finished, first.started))
    assert jobs_of(await claim(database, after(2))) == [one]


async def looks(database: Database, places: int) -> tuple[list[int], list[Claim]]:
    """The jobs that looks start which go on with each other, and what each of these looks took."""
    passed, found = Passed(), list[Claim]()

    async def look(session: Session, _: datetime) -> Claim:
        return await claims.claim(session, after(1), Room.of(places)._replace(passed=passed), TERMS)

    async with asyncio.timeout(20):
        while True:
            found.append(await database.transact(look))
            if not found[-1].more:
                return [jobid for one in found for jobid in jobs_of(one)], found
            passed = found[-1].passed


@pytest.mark.parametrize("places", [1, 10])
async def test_hosts_at_which_nothing_may_start_take_no_share_from_others_for_ever(
    database: Database, places: int
) -> None:
    """Calls to many hosts, all of a project that is full; and a later one of another project."""
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bulk', now())")
    await at(database, NOON, limits.put, ACTOR, LimitScope.PROJECT, "bulk", LimitOrder(limit=1))
    await add_job(database, target={"url": ONE}, project="bulk", due=after(-9))
    await claim(database, after(-8))
    for number in range(100):
        await add_job(database, target={"url": f"http://{number}.example/"}, project="bulk")
    free = await add_job(database, target={"url": OTHER}, due=after(0.5))
    found, seen = await looks(database, places)
    assert (found, seen[-1].bounded, seen[-1].passed) == ([free], True, Passed())
    assert len(seen) <= 8


async def test_what_is_accepted_and_due_again_takes_no_share_from_others_for_ever(database: Database) -> None:
    for number in range(2):
        await add_job(database, target={"url": f"http://{number}.example/"}, interval=60, due=after(-60))
    for started in (await claim(database, after(-50))).started:
        accepted = Ended(started.logid, started.token, "accepted", httpstatus=202)
        await settle(database, after(-49), accepted)
        await at(database, after(-30), actions.run_now, ACTOR, started.jobid)
    other = await add_job(database, target={"url": OTHER})
    assert (await looks(database, 1))[0] == [other]


async def test_calls_behind_those_of_a_limit_that_somebody_has_in_hand_start(database: Database) -> None:
    await at(database, NOON, limits.put, ACTOR, LimitScope.TAG, "slow", LimitOrder(limit=50))
    for _ in range(8):
        await add_job(database, target={"url": ONE}, tags=["slow"])
    free = await add_job(database, target={"url": ONE}, due=after(0.5))

    async def hold(session: Session, now: datetime) -> tuple[list[int], list[Claim]]:
        await limits.put(session, now, ACTOR, LimitScope.TAG, "slow", LimitOrder(limit=40))
        return await looks(database, 4)

    found, seen = await database.transact(hold)
    assert (found, seen[-1].contended) == ([free], True)
    assert len((await looks(database, 40))[0]) == 8


async def test_looks_at_jobs_that_somebody_holds_come_to_an_end(database: Database) -> None:
    for _ in range(8):
        await add_job(database, target={"url": ONE})
    free = await add_job(database, target={"url": ONE}, due=after(0.5))

    async def hold(session: Session, _: datetime) -> list[int]:
        await session.execute(text("SELECT FROM job WHERE jobid <= 8 FOR UPDATE"))
        return (await looks(database, 4))[0]

    assert await database.transact(hold) == [free]
    assert len((await looks(database, 40))[0]) == 8


async def test_a_limit_that_is_set_counts_what_is_being_claimed(database: Database) -> None:
    for _ in range(3):
        await add_job(database, target={"url": ONE}, tags=["slow"])
    setting: list[asyncio.Task[Any]] = []

    async def work() -> None:
        order = LimitOrder(limit=2)
        coming = at(database, after(1), limits.put, ACTOR, LimitScope.TAG, "slow", order)
        setting.append(asyncio.create_task(coming))
        await until_it_waits_or_ends(database, setting[0])
        assert not setting[0].done()

    first, _ = await beside(database, work)
    await setting[0]
    await add_job(database, target={"url": OTHER}, tags=["slow"])
    assert (len(first.started), jobs_of(await claim(database, after(2)))) == (3, [])


async def test_another_attempt_counts_where_it_goes(database: Database) -> None:
    """The target was changed during the first one."""
    moved = await add_job(database, target={"url": ONE, "retries": 2, "backoff": 1})
    (started,) = (await claim(database, after(0))).started
    patch = JobPatch.model_validate({"target": {"url": OTHER}})
    await at(database, after(0), editing.edit, ACTOR, CIPHER, moved, patch)
    await settle(database, after(1), failed(started))
    query = "SELECT host FROM joblog WHERE status = 'pending'"
    assert await scalar(database, query) == "other.example"
    await add_job(database, target={"url": OTHER}, due=after(2))
    await at(database, NOON, limits.put, ACTOR, LimitScope.HOST, "other.example", LimitOrder(limit=1))
    assert jobs_of(await claim(database, after(20))) == [moved]


async def test_hosts_may_have_one_turn_together(database: Database) -> None:
    turns: dict[int, str] = {}

    async def take(session: Session, _: datetime, *hosts: str) -> set[str]:
        return await counting.take_turns(session, hosts)

    names = [f"{number}.example" for number in range(200)]
    assert await database.transact(take, *names) == {*names}
    pair = next(
        (turns[turn], name)
        for name in names
        if (turn := counting.turn_of(name)) in turns or turns.update({turn: name})
    )

    async def both(session: Session, _: datetime) -> set[str]:
        await counting.take_turns(session, pair[:1])
        return await database.transact(take, *names)

    assert not {*pair} & await database.transact(both)


MANY = """
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)
    SELECT jobid, at, at, 'http', (jobid + n) % 5 || '.example', 'manual'
    FROM job, generate_series(1, 6) AS n, LATERAL (
        SELECT CAST(:noon AS timestamptz) - make_interval(secs => n) AS at
    ) AS instant
"""
#: What has more calls in progress, or runs, than it may.
EXCEEDED = """
    SELECT 'host', host, count(*) FROM joblog WHERE status = 'running' GROUP BY host HAVING count(*) > 4
    UNION ALL
    SELECT 'job', CAST(jobid AS text), count(*) FROM joblog JOIN job USING (jobid)
    WHERE status = 'running' GROUP BY jobid HAVING count(*) > max(coalesce(concurrency, 1))
    UNION ALL
    SELECT scope, name, count(*) FROM concurrencylimit
    JOIN job ON CASE scope WHEN 'project' THEN project = name ELSE tags @> ARRAY[name] END
    JOIN joblog ON joblog.jobid = job.jobid AND status = 'running'
    GROUP BY scope, name HAVING count(*) > max("limit")
"""


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_claimed_at_once_no_limit_is_exceeded_and_all_is_claimed(
    database: Database, seed: int
) -> None:
    """Jobs with calls to several hosts, several tags, two projects; eight claims at a time."""
    rng = random.Random(seed)
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('shop', now()), ('bank', now())")
    for number in range(24):
        tags = sorted(rng.sample(["red", "green", "blue"], rng.randint(0, 2)))
        await add_job(
            database,
            due=None,
            target={"url": f"http://{number % 5}.example/"},
            tags=tags,
            project=rng.choice(["shop", "bank"]),
            concurrency=rng.choice([None, 1, 2]),
        )
    await execute(database, MANY, noon=NOON)
    for scope, name, most in (("tag", "red", 3), ("tag", "green", 2), ("project", "bank", 6)):
        await at(database, NOON, limits.put, ACTOR, LimitScope(scope), name, LimitOrder(limit=most))
    terms, seconds, running = TERMS._replace(hostmost=4), 1.0, list[Started]()
    async with asyncio.timeout(50):
        while running or await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'pending'"):
            seconds += 0.001
            at_once = (claim(database, after(seconds), rng.randint(1, 8), terms) for _ in range(8))
            started = [run for one in await asyncio.gather(*at_once) for run in one.started]
            assert [tuple(row) for row in await rows(database, EXCEEDED)] == []
            running += started
            ending = rng.sample(running, rng.randint(0, len(running))) if started else running
            ended = {one.logid for one in await settle(database, after(seconds), *map(finished, ending))}
            running = [run for run in running if run.logid not in ended]
    assert await scalar(database, "SELECT count(*) FROM logattempt") == 24 * 6
