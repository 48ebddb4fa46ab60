"""What looks and claims read after a quarter of an hour of 2,000 runs a second, and what these take up."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import URL

from benchmarks import lateness, programs
from benchmarks.results import Row, at_most, exactly
from benchmarks.rush import COUNTS
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.database.runs import passes
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.statements import Statement

QUESTION = "a look and a claim after a quarter of an hour of 2,000 runs/s, in buffers that they read"
#: How often is looked while the service goes on; and seconds between two looks, so that they come at any time
LOOKS, PAUSE = 30, 0.37
MOST = 100
#: Bytes a run of all parts that hold any, with their indexes.
SIZE = """
    SELECT sum(pg_total_relation_size(oid))::float8 / (SELECT count(*) FROM joblog WHERE day < 'infinity')
    FROM pg_class WHERE relkind = 'r' AND relname ~ '^joblog_[0-9]{8}$' AND pg_relation_size(oid) > 0
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    async with (
        fresh_database(server) as url,
        bare_connection(url, plan_cache_mode="force_generic_plan", jit="off") as connection,
        programs.service(url),
    ):
        first = await lateness.begin(connection, sizes.wear_jobs)
        await asyncio.sleep(lateness.AHEAD + sizes.wear_seconds)
        look, claim = list[float](), list[float]()
        for _ in range(LOOKS):
            # What is due in this second is the service's: here nothing is, so that only what is over is read.
            due = await connection.fetchval("SELECT clock_timestamp() - interval '1 minute'")
            look.append(await _buffers(connection, passes.NEXT_DUE, floor=BEGINNING))
            values = {"due": due, "floor": BEGINNING, "held": [], "limit": 1000}
            claim.append(await _buffers(connection, passes.CLAIM, **values))
            await asyncio.sleep(PAUSE)
        size = await connection.fetchval(SIZE)
        until = first + timedelta(seconds=sizes.wear_seconds)
        counts = await connection.fetchrow(COUNTS, first, until)
    due_in_all, judged = sizes.wear_jobs * sizes.wear_seconds, sizes.judged(at_most(MOST))
    return [
        Row(f"runs of {due_in_all:,}", [counts["runs"]], "", sizes.judged(exactly(due_in_all))),
        Row("bytes on disk a run", [size], "", sizes.judged(at_most(230))),
        Row("buffers of a look at what is due next", look, "", judged),
        Row("buffers of a claim that finds nothing", claim, "", judged),
    ]


async def _buffers(connection: Any, statement: Statement[Any], **values: Any) -> float:
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}"
    plan = json.loads(await connection.fetchval(query, *statement.arguments(values)))[0]["Plan"]
    return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
