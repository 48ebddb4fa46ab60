"""Jobs whose next run is missing, or too late, get it put right."""

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from scheduler_api.contracts.jobs.actions import Missed, Pause, Resume
from scheduler_api.database import installation
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import pending
from scheduler_api.database.runs.claims import Terms
from scheduler_api.database.statements import DRIVER, Session, Statement
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions, planning
from scheduler_api.services.jobs.skipping import MAX_ROWS
from scheduler_api.services.runs import claims, holding, passes, repairs
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Room
from scheduler_api.workers.upkeep import Upkeep
from tests.factories import ACTOR, NOON, add_due_jobs, add_job, execute, is_active, logs, scalar

END = datetime(9999, 12, 1, tzinfo=UTC)
FINISH = (
    "UPDATE joblog SET status = 'finished', nextrun = NULL, startedat = :now,"
    " finishedat = :now, missed = CAST(:missed AS bigint), through = :through WHERE jobid = :jobid"
)


#: It has run already, as the clock was ahead, and its job has gone on earlier since.
RAN = (
    "WITH known AS (UPDATE joblog SET ahead = :at WHERE jobid = :jobid AND status = 'pending')"
    " INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun)"
    " VALUES (:jobid, :at, 'finished', :at, :at, :at)"
)
#: The run that was pending has run, and its next one is not promised.
LOSE = (
    "UPDATE joblog SET status = 'finished', nextrun = NULL, lastrun = scheduledfor, startedat = scheduledfor,"
    " finishedat = scheduledfor WHERE jobid = :jobid AND status = 'pending'"
)


async def heal(database: Database) -> int:
    repaired = await Upkeep(database).repair(60)
    assert repaired.is_through
    return repaired.count


async def finish(
    database: Database, jobid: int, missed: int | None = None, through: datetime | None = None
) -> datetime:
    now = NOON + timedelta(seconds=1)
    await execute(database, FINISH, jobid=jobid, now=now, missed=missed, through=through)
    return now


async def test_where_nothing_is_missing_nothing_is_done(database: Database) -> None:
    await add_job(database, interval=60)
    await add_job(database, active=False, due=None)
    assert await heal(database) == 0


async def test_a_lost_promise_comes_back_where_the_ledger_ended(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    ran_at = await finish(database, jobid, missed=2, through=NOON + timedelta(minutes=2))
    assert await heal(database) == 1
    _, promise = await logs(database, jobid)
    assert (promise.status, promise.scheduledfor, promise.nextrun) == (
        "pending",
        NOON + timedelta(minutes=3),
        NOON + timedelta(minutes=3),
    )
    assert promise.lastrun == ran_at
    assert await heal(database) == 0


async def test_a_first_promise_that_was_never_made_is_made(database: Database) -> None:
    jobid = await add_job(
        database, due=None, startdate=date(2030, 7, 1), starttime=time(12), timezone="Europe/Berlin"
    )
    assert await heal(database) == 1
    (promise,) = await logs(database, jobid)
    assert promise.scheduledfor.isoformat() == "2030-07-01T10:00:00+00:00"


async def test_a_job_that_was_inserted_by_hand_runs(database: Database) -> None:
    """With the columns of the schema that this service grew out of."""
    await execute(
        database,
        "INSERT INTO job (jobname, startdate, starttime) VALUES ('By hand', '9999-01-31', '02:00')",
    )
    await execute(
        database,
        "INSERT INTO job (jobname, startdate, starttime, repeat, interval)"
        " VALUES ('Each hour', '9999-01-31', '02:00', true, 3600)",
    )
    assert await heal(database) == 2
    for jobid in (1, 2):
        (log,) = await logs(database, jobid)
        assert log.scheduledfor == datetime(9999, 1, 31, 2, tzinfo=UTC)


async def test_a_job_that_ran_for_the_last_time_is_retired(database: Database) -> None:
    jobid = await add_job(database)
    await finish(database, jobid)
    assert await heal(database) == 1
    assert not await is_active(database, jobid)
    assert len(await logs(database, jobid)) == 1


async def test_a_job_whose_schedule_makes_no_sense_any_more_is_retired(database: Database) -> None:
    gone = await add_job(database, due=None, timezone="Mars/Olympus")
    beyond = await add_job(database, interval=2**31 - 1)
    await finish(database, beyond, missed=2**40, through=END)
    assert await heal(database) == 2
    assert not await is_active(database, gone)
    assert not await is_active(database, beyond)


async def test_a_running_log_is_no_hole(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, leasetoken = gen_random_uuid(),"
        " leaseuntil = now() WHERE jobid = :jobid",
        jobid=jobid,
    )
    assert await heal(database) == 0


async def test_two_healers_make_one_promise(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await finish(database, jobid)
    await asyncio.gather(*(heal(database) for _ in range(6)))
    assert [log.status for log in await logs(database, jobid)] == ["finished", "pending"]


async def realign(database: Database) -> None:
    """As at a start with other rules of time zones."""
    await database.transact(installation.keep_zone_rules, "those of last year")
    await Upkeep(database).realign()


async def test_a_promise_is_given_anew_where_the_rules_of_its_zone_have_changed(database: Database) -> None:
    ahead = datetime(2030, 7, 1, 10, tzinfo=UTC)
    values: dict[str, Any] = {"cron": "0 12 * * *", "repeat": True, "startdate": None, "starttime": None}
    values |= {"timezone": "Europe/Berlin", "validfrom": datetime(2030, 6, 30, 20, tzinfo=UTC)}
    right = await add_job(database, due=ahead, **values)
    # As it would have been promised if Berlin had kept its winter time.
    wrong = await add_job(database, due=ahead + timedelta(hours=1), **values)
    once = await add_job(database, due=NOON, timezone="Europe/Berlin", validfrom=NOON - timedelta(days=1))
    await realign(database)
    assert [log.scheduledfor for log in await logs(database, right)] == [ahead]
    assert [(log.scheduledfor, log.nextrun) for log in await logs(database, wrong)] == [(ahead, ahead)]
    assert [log.scheduledfor for log in await logs(database, once)] == [NOON - timedelta(hours=1)]


async def test_a_job_that_has_no_run_left_under_new_rules_is_retired(database: Database) -> None:
    values: dict[str, Any] = {"cron": "0 12 * * *", "repeat": True, "startdate": None, "starttime": None}
    values |= {"timezone": "Europe/Berlin", "until": NOON - timedelta(days=9), "validfrom": NOON}
    jobid = await add_job(database, **values)
    await realign(database)
    assert (await logs(database, jobid), await is_active(database, jobid)) == ([], False)


async def test_a_next_run_that_is_too_late_for_no_reason_is_put_right(database: Database) -> None:
    """A hand in the tables, whatever it moved: intervals and cron, the occurrence or when it is tried."""
    now = await scalar(database, "SELECT clock_timestamp()")
    soon = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    cron: dict[str, Any] = {"cron": "* * * * *", "repeat": True, "startdate": None, "starttime": None}
    every = {"interval": 60, "startdate": date(2020, 1, 1), "starttime": time(0)}
    later = soon + timedelta(days=2)
    for values in (cron, every, every | {"jitter": 0, "exclude": ["2019-01-01"]}):
        await add_job(database, due=later, **values)
    postponed = await add_job(database, due=soon, **every)
    await execute(
        database, "UPDATE joblog SET nextrun = :later WHERE jobid = :jobid", later=later, jobid=postponed
    )
    right = await add_job(database, due=soon, **cron)
    assert await heal(database) == 4
    for jobid in range(1, right + 1):
        (promise,) = await logs(database, jobid)
        assert promise.scheduledfor - soon in {timedelta(0), timedelta(minutes=1)}
        assert promise.nextrun == promise.scheduledfor
    assert await heal(database) == 0
    told = "SELECT count(*) FROM auditevent WHERE action = 'repaired' AND client IS NULL"
    assert await scalar(database, told) == 4


async def test_a_walk_that_repairs_very_many_jobs_stops_in_time_and_goes_on_behind_the_last(
    database: Database,
) -> None:
    jobids = [await add_job(database, due=None, interval=60) for _ in range(3)]
    upkeep = Upkeep(database)
    for jobid in jobids:
        repaired = await upkeep.repair(0)
        assert (repaired.count, repaired.is_through) == (1, False)
        await promised(database, jobid)
    repaired = await upkeep.repair(60)
    assert (repaired.count, repaired.is_through) == (0, True)


async def test_a_next_run_that_is_late_for_a_reason_stays(database: Database) -> None:
    """It is to start later, its jitter says so, it was asked to be skipped, it is excluded or tried again."""
    now = await scalar(database, "SELECT clock_timestamp()")
    daily: dict[str, Any] = {"interval": 86400, "startdate": (now - timedelta(days=9)).date()}
    daily["starttime"] = (now + timedelta(hours=1)).time().replace(microsecond=0)
    first = datetime.combine(now.date(), daily["starttime"], UTC)
    first += timedelta(days=first < now)
    await add_job(
        database, due=NOON.replace(year=now.year + 3), interval=60, startdate=date(now.year + 3, 1, 31)
    )
    spread = await add_job(database, due=first, jitter=3600, **daily)
    await execute(
        database,
        "UPDATE joblog SET nextrun = :tried WHERE jobid = :jobid",
        jobid=spread,
        tried=first + planning.spread(spread, 3600),
    )
    asked = await add_job(database, due=first, **daily)
    await database.transact(actions.skip_next, ACTOR, asked)
    today = f"{first:%Y-%m-%d}"
    excluded = await add_job(database, due=first, exclude=[today], **daily)
    await execute(
        database,
        "UPDATE joblog SET nextrun = nextrun + interval '1 day' WHERE jobid = :jobid",
        jobid=excluded,
    )
    retried = await add_job(
        database, due=first - timedelta(days=1), target={"url": "http://a.example"}, **daily
    )
    await execute(
        database,
        "UPDATE joblog SET attempt = 2, nextrun = now() + interval '1 hour', following = :next"
        " WHERE jobid = :jobid",
        jobid=retried,
        next=first,
    )
    before = await scalar(database, "SELECT string_agg(nextrun::text, ' ' ORDER BY logid) FROM joblog")
    assert await heal(database) == 0
    assert (
        await scalar(database, "SELECT string_agg(nextrun::text, ' ' ORDER BY logid) FROM joblog") == before
    )


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
async def test_jobs_go_on_after_the_clock_of_the_database_was_two_days_ahead(
    database: Database, misfire: str
) -> None:
    """What was said of the time that is yet to come is taken back; what has run is not run again."""
    now = await scalar(database, "SELECT clock_timestamp()")
    hourly: dict[str, Any] = {"interval": 3600, "startdate": date(2020, 1, 1), "starttime": time(0)}
    due = now.replace(minute=0, second=0, microsecond=0)
    before = due - timedelta(hours=1)
    jobid = await add_job(database, due=due, misfire=misfire, createdat=before, validfrom=before, **hourly)

    # So late that an occurrence is out of its grace.
    ahead = due + timedelta(days=2, minutes=59)

    async def run_ahead(session: Session, _: datetime) -> int:
        return (await passes.run_pass(session, ahead, 100, ahead)).claimed

    while await database.transact(run_ahead):
        pass
    assert max(log.scheduledfor for log in await logs(database, jobid)) > ahead
    ran = {log.scheduledfor for log in await logs(database, jobid) if log.status == "finished"}
    assert await heal(database) == (1 if misfire != "all" else 0)
    rows = await logs(database, jobid)
    (promise,) = [log for log in rows if log.status == "pending"]
    following = due + timedelta(hours=1)
    while following in ran:
        following += timedelta(hours=1)
    assert promise.scheduledfor == following
    assert ran == {log.scheduledfor for log in rows if log.status == "finished"}
    covering = [log for log in rows if log.through is not None and log.status != "pending"]
    assert all(log.through <= now for log in covering)
    assert await heal(database) == 0
    report = await database.snapshot(checks.check_job, jobid)
    assert report.clean, report.findings


async def test_what_ran_ahead_of_its_time_is_stepped_over_and_what_lies_between_is_run(
    database: Database,
) -> None:
    """However late a next run that met a row is found to be missing."""
    now = await scalar(database, "SELECT clock_timestamp()")
    hour, due = timedelta(hours=1), now.replace(minute=0, second=0, microsecond=0)
    jobid = await add_job(
        database, due=due + 48 * hour, interval=3600, startdate=date(2020, 1, 1), starttime=time(0),
        createdat=now, validfrom=due - hour,
    )  # fmt: skip
    for ahead in (0, 1, 3, 6):
        await execute(database, RAN, jobid=jobid, at=due + ahead * hour)
    assert await heal(database) == 1
    for following, later in ((2, 8), (4, 9), (5, 9), (7, 10)):
        assert await promised(database, jobid) == due + following * hour
        await execute(database, LOSE, jobid=jobid)
        assert await repair(database, now + later * hour, jobid)
    assert await promised(database, jobid) == due + 8 * hour


async def repair(database: Database, now: datetime, jobid: int) -> bool:
    async def work(session: Session, _: datetime) -> bool:
        return await repairs.repair(session, now, jobid)

    return await database.transact(work)


async def promised(database: Database, jobid: int) -> datetime:
    (found,) = [log.scheduledfor for log in await logs(database, jobid) if log.status == "pending"]
    assert isinstance(found, datetime)
    return found


@pytest.mark.parametrize("overlap", [None, True, False], ids=["plain", "overlapping", "one at a time"])
async def test_what_ran_ahead_of_its_time_does_not_stop_the_run_before_it_from_going_on(
    database: Database, overlap: bool | None
) -> None:
    """In the transaction that meets it: the search would come some seconds later."""
    now = await scalar(database, "SELECT clock_timestamp()")
    minute, due = timedelta(minutes=1), now.replace(second=0, microsecond=0)
    jobid = await add_job(
        database, due=due, interval=60, startdate=date(2020, 1, 1), starttime=time(0),
        createdat=due - minute, validfrom=due - minute,
        **({} if overlap is None else {"target": {"url": "http://a.example/"}, "overlap": overlap}),
    )  # fmt: skip
    for ahead in (1, 2):
        await execute(database, RAN, jobid=jobid, at=due + ahead * minute)
    if overlap is None:
        await database.transact(lambda session, _: passes.run_pass(session, now, 10, now))
    else:
        ends = await call(database, now)
        if overlap:
            assert await promised(database, jobid) == due + 3 * minute
        await database.transact(lambda session, _: holding.settle_ends(session, now, ends, frozenset()))
    assert await promised(database, jobid) == due + 3 * minute


async def test_what_ran_ahead_of_its_time_does_not_stop_a_job_that_is_resumed(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    minute, due = timedelta(minutes=1), now.replace(second=0, microsecond=0)
    jobid = await add_job(
        database, due=due, interval=60, startdate=date(2020, 1, 1), starttime=time(0),
        createdat=due - minute, validfrom=due - minute,
    )  # fmt: skip
    await database.transact(lambda session, _: actions.pause(session, now, ACTOR, jobid, Pause()))
    for ahead in (1, 2):
        await execute(database, RAN, jobid=jobid, at=due + ahead * minute)
    order = Resume(missed=Missed.SKIP)
    await database.transact(lambda session, _: actions.resume(session, now, ACTOR, jobid, order))
    assert await promised(database, jobid) == due + 3 * minute


async def test_what_is_skipped_between_runs_that_were_ahead_of_their_time_is_told(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    minute, due = timedelta(minutes=1), now.replace(second=0, microsecond=0)
    jobid = await add_job(
        database, due=due, interval=60, startdate=date(2020, 1, 1), starttime=time(0), misfire="skip",
        createdat=due - minute, validfrom=due - minute, target={"url": "http://a.example/"},
    )  # fmt: skip
    ends = await call(database, now)
    for ahead in (1, 3):
        await execute(database, RAN, jobid=jobid, at=due + ahead * minute)
    later = due + 6.9 * minute
    await database.transact(lambda session, _: holding.settle_ends(session, later, ends, frozenset()))
    told = {log.scheduledfor: (log.status, log.missed) for log in await logs(database, jobid)}
    assert told == {
        due: ("finished", 0),
        due + minute: ("finished", 0),
        due + 2 * minute: ("skipped", 0),
        due + 3 * minute: ("finished", 0),
        due + 4 * minute: ("skipped", 1),
        due + 6 * minute: ("pending", 0),
    }
    report = await database.snapshot(checks.check_job, jobid)
    assert (report.holes, report.doubles, report.strays, report.miscounts) == (0, 0, 0, 0)


async def call(database: Database, now: datetime) -> list[Ended]:
    """Claim the calls that are due; how they end."""
    terms = Terms("tests", timedelta(minutes=1), 10)
    claim = await database.transact(lambda session, _: claims.claim(session, now, Room.of(10), terms))
    return [Ended(one.logid, one.token, "finished", httpstatus=200) for one in claim.started]


async def test_a_job_whose_next_run_was_taken_back_is_not_over_with_the_runs_under_way(
    database: Database,
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    minute, due = timedelta(minutes=1), now.replace(second=0, microsecond=0)
    jobid = await add_job(
        database, due=due, interval=60, startdate=date(2020, 1, 1), starttime=time(0),
        createdat=due - minute, validfrom=due - minute, target={"url": "http://a.example/"}, overlap=True,
    )  # fmt: skip
    ends = await call(database, now)
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    await database.transact(lambda session, _: holding.settle_ends(session, now, ends, frozenset()))
    assert await promised(database, jobid) == due + minute
    # It would be found while the run lasts, too.
    ends = await call(database, now + minute)
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    assert await heal(database) == 1
    assert await promised(database, jobid) == due + 2 * minute
    # But nothing is missing behind the last run.
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    await execute(database, "UPDATE job SET until = :until", until=due + minute)
    assert await heal(database) == 0
    await database.transact(lambda session, _: holding.settle_ends(session, now + minute, ends, frozenset()))
    assert not await is_active(database, jobid)


async def test_of_many_rows_the_newest_are_looked_at(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    minute, due = timedelta(minutes=1), now.replace(second=0, microsecond=0)
    jobid = await add_job(
        database, due=None, interval=60, startdate=date(2020, 1, 1), starttime=time(0), validfrom=due
    )
    for ahead in range(1, MAX_ROWS + 10):
        await execute(database, RAN, jobid=jobid, at=due + ahead * minute)
    assert await heal(database) == 1
    assert await promised(database, jobid) == due + (MAX_ROWS + 10) * minute


async def test_the_search_reads_no_history_and_no_table_of_jobs_as_a_whole(database: Database) -> None:
    """Each of its steps costs the same, whatever has run and however many jobs there are."""
    await add_due_jobs(database, 3000)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat)"
        " SELECT 1, timestamptz 'epoch' + make_interval(secs => g), 'finished', now()"
        " FROM generate_series(1, 20000) AS g",
    )
    await execute(database, "ANALYZE job, joblog")

    async def plan(session: Session) -> list[str]:
        await session.all(Statement("SET plan_cache_mode = force_generic_plan"))
        values = {"now": await definitions.clock(session), "after": 0, "limit": 100}
        explained = f"EXPLAIN (ANALYZE, COSTS off, TIMING off) {pending.WALK.sql}"
        rows = await session.info[DRIVER].fetch(explained, *pending.WALK.arguments(values))
        lines = [str(row[0]) for row in rows]
        await session.all(Statement("RESET plan_cache_mode"))
        return lines

    lines = await database.read(plan)
    assert not [line for line in lines if "Seq Scan on" in line], lines
    visited = [int(found) for line in lines for found in re.findall(r"actual rows=(\d+)", line)]
    assert max(visited) <= 100, lines
