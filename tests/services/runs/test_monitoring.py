"""Monitors: runs that are made elsewhere, and what becomes of them when they are reported, or are not."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.jobs.actions import Pause, Resume
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.runs.monitors import ReportedRun, Signal
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import watching as statements
from scheduler_api.errors import JobIsMonitor, MonitorNotFound
from scheduler_api.services.history import backfill, checks, explain
from scheduler_api.services.jobs import actions, creating, editing
from scheduler_api.services.runs import monitoring, retrying, watching
from scheduler_api.services.runs.passes import PassReport
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, is_active, rows, scalar
from tests.services.runs.test_claims import after, at, is_clean, reap
from tests.services.runs.test_passes import run_at

TOKEN = UUID("01234567-89ab-4def-8123-456789abcdef")
HOUR = 3600


async def add_monitor(database: Database, *, timeout: int = 600, **values: Any) -> int:
    """A monitor that is due at noon, and every hour from then on unless it is said."""
    given = {"interval": HOUR, "grace": 300} | values
    jobid = await add_job(
        database,
        kind="monitor",
        monitor={"timeout": timeout},
        monitortoken=TOKEN,
        misfire="skip",
        **given,
    )
    await execute(
        database, "UPDATE joblog SET nextrun = nextrun + make_interval(secs => :s)", s=given["grace"]
    )
    return jobid


async def report(
    database: Database, seconds: float, signal: Signal = Signal.FINISHED, text: str = ""
) -> ReportedRun:
    found: ReportedRun = await at(database, after(seconds), monitoring.take_report, TOKEN, signal, text)
    return found


async def ledger(database: Database) -> list[tuple[Any, ...]]:
    """The runs so far: when, by which cause, what became of them, and how many more they stand for."""
    found = await rows(
        database,
        "SELECT scheduledfor, cause, status, reason, coalesce(missed, 0) FROM joblog"
        " ORDER BY scheduledfor, logid",
    )
    return [((row.scheduledfor - NOON).total_seconds(), *row[1:]) for row in found]


async def issues(database: Database) -> list[tuple[str, str | None]]:
    found = await rows(database, "SELECT kind, ending FROM jobissue ORDER BY issueid")
    return [tuple(row) for row in found]


async def test_a_report_in_time_finishes_the_run_that_was_due(database: Database) -> None:
    jobid = await add_monitor(database)
    said = await report(database, 120)
    assert (said.jobid, said.status, said.scheduledfor) == (jobid, "finished", NOON)
    assert await ledger(database) == [
        (0, "schedule", "finished", None, 0),
        (HOUR, "schedule", "pending", None, 0),
    ]
    assert await scalar(database, "SELECT nextrun FROM joblog WHERE status = 'pending'") == after(HOUR + 300)
    job = (await rows(database, "SELECT lastsuccess, runs FROM joblog WHERE status = 'pending'"))[0]
    assert tuple(job) == (after(120), 1)
    assert await run_at(database, after(301)) == PassReport()
    assert await issues(database) == []
    assert await is_clean(database, jobid)


async def test_what_is_not_reported_in_time_is_missed_and_told_of(database: Database) -> None:
    jobid = await add_monitor(database)
    assert await run_at(database, after(299)) == PassReport()
    assert await run_at(database, after(300)) == PassReport(claimed=1, skipped=1)
    assert await ledger(database) == [
        (0, "schedule", "skipped", "unreported", 0),
        (HOUR, "schedule", "pending", None, 0),
    ]
    assert await issues(database) == [("missed", None)]
    # It comes all the same: as a run beside the schedule, after which nothing is wrong any more.
    said = await report(database, 900)
    assert said.scheduledfor == after(900)
    assert (await ledger(database))[1] == (900, "manual", "finished", None, 0)
    assert await issues(database) == [("missed", "recovered")]
    assert await is_clean(database, jobid)


async def test_after_a_long_silence_one_row_tells_of_all_that_was_not_reported(database: Database) -> None:
    jobid = await add_monitor(database)
    assert await run_at(database, after(5 * HOUR + 301)) == PassReport(claimed=1, skipped=1)
    assert await ledger(database) == [
        (0, "schedule", "skipped", "unreported", 5),
        (6 * HOUR, "schedule", "pending", None, 0),
    ]
    assert await is_clean(database, jobid)


async def test_a_report_is_about_the_newest_occurrence_and_those_before_it_are_missed(
    database: Database,
) -> None:
    jobid = await add_monitor(database, grace=4 * HOUR)
    said = await report(database, 2 * HOUR + 60)
    assert said.scheduledfor == after(2 * HOUR)
    assert await ledger(database) == [
        (0, "schedule", "skipped", "unreported", 1),
        (2 * HOUR, "schedule", "finished", None, 0),
        (3 * HOUR, "schedule", "pending", None, 0),
    ]
    assert await issues(database) == [("missed", None)]
    await report(database, 3 * HOUR)
    assert await issues(database) == [("missed", "recovered")]
    assert await is_clean(database, jobid)


@pytest.mark.parametrize(
    ("interval", "early", "counts"), [(HOUR, 59, True), (HOUR, 61, False), (20, 9, True), (20, 11, False)]
)
async def test_a_report_may_come_a_little_early(
    database: Database, interval: int, early: int, counts: bool
) -> None:
    jobid = await add_monitor(database, interval=interval)
    await report(database, 0)
    said = await report(database, interval - early)
    assert (said.scheduledfor == after(interval)) == counts
    assert await is_clean(database, jobid)
    # Nothing takes it back.
    await run_at(database, after(interval + 1))
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'") == 2


async def test_the_first_report_may_be_as_early_as_the_others(database: Database) -> None:
    await add_monitor(database, interval=20)
    assert (await report(database, -11)).scheduledfor == after(-11)
    assert (await report(database, -10)).scheduledfor == NOON


async def test_a_second_report_is_a_run_beside_the_schedule(database: Database) -> None:
    jobid = await add_monitor(database)
    await report(database, 60)
    await report(database, 90)
    assert [row[:3] for row in await ledger(database)] == [
        (0, "schedule", "finished"),
        (90, "manual", "finished"),
        (HOUR, "schedule", "pending"),
    ]
    assert await is_clean(database, jobid)


async def test_a_start_begins_the_run_and_its_end_is_waited_for(database: Database) -> None:
    jobid = await add_monitor(database)
    assert (await report(database, 10, Signal.STARTED)).status == "running"
    # It has begun in time: the end may come later.
    assert await run_at(database, after(400)) == PassReport()
    said = await report(database, 500, text="copied 10 files\n")
    assert (said.status, said.scheduledfor) == ("finished", NOON)
    (row,) = await rows(database, "SELECT startedat, finishedat FROM joblog WHERE status = 'finished'")
    assert tuple(row) == (after(10), after(500))
    found = await database.read(retrying.get_log, said.logid)
    assert [line.line for line in found.lines] == ["copied 10 files"]
    assert await is_clean(database, jobid)


async def test_a_start_without_an_end_fails_when_its_time_is_over(database: Database) -> None:
    jobid = await add_monitor(database)
    await report(database, 10, Signal.STARTED)
    assert await reap(database, after(609)) == []
    await reap(database, after(611))
    (row,) = await rows(database, "SELECT error, attempt FROM joblog WHERE status = 'failed'")
    assert tuple(row) == ("It reported its start, and no end in time.", 1)
    assert await issues(database) == [("failed", None)]
    assert [row[2] for row in await ledger(database)] == ["failed", "pending"]
    assert await is_clean(database, jobid)


async def test_a_start_again_gives_the_run_more_time(database: Database) -> None:
    await add_monitor(database)
    first = await report(database, 10, Signal.STARTED)
    assert (await report(database, 300, Signal.STARTED)).logid == first.logid
    assert await reap(database, after(700)) == []
    assert (await report(database, 800)).logid == first.logid


async def test_the_start_of_the_next_run_says_that_the_one_before_did_not_end(database: Database) -> None:
    jobid = await add_monitor(database, timeout=2 * HOUR)
    await report(database, 10, Signal.STARTED)
    said = await report(database, HOUR + 10, Signal.STARTED)
    assert (said.scheduledfor, said.status) == (after(HOUR), "running")
    assert [row[:3] for row in await ledger(database)] == [
        (0, "schedule", "failed"),
        (HOUR, "schedule", "running"),
    ]
    await report(database, HOUR + 60)
    assert await is_clean(database, jobid)


async def test_a_failure_is_told_with_the_last_line_that_was_sent(database: Database) -> None:
    jobid = await add_monitor(database)
    text = f"copying to https://x.example/monitors/{TOKEN}\n\x1b[31mdisk full\x1b[0m\n\n"
    said = await report(database, 60, Signal.FAILED, text)
    assert said.status == "failed"
    error = await scalar(database, "SELECT error FROM joblog WHERE status = 'failed'")
    assert error == "It reported a failure: disk full"
    lines = await rows(database, "SELECT line FROM logline ORDER BY lineid")
    assert [row.line for row in lines] == ["copying to https://x.example/monitors/•••", "disk full"]
    assert await issues(database) == [("failed", None)]
    await report(database, HOUR + 5)
    assert await issues(database) == [("failed", "recovered")]
    assert await is_clean(database, jobid)


async def test_the_last_run_completes_a_monitor(database: Database) -> None:
    jobid = await add_monitor(database, maxruns=2)
    await report(database, 60)
    await report(database, HOUR + 60, Signal.FAILED)
    assert not await is_active(database, jobid)
    assert await is_clean(database, jobid)
    # And a report of what nothing expects is kept all the same.
    assert (await report(database, 3 * HOUR)).status == "finished"
    assert await is_clean(database, jobid)


async def test_a_pause_expects_nothing_and_a_report_is_kept(database: Database) -> None:
    jobid = await add_monitor(database)
    order = Pause.model_construct(reason="deployment", until=None)
    await at(database, after(10), actions.pause, ACTOR, jobid, order)
    assert await run_at(database, after(3 * HOUR)) == PassReport()
    assert (await report(database, 3 * HOUR)).scheduledfor == after(3 * HOUR)
    await at(database, after(4 * HOUR + 60), actions.resume, ACTOR, jobid, Resume())
    assert (await report(database, 4 * HOUR + 120)).scheduledfor == after(4 * HOUR)
    assert await issues(database) == []
    assert await is_clean(database, jobid)


async def test_a_day_off_expects_nothing(database: Database) -> None:
    jobid = await add_monitor(database, interval=24 * HOUR, exclude=["2030-02-01"])
    await report(database, 60)
    assert (await report(database, 24 * HOUR + 60)).scheduledfor == after(24 * HOUR + 60)
    await run_at(database, after(30 * HOUR))
    assert (await report(database, 48 * HOUR + 60)).scheduledfor == after(48 * HOUR)
    assert await issues(database) == []
    assert await is_clean(database, jobid)


async def test_nothing_of_a_monitor_is_run_from_here(database: Database) -> None:
    jobid = await add_monitor(database)
    failed = await report(database, 60, Signal.FAILED)
    with pytest.raises(JobIsMonitor):
        await at(database, after(70), actions.run_now, ACTOR, jobid)
    with pytest.raises(JobIsMonitor):
        await at(database, after(70), retrying.retry, ACTOR, failed.logid)
    order = Backfill.model_validate({"since": NOON.isoformat(), "until": after(HOUR).isoformat()})
    with pytest.raises(JobIsMonitor):
        await at(database, after(70), backfill.backfill, ACTOR, jobid, order)


async def test_who_does_not_know_the_address_reports_nothing(database: Database) -> None:
    jobid = await add_monitor(database)
    changed = await at(database, after(0), monitoring.change_address, ACTOR, jobid, "https://jobs.example")
    with pytest.raises(MonitorNotFound):
        await report(database, 60)
    token = UUID(changed.url.rpartition("/")[2])
    assert changed.url == f"https://jobs.example/monitors/{token}"
    said = await at(database, after(60), monitoring.take_report, token, Signal.FINISHED, "")
    assert said.status == "finished"
    await at(
        database, after(90), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"monitor": None})
    )
    with pytest.raises(MonitorNotFound):
        await at(database, after(100), monitoring.take_report, token, Signal.FINISHED, "")


async def test_an_edit_of_the_grace_moves_the_end_of_the_wait(database: Database) -> None:
    jobid = await add_monitor(database)
    await at(database, after(10), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"grace": 900}))
    assert await scalar(database, "SELECT nextrun FROM joblog") == after(900)
    await at(
        database, after(20), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"monitor": None})
    )
    assert tuple((await rows(database, "SELECT nextrun, kind FROM joblog"))[0]) == (NOON, "plain")


async def test_a_job_becomes_a_monitor(database: Database) -> None:
    draft = JobDraft.model_validate({"jobname": "Backup", "cron": "0 12 * * *"})
    job = await at(database, after(-HOUR), creating.create, ACTOR, CIPHER, draft)
    patch = JobPatch.model_validate({"monitor": {}, "grace": 300})
    changed = await at(database, after(-HOUR), editing.edit, ACTOR, CIPHER, job.jobid, patch)
    assert (changed.misfire, changed.nextrun) == ("skip", after(300))
    found = await database.read(monitoring.address, job.jobid, "")
    token = UUID(found.url.rpartition("/")[2])
    said = await at(database, after(60), monitoring.take_report, token, Signal.FINISHED, "")
    assert said.scheduledfor == NOON


async def test_reports_at_once_end_one_run_and_none_is_lost(database: Database) -> None:
    jobid = await add_monitor(database)
    await asyncio.gather(*(report(database, 60 + number) for number in range(8)))
    found = await rows(
        database, "SELECT cause, count(*) AS count FROM joblog WHERE status = 'finished' GROUP BY 1"
    )
    assert {row.cause: row.count for row in found} == {"schedule": 1, "manual": 7}
    assert await is_clean(database, jobid)


async def test_a_report_beside_the_pass_that_gives_up_counts_once(database: Database) -> None:
    jobid = await add_monitor(database)
    await asyncio.gather(report(database, 300), run_at(database, after(300)))
    (first, *_) = await ledger(database)
    assert first[2] in {"finished", "skipped"}
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'") == 1
    assert await is_clean(database, jobid)


async def test_a_monitor_is_late_only_if_that_is_asked_for(database: Database) -> None:
    jobid = await add_monitor(database, grace=HOUR)
    assert await suspects(database, after(1000)) == []
    await execute(database, "UPDATE job SET lateafter = 600")
    assert await suspects(database, after(599)) == []
    assert await suspects(database, after(601)) == [(jobid, "late")]
    await report(database, 610, Signal.STARTED)
    assert await suspects(database, after(700)) == []


async def suspects(database: Database, now: datetime) -> list[tuple[int, str]]:
    """What a look at an instant finds."""
    late = await database.read(statements.late_runs, now, watching.LATE_AFTER, 100)
    return [(run.jobid, "late") for run in late]


async def test_a_question_about_a_monitor_has_an_answer(database: Database) -> None:
    jobid = await add_monitor(database)
    await run_at(database, after(300))
    said = await at(database, after(400), explain.explain, jobid, NOON, 10)
    assert said.sentence == (
        "It did not run at 2030-01-31 12:00:00 +00:00, because no report of it arrived in time."
    )
    said = await at(database, after(400), explain.explain, jobid, after(HOUR), 10)
    assert said.sentence == (
        "2030-01-31 13:00:00 +00:00 is scheduled; its report is overdue at 2030-01-31 13:05:00 +00:00."
    )
    report_of = await database.snapshot(checks.check_job, jobid)
    assert report_of.clean
