"""How a job's runs have gone so far: known without a look into history, whatever ran."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from scheduler_api.contracts.jobs.actions import Pause, Resume
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.jobs import actions, reading
from scheduler_api.services.runs import holding, passes, retrying
from tests.factories import ACTOR, NOON, add_job, rows, scalar, sum_up
from tests.services.runs.test_claims import TARGET, after, at, claim, failed, finished, settle

#: Where it is kept, and what the job is to say.
KEPT = (
    "SELECT laststatus, failures, failingsince, lastsuccess FROM job WHERE laststatus IS NOT NULL UNION ALL"
    " SELECT laststatus, failures, failingsince, lastsuccess FROM joblog WHERE laststatus IS NOT NULL"
)


async def job(database: Database, jobid: int = 1) -> Job:
    return await database.read(reading.get, jobid)


async def said(database: Database, jobid: int = 1) -> tuple[str | None, int, datetime | None]:
    found = await job(database, jobid)
    return found.laststatus and found.laststatus.value, found.failures, found.lastsuccess


async def call(database: Database, second: float, *, fails: bool) -> None:
    """Make the call that is due; it ends a second later."""
    (started,) = (await claim(database, after(second))).started
    end = failed(started, again=False) if fails else finished(started)
    assert await settle(database, after(second + 1), end)


async def run_plain(database: Database, now: datetime) -> None:
    await database.transact(lambda session, _: passes.run_pass(session, now, 100, now))


@pytest.mark.parametrize("overlap", [False, True])
async def test_failures_are_counted_until_a_run_finishes(database: Database, overlap: bool) -> None:
    await add_job(database, interval=60, target=TARGET, overlap=overlap)
    assert await said(database) == (None, 0, None)
    await call(database, 0, fails=False)
    assert await said(database) == ("finished", 0, after(1))
    for second, failures in ((60, 1), (120, 2), (180, 3)):
        await call(database, second, fails=True)
        assert await said(database) == ("failed", failures, after(1))
    ((_, _, since, _),) = await rows(database, KEPT)
    assert since == after(61)
    await call(database, 240, fails=False)
    assert await said(database) == ("finished", 0, after(241))
    ((_, _, since, _),) = await rows(database, KEPT)
    assert since is None
    assert (await job(database)).lastrun == after(240)


async def test_a_run_in_progress_is_what_the_job_does(database: Database) -> None:
    await add_job(database, interval=60, target=TARGET)
    await call(database, 0, fails=True)
    (started,) = (await claim(database, after(60))).started
    assert await said(database) == ("running", 1, None)
    await settle(database, after(61), failed(started))
    assert await said(database) == ("pending", 1, None)


async def test_a_run_that_ends_while_its_job_is_paused_is_told_there(database: Database) -> None:
    """The row that it went on with is gone; when it is resumed, another one goes on with it."""
    jobid = await add_job(database, interval=60, target=TARGET)
    await call(database, 0, fails=True)
    (started,) = (await claim(database, after(60))).started
    await at(database, after(61), actions.pause, ACTOR, jobid, Pause())
    await settle(database, after(62), failed(started, again=False))
    assert await said(database) == ("failed", 2, None)
    await at(database, after(63), actions.resume, ACTOR, jobid, Resume())
    assert await said(database) == ("failed", 2, None)
    assert await scalar(database, "SELECT failures FROM joblog WHERE status = 'pending'") == 2


async def test_a_run_that_its_schedule_did_not_make_counts_as_well(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    await call(database, 0, fails=True)
    await at(database, after(10), actions.run_now, ACTOR, jobid)
    await call(database, 10, fails=False)
    assert await said(database) == ("finished", 0, after(11))
    assert (await job(database)).lastrun == after(10)
    await call(database, 60, fails=True)
    assert await said(database) == ("failed", 1, after(11))


async def test_a_failed_run_that_is_retried_ends_the_failures(database: Database) -> None:
    await add_job(database, interval=60, target=TARGET)
    await call(database, 0, fails=True)
    await at(database, after(2), retrying.retry, ACTOR, 1)
    await call(database, 3, fails=False)
    assert await said(database) == ("finished", 0, after(4))


async def test_a_job_that_is_over_keeps_it(database: Database) -> None:
    await add_job(database, target=TARGET)
    await call(database, 0, fails=True)
    assert await said(database) == ("failed", 1, None)
    assert (await job(database)).state == "completed"
    jobid = await add_job(database)
    await run_plain(database, after(10))
    assert await said(database, jobid) == ("finished", 0, after(10))
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE day = 'infinity'") == 0


@pytest.mark.parametrize(
    ("ends", "expected"), [("fs", ("finished", 0)), ("sf", ("failed", 1)), ("sff", ("failed", 2))]
)
async def test_runs_that_end_together_count_in_their_order(
    database: Database, ends: Iterable[str], expected: tuple[str, int]
) -> None:
    await add_job(database, interval=60, target=TARGET, overlap=True, concurrency=5)
    await call(database, 0, fails=True)
    ended = []
    for number, end in enumerate(ends, 1):
        (started,) = (await claim(database, after(60 * number))).started
        ended.append(failed(started, again=False) if end == "f" else finished(started))
    await settle(database, after(600), *ended)
    assert await said(database) == (*expected, after(600))


async def test_plain_runs_beside_the_schedule_are_told_at_the_row_that_it_goes_on_with(
    database: Database,
) -> None:
    jobid = await add_job(database, interval=60)
    for _ in range(3):
        await at(database, after(-10), actions.run_now, ACTOR, jobid)
    await run_plain(database, after(-5))
    assert await said(database) == ("finished", 0, after(-5))
    assert (await job(database)).lastrun == after(-5)
    await run_plain(database, after(5))
    assert await said(database) == ("finished", 0, after(5))


async def test_a_row_that_somebody_holds_is_not_waited_for(database: Database) -> None:
    """The end of a run that was asked for is left alone as long as the job's next run is held."""
    jobid = await add_job(database, interval=60, target=TARGET)
    plain = await add_job(database, interval=60)
    for one in (jobid, plain):
        await at(database, after(-10), actions.run_now, ACTOR, one)
    (started,) = (await claim(database, after(-9))).started
    async with database.transactional.begin() as stranger:
        await stranger.execute(
            text("SELECT FROM joblog WHERE status = 'pending' AND cause = 'schedule' FOR UPDATE")
        )

        async def end(session: Session, _: datetime) -> Any:
            return await holding.settle_ends(session, after(-8), [finished(started)], frozenset())

        assert (await database.transact(end)).held == {started.token}
        report = await database.transact(
            lambda session, _: passes.run_pass(session, after(-8), 100, after(-8))
        )
        assert (report.finished, report.held) == (0, {plain})
    assert len(await settle(database, after(-7), finished(started))) == 1
    await run_plain(database, after(-7))
    assert await said(database, jobid) == await said(database, plain) == ("finished", 0, after(-7))


async def test_a_migration_finds_out_by_the_logs(database: Database) -> None:
    """The same that was written down run by run."""
    await add_job(database, interval=60, target=TARGET)
    await add_job(database, interval=60, due=NOON)
    await add_job(database, due=NOON)
    for second, fails in ((0, False), (60, True), (120, True)):
        await call(database, second, fails=fails)
        await run_plain(database, after(second))
    expected = [tuple(row) for row in await rows(database, f"{KEPT} ORDER BY 1, 2, 3, 4")]
    assert len(expected) == 3
    forget = "laststatus = NULL, failures = 0, failingsince = NULL, lastsuccess = NULL"
    async with database.transactional.begin() as connection:
        await connection.execute(text(f"UPDATE job SET {forget}"))
        await connection.execute(text(f"UPDATE joblog SET {forget} WHERE day = 'infinity'"))
    await sum_up(database)
    assert {tuple(row) for row in await rows(database, f"{KEPT} ORDER BY 1, 2, 3, 4")} == set(expected)


async def test_a_run_beside_a_next_run_that_is_skipped_counts(database: Database) -> None:
    """Both are of one pass: the row that carries the job's future does not run, and goes on."""
    jobid = await add_job(database, interval=60, misfire="skip")
    await at(database, after(1), actions.run_now, ACTOR, jobid)
    await run_plain(database, after(600))
    assert await said(database) == ("finished", 0, after(600))
    assert (await job(database)).lastrun == after(600)
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE reason = 'misfire'") == 1


async def test_what_began_later_beside_the_next_run_is_the_last_run(database: Database) -> None:
    """Both are calls that end together, and the one that carries the job's future began before."""
    jobid = await add_job(database, interval=3600, target=TARGET, concurrency=2)
    (first,) = (await claim(database, NOON)).started
    await at(database, after(1), actions.run_now, ACTOR, jobid)
    (second,) = (await claim(database, after(5))).started
    assert len(await settle(database, after(6), finished(first), finished(second))) == 2
    assert (await job(database)).lastrun == after(5)
