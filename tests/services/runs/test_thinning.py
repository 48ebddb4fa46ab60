"""Jobs that record failures only: what finished goes with its day, and is still accounted for."""

from datetime import UTC, date, datetime, time

import pytest

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.history.explanation import ExplanationOutcome
from scheduler_api.contracts.history.timeline import TimeRange
from scheduler_api.contracts.jobs.actions import Pause, Resume
from scheduler_api.database.engine import Database
from scheduler_api.errors import InvalidInput
from scheduler_api.schedule.days import midnight
from scheduler_api.services.history import backfill, closing, timeline
from scheduler_api.services.jobs import actions
from scheduler_api.services.runs import passes, repairs, retrying, thinning
from scheduler_api.services.runs.retention import FOR_EVER, Keep
from scheduler_api.workers.history import HistoryKeeper
from tests.factories import ACTOR, add_job, execute, lay_out_days, rows, scalar
from tests.services.history.test_closing import (
    DAY,
    HOUR,
    add_daily,
    at,
    check,
    close,
    days,
    drop,
    explained,
    noon,
    run_daily,
)
from tests.services.runs.test_claims import TARGET, claim, failed, finished, settle

__all__ = ["days"]
THERE = "SELECT scheduledfor, status FROM joblog WHERE status <> 'pending' ORDER BY scheduledfor"


async def thin(database: Database, keep: Keep = FOR_EVER) -> None:
    await at(database, noon(9), thinning.thin, keep)
    while await at(database, noon(9), thinning.thin_some):
        pass


async def add_thin(database: Database) -> None:
    """A job that failed on the third of six days, and whose first three are closed."""
    await add_daily(database, record="failures")
    await run_daily(database, 1, 6)
    await execute(
        database, "UPDATE joblog SET status = 'failed', error = 'No.' WHERE scheduledfor = :at", at=noon(3)
    )
    await close(database, 5)


async def there(database: Database) -> list[tuple[datetime, str]]:
    return [(row[0], row[1]) for row in await rows(database, THERE)]


async def test_what_finished_goes_when_its_day_is_closed_and_is_still_accounted_for(days: Database) -> None:
    await add_thin(days)
    whole = await check(days, full=True)
    await thin(days)
    assert await there(days) == [(noon(3), "failed"), *((noon(day), "finished") for day in (4, 5, 6))]
    assert await check(days) == await check(days, full=True) == whole
    assert whole.clean
    assert whole.accounted == 6
    await run_daily(days, 7, 8)
    await close(days, 7)
    await thin(days)
    assert await there(days) == [(noon(3), "failed"), *((noon(day), "finished") for day in (6, 7, 8))]
    assert (await check(days, full=True)).accounted == 8


async def test_it_is_told_of_each_occurrence_how_it_went(days: Database) -> None:
    await add_thin(days)
    await thin(days)
    ran = await explained(days, noon(6), noon(2))
    assert ran.outcome is ExplanationOutcome.RAN
    assert ran.sentence == (
        "2030-01-02 12:00:00 +00:00 finished. The job records failures only, so the run has no row."
        " On that day (UTC): 1 finished, 0 failed, 0 skipped, 0 missed."
    )
    assert (await explained(days, noon(6), noon(3))).outcome is ExplanationOutcome.FAILED
    assert (await explained(days, noon(6), noon(2) + HOUR)).outcome is ExplanationOutcome.NOT_SCHEDULED
    await drop(days, noon(6))
    assert (await explained(days, noon(6), noon(2))).outcome is ExplanationOutcome.BEFORE_HISTORY


async def test_of_a_day_that_did_not_add_up_nothing_is_said_that_nobody_knows(days: Database) -> None:
    await add_daily(days, record="failures")
    await run_daily(days, 1, 6)
    await execute(days, "DELETE FROM joblog WHERE scheduledfor = :at", at=noon(2))
    await close(days, 5)
    await thin(days)
    assert (await explained(days, noon(6), noon(2))).outcome is ExplanationOutcome.MISSING
    assert (await explained(days, noon(6), noon(1))).outcome is ExplanationOutcome.RAN
    assert (await check(days)).holes == (await check(days, full=True)).holes == 1


async def test_nothing_that_has_no_row_runs_again(days: Database) -> None:
    """Not by a backfill, and not by the repair of a job whose rows are all gone."""
    await add_thin(days)
    await thin(days)
    order = Backfill.model_validate({"since": "2030-01-02T12:00:00Z", "until": "2030-01-06T12:00:00Z"})
    with pytest.raises(InvalidInput) as refused:
        await at(days, noon(6), backfill.backfill, ACTOR, 1, order)
    assert str(refused.value) == (
        "since: Must not be before 2030-01-04T00:00:00Z: of earlier runs, only failures are recorded."
    )
    await execute(days, "UPDATE job SET misfire = 'all'")
    await execute(days, "DELETE FROM joblog")
    assert await at(days, noon(6), repairs.repair, 1)
    assert await scalar(days, "SELECT min(scheduledfor) FROM joblog") == noon(4)


async def test_a_paused_job_keeps_its_rows_until_it_is_compared(days: Database) -> None:
    await add_daily(days, misfire="all", record="failures")
    await run_daily(days, 1, 2)
    await at(days, noon(2) + HOUR, actions.pause, ACTOR, 1, Pause())
    await close(days, 5)
    await thin(days)
    assert await scalar(days, "SELECT since FROM jobthinned") == date(2030, 1, 3)
    assert await there(days) == []
    await at(days, noon(6), actions.resume, ACTOR, 1, Resume())
    for _ in range(8):
        await at(days, noon(6), passes.run_pass, 100, noon(6))
    assert (await check(days)).accounted == (await check(days, full=True)).accounted == 6


async def test_no_row_of_an_open_day_goes_where_history_begins_with_that_day(days: Database) -> None:
    await add_daily(days, record="failures")
    await run_daily(days, 1, 3)
    await execute(days, "UPDATE history SET closedto = firstday")
    before = await there(days)
    await thin(days)
    assert await scalar(days, "SELECT since FROM jobthinned") == date(2030, 1, 1)
    assert await there(days) == before


async def test_a_run_that_was_tried_again_goes_with_the_day_on_which_it_ended(days: Database) -> None:
    await add_daily(days, target=TARGET, record="failures", overlap=True)
    (started,) = (await claim(days, noon(1))).started
    await settle(days, noon(1) + HOUR, failed(started, again=False))
    await close(days, 5)
    await thin(days)
    await at(days, noon(6), retrying.retry, ACTOR, started.logid)
    again = next(one for one in (await claim(days, noon(6))).started if one.logid == started.logid)
    await settle(days, noon(6) + HOUR, finished(again))
    assert (noon(1), "finished") in await there(days)
    assert (await check(days)).clean
    await close(days, 8)
    await thin(days)
    assert (noon(1), "finished") not in await there(days)
    assert await scalar(days, "SELECT count(*) FROM logattempt WHERE logid = :id", id=started.logid) == 0


async def test_what_stands_for_others_and_what_was_asked_for_stays(days: Database) -> None:
    await add_daily(days, record="failures")
    await at(days, noon(3), passes.run_pass, 100, noon(3))
    await run_daily(days, 4, 6)
    order = Backfill.model_validate({"since": "2030-01-01T00:00:00Z", "until": "2030-01-03T00:00:00Z"})
    await at(days, noon(3), backfill.backfill, ACTOR, 1, order)
    await at(days, noon(3), passes.run_pass, 100, noon(3))
    before = [
        row[0] for row in await rows(days, "SELECT logid FROM joblog WHERE missed > 0 OR cause <> 'schedule'")
    ]
    assert len(before) == 2
    await close(days, 7)
    await thin(days)
    assert {*before} <= {row[0] for row in await rows(days, "SELECT logid FROM joblog")}
    assert (await check(days, full=True)).clean


async def test_rows_stay_until_they_are_exported_where_that_is_a_condition(days: Database) -> None:
    await add_thin(days)
    await thin(days, Keep(None, exported=True))
    assert len(await there(days)) == 6
    await execute(days, "UPDATE history SET exportedto = '2030-01-02'")
    await thin(days, Keep(None, exported=True))
    assert len(await there(days)) == 5


async def test_all_other_jobs_keep_their_rows(days: Database) -> None:
    await add_daily(days)
    await run_daily(days, 1, 6)
    await close(days, 5)
    await thin(days)
    assert len(await there(days)) == 6


async def test_it_is_said_since_when_successes_are_there(days: Database) -> None:
    await add_thin(days)
    await thin(days)
    shown = await at(days, noon(6), timeline.timeline, 1, TimeRange.WEEK)
    assert shown.keptsince == midnight(date(2030, 1, 4))
    assert (shown.total.finished, shown.total.failed) == (3, 1)


async def test_the_keeper_lets_rows_go(days: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many transactions as it takes."""
    monkeypatch.setattr(thinning, "BATCH", 3)
    today = datetime.now(UTC).date()
    await lay_out_days(days, today - 8 * DAY, 20)
    begins = midnight(today - 4 * DAY)
    before = begins - HOUR
    start = {"startdate": begins.date(), "starttime": time(), "createdat": before, "validfrom": before}
    await add_job(days, due=begins, interval=7200, maxruns=8, record="failures", **start)
    for hour in range(0, 16, 2):
        await at(days, begins + hour * HOUR, passes.run_pass, 100, begins + hour * HOUR)
    await at(days, midnight(today - DAY), closing.begin)
    keeper = HistoryKeeper(days, FOR_EVER, 0)
    await keeper.tend()
    assert await there(days) == []
    report = await check(days, full=True)
    assert (report.findings, report.accounted) == ([], 8)
