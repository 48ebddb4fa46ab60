"""The forecast of the load, beside the occurrences counted one by one."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.database.engine import Database
from scheduler_api.schedule import Budget, Definition, schedule_of
from scheduler_api.services.history import forecast
from scheduler_api.services.jobs import planning
from tests.factories import add_job, empty, execute

NOW = datetime(2030, 10, 26, 12, 34, 56, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

STARTS = st.integers(0, 4 * 86_400).map(lambda seconds: NOW - timedelta(days=2) + timedelta(seconds=seconds))
CRONS = st.sampled_from(["* * * * *", "*/7 3 * * *", "30 2 * * *", "0 0 1 * *", "@hourly"])
JOBS = st.lists(
    st.tuples(
        STARTS,
        st.one_of(st.none(), st.integers(60, 90_000), CRONS),
        st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
        st.sampled_from([0, 0, 50, 900]),
        st.sampled_from([[], ["2030-10-27"]]),
    ),
    max_size=6,
)


async def add(database: Database, job: tuple[datetime, Any, str, int, list[str]]) -> int:
    start, kind, zone, jitter, exclude = job
    cron = kind if isinstance(kind, str) else None
    return await add_job(
        database,
        due=None,
        startdate=None if cron else start.date(),
        starttime=None if cron else start.time(),
        interval=None if cron else kind,
        cron=cron,
        repeat=kind is not None,
        timezone=zone,
        jitter=jitter,
        exclude=exclude,
    )


async def forecast_at(database: Database, now: datetime, instants: int = 10**6) -> Forecast:
    return forecast.forecast(Budget(instants), await database.read(forecast.look, now))


def counted(jobid: int, job: tuple[datetime, Any, str, int, list[str]]) -> Counter[int]:
    """In which minutes a job begins, occurrence by occurrence."""
    start, kind, zone, jitter, exclude = job
    cron = kind if isinstance(kind, str) else None
    days = tuple((date.fromisoformat(day), date.fromisoformat(day)) for day in exclude)
    first: tuple[date | None, time | None] = (None, None) if cron else (start.date(), start.time())
    schedule = schedule_of(Definition(*first, zone, None if cron else kind, cron, None, days))
    since = NOW.replace(second=0)
    delay = planning.spread(jobid, jitter)
    found: Counter[int] = Counter()
    instant = schedule.next_after(since - delay - timedelta(microseconds=1))
    while instant is not None and instant + delay < since + timedelta(days=1):
        found[(instant + delay - since) // MINUTE] += schedule.block(instant) is None
        instant = schedule.next_after(instant)
    return found


@given(jobs=JOBS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_runs_are_forecast_minute_by_minute(database: Database, jobs: list[Any]) -> None:
    await empty(database)
    expected: Counter[int] = Counter()
    for job in jobs:
        expected += counted(await add(database, job), job)
    found = await forecast_at(database, NOW)
    assert found.complete
    # Schedules of one pattern are computed together, to the minute.
    assert sum(found.runs) == expected.total()
    wrong = [minute for minute in range(1440) if found.runs[minute] != expected[minute]]
    assert not wrong


async def test_what_runs_every_second_is_not_stepped_through(database: Database) -> None:
    await add_job(database, due=None, startdate=date(2030, 1, 1), starttime=time(0), interval=1)
    await add_job(database, due=None, startdate=date(2030, 1, 1), starttime=time(0), interval=7)
    found = await forecast_at(database, NOW)
    assert found.runs == [round(60 + 60 / 7)] * 1440
    assert found.collisions == []


async def test_an_offer_leaves_runs_apart(database: Database) -> None:
    for interval, jitter in ((86_400, 0), (300, 0), (86_400, 600)):
        await add_job(
            database,
            due=None,
            jobname=f"Every {interval}, {jitter}",
            startdate=date(2030, 1, 1),
            starttime=time(13),
            interval=interval,
            jitter=jitter,
        )
    found = await forecast_at(database, NOW)
    offers = {job.jobname: job.offer for one in found.collisions for job in one.jobs}
    assert offers["Every 86400, 0"] == 600
    assert offers["Every 300, 0"] == 150
    assert offers.get("Every 86400, 600") is None


async def test_a_job_that_cannot_be_computed_spoils_no_forecast(database: Database) -> None:
    await add_job(database, due=None, timezone="Nowhere/Land", interval=60)
    await add_job(database, due=None, startdate=date(2030, 10, 26), starttime=time(13))
    found = await forecast_at(database, NOW)
    assert sum(found.runs) == 1


async def test_what_takes_too_many_steps_is_said_to_be_missing(database: Database) -> None:
    for minute in range(3):
        await add_job(
            database,
            due=None,
            startdate=date(2030, 1, 1),
            starttime=time(0, minute),
            interval=60 * (7 + minute),
        )
    assert (await forecast_at(database, NOW)).complete
    assert not (await forecast_at(database, NOW, instants=400)).complete


async def test_excluded_days_and_a_limit_of_runs_are_heeded(database: Database) -> None:
    start = time(0)
    await add_job(
        database,
        due=None,
        startdate=date(2030, 1, 1),
        starttime=start,
        interval=1,
        exclude=["2030-10-27"],
    )
    found = await forecast_at(database, NOW)
    # From 12:34 until midnight.
    assert [bool(count) for count in found.runs] == [minute < 686 for minute in range(1440)]
    await empty(database)
    await add_job(
        database, due=NOW, startdate=date(2030, 1, 1), starttime=start, interval=60, maxruns=5, repeat=True
    )
    assert sum((await forecast_at(database, NOW)).runs) == 5


async def test_of_very_many_jobs_every_so_many_th_is_looked_at(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "MAX_JOBS", 10)
    await execute(
        database,
        "INSERT INTO job (jobname, cron, repeat, createdat, validfrom)"
        " SELECT 'Job ' || n, '0 12 * * *', true, '2030-01-01Z', '2030-01-01Z'"
        " FROM generate_series(1, 100) AS n",
    )
    seen = await database.read(forecast.look, NOW)
    assert seen.every == 10
    assert 0 < len(seen.rows) <= 20
    found = await forecast_at(database, NOW)
    assert (found.every, found.complete) == (10, True)
    assert sum(found.runs) == 10 * len(seen.rows)
    assert sum(found.load) == 10 * len(seen.rows) * forecast.UNKNOWN
    (collision,) = found.collisions
    assert (collision.runs, collision.count) == (10 * len(seen.rows), 10 * len(seen.rows))


async def test_how_long_a_call_takes_is_what_its_newest_closed_day_tells(database: Database) -> None:
    target = {"url": "http://127.0.0.1:9/"}
    jobid = await add_job(database, due=None, interval=86400, target=target, startdate=NOW.date())
    await execute(
        database,
        "INSERT INTO jobtally"
        " (jobid, day, finished, failed, skipped, missed, p50, p95, rows, accounted, stopped)"
        " SELECT :jobid, CAST(day AS date), 1, 0, '{}', 0, took, took, 1, 1, false"
        " FROM (VALUES ('2030-10-23', 9000.0), ('2030-10-24', 7000.0)) AS days (day, took)",
        jobid=jobid,
    )
    assert sum((await forecast_at(database, NOW)).load) == 7.0
