"""How late runs start while a part of history with a million runs is dropped."""

import asyncio
from datetime import datetime
from time import perf_counter
from typing import Any

from sqlalchemy.engine import URL

from benchmarks import lateness, programs
from benchmarks.due_jobs import add_parts
from benchmarks.results import Row, at_most, exactly
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api.database.runs import parts
from scheduler_api.services.runs import retention

QUESTION = "lateness of one-second jobs while a part of history is dropped, against before"
#: Seconds before, and again from the beginning of it on.
BESIDE = 15
#: One day of the part, under jobs that never run again.
FILL = """
    INSERT INTO job (jobname, startdate, starttime, active, createdat, validfrom)
    SELECT 'over ' || n, '2020-01-01', '00:00', false, '2020-01-01', '2020-01-01'
    FROM generate_series(1, 1000) AS n;
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status)
    SELECT firstday, jobid, ran, ran, ran, 'finished'
    FROM history, job, generate_series(1, {rounds}) AS round,
         LATERAL (SELECT CAST(firstday AS timestamp) AT TIME ZONE 'UTC' + round * interval '1 second' AS ran)
             AS past
    WHERE jobname LIKE 'over %'
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    found = [await _drop(server, sizes) for _ in range(sizes.repetitions)]
    before, during, seconds, left = map(list, zip(*found, strict=True))
    ratio = [late / early for early, late in zip(before, during, strict=True)]
    return [
        Row("start p99 before", before, "ms"),
        Row("start p99 while it goes", during, "ms"),
        Row("while it goes ÷ before", ratio, "", sizes.judged(at_most(1.5))),
        Row(f"a part with {sizes.dropped:,} runs goes in", seconds, "s"),
        Row("of its tables left", left, "", sizes.judged(exactly(0))),
    ]


async def _drop(server: URL, sizes: Sizes) -> tuple[float, float, float, float]:
    async with fresh_database(server) as url, bare_connection(url) as connection:
        await add_parts(connection, "current_date - 14")
        await connection.execute(FILL.format(rounds=sizes.dropped // 1000))
        await connection.execute("VACUUM (ANALYZE) job, joblog")
        await connection.execute("CHECKPOINT")
        async with programs.service(url):
            first = await lateness.begin(connection, sizes.lateness_jobs)
            await asyncio.sleep(lateness.AHEAD + BESIDE)
            since = await _clock(connection)
            seconds, left = await _go(url)
            await asyncio.sleep(max(0.0, BESIDE - seconds))
            until = await _clock(connection)
            await asyncio.sleep(lateness.AFTER)
        before = await lateness.started(connection, first, since)
        during = await lateness.started(connection, since, until)
    return before["p99"], during["p99"], seconds, left


async def _go(url: URL) -> tuple[float, float]:
    """Let the oldest part go, as a replica does; how long it took, and how many of its tables are left."""
    async with service_database(url) as database:
        first, end, *_ = await database.read(parts.firsts)
        began = perf_counter()
        await database.transact(lambda session, _: parts.forget(session, first, end))
        for command in await database.read(retention.drops):
            await database.command_alone(command)
        seconds = perf_counter() - began
        return seconds, float(len(await database.read(parts.gone)))


async def _clock(connection: Any) -> datetime:
    now: datetime = await connection.fetchval("SELECT date_trunc('second', clock_timestamp())")
    return now
