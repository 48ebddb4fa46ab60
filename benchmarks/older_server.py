"""Deliveries and a pass on the PostgreSQL of this machine, beside the embedded one.

A distribution's server is some years older than the embedded one, and is built with what that one lacks:
compiling of queries, for one.
"""

import os
import sys
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks import deliveries
from benchmarks.contestants import BATCH, service_pass
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, postgres, service_database
from benchmarks.sizes import SHORT_PASS, Sizes

QUESTION = "an older PostgreSQL against the embedded one, in the same run"
#: A folder with its programs; without it, the oldest that the machine has where Debian puts them.
GIVEN = "SCHEDULER_BENCH_PROGRAMS"
DEBIAN = Path("/usr/lib/postgresql")


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    programs = _programs()
    if programs is None:
        print(f"There is no other PostgreSQL in {DEBIAN}; name its programs by {GIVEN}.", file=sys.stderr)
        return []
    async with postgres(programs) as older:
        passes = await _passes(server, older, sizes)
        return passes + await _deliveries(server, older, sizes)


def _programs() -> Path | None:
    if given := os.environ.get(GIVEN):
        return Path(given)
    return min(DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), default=None)


async def _passes(server: URL, older: URL, sizes: Sizes) -> list[Row]:
    rates: dict[URL, list[float]] = {server: [], older: []}
    due = min(sizes.due)
    async with fresh_database(server) as one, fresh_database(older) as other:
        for repetition in range(1 + sizes.repetitions_of(SHORT_PASS)):
            for where, url in ((server, one), (older, other)):
                async with service_database(url) as database, bare_connection(url) as connection:
                    await refill(connection, due if repetition else BATCH)
                    rate = await service_pass(database)
                # The first one reads what all others find in memory.
                if repetition:
                    rates[where].append(rate)
    return _rows(f"pass over {due:,} due", "runs/s", rates[server], rates[older], sizes)


async def _deliveries(server: URL, older: URL, sizes: Sizes) -> list[Row]:
    rates: dict[URL, list[float]] = {server: [], older: []}
    in_flight = max(sizes.in_flight)
    for _ in range(sizes.repetitions):
        for where, seen in rates.items():
            async with fresh_database(where) as url:
                seen.append((await deliveries.deliver(url, sizes.deliveries, in_flight)).rate)
    what = f"deliveries, {in_flight} in flight"
    return _rows(what, "deliveries/s", rates[server], rates[older], sizes)


def _rows(what: str, unit: str, ours: list[float], theirs: list[float], sizes: Sizes) -> list[Row]:
    return [
        Row(f"{what}, embedded", ours, unit),
        Row(f"{what}, older", theirs, unit),
        Row(f"{what}, older ÷ embedded", ratios(theirs, ours), "", sizes.judged(at_least(0.6))),
    ]
