"""`python -m benchmarks [part …]`: measure, print, and fail where a target is missed."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import structlog
import uvloop
from sqlalchemy.engine import URL

from benchmarks import (
    alerts,
    cells,
    checks,
    claims,
    deliveries,
    dropping,
    due_pass,
    history,
    keys,
    lateness,
    memory,
    million,
    older_server,
    original,
    outage,
    pages,
    pooler,
    requests_per_second,
    rush,
    signins,
    snapshot,
    soak,
    traces,
    upgrade,
    wear,
)
from benchmarks.machine import setting
from benchmarks.results import Results, Row, as_markdown, as_text
from benchmarks.server import postgres
from benchmarks.sizes import FULL, QUICK, Sizes
from scheduler_api.server import spare_the_collector

Part = tuple[str, Callable[[URL, Sizes], Awaitable[list[Row]]]]

PARTS: dict[str, Part] = {
    "pass": (due_pass.QUESTION, due_pass.measure),
    "outage": (outage.QUESTION, outage.measure),
    "original": (original.QUESTION, original.measure),
    "history": (history.QUESTION, history.measure),
    "check": (checks.QUESTION, checks.measure),
    "lateness": (lateness.QUESTION, lateness.measure),
    "memory": (memory.QUESTION, memory.measure),
    "snapshot": (snapshot.QUESTION, snapshot.measure),
    "claims": (claims.QUESTION, claims.measure),
    "deliveries": (deliveries.QUESTION, deliveries.measure),
    "traces": (traces.QUESTION, traces.measure),
    "alerts": (alerts.QUESTION, alerts.measure),
    "pooler": (pooler.QUESTION, pooler.measure),
    "older": (older_server.QUESTION, older_server.measure),
    "pages": (pages.QUESTION, pages.measure),
    "http": (requests_per_second.QUESTION, requests_per_second.measure),
    "keys": (keys.QUESTION, keys.measure),
    "signins": (signins.QUESTION, signins.measure),
    "rush": (rush.QUESTION, rush.measure),
    "drop": (dropping.QUESTION, dropping.measure),
    "cells": (cells.QUESTION, cells.measure),
    "upgrade": (upgrade.QUESTION, upgrade.measure),
}
#: What takes long, and is measured only if it is named.
LONG: dict[str, Part] = {
    "size": (million.QUESTION, million.measure),
    "soak": (soak.QUESTION, soak.measure),
    "wear": (wear.QUESTION, wear.measure),
}


def main() -> int:
    arguments = _arguments()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    results = Results()
    # As the service does: half of the passes would wait for a collection of what the peers have loaded.
    spare_the_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_measure(arguments.parts or list(PARTS), QUICK if arguments.quick else FULL, results))
    if arguments.markdown:
        arguments.markdown.write_text(as_markdown(results))
    for missed in results.missed:
        print("MISSED:", missed)
    return 1 if results.missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = PARTS | LONG
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(known)}; the first {len(PARTS)} by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(known):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return arguments


async def _measure(parts: list[str], sizes: Sizes, results: Results) -> None:
    async with postgres() as server:
        results.where = await setting(server)
        for part in parts:
            question, measure = (PARTS | LONG)[part]
            began = perf_counter()
            rows = await measure(server, sizes)
            results.add(question, rows)
            print(f"\n{as_text(question, rows)}\n({perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
