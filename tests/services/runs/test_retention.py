"""History in parts: there is one for each run, whatever its occurrence, and whatever the clock says."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import URL

from scheduler_api.contracts.jobs.actions import Pause, Resume
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import logs, pending
from scheduler_api.database.runs.pending import Wanted
from scheduler_api.database.statements import DRIVER, Session, Statement
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions
from scheduler_api.services.runs import claims, holding, passes, retention
from scheduler_api.services.runs.repairs import MAX_AT_ONCE
from scheduler_api.services.runs.retention import FOR_EVER, Keep
from scheduler_api.services.runs.shares import Room
from tests.factories import ACTOR, add_job, execute, rows, scalar
from tests.services.runs.test_claims import TARGET, TERMS, claim, finished, settle

DAY = timedelta(days=1)
NINETY_DAYS = Keep(90 * DAY)
DAYS = Statement("SELECT firstday, lastday FROM history")


async def held(database: Database) -> tuple[date, date]:
    async def look(session: Session) -> Any:
        return await session.one(DAYS)

    first, last = await database.read(look)
    return first, last


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


async def extend_at(database: Database, now: datetime, keep: Keep = NINETY_DAYS) -> bool:
    return await database.transact(lambda session, _: retention.extend(session, now, keep))


async def run_at(database: Database, now: datetime) -> None:
    await database.transact(lambda session, _: passes.run_pass(session, now, 100, now))


async def sweep_at(database: Database, now: datetime) -> None:
    assert not await database.transact(lambda session, _: retention.sweep(session, now))


async def test_parts_are_added_before_they_are_needed(fresh: Database) -> None:
    first, last = await held(fresh)
    assert not await extend_at(fresh, noon(last) - 7 * DAY)
    assert await extend_at(fresh, noon(last) - 6 * DAY)
    assert await held(fresh) == (first, last + 7 * DAY)
    assert not await extend_at(fresh, noon(last) - 6 * DAY)
    for table in ("joblog", "logattempt", "logline"):
        found = f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass"
        assert await scalar(fresh, found) == 4


@pytest.mark.parametrize(
    ("keep", "days"), [(Keep(7 * DAY), 1), (NINETY_DAYS, 7), (Keep(365 * DAY), 28), (FOR_EVER, 28)]
)
async def test_a_part_is_as_long_as_history_asks_for(fresh: Database, keep: Keep, days: int) -> None:
    """A look for a run asks each part: there are some thirty, however long history is kept."""
    _, last = await held(fresh)
    assert await extend_at(fresh, noon(last) - 6 * DAY, keep)
    assert (await held(fresh))[1] == last + days * DAY
    if keep.time is not None:
        assert (keep.time + retention.AHEAD) / (days * DAY) < 32


async def test_many_replicas_add_a_part_once(fresh: Database) -> None:
    _, last = await held(fresh)
    added = await asyncio.gather(*(extend_at(fresh, noon(last)) for _ in range(8)))
    assert sum(added) == 1
    assert (await held(fresh))[1] == last + 7 * DAY


async def test_a_part_is_added_while_others_read_and_write(fresh: Database) -> None:
    """Nobody waits for it: not even while an old transaction has read the table, and written to it."""
    _, last = await held(fresh)
    jobid = await add_job(fresh, interval=60)

    async def write(session: Session, _: datetime) -> bool:
        await session.all(Statement("UPDATE joblog SET runs = 1 WHERE jobid = :jobid"), jobid=jobid)
        return await extend_at(fresh, noon(last))

    assert await fresh.transact(write)


async def test_after_a_long_absence_one_part_makes_up_for_it(fresh: Database) -> None:
    _, last = await held(fresh)
    assert await extend_at(fresh, noon(last) + 10 * DAY)
    assert (await held(fresh))[1] == last + 17 * DAY


async def test_a_clock_that_is_years_ahead_adds_a_month_at_most(fresh: Database) -> None:
    _, last = await held(fresh)
    assert await extend_at(fresh, noon(last) + 3650 * DAY)
    assert (await held(fresh))[1] == last + 28 * DAY


async def add_daily(database: Database, due: datetime, **values: Any) -> int:
    start = {"startdate": due.date(), "starttime": due.time(), "validfrom": due - DAY}
    return await add_job(database, due=due, interval=86400, **start, **values)


async def settled_days(database: Database) -> list[Any]:
    return [
        row[0]
        for row in await rows(database, "SELECT day FROM joblog WHERE status = 'finished' ORDER BY day")
    ]


@pytest.mark.parametrize("years", [-20, 20])
async def test_a_run_settles_whatever_its_day(fresh: Database, years: int) -> None:
    """What is older than all parts is kept as long as what happens today; what is later, in the newest."""
    first, last = await held(fresh)
    due = noon(last) + years * 365 * DAY
    await add_daily(fresh, due)
    now = noon(first + DAY) if years < 0 else due
    await run_at(fresh, now)
    assert await settled_days(fresh) == [first + DAY if years < 0 else last]
    assert (await fresh.snapshot(checks.check_job, 1)).clean


async def test_where_the_clock_is_before_all_parts_a_run_settles_in_the_first(fresh: Database) -> None:
    first, _ = await held(fresh)
    await add_job(fresh, due=noon(first) - 9 * DAY, interval=86400)
    await run_at(fresh, noon(first) - 8 * DAY)
    assert await settled_days(fresh) == [first]


async def test_a_run_is_under_the_day_of_its_occurrence_in_utc(fresh: Database, scratch: URL) -> None:
    first, _ = await held(fresh)
    due = datetime(first.year, first.month, first.day, 23, 59, 59, tzinfo=UTC)
    await execute(fresh, f"ALTER DATABASE {scratch.database} SET TimeZone = 'Pacific/Kiritimati'")
    await fresh.engine.dispose()
    await add_job(fresh, due=due, interval=86400)
    await run_at(fresh, due + timedelta(seconds=1))
    assert await settled_days(fresh) == [first]


async def test_an_occurrence_that_history_has_gets_no_second_row(fresh: Database) -> None:
    """The keys of the live part and of history cannot see each other: the look does."""
    first, _ = await held(fresh)
    due = noon(first)
    jobid = await add_daily(fresh, due)
    await run_at(fresh, due)
    await fresh.transact(actions.pause, ACTOR, jobid, Pause())

    async def add(session: Session, _: datetime, occurrence: datetime) -> bool:
        return jobid in await pending.add(session, [Wanted(jobid, occurrence, occurrence)])

    async def backfill(session: Session, now: datetime) -> int:
        return len(await logs.request(session, now, "backfill", [(jobid, due)]))

    assert not await fresh.transact(add, due)
    assert await fresh.transact(add, due - DAY)
    assert await scalar(fresh, "SELECT ahead FROM joblog WHERE status = 'pending'") == due
    assert await fresh.transact(backfill) == 1
    await run_at(fresh, await scalar(fresh, "SELECT clock_timestamp()"))
    assert await fresh.transact(backfill) == 0


@pytest.mark.parametrize("overlap", [None, True, False], ids=["plain", "overlapping calls", "calls"])
async def test_a_later_occurrence_that_has_a_row_takes_none_before_it_away(
    fresh: Database, overlap: bool | None
) -> None:
    """Such as one that an edit wrote off, between others that both schedules call for."""
    first, _ = await held(fresh)
    due = noon(first)
    values = {} if overlap is None else {"target": TARGET, "overlap": overlap, "concurrency": 9}
    jobid = await add_daily(fresh, due, misfire="all", **values)
    written = (
        "INSERT INTO joblog (day, jobid, scheduledfor, status, reason, finishedat)"
        " VALUES (:day, 1, :at, 'skipped', 'request', :at)"
    )
    await execute(fresh, written, day=first + 2 * DAY, at=due + 2 * DAY)
    await fresh.transact(actions.pause, ACTOR, jobid, Pause())
    await fresh.transact(actions.resume, ACTOR, jobid, Resume())
    for day in range(4):
        now = due + day * DAY
        if overlap is None:
            await run_at(fresh, now)
        elif started := (await claim(fresh, now)).started:
            await settle(fresh, now + timedelta(seconds=1), *map(finished, started))
    found = await rows(fresh, "SELECT scheduledfor, status FROM joblog ORDER BY 1")
    statuses = ["finished", "finished", "skipped", "finished", "pending"]
    assert [tuple(row) for row in found] == [(due + day * DAY, one) for day, one in enumerate(statuses)]
    assert await scalar(fresh, "SELECT ahead FROM joblog WHERE status = 'pending'") is None
    assert (await fresh.snapshot(checks.check_job, jobid)).clean


@pytest.mark.parametrize("overlap", [None, True, False], ids=["plain", "overlapping calls", "calls"])
async def test_however_many_have_later_rows_go_on_at_once(fresh: Database, overlap: bool | None) -> None:
    """Whether their next occurrence has a row is looked for, not left to the search for missing runs."""
    first, _ = await held(fresh)
    due = noon(first)
    values = {} if overlap is None else {"target": TARGET, "overlap": overlap}
    jobids = [await add_daily(fresh, due, **values) for _ in range(MAX_AT_ONCE + 10)]
    await execute(fresh, "UPDATE joblog SET ahead = :at", at=due + 3 * DAY)
    for day in range(2):
        now = due + day * DAY
        if overlap is None:
            await run_at(fresh, now)
        else:
            await settle(fresh, now, *map(finished, (await claim(fresh, now)).started))
    found = "SELECT DISTINCT scheduledfor, ahead FROM joblog WHERE status = 'pending'"
    assert await rows(fresh, found) == [(due + 2 * DAY, due + 3 * DAY)]
    assert await scalar(fresh, "SELECT count(*) FROM joblog WHERE status = 'pending'") == len(jobids)


@pytest.mark.parametrize("ahead", [False, True])
async def test_history_is_looked_into_only_where_something_is_ahead(fresh: Database, ahead: bool) -> None:
    """To plan that look takes longer than to write the results: it is not even asked for."""
    first, _ = await held(fresh)
    due = noon(first)
    await add_daily(fresh, due)
    await add_daily(fresh, due, target=TARGET, overlap=True)
    if ahead:
        await execute(fresh, "UPDATE joblog SET ahead = :at", at=due + 3 * DAY)
    asked: list[str] = []

    async def work(session: Session, _: datetime) -> None:
        with session.info[DRIVER].query_logger(lambda query: asked.append(query.query)):
            await passes.run_pass(session, due, 100, due)
            begun = await claims.claim(session, due, Room.of(100), TERMS)
            await holding.settle_ends(session, due, [*map(finished, begun.started)], frozenset())

    await fresh.transact(work)
    assert await scalar(fresh, "SELECT count(*) FROM joblog WHERE status = 'finished'") == 2
    looking = ["known.scheduledfor = next" in sql for sql in asked]
    # Those of the pass, and of the claim: the next row of a call that overlaps is there before it ends.
    assert sum(looking) == (2 if ahead else 0)


async def test_what_is_skipped_ahead_of_its_time_is_history_once_it_is_over(fresh: Database) -> None:
    now = await scalar(fresh, "SELECT clock_timestamp()")
    due = now.replace(microsecond=0) + timedelta(seconds=30)
    jobid = await add_job(fresh, due=due, interval=60, startdate=due.date(), starttime=due.time())
    await fresh.transact(actions.skip_next, ACTOR, jobid)
    day = "SELECT CAST(day AS text) FROM joblog WHERE status = 'skipped'"
    for at, expected in ((due - DAY, "infinity"), (due, str(due.date()))):
        await sweep_at(fresh, at)
        assert await scalar(fresh, day) == expected
    assert (await fresh.snapshot(checks.check_job, jobid)).clean


async def test_what_somebody_wrote_twice_stays_where_it_is_seen(fresh: Database) -> None:
    """Both rows of an occurrence are there, and the check says so."""
    first, _ = await held(fresh)
    due = noon(first)
    jobid = await add_daily(fresh, due)
    await run_at(fresh, due)
    by_hand = (
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat) VALUES (1, :due, 'finished', :due)"
    )
    await execute(fresh, by_hand, due=due)
    await sweep_at(fresh, due + DAY)
    assert len(await settled_days(fresh)) == 2
    assert (await fresh.snapshot(checks.check_job, jobid)).doubles == 1


async def test_a_result_is_written_once_and_the_live_row_goes_on_in_place(fresh: Database) -> None:
    first, _ = await held(fresh)
    jobid = await add_daily(fresh, noon(first))
    written = "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_xact_user_tables"

    async def work(session: Session, _: datetime) -> list[int]:
        count = Statement(f"{written} WHERE relname LIKE 'joblog%'")
        before = await session.one(count)
        await passes.run_pass(session, noon(first), 10, noon(first))
        return [now - was for was, now in zip(before, await session.one(count), strict=True)]

    assert await fresh.transact(work) == [1, 1, 0], "inserted, updated, deleted"
    found = await rows(fresh, "SELECT logid, status, day < 'infinity' FROM joblog ORDER BY logid")
    assert [tuple(row) for row in found] == [(1, "finished", True), (2, "pending", False)]
    assert (await fresh.snapshot(checks.check_job, jobid)).clean


async def test_a_job_without_a_future_leaves_no_live_row(fresh: Database) -> None:
    first, _ = await held(fresh)
    await add_job(fresh, due=noon(first))
    await run_at(fresh, noon(first))
    assert await scalar(fresh, "SELECT count(*) FROM joblog WHERE day = 'infinity'") == 0
    jobid = await add_job(fresh, due=noon(first), interval=60)
    await fresh.transact(actions.pause, ACTOR, jobid, Pause())
    assert await scalar(fresh, "SELECT count(*) FROM joblog WHERE day = 'infinity'") == 0
