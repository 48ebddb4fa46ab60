"""No step in the background holds the event loop, or its transaction for long, whatever is due."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any
from uuid import uuid4

import pytest

from scheduler_api.contracts.jobs.actions import Missed, Resume
from scheduler_api.contracts.jobs.bulk import BulkOrder
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Started, Terms
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Definition, schedule_of
from scheduler_api.services.jobs import actions, bulk
from scheduler_api.services.runs import claims, holding, judging, passes, repairs
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Room
from scheduler_api.targets import Failure
from scheduler_api.workers.delivery.settler import BATCH
from tests.factories import ACTOR, add_job, execute, scalar
from tests.loopwatch import LIMIT, slowness, watching

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
TERMS = Terms("tests", timedelta(seconds=60), 10_000)
#: Days of three years, of which each parts a long absence.
EXCLUDED = [f"{y}-{m:02}-{d:02}" for y in (2024, 2025, 2026) for m in range(1, 13) for d in range(1, 28, 2)][
    :400
]
KINDS: list[dict[str, Any]] = [
    {"cron": "* * * * * *", "misfire": "once"},
    {"cron": "* * * * * *", "misfire": "all", "dstgap": "skip"},
    {"cron": "30 2 * * *", "misfire": "skip", "dstgap": "skip"},
    {"cron": "*/7 * * * *", "misfire": "all", "dstfold": "both"},
    {"cron": "0 0 * 2 MON#5", "misfire": "once"},
]
BODY = [list(range(10)) for _ in range(2700)]

ADD = """
    WITH added AS (
        INSERT INTO job (jobname, timezone, repeat, cron, misfire, dstgap, dstfold, exclude, target,
                         kind, host,
                         active, createdat, validfrom)
        SELECT 'Job ' || n, 'Europe/Berlin', true, kind ->> 'cron', kind ->> 'misfire',
               coalesce(kind ->> 'dstgap', 'after'), coalesce(kind ->> 'dstfold', 'once'),
               CAST(:exclude AS text[]), kind -> 'target',
               CAST(CASE WHEN given.kind ? 'target' THEN 'http' ELSE 'plain' END AS runkind),
               CASE WHEN given.kind ? 'target' THEN 'a.example' END, true, '2020-01-01Z', '2020-01-01Z'
        FROM generate_series(1, :count) AS n
        JOIN jsonb_array_elements(CAST(:kinds AS jsonb)) WITH ORDINALITY AS given (kind, number)
          ON number = 1 + n % :size
        RETURNING jobid, kind, host, cron
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, CAST(CAST(:firsts AS jsonb) ->> cron AS timestamptz), '2023-12-20Z', kind, host FROM added
"""


@pytest.fixture
def unhurried() -> None:
    """All budgets are as they are in a service."""


async def absent(database: Database, count: int, **values: Any) -> None:
    """Jobs of the worst kinds whose first run is due since three years."""
    firsts = {
        kind["cron"]: str(
            schedule_of(Definition(None, None, "Europe/Berlin", cron=kind["cron"])).next_after(
                datetime(2023, 12, 1, tzinfo=UTC)
            )
        )
        for kind in KINDS
    } | {"0 0 * 2 MON#5": "2016-02-28T23:00:00Z"}
    await execute(
        database,
        ADD,
        count=count,
        size=len(KINDS),
        kinds=json.dumps([kind | values for kind in KINDS]),
        exclude=EXCLUDED,
        firsts=json.dumps(firsts),
    )


async def test_a_pass_over_what_was_absent_for_years(database: Database) -> None:
    await absent(database, 1000)

    async def work(session: Session, _: datetime) -> Any:
        return await passes.run_pass(session, NOW, 1000, NOW)

    with watching() as watch:
        await watch.fresh()
        began = thread_time()
        report = await database.transact(work)
        assert (await watch.longest()).seconds < LIMIT
    # Neither does it hold the rows of all of them until it has planned all.
    assert thread_time() - began < judging.PLANNING + 2.0 * slowness()
    assert 0 < int(report.claimed) < 1000
    assert report.finished + report.skipped == report.claimed
    left = "SELECT count(*) FROM joblog WHERE status = 'pending' AND nextrun < '2024-01-02Z'"
    assert await scalar(database, left) == 1000 - report.claimed


async def claimed(database: Database, limit: int, now: datetime = NOW) -> Claim:
    async def work(session: Session, _: datetime) -> Claim:
        return await claims.claim(session, now, Room.of(limit), TERMS)

    return await database.transact(work)


async def test_a_claim_of_calls_that_were_absent_for_years(database: Database) -> None:
    await absent(database, 600, target={"url": "http://a.example/", "body": BODY})
    with watching() as watch:
        await watch.fresh()
        claim = await claimed(database, 500)
        step = await watch.longest()
    assert step.seconds < LIMIT, step
    # Not all were decided, so the next claim comes at once.
    assert claim.more
    assert len(claim.started) + claim.skipped in range(1, 500)


@pytest.mark.parametrize(("count", "days"), [(BATCH, 0), (20, 700)])
async def test_the_ends_of_calls_with_large_bodies(database: Database, count: int, days: int) -> None:
    """Many at once; or some of which each has to write off what it missed for years."""
    target = {"url": "http://a.example/", "body": BODY, "retries": 2}
    now = NOW - timedelta(days=1100)
    kind = {"cron": "* * * * * *", "misfire": "skip", "target": target}
    first = str(now - timedelta(seconds=5))
    await execute(
        database,
        ADD,
        count=count,
        size=1,
        kinds=json.dumps([kind]),
        exclude=EXCLUDED,
        firsts=json.dumps({kind["cron"]: first}),
    )
    started = list[Started]()
    # One claim takes as many as it has time for.
    while len(started) < count:
        started += (await claimed(database, count, now)).started
    ends = [
        Ended(one.logid, one.token, "failed", Failure.STATUS, "Status 500.", again=number % 2 == 0)
        for number, one in enumerate(started)
    ]
    with watching() as watch:
        await watch.fresh()
        settled = await settle(database, ends, now + timedelta(days=days, minutes=10))
        step = await watch.longest()
    assert step.seconds < LIMIT, step
    assert len(settled) == len(ends) == count


async def settle(database: Database, ends: Sequence[Ended], now: datetime) -> dict[Any, str]:
    async def work(session: Session, _: datetime) -> dict[Any, str]:
        return (await holding.settle_ends(session, now, ends, frozenset())).settled

    return await database.transact(work)


async def test_an_order_to_many_lets_go_of_them_in_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await absent(database, 20)
    monkeypatch.setattr(bulk, "BATCH_SECONDS", 0.0)
    asked = bulk.Asked(BulkOrder.model_validate({"action": "pause", "all": True}), ACTOR, uuid4())
    left, done = list(range(1, 21)), list[int]()
    for _ in range(20):
        # No batch is without a job, however little time there is.
        part = await database.transact(bulk.run_singly, asked, left)
        assert len(part.done) == 1
        left = part.left
        done += part.done
    assert done == list(range(1, 21))


async def test_pauses_that_end_and_promises_that_are_looked_at(database: Database) -> None:
    await absent(database, 200)
    await execute(database, "DELETE FROM joblog")
    await execute(
        database,
        "UPDATE job SET active = false, pausedat = '2024-01-01Z', pauseduntil = '2024-01-02Z',"
        " resumefrom = CASE cron WHEN '0 0 * 2 MON#5' THEN CAST('2016-02-28T23:00:00Z' AS timestamptz)"
        " WHEN '30 2 * * *' THEN '2023-12-02T01:30:00Z' ELSE '2023-12-02T00:00:00Z' END",
    )
    with watching() as watch:
        await watch.fresh()
        assert await database.transact(actions.resume_all, range(1, 51)) == 50
        step = await watch.longest()
        assert step.seconds < LIMIT, step
        await watch.fresh()
        await database.transact(repairs.realign, 0, 500)
        step = await watch.longest()
    assert step.seconds < LIMIT, step


async def test_a_job_that_goes_on_after_ten_years_of_days_off(database: Database) -> None:
    """Each day off parts what is written off: they are thousands where a job has several calendars."""
    since = datetime(2017, 1, 1, tzinfo=UTC)
    jobid = await add_job(
        database,
        due=None,
        startdate=None,
        starttime=None,
        cron="30 2 * * *",
        repeat=True,
        timezone="Europe/Berlin",
        calendardays=[str((since + timedelta(days=2 * number)).date()) for number in range(1800)],
        active=False,
        pausedat=since,
        resumefrom=since + timedelta(hours=1, minutes=30),
    )
    with watching() as watch:
        await watch.fresh()
        await database.transact(actions.resume, ACTOR, jobid, Resume(missed=Missed.SKIP))
        step = await watch.longest()
    assert step.seconds < LIMIT, step
    excluded = "SELECT count(*) FROM joblog WHERE reason = 'excluded'"
    assert await scalar(database, excluded) > 1700
