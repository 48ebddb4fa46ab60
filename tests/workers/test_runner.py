"""What is due is shared by lanes: at once where it is much, and not at all where it is little."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session, Statement
from scheduler_api.errors import DatabaseBusy, ServiceBusy
from scheduler_api.running import lanes_of
from scheduler_api.services.runs import passes
from scheduler_api.services.runs.settling import Judged, settle
from scheduler_api.settings import Settings
from scheduler_api.workers import runner as runner_module
from scheduler_api.workers.runner import LANES, Runner, RunnerReport
from tests.factories import add_due_jobs, execute, scalar
from tests.processes.service import PATIENCE

BATCH = 2 * LANES
LONG = Statement("SELECT pg_sleep(0.1)")


@pytest.mark.parametrize(("jobs", "lanes"), [(BATCH // LANES, 1), (BATCH, LANES)])
async def test_a_batch_that_is_due_at_once_is_shared_by_all_lanes(
    database: Database, monkeypatch: pytest.MonkeyPatch, jobs: int, lanes: int
) -> None:
    """None of them ends before all have begun."""
    await add_due_jobs(database, jobs)
    met, shares = asyncio.Barrier(lanes), list[int]()

    async def settle_together(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        shares.append(len(judged))
        async with asyncio.timeout(PATIENCE):
            await met.wait()
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", settle_together)
    now = await scalar(database, "SELECT clock_timestamp()")
    report = await Runner(database, BATCH).run_due(now, PATIENCE)
    assert shares == [BATCH // LANES] * lanes
    assert (report.total.finished, report.more) == (jobs, False)


async def test_what_one_lane_takes_at_once_is_no_work_for_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    run_pass, claimed = passes.run_pass, list[int]()

    async def counted(*args: Any, **kwargs: Any) -> passes.PassReport:
        report = await run_pass(*args, **kwargs)
        claimed.append(report.claimed)
        return report

    monkeypatch.setattr(passes, "run_pass", counted)
    now = await scalar(database, "SELECT clock_timestamp()")
    await Runner(database, BATCH).run_due(now, PATIENCE)
    assert claimed == [1, 0]


async def test_what_one_lane_leaves_to_another_is_run_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs of a job are one lane's while it holds the job: others find it held."""
    await add_due_jobs(database, 1)
    runs = 5 * BATCH
    since = await scalar(database, "SELECT clock_timestamp() - make_interval(secs => 60 * :runs)", runs=runs)
    await execute(
        database,
        """
        INSERT INTO joblog (jobid, scheduledfor, nextrun, cause)
        SELECT 1, due, due, 'backfill' FROM generate_series(1, :runs) AS n,
               LATERAL (SELECT CAST(:since AS timestamptz) + make_interval(secs => n)) AS occurrence (due)
        """,
        runs=runs,
        since=since,
    )
    run_pass, left_alone, first = passes.run_pass, asyncio.Event(), True

    async def watched(*args: Any, **kwargs: Any) -> passes.PassReport:
        report = await run_pass(*args, **kwargs)
        if report.held:
            left_alone.set()
        return report

    async def settle_last(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        nonlocal first
        if first:
            first = False
            async with asyncio.timeout(PATIENCE):
                await left_alone.wait()
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "run_pass", watched)
    monkeypatch.setattr(passes, "settle", settle_last)
    report = await Runner(database, BATCH).run_call()
    assert (report.total.finished, report.total.left, report.more) == (runs + 1, 0, False)


async def test_what_somebody_else_holds_counts_once(database: Database) -> None:
    await add_due_jobs(database, 1)
    now = await scalar(database, "SELECT clock_timestamp()")

    async def hold(session: Session, _: datetime) -> RunnerReport:
        await session.all(Statement("SELECT FROM job WHERE jobid = 1 FOR UPDATE"))
        return await Runner(database, BATCH).run_due(now, PATIENCE)

    total = (await database.transact(hold)).total
    assert (total.claimed, total.left, total.held) == (1, 1, {1})


async def test_what_the_database_refuses_is_not_tried_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    run_pass, claimed = passes.run_pass, list[int]()

    async def counted(*args: Any, **kwargs: Any) -> passes.PassReport:
        report = await run_pass(*args, **kwargs)
        claimed.append(report.claimed)
        return report

    async def refuse(*_: Any) -> None:
        raise asyncpg.CheckViolationError("refused")

    monkeypatch.setattr(passes, "run_pass", counted)
    monkeypatch.setattr(passes, "settle", refuse)
    now = await scalar(database, "SELECT clock_timestamp()")
    total = (await Runner(database, BATCH).run_due(now, PATIENCE)).total
    assert (claimed, total.claimed, total.refused, total.held) == ([1, 0], 1, {1}, set())


async def test_the_other_runs_of_a_job_of_which_one_is_refused_are_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    runs = 5 * BATCH
    await execute(
        database,
        """
        INSERT INTO joblog (jobid, scheduledfor, nextrun, cause)
        SELECT 1, due, due, 'backfill' FROM generate_series(1, CAST(:runs AS int)) AS n,
               LATERAL (SELECT clock_timestamp() - make_interval(secs => 100 + n)) AS occurrence (due)
        """,
        runs=runs,
    )
    poisoned = await scalar(database, "SELECT logid FROM joblog ORDER BY nextrun LIMIT 1")

    async def settle_others(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        if poisoned in {one.log.logid for one in judged}:
            raise asyncpg.CheckViolationError("refused")
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", settle_others)
    report = await Runner(database, BATCH).run_call()
    assert (report.total.finished, report.total.refused) == (runs, {poisoned})
    assert (report.more, report.waiting) == (False, True)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_calls_at_once_share_the_lanes(
    database: Database, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    """However many there are, others get their connections."""
    await add_due_jobs(database, 6 * BATCH)
    passing, most = 0, 0

    async def settle_slowly(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        nonlocal passing, most
        passing += 1
        most = max(most, passing)
        await session.all(LONG)
        passing -= 1
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", settle_slowly)
    runner = Runner(database, BATCH, lanes=lanes)
    reports = await asyncio.gather(*(runner.run_call() for _ in range(5)))
    assert (most, sum(report.total.finished for report in reports)) == (lanes, 6 * BATCH)


@pytest.mark.parametrize(("pool", "lanes"), [((1, 0), 1), ((2, 0), 1), ((1, 2), 2), ((10, 0), LANES)])
def test_a_connection_is_left_to_those_who_ask(pool: tuple[int, int], lanes: int) -> None:
    settings = Settings(pool_size=pool[0], pool_overflow=pool[1])
    assert lanes_of(settings) == lanes


async def test_a_bug_in_one_lane_is_not_hidden_by_what_the_database_says_to_another() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def all_at_once() -> None:
        async with runner_module._side_by_side() as group:
            for error in (DatabaseBusy("busy"), KeyError("bug"), DatabaseBusy("busy")):
                group.create_task(fail(error))

    with pytest.raises(KeyError):
        await all_at_once()


async def test_a_call_that_gets_no_lane_in_time_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CALL_SECONDS", 0.1)
    busy = Runner(database, BATCH, lanes=1)
    async with busy._places:
        with pytest.raises(ServiceBusy):
            await busy.run_call()
    assert not (await busy.run_call()).more


async def test_there_is_one_pass_however_late_it_begins(database: Database) -> None:
    await add_due_jobs(database, 1)
    now = await scalar(database, "SELECT clock_timestamp()")
    report = await Runner(database, BATCH).run_due(now, 0)
    assert report.total.finished == 1


@pytest.mark.parametrize("failing", [1, 2])
async def test_no_lane_outlives_another_that_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    await add_due_jobs(database, 20 * BATCH)
    begun, both = 0, asyncio.Barrier(2)

    async def fail_or_take_long(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        nonlocal begun
        begun += 1
        own = begun
        if own <= 2:
            async with asyncio.timeout(PATIENCE):
                await both.wait()
        if own == failing:
            raise ValueError("as it happens")
        await session.all(LONG)
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", fail_or_take_long)
    now = await scalar(database, "SELECT clock_timestamp()")
    with pytest.raises(ValueError, match="as it happens"):
        await Runner(database, BATCH).run_due(now, PATIENCE)
    assert database.pool.checkedout() == 0
    assert not [task for task in asyncio.all_tasks() if "Runner" in str(task.get_coro())]


async def test_who_is_cancelled_ends_no_earlier_than_the_pass_in_progress(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    begun = asyncio.Event()

    async def settle_slowly(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        begun.set()
        await session.all(LONG)
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", settle_slowly)
    now = await scalar(database, "SELECT clock_timestamp()")
    running = asyncio.create_task(Runner(database, BATCH).run_due(now, PATIENCE))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert database.pool.checkedout() == 0
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'") == 1
