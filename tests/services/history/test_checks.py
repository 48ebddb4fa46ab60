"""The check looks at many rows at once; what it finds is what it finds row by row."""

import asyncio
import io
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from scheduler_api import checking
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.values import days_of
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import logs
from scheduler_api.database.statements import Session
from scheduler_api.errors import DatabaseBusy
from scheduler_api.schedule import Definition, Misfire, decide, schedule_of
from scheduler_api.services.history import checks
from tests.factories import add_job, execute

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = "Europe/Berlin"
EXCLUDE = ["2026-03-07/2026-03-08", "2026-03-20"]


async def ran(database: Database, dice: random.Random, count: int, **values: Any) -> int:
    """A job with so many rows of a past in which it was on time, or late, as the dice say."""
    exclude = values.get("exclude", [])
    jobid = await add_job(
        database, due=None, startdate=None, starttime=None, timezone=ZONE, repeat=True,
        createdat=SINCE, validfrom=SINCE, **values,
    )  # fmt: skip
    days = tuple(days_of(text) for text in exclude)
    schedule = schedule_of(Definition(None, None, ZONE, cron=values["cron"], exclude=days))
    following, runs = schedule.next_after(SINCE), 0
    rows: list[dict[str, Any]] = []
    while following is not None and len(rows) < count:
        late = timedelta(hours=dice.choice([0, 0, 0, 1, 30]))
        decision = decide(schedule, following, following + late, Misfire.ONCE, timedelta(seconds=60))
        runs += decision.status == "finished"
        rows.append({"at": following, "status": decision.status, "missed": decision.missed,
                     "through": decision.through, "reason": decision.reason, "runs": runs})  # fmt: skip
        rows += (
            {"at": span.first, "status": "skipped", "missed": span.size - 1, "through": span.reaches,
             "reason": str(span.block), "runs": runs}
            for span in decision.blocked
        )  # fmt: skip
        following = decision.next
    for row in rows:
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, status, missed, through, reason, runs, lastrun,"
            " startedat, finishedat) VALUES (:jobid, :at, CAST(CAST(:status AS text) AS logstatus),"
            " nullif(CAST(:missed AS bigint), 0), :through, :reason, :runs, :at,"
            " CASE WHEN CAST(:status AS text) = 'skipped' THEN NULL ELSE CAST(:at AS timestamptz) END, :at)",
            jobid=jobid, **row,
        )  # fmt: skip
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, runs) VALUES (:jobid, :at, :at, :runs)",
        jobid=jobid, at=following, runs=runs,
    )  # fmt: skip
    return jobid


DAMAGE = [
    "DELETE FROM joblog WHERE logid = :logid",
    "UPDATE joblog SET scheduledfor = scheduledfor + interval '1 minute' WHERE logid = :logid",
    "UPDATE joblog SET missed = coalesce(missed, 0) + 1,"
    " through = coalesce(through, scheduledfor + interval '1 hour') WHERE logid = :logid",
    "UPDATE joblog SET through = scheduledfor + interval '5 hours', missed = 5 WHERE logid = :logid",
    "UPDATE joblog SET status = 'skipped', reason = 'excluded', startedat = NULL WHERE logid = :logid",
]


async def found(database: Database, jobid: int) -> JobCheck:
    return await database.snapshot(checks.check_job, jobid)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cron", ["0 * * * *", "30 2 * * *", "*/20 6-8 * * *"])
async def test_many_at_once_and_one_by_one_find_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch, cron: str, seed: int
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(checks, "BATCH", 7)
    jobid = await ran(database, dice, 40, cron=cron, exclude=EXCLUDE if seed % 2 else [])
    clean = await found(database, jobid)
    assert (clean.clean, clean.complete) == (True, True), clean.findings
    for _ in range(seed):
        await execute(database, dice.choice(DAMAGE), logid=dice.randrange(1, 40))
    at_once = await found(database, jobid)
    monkeypatch.setattr(checks, "_is_unremarkable", lambda *_: False)
    assert await found(database, jobid) == at_once
    assert at_once.clean == (seed == 0)


@pytest.mark.parametrize(
    ("rows", "is_clean"),
    [
        ([(1, 1, 0), (2, 4, 2), (5, 5, 0)], True),
        ([(1, 1, 0), (2, 3, 2), (5, 5, 0)], False),
        ([(1, 1, 0), (2, 4, 2)], False),
        ([(1, 1, 0), (2, 4, 1), (5, 5, 0)], False),
        ([(1, 1, 0), (2, 4, 2), (5, 6, 1)], False),
        ([(2, 4, 2), (5, 5, 0)], False),
    ],
)
def test_rows_cover_what_comes_next_or_they_do_not(rows: list[tuple[int, int, int]], is_clean: bool) -> None:
    assert checks._follow([1, 2, 3, 4, 5], rows) == is_clean


async def test_what_is_unremarkable_is_not_looked_at_row_by_row(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobid = await ran(database, random.Random(1), 60, cron="0 * * * *", exclude=EXCLUDE)

    async def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(logs, "coverage", never)
    report = await found(database, jobid)
    assert (report.clean, report.rows >= 60, report.expected) == (True, True, report.accounted)


async def test_the_end_by_maxruns_is_seen_in_a_part(database: Database) -> None:
    jobid = await ran(database, random.Random(1), 20, cron="0 * * * *")
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    await execute(database, "UPDATE job SET active = false")
    assert not (await found(database, jobid)).clean
    await execute(database, "UPDATE job SET maxruns = 20")
    assert (await found(database, jobid)).clean


async def test_a_check_without_time_says_that_it_is_not_complete(database: Database) -> None:
    jobid = await ran(database, random.Random(1), 5, cron="0 * * * *")
    report = await database.snapshot(checks.check_job, jobid, 0.0)
    assert (report.complete, report.rows, report.holes) == (False, 0, 0)


async def checked(database: Database, stream: io.StringIO, *jobids: int) -> list[JobCheck]:
    progress = checking.Progress(stream)
    return [report async for report in checking.check(database, jobids, progress)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_all_jobs_are_checked_in_order_and_told_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "BATCH", 3)
    jobids = [await ran(database, random.Random(n), 4, cron="0 * * * *") for n in range(8)]
    assert [report.jobid for report in await checked(database, io.StringIO())] == jobids
    assert [report.jobid for report in await checked(database, io.StringIO(), 5, 2)] == [5, 2]
    monkeypatch.setattr(checking, "OFTEN", 0.0)
    monkeypatch.setattr(checking, "SELDOM", 0.0)
    terminal = Terminal()
    await checked(database, terminal)
    assert "\r\x1b[K8 of 8 jobs, 32 rows, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    with capture_logs() as told:
        await checked(database, io.StringIO())
    assert [(one["jobs"], one["of"]) for one in told if one["event"] == "checking"] == [
        (n, 8) for n in range(1, 9)
    ]


async def test_what_ends_while_it_is_checked_is_no_finding(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobid = await add_job(database, interval=60, maxruns=1)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', startedat = scheduledfor, leaseuntil = 'infinity',"
        " leasetoken = gen_random_uuid(), nextrun = NULL, runs = 1",
    )
    compare = checks.compare

    async def compare_as_it_ends(*arguments: Any) -> None:
        await compare(*arguments)
        await execute(
            database,
            "WITH over AS (UPDATE joblog SET status = 'finished', finishedat = scheduledfor,"
            " lastrun = scheduledfor, leaseuntil = NULL, leasetoken = NULL) UPDATE job SET active = false",
        )

    monkeypatch.setattr(checks, "compare", compare_as_it_ends)
    assert [report.findings for report in await checked(database, io.StringIO(), jobid)] == [[]]


async def test_a_check_takes_as_long_as_it_takes(worker_database: URL) -> None:
    """A unit of work that answers a request may not."""
    database = Database(worker_database, name="tests", pool=PoolOptions(1, 0, 5.0), patience=0.2)

    async def look(session: Session) -> int:
        await asyncio.sleep(0.4)
        return len(await checks.jobids(session, 0))

    try:
        with pytest.raises(DatabaseBusy):
            await database.read(look)
        assert await database.snapshot(look) >= 0
    finally:
        await database.close()
