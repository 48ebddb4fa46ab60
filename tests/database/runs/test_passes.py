"""The claim: what it takes, what it leaves to others, and what it costs beside a long history."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from scheduler_api.database import plans
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import passes, settling
from scheduler_api.database.runs.results import Result
from scheduler_api.database.statements import Session, Statement
from scheduler_api.services.runs.passes import run_pass
from tests.factories import NOON, add_due_jobs, add_job, execute, logs, scalar
from tests.plans import MODES, analyze_logs, blocks_of, explained, plan_of, renew_logs, rows_of, scans_of
from tests.servers import dsn

HOUR = timedelta(hours=1)


async def test_it_takes_what_is_due_earliest_first_and_no_more_than_asked(database: Database) -> None:
    late, later, _ = [await add_job(database, due=NOON + timedelta(hours=h)) for h in (0, -1, 1)]
    earliest = await add_job(database, due=NOON - timedelta(hours=2))

    async def work(session: Session, _: datetime) -> tuple[list[int], list[int]]:
        # Without the index nothing comes in order by accident.
        await session.execute(text("SET LOCAL enable_indexscan = off"))
        await session.execute(text("SET LOCAL enable_bitmapscan = off"))
        two = [log.jobid for log in await passes.claim_due(session, NOON, 2)]
        return two, [log.jobid for log in await passes.claim_due(session, NOON, 10)]

    assert await database.transact(work) == ([earliest, later], [earliest, later, late])


async def test_it_skips_what_another_holds_and_does_not_wait(database: Database) -> None:
    for _ in range(4):
        await add_job(database)

    async def other(session: Session, _: datetime) -> set[int]:
        return {log.logid for log in await passes.claim_due(session, NOON, 10)}

    async def holder(session: Session, _: datetime) -> tuple[set[int], set[int]]:
        mine = {log.logid for log in await passes.claim_due(session, NOON, 3)}
        async with asyncio.timeout(5):
            return mine, await database.transact(other)

    mine, others = await database.transact(holder)
    assert len(mine) == 3
    assert len(others) == 1
    assert not mine & others


async def test_a_log_settled_meanwhile_is_not_settled_again(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    (log,) = await logs(database, jobid)
    then = NOON + timedelta(minutes=1)
    outcome = Result(log.logid, "finished", next=then, tried=then)
    await database.transact(settling.ran, [outcome])
    (before, _) = await logs(database, jobid)
    assert await database.transact(settling.ran, [outcome]) == []
    assert before in await logs(database, jobid)
    assert [entry.status for entry in await logs(database, jobid)] == ["finished", "pending"]


async def test_what_is_there_for_the_next_promise_is_left_alone_and_told(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    (log,) = await logs(database, jobid)
    then = NOON + timedelta(minutes=1)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat)"
        " VALUES (:jobid, :then, 'finished', :then)",
        jobid=jobid,
        then=then,
    )
    await execute(database, "UPDATE joblog SET ahead = :then WHERE status = 'pending'", then=then)
    settled = [Result(log.logid, "finished", next=then, tried=then)]
    assert await database.transact(settling.ran, settled) == [jobid]
    assert [entry.status for entry in await logs(database, jobid)] == ["finished", "finished"]


async def test_history_does_not_slow_the_claim(database: Database) -> None:
    """With 100,000 finished logs the claim and the look for what is next read the partial index only."""
    await renew_logs(database)
    for _ in range(20):
        await add_job(database, interval=60)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat)"
        " SELECT 1 + n % 20, timestamptz '2020-01-01Z' + n * interval '1 s', 'finished', now()"
        " FROM generate_series(1, 100000) AS n",
    )
    await analyze_logs(database)
    due = {"due": NOON, "floor": passes.BEGINNING, "held": [], "refused": [], "limit": 1000}
    floor = {"floor": passes.BEGINNING}
    for statement, values, limit in ((passes.CLAIM, due, 60), (passes.NEXT_DUE, floor, 10)):
        for mode in MODES:
            plan = await plan_of(database, statement, mode, **values)
            # How the few jobs are read is of no matter.
            scans = scans_of(plan)
            assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}, plan
            assert {node["Index Name"] for node in scans} <= {"ix_joblog_live_passes"}
            assert blocks_of(plan) <= limit


async def test_what_a_long_transaction_can_see_does_not_slow_the_looks(
    database: Database, worker_database: URL
) -> None:
    """The entries of what has run stay in the index as long as it can be seen; the floor skips them."""
    await renew_logs(database)
    await add_due_jobs(database, 20_000, interval=None)
    somebody = await asyncpg.connect(dsn(worker_database))
    try:
        async with somebody.transaction(isolation="repeatable_read"):
            await somebody.execute("SELECT FROM job LIMIT 1")
            await execute(
                database,
                "UPDATE joblog SET status = 'finished', nextrun = NULL, finishedat = now()"
                " WHERE logid < 20000",
            )
            now = await scalar(database, "SELECT nextrun FROM joblog WHERE status = 'pending'")
            await execute(database, "UPDATE joblog SET nextrun = :soon WHERE logid = 20000", soon=now + HOUR)
            found = await database.read(passes.next_due)
            assert found.due == now + HOUR
            due = {"due": NOON, "held": [], "refused": [], "limit": 1000}
            looks: tuple[tuple[Statement[Any], dict[str, Any]], ...] = (
                (passes.NEXT_DUE, {}),
                (passes.CLAIM, due),
            )
            for statement, values in looks:
                plans = [
                    await plan_of(database, statement, MODES[0], **values, floor=floor)
                    for floor in (passes.BEGINNING, now + timedelta(minutes=1))
                ]
                read, skipping = map(blocks_of, plans)
                assert skipping * 10 < read, plans
    finally:
        await somebody.close()


async def test_next_due_tells_the_clock_and_the_earliest_promise(database: Database) -> None:
    found = await database.read(passes.next_due)
    assert found.due is None
    assert abs(found.now - await scalar(database, "SELECT clock_timestamp()")) < timedelta(minutes=1)
    await add_job(database, due=NOON + timedelta(hours=1))
    await add_job(database)
    assert (await database.read(passes.next_due)).due == NOON


async def test_a_claim_ends_with_its_connection(database: Database) -> None:
    """What a killed process had claimed is free at once: the row lock goes with the connection."""
    await add_job(database)
    connection = await database.transactional.connect()
    try:
        await connection.exec_driver_sql(passes.CLAIM.sql, (NOON, passes.BEGINNING, [], [], 10))
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        assert await database.transact(_claimed) == 0
        await execute(database, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
    finally:
        await connection.invalidate()
        await connection.close()
    assert await database.transact(_claimed) == 1


async def _claimed(session: Session, _: datetime) -> int:
    return len(await passes.claim_due(session, NOON, 10))


async def test_what_follows_many_results_is_planned_as_before(fresh: Database) -> None:
    mode = Statement("SELECT current_setting('plan_cache_mode'), current_setting('enable_nestloop')")

    async def look(session: Session) -> tuple[Any, ...]:
        return tuple(await session.one(mode))

    async def run(session: Session, now: datetime) -> Any:
        before = await look(session)
        async with plans.planned_for(session, 10**6, "joblog_live"):
            assert await look(session) == ("force_custom_plan", "off")
        await run_pass(session, now, plans.MANY, now)
        # What follows is about few rows, and would read all of history without loops.
        assert await look(session) == before

    await add_due_jobs(fresh, plans.MANY)
    await fresh.transact(run)


@pytest.mark.parametrize("counted", ["never", "when it was empty"])
@pytest.mark.parametrize("count", [plans.MANY, 200, 1000])
@pytest.mark.parametrize("looking", [False, True])
async def test_results_are_not_compared_each_with_each(
    fresh: Database, counted: str, count: int, looking: bool
) -> None:
    await execute(fresh, "ALTER TABLE joblog_live SET (autovacuum_enabled = off)")
    if counted == "when it was empty":
        # What was there has left pages: the planner counts by them, and by rows a page.
        await add_due_jobs(fresh, 2000)
        await execute(fresh, "DELETE FROM joblog")
        await execute(fresh, "ANALYZE joblog")
    await add_due_jobs(fresh, 5000)
    some = "SELECT logid FROM joblog WHERE status = 'pending' LIMIT :count"
    due = f"SELECT array_agg(logid) FROM ({some}) AS due"
    nothing = [None] * count
    values = {
        "logids": await scalar(fresh, due, count=count), "statuses": ["finished"] * count, "errors": nothing,
        "reasons": nothing, "begins": [True] * count, "misses": [0] * count, "throughs": nothing,
        "nexts": [NOON + timedelta(days=9999)] * count, "tries": nothing, "lasts": ["finished"] * count,
        "fails": [0] * count, "succeeds": [True] * count, "now": NOON,
    }  # fmt: skip
    async with fresh.transactional.begin() as connection:
        await connection.exec_driver_sql(plans.PLANNED_ANEW.sql, (count, "joblog_live"))
        settled = settling.SETTLED_LOOKING if looking else settling.SETTLED
        plan = await explained(connection, settled, **values)
    assert rows_of(plan) < 100_000
