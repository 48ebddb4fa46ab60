"""How late runs start beside a transaction that stays open: no dead row goes away meanwhile."""

import asyncio
from datetime import timedelta

from sqlalchemy.engine import URL

from benchmarks import lateness, programs
from benchmarks.results import Row, at_most, exactly
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes

QUESTION = "lateness of one-second jobs beside a snapshot that is held"
#: Seconds at either end that are looked at.
WINDOW = 30


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    held, jobs = timedelta(seconds=sizes.snapshot_seconds), sizes.snapshot_jobs
    window = min(timedelta(seconds=WINDOW), held / 3)
    async with (
        fresh_database(server) as url,
        bare_connection(url) as stranger,
        bare_connection(url) as connection,
        programs.service(url),
        stranger.transaction(isolation="repeatable_read", readonly=True),
    ):
        await stranger.fetchval("SELECT count(*) FROM joblog")
        first = await lateness.begin(connection, jobs)
        end = first + held
        await asyncio.sleep(lateness.AHEAD + sizes.snapshot_seconds + lateness.AFTER)
        early = await lateness.started(connection, first, first + window)
        late = await lateness.started(connection, end - window, end)
    runs = jobs * int(window.total_seconds())
    return [
        Row("start p99 in the beginning", [early["p99"]], "ms"),
        Row(
            f"start p99 after {held.total_seconds():,.0f} s",
            [late["p99"]],
            "ms",
            sizes.judged(at_most(250, " ms")),
        ),
        Row("runs in the end", [late["runs"]], "", sizes.judged(exactly(runs))),
    ]
