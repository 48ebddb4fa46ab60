"""What pages and answers cost among a million jobs: first filled, and a sample of it proven by `check`."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.due_jobs import add_parts, settle_down
from benchmarks.results import Row, at_least, at_most, exactly
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api import checking
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.runs import passes

QUESTION = "every page and answer among a million jobs, in ms"

#: Days of which each job has a log, and seconds between those of the first job, which has very many.
DAYS, PACE = 10, 5
#: Milliseconds that an answer may take, the median of so many; requests side by side that all must succeed.
SLOWEST, TRIES, READERS = 300.0, 5, 32
#: Minutes of which all that came due waits for a pass, and runs in a batch.
WAITING, BATCH = 40, 1000
#: Of so many jobs one is checked.
SAMPLE = 1000
#: Seconds to wait for an answer.
PATIENCE = 60.0
#: The tag of a hundredth of the jobs, for orders to many, and how many a second these must reach.
MANY, PER_SECOND = "region-17", 2_000

#: A first run for each job, on the first of the days; those of calls, and a zone for every fifth.
FIRSTS = f"""
    CREATE TEMPORARY TABLE first AS
    SELECT n, n % 5 = 0 AS calls, n % 5 = 2 AS zoned,
           CAST(CASE WHEN n % 5 = 0 THEN 'http' ELSE 'plain' END AS runkind) AS kind,
           CASE WHEN n % 5 = 0 THEN 'host-' || n % 1000 || '.example.com' END AS host,
           date_trunc('minute', now())
               - make_interval(days => {DAYS}, mins => {WAITING} - CAST(n * 7919 % 1440 AS int)) AS at
    FROM generate_series(2, $1::bigint) AS n
"""
BIG_JOB = f"""
    INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom)
    SELECT 'The one with a past', at AT TIME ZONE 'UTC', at AT TIME ZONE 'UTC', true, {PACE}, true,
           at - interval '1 second', at - interval '1 second'
    FROM (SELECT date_trunc('minute', now()) - $1::int * interval '{PACE} seconds') AS first (at)
"""
BIG_LOGS = f"""
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, runs)
    SELECT CAST(at AT TIME ZONE 'UTC' AS date), jobid, at, at, at, 'finished', n + 1
    FROM job, generate_series(0, $1::int - 1) AS n,
         LATERAL (SELECT createdat + interval '1 second' + n * interval '{PACE} seconds') AS past (at)
    WHERE jobid = 1
"""
BIG_NEXT = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, runs, lastrun, laststatus, lastsuccess, failures)
    SELECT 1, next, next, $1::int, at, 'finished', at, 0
    FROM (SELECT max(scheduledfor), max(scheduledfor) + interval '{PACE} seconds'
          FROM joblog WHERE jobid = 1) AS latest (at, next)
"""
JOBS = """
    INSERT INTO job (jobname, startdate, starttime, timezone, repeat, interval, cron, active, createdat,
                     validfrom, tags, target, kind, host, owner)
    SELECT (ARRAY['Nightly report', 'Import', 'Refresh of the cache', 'Billing', 'Backup'])[1 + n % 5]
               || ' for customer ' || n,
           CASE WHEN NOT zoned THEN CAST(at AT TIME ZONE 'UTC' AS date) END,
           CASE WHEN NOT zoned THEN CAST(at AT TIME ZONE 'UTC' AS time) END,
           CASE WHEN zoned THEN 'Europe/Berlin' ELSE 'UTC' END, true, CASE WHEN NOT zoned THEN 86400 END,
           CASE WHEN zoned THEN to_char(at AT TIME ZONE 'Europe/Berlin', 'FMMI FMHH24') || ' * * *' END,
           n % 500 <> 7, at - interval '1 second', at - interval '1 second',
           ARRAY['plan-' || n % 7, 'region-' || n % 100],
           CASE WHEN calls THEN jsonb_build_object('url', 'http://' || host || '/run') END, kind, host,
           'team ' || n % 20
    FROM first ORDER BY n
"""
#: In the order in which they ended, as time passes. Of the calls a thousandth fails on the last day.
LOGS = """
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, runs, kind, host, error)
    SELECT CAST(at AT TIME ZONE 'UTC' AS date), n, at, at,
           at + CASE WHEN calls THEN interval '1 second' ELSE '0' END,
           CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus), $1::int + 1, kind, host,
           CASE WHEN failed THEN 'The target answered 503.' END
    FROM (SELECT n, calls, kind, host, first.at + $1::int * interval '1 day' AS at,
                 $2 AND n % 1000 = 0 AS failed FROM first) AS past
    ORDER BY at, n
"""
ATTEMPTS = """
    INSERT INTO logattempt (day, logid, jobid, startedat, finishedat, attempt, outcome, failure, error,
                            httpstatus, replica)
    SELECT day, logid, jobid, startedat, finishedat, 1, status::text,
           CASE WHEN status = 'failed' THEN 'status' END, error,
           CASE WHEN status = 'failed' THEN 503 ELSE 200 END, 'bench'
    FROM joblog WHERE kind = 'http' AND day < 'infinity'
"""
#: In the order in which the jobs were made: a row stays where it is as its job goes on.
AHEAD = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, runs, lastrun, laststatus, failures,
                        failingsince, lastsuccess)
    SELECT jobid, at, at, kind, host, {DAYS}, latest,
           CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus), CAST(failed AS int),
           CASE WHEN failed THEN latest END, latest - CASE WHEN failed THEN interval '1 day' ELSE '0' END
    FROM (SELECT job.jobid, job.kind, job.host, n % 1000 = 0 AS failed,
                 at + interval '{DAYS} days' AS at, at + interval '{DAYS - 1} days' AS latest
          FROM first JOIN job ON jobid = n WHERE active ORDER BY n) AS promised
"""
#: One in five hundred is paused since before its next run.
PAUSED = f"""
    UPDATE job SET pausedat = now(), pausereason = 'maintenance', resumefrom = at + interval '{DAYS} days',
                   runs = {DAYS}, lastrun = at + interval '{DAYS - 1} days', laststatus = 'finished',
                   lastsuccess = at + interval '{DAYS - 1} days'
    FROM first WHERE jobid = n AND NOT active
"""

JSON, HTML = "application/json", "text/html"
#: Each for a program, and for a browser where there is a page.
LISTS = [
    *(
        f"/jobs{asked}"
        for asked in (
            "", "?sort=-jobid", "?sort=jobname", "?sort=nextrun", "?cursor=500000",
            "?search=customer+4711", "?search=no+such+name", "?search=e", "?search=host-17.example",
            "?search=ion-9", "?search=customer+4711&sort=-duration", "?search=customer+4711&sort=schedule",
            "?name=customer+4711", "?name=er", "?tag=region-17", "?tag=none",
            "?state=active", "?state=paused", "?state=failing", "?state=running", "?state=overdue",
            "?state=completed", "?state=deleted", "?laststatus=failed", "?laststatus=finished",
            "?laststatus=running", "?laststatus=pending", "?tag=region-17&state=failing",
            "?search=zq", "?name=zq", "?search=*/7", "?search=0+13", "?state=paused&sort=-lastrun",
            "?tag=plan-1&laststatus=finished", "?search=e&laststatus=finished", "?tag=region-17&sort=lastrun",
            "?name=billing&sort=jobname", "?name=customer+4711&sort=nextrun", "?state=active&sort=nextrun",
            "?laststatus=failed&sort=jobname", "?tag=region-17&sort=jobname", "?tag=plan-1&sort=nextrun",
        )
    ),
    *(
        f"/logs{asked}"
        for asked in (
            "", "?status=failed", "?status=pending", "?status=running", "?status=skipped", "?status=finished",
            "?host=host-5.example.com", "?host=none.example.com", "?tag=region-17", "?tag=none",
            "?tag=region-17&status=failed", "?cause=manual", "?cause=schedule", "?minduration=5",
            "?name=billing", "?sort=ended", "?sort=ended&tag=region-17", "?sort=duration",
            "?sort=duration&tag=region-17", "?sort=nextrun", "?sort=nextrun&tag=region-17",
        )
    ),
]  # fmt: skip
PLACES = [
    "/overview",
    "/upcoming",
    "/jobs/1",
    "/jobs/4711",
    "/jobs/5000",
    "/jobs/1/days",
    "/jobs/1?form=true",
]
ONLY_JSON = [
    "/jobs/1/logs",
    "/jobs/1/logs?status=failed",
    "/jobs/1/changes",
    "/forecast",
    "/readyz",
    "/limits",
]


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    async with fresh_database(server) as url:
        async with bare_connection(url) as connection:
            await fill(connection, sizes.million, sizes.million)
        rows = await _checked(url, sizes)
        rows += await _passes(url, sizes)
        began = perf_counter()
        async with programs.service(url, {"SCHEDULER_TICKER": "off"}) as port:
            rows.append(
                Row("start until it listens", [perf_counter() - began], "s", sizes.judged(at_most(3)))
            )
            async with httpx.AsyncClient(base_url=f"http://localhost:{port}", timeout=PATIENCE) as client:
                rows += [row async for row in _answers(client, sizes)]
                rows += await _readers(client, sizes)
                rows += await _orders(client, sizes)
        return rows


async def fill(connection: Any, jobs: int, logs: int) -> None:
    """So many jobs with a log on each of the days, and one with so many logs."""
    await add_parts(connection, f"current_date - {logs * PACE // 86400 + DAYS + 2}")
    await connection.execute(BIG_JOB, logs)
    await connection.execute(BIG_LOGS, logs)
    await connection.execute(BIG_NEXT, logs)
    await connection.execute(FIRSTS, jobs)
    await connection.execute(JOBS)
    for day in range(DAYS):
        await connection.execute(LOGS, day, day == DAYS - 1)
    await connection.execute(ATTEMPTS)
    await connection.execute(PAUSED)
    await connection.execute(AHEAD)
    await settle_down(connection)


async def _checked(url: URL, sizes: Sizes) -> list[Row]:
    """The first job, and a sample of the others, against their schedules."""
    async with service_database(url) as database:
        began = perf_counter()
        first = await _findings(database, [1])
        took = perf_counter() - began
        others = await _findings(database, range(2, sizes.million, SAMPLE))
    return [
        Row(f"check of {sizes.million:,} logs of one job", [took], "s"),
        Row("findings", [first + others], "", exactly(0)),
    ]


async def _findings(database: Database, jobids: Sequence[int]) -> int:
    progress = checking.Progress(io.StringIO())
    return sum([len(report.findings) async for report in checking.check(database, jobids, progress)])


async def _passes(url: URL, sizes: Sizes) -> list[Row]:
    """What runs cost the server beside all that: those that came due within the last minutes."""
    async with service_database(url) as database, bare_connection(url) as connection:
        due = await connection.fetchval("SELECT now()")

        async def run(session: Session, now: datetime, count: int = BATCH) -> int:
            return (await passes.run_pass(session, now, count, due)).claimed

        # What is planned, and read for the first time, is not what runs cost.
        await database.transact(run, 10)
        await connection.execute("CHECKPOINT")
        before = await _spent(connection)
        runs = 0
        while claimed := await database.transact(run):
            runs += claimed
        spent = [after - early for early, after in zip(before, await _spent(connection), strict=True)]
    wal, images, seconds = (one / runs for one in spent)
    return [
        Row(f"a pass over {runs:,} due: bytes of WAL a run", [wal], "", sizes.judged(at_most(5_000))),
        Row("pages written whole a run, after a checkpoint", [images], "", sizes.judged(at_most(0.8))),
        Row("processor time of the server a run", [seconds * 1e6], "µs", sizes.judged(at_most(55, " µs"))),
    ]


async def _spent(connection: Any) -> tuple[int, int, float]:
    """Bytes of WAL, pages that it holds whole, and seconds of the processor that others' sessions used."""
    # Sessions tell what they did once a second at most.
    await asyncio.sleep(1.5)
    wal, images = await connection.fetchrow("SELECT wal_bytes::bigint, wal_fpi FROM pg_stat_wal")
    pids = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ticks = 0
    for (pid,) in pids:
        # Behind the name, the twelfth and the thirteenth are ticks in user mode and in the kernel: proc(5).
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(used[11]) + int(used[12])
    return wal, images, ticks / os.sysconf("SC_CLK_TCK")


async def _answers(client: httpx.AsyncClient, sizes: Sizes) -> AsyncIterator[Row]:
    for path in (*LISTS, *PLACES, *ONLY_JSON):
        for accept in (JSON,) if path in ONLY_JSON else (HTML,) if "form=" in path else (JSON, HTML):
            waits = list[float]()
            # The first reader of all pays for caches.
            for _ in range(1 + TRIES):
                began = perf_counter()
                response = await client.get(path, headers={"accept": accept})
                waits.append((perf_counter() - began) * 1000)
                if response.status_code != httpx.codes.OK:
                    waits = [float("inf")]
                    break
            what = f"{'page' if accept == HTML else 'JSON'} {path}"
            yield Row(what, waits[1:] or waits, "ms", sizes.judged(at_most(SLOWEST, " ms")))


async def _readers(client: httpx.AsyncClient, sizes: Sizes) -> list[Row]:
    """The list, for many browsers at once."""

    async def read() -> bool:
        response = await client.get("/jobs", headers={"accept": HTML})
        return response.status_code == httpx.codes.OK

    began = perf_counter()
    done = await asyncio.gather(*(read() for _ in range(READERS * TRIES)))
    rate = len(done) / (perf_counter() - began)
    return [
        Row(f"page /jobs for {READERS * TRIES} at once", [rate], "/s"),
        Row("of these answered", [sum(done) / len(done)], "", sizes.judged(exactly(1))),
    ]


async def _orders(client: httpx.AsyncClient, sizes: Sizes) -> list[Row]:
    """Orders to all jobs of a tag, and the end of the one with a past."""
    rows = list[Row]()
    for action in ("pause", "resume", "run", "delete"):
        order = {"action": action, "filter": {"tag": MANY}}
        began = perf_counter()
        # Whoever has not done with all of them says so, and is asked again.
        response = await client.post("/jobs/bulk", json=order)
        done: int = response.raise_for_status().json()["done"]
        rate = done / (perf_counter() - began)
        rows.append(Row(f"{action} {done:,} jobs", [rate], "/s", sizes.judged(at_least(PER_SECOND, "/s"))))
    began = perf_counter()
    response = await client.delete("/jobs/1", params={"history": "remove"})
    response.raise_for_status()
    waited = (perf_counter() - began) * 1000
    rows.append(Row("delete the one with a past", [waited], "ms", sizes.judged(at_most(SLOWEST, " ms"))))
    return rows
