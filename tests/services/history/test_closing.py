"""Closed days: counted and compared once, and kept as that when their rows have gone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.history.explanation import Explanation, ExplanationOutcome
from scheduler_api.contracts.jobs.actions import History, Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.errors import InvalidInput
from scheduler_api.schedule.days import midnight
from scheduler_api.services.history import backfill, checks, closing, explain
from scheduler_api.services.history.versions import ScheduleVersions
from scheduler_api.services.jobs import actions, editing, removal
from scheduler_api.services.runs import passes, repairs, retention, retrying
from scheduler_api.services.runs.retention import Keep
from scheduler_api.workers import steadiness
from scheduler_api.workers.history import HistoryKeeper
from scheduler_api.workers.steadiness import SteadyClock
from tests.factories import ACTOR, CIPHER, add_job, execute, lay_out_days, rows, scalar
from tests.services.runs.test_claims import TARGET, claim, failed, finished, settle

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST = date(2030, 1, 1)
TALLIES = "SELECT day, finished, failed, skipped, missed, findings IS NULL FROM jobtally ORDER BY day"


@pytest.fixture
async def days(fresh: Database) -> Database:
    """A database with a part for each of the first ten days of 2030."""
    await lay_out_days(fresh, FIRST, 10)
    return fresh


def noon(day: int) -> datetime:
    """Of a day of January."""
    return datetime(2030, 1, day, 12, tzinfo=UTC)


async def at(database: Database, now: datetime, service: Any, *arguments: Any) -> Any:
    async def work(session: Session, _: datetime) -> Any:
        return await service(session, now, *arguments)

    return await database.transact(work)


async def add_daily(database: Database, **values: Any) -> int:
    start = {"startdate": FIRST, "starttime": noon(1).time(), "validfrom": midnight(FIRST)}
    values = {"createdat": midnight(FIRST), **start, **values}
    return await add_job(database, due=noon(1), interval=86400, **values)


async def run_daily(database: Database, first: int, last: int) -> None:
    for day in range(first, last + 1):
        await at(database, noon(day), passes.run_pass, 100, noon(day))


async def close(database: Database, day: int) -> None:
    """What is done on a day and on the one after: those before the day before it are closed then."""
    for now in (noon(day), noon(day + 1)):
        await at(database, now, closing.begin)
        while await at(database, now, closing.close_some):
            pass


async def drop(database: Database, now: datetime) -> None:
    while await at(database, now, retention.forget, Keep(timedelta(0))):
        pass
    for command in await database.read(retention.drops):
        await database.command_alone(command)
    await at(database, now, retention.dropped)
    after: int | None = 0
    while after is not None:
        after = await at(database, now, removal.forget_changes, after)


async def check(database: Database, jobid: int = 1, *, full: bool = False) -> JobCheck:
    return await database.snapshot(checks.check_job, jobid, full=full)


async def explained(database: Database, now: datetime, instant: datetime) -> Explanation:
    found: Explanation = await at(database, now, explain.explain, 1, instant, 16)
    return found


async def test_a_closed_day_is_counted_and_stays_counted_when_its_rows_have_gone(days: Database) -> None:
    await add_daily(days)
    await run_daily(days, 1, 6)
    whole = await check(days)
    await close(days, 5)
    found = [tuple(row) for row in await rows(days, TALLIES)]
    assert found == [(date(2030, 1, day), 1, 0, {}, 0, True) for day in (1, 2, 3)]
    assert await check(days) == await check(days, full=True) == whole
    await drop(days, noon(6))
    assert await scalar(days, "SELECT min(scheduledfor) FROM joblog") == noon(4)
    assert await scalar(days, "SELECT count(*) FROM pg_class WHERE relname LIKE 'log%_20300103'") == 0
    assert await check(days) == await check(days, full=True) == whole
    await run_daily(days, 7, 7)
    assert (await check(days)).clean


async def test_a_check_reads_open_days_alone_unless_it_is_full(days: Database) -> None:
    await add_daily(days)
    await run_daily(days, 1, 6)
    await close(days, 5)
    await execute(days, "DELETE FROM joblog WHERE scheduledfor = :at", at=noon(2))
    assert (await check(days)).clean
    assert (await check(days, full=True)).holes == 1


async def test_what_is_wrong_with_a_closed_day_is_told_when_its_rows_have_gone(days: Database) -> None:
    await add_daily(days)
    await run_daily(days, 1, 6)
    await execute(days, "DELETE FROM joblog WHERE scheduledfor = :at", at=noon(2))
    before = await check(days)
    await close(days, 5)
    assert await check(days) == before
    await drop(days, noon(6))
    report = await check(days)
    assert (report.holes, report.expected, report.accounted) == (1, 6, 5)
    assert [finding.at for finding in report.findings] == [noon(2)]


async def test_of_what_is_before_the_horizon_the_tally_is_told(days: Database) -> None:
    await add_daily(days)
    await run_daily(days, 1, 6)
    await close(days, 5)
    await drop(days, noon(6))
    found = await explained(days, noon(6), noon(2))
    assert found.outcome is ExplanationOutcome.BEFORE_HISTORY
    assert found.sentence == (
        "2030-01-02 12:00:00 +00:00 is before the history that is kept,"
        " which begins at 2030-01-04 00:00:00 +00:00."
        " On that day (UTC): 1 finished, 0 failed, 0 skipped, 0 missed."
    )
    assert (await explained(days, noon(6), noon(4))).outcome is ExplanationOutcome.RAN


async def test_nothing_before_the_horizon_runs_again(days: Database) -> None:
    """Not by a backfill, and not by the repair of a job whose rows are all gone."""
    await add_daily(days, misfire="all")
    await run_daily(days, 1, 3)
    await close(days, 5)
    await drop(days, noon(6))
    said = "since: Must not be before 2030-01-04T00:00:00Z: earlier history is not kept."
    # However long the range is.
    for since in ("2030-01-02T12:00:00Z", "2000-01-01T00:00:00Z"):
        order = Backfill.model_validate({"since": since, "until": "2030-01-06T12:00:00Z"})
        with pytest.raises(InvalidInput) as refused:
            await at(days, noon(6), backfill.backfill, ACTOR, 1, order)
        assert str(refused.value) == said
    await execute(days, "DELETE FROM joblog")
    assert await at(days, noon(6), repairs.repair, 1)
    assert await scalar(days, "SELECT min(scheduledfor) FROM joblog") == noon(4)


async def test_what_settles_late_is_kept_under_the_day_on_which_it_does(days: Database) -> None:
    """A closed day gets no further row: its tally is right for ever."""
    await add_daily(days)
    await run_daily(days, 1, 2)
    await close(days, 5)
    await at(days, noon(6), passes.run_pass, 100, noon(6))
    found = await rows(days, "SELECT day, scheduledfor FROM joblog WHERE status = 'finished' ORDER BY 2")
    assert [tuple(row) for row in found][2:] == [(date(2030, 1, 6), noon(3))]
    assert (await check(days)).clean
    assert (await check(days, full=True)).clean


async def test_a_row_is_kept_as_long_as_the_last_occurrence_that_it_tells_of(days: Database) -> None:
    await add_daily(days, misfire="once")
    await at(days, noon(4), passes.run_pass, 100, noon(4))
    await run_daily(days, 5, 7)
    await close(days, 5)
    await drop(days, noon(7))
    assert await scalar(days, "SELECT horizon FROM history") == date(2030, 1, 4)
    assert await scalar(days, "SELECT min(scheduledfor) FROM joblog") == noon(1)
    assert (await check(days)).clean
    assert (await check(days, full=True)).clean
    assert (await explained(days, noon(7), noon(2))).outcome is ExplanationOutcome.COUNTED


async def test_a_paused_job_is_compared_when_it_has_gone_on(days: Database) -> None:
    """Its days are closed for the others, but what it is to catch up is still to come."""
    await add_daily(days, misfire="all")
    await run_daily(days, 1, 1)
    await at(days, noon(1) + HOUR, actions.pause, ACTOR, 1, Pause())
    await close(days, 5)
    assert await scalar(days, "SELECT since FROM jobopen") == date(2030, 1, 2)
    await at(days, noon(6), actions.resume, ACTOR, 1, Resume())
    await at(days, noon(6), passes.run_pass, 100, noon(6))
    for _ in range(8):
        await at(days, noon(6), passes.run_pass, 100, noon(6))
    assert (await check(days)).accounted == 6
    await execute(days, "DELETE FROM joblog WHERE scheduledfor = :at", at=noon(3))
    assert (await check(days)).holes == 1
    await close(days, 7)
    assert await scalar(days, "SELECT count(*) FROM jobopen") == 0
    assert (await check(days)).holes == 1


async def test_a_job_whose_last_run_was_late_is_over(days: Database) -> None:
    """Its row is under the day on which it settled, behind days that were closed for it without any."""
    await add_daily(days, misfire="all", maxruns=1)
    await close(days, 5)
    await at(days, noon(6), passes.run_pass, 100, noon(6))
    await close(days, 7)
    assert await scalar(days, "SELECT day >= closedto FROM joblog CROSS JOIN history")
    assert (await check(days)).clean
    assert (await check(days, full=True)).clean


async def test_a_retry_of_a_closed_day_is_counted_where_it_ends(days: Database) -> None:
    await add_daily(days, target=TARGET)
    (started,) = (await claim(days, noon(3))).started
    await settle(days, noon(3) + HOUR, failed(started, again=False))
    await close(days, 6)
    counts = "sum(failed), sum(finished), sum(missed), sum(rows), sum(accounted)"
    of_day = f"SELECT {counts} FROM jobtally WHERE day = '2030-01-03'"
    assert [tuple(row) for row in await rows(days, of_day)] == [(1, 0, 2, 1, 3)]
    await at(days, noon(7), retrying.retry, ACTOR, started.logid)
    assert [tuple(row) for row in await rows(days, of_day)] == [(0, 0, 0, 0, 0)]
    # The next run, which stands for three others, and the retry.
    for _ in range(2):
        (run,) = (await claim(days, noon(7))).started
        await settle(days, noon(7) + HOUR, finished(run))
    await close(days, 9)
    of_all = f"SELECT {counts} FROM jobtally"
    assert [tuple(row) for row in await rows(days, of_all)] == [(0, 2, 5, 2, 7)]


async def test_many_rows_are_closed_day_by_day(days: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MAX_ROWS", 2)
    await add_daily(days)
    await run_daily(days, 1, 8)
    for now in (noon(7), noon(8)):
        await at(days, now, closing.begin)
    since = "SELECT since FROM jobopen"
    for day in (2, 3, 4, 5):
        assert await at(days, noon(8), closing.close_some)
        assert await scalar(days, since) == date(2030, 1, day)
    assert await at(days, noon(8), closing.close_some)
    assert await scalar(days, since) is None
    assert not await at(days, noon(8), closing.close_some)
    assert await scalar(days, "SELECT closedto FROM history") == date(2030, 1, 6)
    assert (await check(days)).accounted == 8


async def test_a_job_whose_days_cannot_be_closed_holds_back_no_other(
    days: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay open, and are compared at each check."""
    for _ in range(2):
        await add_daily(days)
    await run_daily(days, 1, 6)
    whole = checks.compare

    async def broken(session: Session, versions: ScheduleVersions, *others: Any) -> None:
        if versions.job.jobid == 1:
            raise RuntimeError("a bug")
        await whole(session, versions, *others)

    with monkeypatch.context() as patch:
        patch.setattr(checks, "compare", broken)
        await close(days, 5)
    assert await scalar(days, "SELECT closedto FROM history") == date(2030, 1, 4)
    assert [row[0] for row in await rows(days, "SELECT DISTINCT jobid FROM jobtally")] == [2]
    await execute(days, "DELETE FROM joblog WHERE scheduledfor = :at AND jobid = 1", at=noon(2))
    assert (await check(days)).holes == 1


async def test_history_that_somebody_reads_is_dropped_later(days: Database) -> None:
    """Nothing waits for it meanwhile: runs settle, and what was broken off is taken up again."""
    await add_daily(days)
    await run_daily(days, 1, 6)
    await close(days, 5)
    while await at(days, noon(6), retention.forget, Keep(timedelta(0))):
        pass
    first, *others = await days.read(retention.drops)
    assert len(others) == 17
    assert first.endswith("CONCURRENTLY")
    async with days.transactional.connect() as reader:
        await reader.exec_driver_sql("SELECT count(*) FROM joblog, logattempt, logline")
        with pytest.raises(DBAPIError):
            await days.command_alone(first, 0.5)
        await run_daily(days, 7, 7)
    again = await days.read(retention.drops)
    assert again == [first.replace("CONCURRENTLY", "FINALIZE"), *others]
    for command in again:
        await days.command_alone(command)
    assert await days.read(retention.drops) == []
    assert (await check(days)).clean


class Clocks:
    """This machine's clocks, and the database's, as a test sets them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.elapsed, self.database = 0.0, datetime.now(UTC)
        patch.setattr(steadiness, "monotonic", lambda: self.elapsed)

    def go_on(self, elapsed: timedelta, shown: timedelta | None = None) -> datetime:
        """So much time passes; the database's clock may show another."""
        self.elapsed += elapsed.total_seconds()
        self.database += elapsed if shown is None else shown
        return self.database


def test_a_clock_is_trusted_once_it_has_gone_on_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, clock = Clocks(monkeypatch), SteadyClock(3600)
    assert [clock.look(clocks.go_on(HOUR / 2)) for _ in range(4)] == [False, False, True, True]
    # A step, in either direction, begins a new hour.
    for step in (HOUR, -HOUR):
        assert not clock.look(clocks.go_on(HOUR / 2, HOUR / 2 + step))
        assert [clock.look(clocks.go_on(HOUR / 2)) for _ in range(2)] == [False, True]


def test_a_clock_that_is_days_off_is_not_trusted_however_evenly_it_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks, clock = Clocks(monkeypatch), SteadyClock(3600)
    clocks.go_on(timedelta(0), 100 * DAY)
    assert not any(clock.look(clocks.go_on(HOUR)) for _ in range(5))


@pytest.mark.parametrize(("keep", "confirmation", "drops"), [(0, 0, True), (0, 3600, False), (9, 0, False)])
async def test_the_keeper_drops_what_is_too_old_once_the_clock_is_trusted(
    days: Database, keep: int, confirmation: float, drops: bool
) -> None:
    today = datetime.now(UTC).date()
    await lay_out_days(days, today - 8 * DAY, 20)
    start = {"startdate": today - 7 * DAY, "starttime": noon(1).time()}
    begins = midnight(today - 7 * DAY)
    await add_job(days, due=begins + HOUR / 2, interval=86400, createdat=begins, validfrom=begins, **start)
    await at(days, midnight(today - DAY), closing.begin)
    old = midnight(today - 8 * DAY)
    deleted = await add_job(days, due=None, createdat=old, validfrom=old, active=False, deletedat=old + HOUR)
    await execute(
        days,
        "INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat)"
        " VALUES (:day, :jobid, :at, 'finished', :at, :at)",
        day=old.date(),
        jobid=deleted,
        at=old,
    )
    changed = "INSERT INTO auditevent (jobid, at, action, actor) VALUES (1, :at, 'edited', 'local')"
    await execute(days, changed, at=old)
    keeper = HistoryKeeper(days, Keep(keep * DAY), confirmation)
    for _ in range(8):
        await keeper.tend()
    # So has what was changed before.
    assert await scalar(days, "SELECT count(*) FROM auditevent WHERE at = :at", at=old) == (not drops)
    # The job that was deleted then has gone with the last of it.
    hidden = "SELECT removedat IS NOT NULL FROM job WHERE jobid = :jobid"
    assert await scalar(days, hidden, jobid=deleted) is drops
    gone = await scalar(days, "SELECT horizon > '-infinity' FROM history")
    assert gone is drops
    assert (
        await scalar(days, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'joblog'::regclass")
    ) < 21 or not drops


async def test_of_changes_those_since_the_horizon_stay(days: Database) -> None:
    """From them it follows how the schedule stood then."""
    await add_daily(days)
    for first, day in ((1, 2), (3, 5)):
        await run_daily(days, first, day)
        patch = JobPatch.model_validate({"exclude": [f"2030-02-0{day}"]})
        await at(days, noon(day) + HOUR, editing.edit, ACTOR, CIPHER, 1, patch)
    await run_daily(days, 6, 6)
    await close(days, 5)
    await drop(days, noon(6))
    found = await rows(days, "SELECT at FROM auditevent")
    assert [row[0] for row in found] == [noon(5) + HOUR]
    assert (await check(days, full=True)).clean


async def test_changes_from_before_the_horizon_go_in_batches(
    days: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; but for the creation of a job that is there, and the pause that holds."""
    monkeypatch.setattr(removal, "BATCH", 3)
    await add_daily(days)
    await add_daily(days, active=False, pausedat=noon(1))
    await execute(
        days,
        "INSERT INTO auditevent (jobid, at, action, actor)"
        " SELECT jobid, CAST(:at AS timestamptz) + make_interval(hours => n), action, 'local'"
        " FROM generate_series(0, 5) AS n, unnest(ARRAY[1, 2, 99]) AS jobid,"
        " unnest(ARRAY['created', 'paused', 'edited']) AS action ORDER BY n",
        at=noon(1),
    )
    await execute(days, "UPDATE history SET horizon = '2030-01-02'")
    after, seen = 0, list[int]()
    while (last := await at(days, noon(9), removal.forget_changes, after)) is not None:
        seen.append(last - after)
        after = last
    assert set(seen) == {3}
    left = "SELECT jobid, action, count(*) FROM auditevent GROUP BY 1, 2 ORDER BY 1, 2"
    assert await rows(days, left) == [(1, "created", 6), (2, "created", 6), (2, "paused", 6)]


async def test_a_completed_job_of_which_only_days_off_are_left_stays_so(days: Database) -> None:
    """However often its bound is changed: there is nothing that could run."""
    await add_daily(days, maxruns=1, until=noon(3), exclude=["2030-01-02/2030-01-03"])
    await run_daily(days, 1, 1)
    for maxruns in (None, 5):
        now = noon(1) + HOUR * (maxruns or 1)
        job = await at(days, now, editing.edit, ACTOR, CIPHER, 1, JobPatch(maxruns=maxruns))
        assert job.state == "completed"
        assert (await check(days)).clean


async def test_a_table_of_somebody_else_that_is_called_like_a_part_stays(days: Database) -> None:
    """Such as a copy that was made by hand: of a day before all parts, and of one that has gone."""
    for name in ("joblog_20200101", "joblog_20300101_copy"):
        await execute(days, f"CREATE TABLE {name} AS SELECT * FROM joblog")
    await add_daily(days)
    await run_daily(days, 1, 6)
    await close(days, 5)
    await drop(days, noon(6))
    await execute(days, "CREATE TABLE joblog_20300102 AS SELECT * FROM joblog")
    await close(days, 7)
    await drop(days, noon(8))
    there = "SELECT relname FROM pg_class WHERE relname ~ '^joblog_20(20|3001)' AND relkind = 'r' ORDER BY 1"
    names = [row[0] for row in await rows(days, there)]
    assert names[:3] == ["joblog_20200101", "joblog_20300101_copy", "joblog_20300102"]
    assert "joblog_20300104" not in names


async def test_a_deleted_job_goes_with_the_last_day_that_tells_of_it(days: Database) -> None:
    """Its tallies go, too; one that is not deleted stays, however long ago it ran."""
    ids = {name: await add_daily(days, jobname=name) for name in ("early", "late", "idle", "here")}
    await run_daily(days, 1, 2)
    for name in ("early", "idle"):
        await at(days, noon(2) + HOUR, editing.delete, ACTOR, ids[name], History.KEEP)
    await run_daily(days, 3, 5)
    await at(days, noon(5) + HOUR, editing.delete, ACTOR, ids["late"], History.KEEP)
    await execute(days, "UPDATE job SET active = false, pausedat = now() WHERE jobid = :id", id=ids["here"])
    await execute(days, "DELETE FROM joblog WHERE jobid = ANY(:ids)", ids=[ids["idle"], ids["here"]])
    await close(days, 6)
    hidden = "SELECT jobid FROM job WHERE removedat IS NOT NULL ORDER BY jobid"
    # On the day on which they were deleted, nothing of them is gone but their rows before.
    await at(days, noon(7), removal.forget, midnight(date(2030, 1, 2)))
    assert await rows(days, hidden) == []
    await drop(days, noon(4))
    assert await scalar(days, "SELECT horizon FROM history") == date(2030, 1, 3)
    assert not await at(days, noon(7), removal.forget, midnight(date(2030, 1, 3)))
    assert [row[0] for row in await rows(days, hidden)] == [ids["early"], ids["idle"]]
    for jobid in await days.read(removal.hidden):
        assert await days.transact(removal.remove_more, jobid, removal.BEGINNING) is None
    assert {row[0] for row in await rows(days, "SELECT jobid FROM job")} == {ids["late"], ids["here"]}
    assert {row[0] for row in await rows(days, "SELECT jobid FROM jobtally")} >= {ids["late"]}
    assert not await scalar(days, "SELECT count(*) FROM jobtally WHERE jobid = :id", id=ids["early"])
