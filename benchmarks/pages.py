"""How long a browser waits for the first byte of a page among five thousand jobs; how large the page is."""

import asyncio
from time import perf_counter

import httpx
from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.due_jobs import add_parts, settle_down
from benchmarks.results import Row, below
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.workers.scrapes import GOOD_FOR

QUESTION = "the first byte of pages, in ms, and their size in kB, with 5,000 jobs of 100 logs each"

LOGS = 100
#: Milliseconds to the first byte, and kilobytes, that a page should stay below.
FIRST_BYTE, SIZE = 50.0, 100.0
TRIES = 5
PATHS = [
    "/overview",
    "/jobs",
    "/jobs?sort=jobname",
    "/jobs?sort=nextrun",
    "/jobs?name=99",
    "/jobs?state=failing",
    "/jobs?laststatus=failed",
    "/jobs/500",
    "/jobs/500?form=true",
    "/logs",
    "/logs?status=failed",
    "/upcoming",
    "/performance",
    "/issues",
    "/alerts",
    "/audit",
    "/calendars",
    "/channels",
]

JOBS = """
    INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom, tags,
                     target, kind, host)
    SELECT 'Job ' || n, '2020-01-01', '00:00', true, 3600 * (1 + n % 24), true, '2020-01-01Z', '2020-01-01Z',
           ARRAY['t' || n % 10],
           CASE WHEN n % 2 = 0 THEN '{"url": "http://example.com/"}'::jsonb END,
           CAST(CASE WHEN n % 2 = 0 THEN 'http' ELSE 'plain' END AS runkind),
           CASE WHEN n % 2 = 0 THEN 'example.com' END
    FROM generate_series(1, $1::int) AS n
"""
VERSIONS = """
    INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat, kind, host, error)
    SELECT CAST(at AT TIME ZONE 'UTC' AS date), jobid, at,
           CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus),
           at, at + interval '1 second', kind, host, CASE WHEN failed THEN 'The target answered 503.' END
    FROM (
        SELECT jobid, kind, host, jobid % 20 = 0 AND (jobid / 20 + n) % 7 = 0 AS failed,
               date_trunc('hour', now()) - n * interval '1 hour' AS at
        FROM generate_series($1::int, 1, -1) AS n, job
    ) AS told
"""
AHEAD = """
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, lastrun, laststatus, failures)
    SELECT jobid, at, at, promised.kind, promised.host, latest.startedat, latest.status,
           CAST(latest.status = 'failed' AS int)
    FROM (
        SELECT jobid, kind, host,
               date_trunc('hour', now()) + (1 + jobid % 24) * interval '1 hour' AS at FROM job
    ) AS promised
    JOIN (SELECT DISTINCT ON (jobid) jobid, startedat, status FROM joblog ORDER BY jobid, scheduledfor DESC)
        AS latest USING (jobid)
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    async with fresh_database(server) as url:
        async with bare_connection(url) as connection:
            await connection.execute(JOBS, sizes.pages_jobs)
            await add_parts(connection, f"current_date - {LOGS // 24 + 2}")
            await connection.execute(VERSIONS, LOGS)
            await connection.execute(AHEAD)
            await settle_down(connection)
        async with (
            programs.service(url, {"SCHEDULER_TICKER": "off"}) as port,
            httpx.AsyncClient(base_url=f"http://localhost:{port}", headers={"accept": "text/html"}) as client,
        ):
            rows = [row for path in PATHS for row in await _page(client, path, sizes)]
            return [*rows, *await _scrapes(client, sizes)]


async def _page(client: httpx.AsyncClient, path: str, sizes: Sizes) -> list[Row]:
    waits: list[float] = []
    size = 0.0
    # The first reader of all pays for caches.
    for _ in range(1 + TRIES):
        began = perf_counter()
        async with client.stream("GET", path) as response:
            first = perf_counter()
            size = len(await response.aread()) / 1000
            response.raise_for_status()
        waits.append((first - began) * 1000)
    return [
        Row(f"{path}, first byte", waits[1:], "ms", sizes.judged(below(FIRST_BYTE, " ms"))),
        Row(f"{path}, size", [size], "kB", below(SIZE, " kB")),
    ]


async def _scrapes(client: httpx.AsyncClient, sizes: Sizes) -> list[Row]:
    """How long a scrape takes that has to read the database, and one of all jobs."""
    rows = []
    for path in ("/metrics", "/metrics/jobs?limit=1000"):
        waits: list[float] = []
        for _ in range(TRIES):
            await asyncio.sleep(GOOD_FOR if path == "/metrics" else 0.0)
            began = perf_counter()
            (await client.get(path, headers={"accept": "text/plain"})).raise_for_status()
            waits.append((perf_counter() - began) * 1000)
        rows.append(Row(f"{path}, whole", waits, "ms", sizes.judged(below(FIRST_BYTE, " ms"))))
    return rows
