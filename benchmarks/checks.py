"""How long it takes to compare the ledgers of all jobs with their schedules."""

import io
from time import perf_counter

from sqlalchemy.engine import URL

from benchmarks.due_jobs import add_parts
from benchmarks.results import Row, at_most, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api import checking
from scheduler_api.database.engine import Database

QUESTION = "check: the ledgers of all jobs against their schedules, beside one look at each row"
#: Logs of each job: three and a half days. Every third one is a cron job in a zone.
LOGS = 1000
#: The first instant of all jobs.
BEGIN = "date_trunc('day', now(), 'UTC') - interval '7 days'"
JOBS = f"""
    INSERT INTO job
        (jobname, startdate, starttime, timezone, repeat, interval, cron, active, createdat, validfrom)
    SELECT 'job ' || n,
           CASE WHEN n % 3 > 0 THEN CAST({BEGIN} AS date) END, CASE WHEN n % 3 > 0 THEN TIME '00:00' END,
           CASE n % 3 WHEN 0 THEN 'Europe/Berlin' ELSE 'UTC' END, true, CASE WHEN n % 3 > 0 THEN 300 END,
           CASE n % 3 WHEN 0 THEN '*/5 * * * *' END, true,
           {BEGIN} - interval '1 second', {BEGIN} - interval '1 second'
    FROM generate_series(1, $1::int) AS n
"""
VERSIONS = f"""
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, runs)
    SELECT CAST(ran AT TIME ZONE 'UTC' AS date), jobid, ran, ran, ran, 'finished', n + 1
    FROM job, generate_series(0, $1::int - 1) AS n,
         LATERAL (SELECT {BEGIN} + n * interval '5 minutes') AS past (ran)
"""
NEXT = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, runs)
    SELECT jobid, due, due, $1::int
    FROM job, LATERAL (SELECT {BEGIN} + $1::int * interval '5 minutes') AS next (due)
"""
LOOK = "SELECT sum(missed), max(runs), max(scheduledfor) FROM joblog"


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    checks, looks = list[float](), list[float]()
    async with fresh_database(server) as url, bare_connection(url) as connection:
        await add_parts(connection, "current_date - 8")
        await connection.execute(JOBS, sizes.checked // LOGS)
        await connection.execute(VERSIONS, LOGS)
        await connection.execute(NEXT, LOGS)
        await connection.execute("VACUUM (ANALYZE) job, joblog")
        async with service_database(url) as database:
            for _ in range(sizes.repetitions):
                began = perf_counter()
                await connection.execute(LOOK)
                looks.append(perf_counter() - began)
                checks.append(await _check(database, sizes.checked))
    limit = at_most(60 * sizes.checked / 5_000_000, " s")
    return [
        Row(f"check of {sizes.checked:,} logs", checks, "s", sizes.judged(limit)),
        Row("one look at each row", looks, "s"),
        Row("the check ÷ the look", ratios(checks, looks), "times"),
    ]


async def _check(database: Database, expected: int) -> float:
    began, rows = perf_counter(), 0
    async for report in checking.check(database, (), checking.Progress(io.StringIO())):
        assert report.clean, report.findings
        rows += report.rows
    assert rows == expected
    return perf_counter() - began
