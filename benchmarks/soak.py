"""Whether replicas that work for hours stay as they were: what they hold, and how late they run."""

import asyncio
import contextlib
import io
import itertools
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.results import Row, at_most, exactly
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api import checking
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.database.runs.pending import CHANNEL

QUESTION = (
    "two replicas and calls minute by minute, beside readers: the last quarter of the time, and the second"
)

REPLICAS = 2
#: Seconds between the making of the jobs and the first instant; for the last calls to be answered.
AHEAD, AFTER = 5, 10
#: Seconds between two requests of a reader, who follows the events meanwhile.
PACE = 2.0
READ = (
    "/overview",
    "/jobs",
    "/logs",
    "/logs?status=failed",
    "/jobs/{jobid}",
    "/upcoming",
    "/performance",
    "/metrics",
)

JOBS = """
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom,
                         target, kind, host)
        SELECT 'job ' || n, at::date, at::time, true, $3::int, true,
               $2 - interval '1 second', $2 - interval '1 second',
               jsonb_set($4::jsonb, '{url}', to_jsonb($5::text || n)), 'http', $6
        FROM generate_series(1, $1::int) AS n,
             LATERAL (SELECT $2::timestamptz AT TIME ZONE 'UTC' + n % $3 * interval '1 second') AS first (at)
        RETURNING jobid, startdate, starttime, kind, host
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, at, at, kind, host
    FROM made, LATERAL (SELECT (startdate + starttime) AT TIME ZONE 'UTC') AS due (at)
"""
#: Of the runs of a window: milliseconds from the occurrence until a replica took it, and until its answer
#: was kept.
LATE = """
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY started) AS started,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY started) AS startedmost,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY finished) AS finishedmost
    FROM (
        SELECT extract(epoch FROM startedat - scheduledfor)::float8 * 1000 AS started,
               extract(epoch FROM finishedat - scheduledfor)::float8 * 1000 AS finished
        FROM joblog WHERE status = 'finished' AND scheduledfor >= $1 AND scheduledfor < $2
    ) AS runs
"""
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
ACCOUNT = """
    SELECT count(*) FILTER (WHERE status = 'finished' AND attempt = 1) AS finished,
           count(*) FILTER (WHERE status <> 'finished') AS others, coalesce(sum(missed), 0) AS missed
    FROM joblog WHERE scheduledfor >= $1 AND scheduledfor < $2
"""


class Sample(NamedTuple):
    """What both replicas hold at an instant, and how late the runs of the last window were."""

    memory: float
    """MB."""
    descriptors: int
    threads: int
    connections: int
    started: float
    """ms, the median; then the 99th percentiles."""
    started_most: float
    finished_most: float


#: What is compared: a name, a unit, and how much more it may be in the last quarter than in the second.
COMPARED = {
    "memory": ("memory", "MB", 10.0),
    "descriptors": ("open descriptors", "", 4.0),
    "threads": ("threads", "", 2.0),
    "connections": ("connections of the database", "", 4.0),
    "started": ("started after due, p50", "ms", 10.0),
    "started_most": ("started after due, p99", "ms", 50.0),
    "finished_most": ("answer kept after due, p99", "ms", 50.0),
}


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    """One repetition: a leak shows within it."""
    async with fresh_database(server) as url:
        async with (
            bare_connection(url) as connection,
            _replicas(url) as replicas,
            programs.receiver() as port,
        ):
            first = await _begin(connection, port, sizes)
            until = first + timedelta(seconds=sizes.soak_seconds)
            async with _readers(replicas, sizes.soak_jobs) as reading:
                samples = [sample async for sample in _samples(connection, replicas, first, until, sizes)]
            account = dict(await connection.fetchrow(ACCOUNT, first, until))
        clean = await _is_clean(url)
    rows = [row for name in COMPARED for row in _compared(name, samples, sizes)]
    due = sizes.soak_jobs * sizes.soak_seconds // sizes.soak_interval
    return [
        Row(f"calls made once and answered, of {due:,}", [account["finished"]], "", exactly(due)),
        Row(
            "runs that ended otherwise, or were missed",
            [account["others"] + account["missed"]],
            "",
            exactly(0),
        ),
        Row("ledgers that the check finds clean", [float(clean)], "", exactly(1)),
        Row("pages and metrics read meanwhile", [reading.answers]),
        Row("requests that were refused or failed", [reading.failures], "", exactly(0)),
        *rows,
    ]


def _compared(name: str, samples: Sequence[Sample], sizes: Sizes) -> list[Row]:
    words, unit, limit = COMPARED[name]
    quarter = max(1, len(samples) // 4)
    seen = [float(getattr(sample, name)) for sample in samples]
    # In the first quarter caches fill.
    before, after = seen[quarter : 2 * quarter] or seen, seen[-quarter:]
    growth = median(after) - median(before)
    return [
        Row(f"{words}, second quarter", before, unit),
        Row(f"{words}, last quarter", after, unit),
        Row(f"{words}, more at the end", [growth], unit, sizes.judged(at_most(limit, unit and f" {unit}"))),
    ]


@contextlib.asynccontextmanager
async def _replicas(url: URL) -> AsyncIterator[list[programs.Server]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(programs.replica(url)) for _ in range(REPLICAS)]


async def _begin(connection: Any, port: int, sizes: Sizes) -> datetime:
    """Make the jobs, spread over their interval; the first instant of all."""
    first: datetime = await connection.fetchval(
        f"SELECT date_trunc('second', clock_timestamp()) + interval '{AHEAD} seconds'"
    )
    address = f"http://127.0.0.1:{port}/hooks/"
    target = Target(url=address, body={"job": "{{jobid}}", "run": "{{logid}}", "for": "{{scheduledfor}}"})
    await connection.execute(
        *(JOBS, sizes.soak_jobs, first, sizes.soak_interval, target.model_dump_json(), address, target.host)
    )
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
    return first


async def _samples(
    connection: Any, replicas: Sequence[programs.Server], first: datetime, until: datetime, sizes: Sizes
) -> AsyncIterator[Sample]:
    """One for each interval, told as it is taken."""
    window = timedelta(seconds=sizes.soak_interval)
    for number in itertools.count():
        since = first + number * window
        if since >= until:
            return
        ready = since + window + timedelta(seconds=AFTER if since + window >= until else 1)
        while (left := (ready - await connection.fetchval("SELECT clock_timestamp()")).total_seconds()) > 0:
            await asyncio.sleep(left)
        late = await connection.fetchrow(LATE, since, since + window)
        memory, descriptors, threads = map(
            sum, zip(*(_held(replica.pid) for replica in replicas), strict=True)
        )
        connections = await connection.fetchval(CONNECTIONS)
        sample = Sample(memory, descriptors, threads, connections, *(value or 0.0 for value in late))
        print(f"{since:%H:%M:%S}  {sample}", file=sys.stderr, flush=True)
        yield sample


def _held(pid: int) -> tuple[float, int, int]:
    """Memory in MB, descriptors and threads of a process, as Linux says."""
    process = Path(f"/proc/{pid}")
    lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return int(lines["VmRSS"].split()[0]) / 1024, descriptors, int(lines["Threads"])


class Reading:
    """What readers got."""

    def __init__(self) -> None:
        self.answers = 0
        self.failures = 0


@contextlib.asynccontextmanager
async def _readers(replicas: Sequence[programs.Server], jobs: int) -> AsyncIterator[Reading]:
    """At each replica somebody who has a page open, and goes from one to the next."""
    reading = Reading()
    tasks = [
        asyncio.create_task(work(replica.port, reading))
        for replica in replicas
        for work in (_follow, lambda port, reading: _read(port, reading, jobs))
    ]
    try:
        yield reading
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(port: int, reading: Reading) -> None:
    """A stream ends by itself after ten minutes; a browser opens another."""
    async with httpx.AsyncClient(base_url=f"http://localhost:{port}", timeout=None) as client:
        while True:
            try:
                async with client.stream("GET", "/events") as response:
                    response.raise_for_status()
                    async for _ in response.aiter_bytes():
                        pass
            except httpx.HTTPError as error:
                reading.failures += 1
                print(f"/events: {error!r}", file=sys.stderr)
                await asyncio.sleep(PACE)


async def _read(port: int, reading: Reading, jobs: int) -> None:
    headers = {"accept": "text/html, text/plain;q=0.5"}
    async with httpx.AsyncClient(base_url=f"http://localhost:{port}", headers=headers) as client:
        for number in itertools.count():
            path = READ[number % len(READ)].format(jobid=1 + number % jobs)
            try:
                (await client.get(path)).raise_for_status()
            except httpx.HTTPError as error:
                reading.failures += 1
                print(f"{path}: {error!r}", file=sys.stderr)
            else:
                reading.answers += 1
            await asyncio.sleep(PACE)


async def _is_clean(url: URL) -> bool:
    clean = True
    async with service_database(url) as database:
        async for report in checking.check(database, (), checking.Progress(io.StringIO())):
            if not report.clean:
                clean = False
                print(*report.findings, sep="\n", file=sys.stderr)
    return clean
