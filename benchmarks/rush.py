"""How late runs start where ten thousand are due each second."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import URL

from benchmarks import lateness, programs
from benchmarks.results import Row, at_most, exactly
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes

QUESTION = "10,000 one-second jobs, all due at the same instant, in a service process"
#: Occurrences that had no run of their own are counted by others.
COUNTS = """
    SELECT count(*) FILTER (WHERE status = 'finished') AS runs,
           coalesce(sum(missed), 0)::float8 + count(*) FILTER (WHERE status = 'skipped') AS missed
    FROM joblog WHERE status IN ('finished', 'skipped') AND scheduledfor >= $1 AND scheduledfor < $2
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    found = [await _rush(server, sizes) for _ in range(sizes.repetitions)]
    due = sizes.rush_jobs * sizes.rush_seconds
    return [
        Row(f"runs of {due:,}", [one["runs"] for one in found], "", sizes.judged(exactly(due))),
        Row("missed", [one["missed"] for one in found], "", sizes.judged(exactly(0))),
        Row("start p50", [one["p50"] for one in found], "ms"),
        Row("start p99", [one["p99"] for one in found], "ms", sizes.judged(at_most(250, " ms"))),
    ]


async def _rush(server: URL, sizes: Sizes) -> dict[str, Any]:
    async with fresh_database(server) as url, bare_connection(url) as connection:
        async with programs.service(url):
            first = await lateness.begin(connection, sizes.rush_jobs)
            await asyncio.sleep(lateness.AHEAD + sizes.rush_seconds + lateness.AFTER)
        until = first + timedelta(seconds=sizes.rush_seconds)
        counts = await connection.fetchrow(COUNTS, first, until)
        return {**await lateness.started(connection, first, until), **counts}
