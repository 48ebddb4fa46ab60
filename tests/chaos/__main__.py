"""The proof by force: python -m tests.chaos [--seconds 180] [--seed N] [--replicas 4] [--jobs 200].

Exits with 1 if an occurrence was lost or doubled, or anything else that the service promises was broken.
"""

import argparse
import asyncio
import logging
import random
import signal
import sys
from pathlib import Path

import structlog

from tests.chaos.harness import run
from tests.chaos.plan import Plan
from tests.chaos.report import Report

STOPPED = 130


def main() -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=None, help="the faults and their order (default: any)")
    parser.add_argument("--replicas", type=int, default=Plan.replicas)
    parser.add_argument("--jobs", type=int, default=Plan.jobs)
    parser.add_argument("--folder", type=Path, default=None, help="keep the replicas' logs there")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    # That the database ended is what we wanted.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"seed {seed}: {given.seconds:g} s of faults, then peace", flush=True)  # noqa: T201
    plan = Plan(given.seconds, seed, given.replicas, given.jobs, folder=given.folder)
    try:
        report = asyncio.run(_until_told(plan))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped before its time")  # noqa: T201
        return STOPPED
    print(report)  # noqa: T201
    return 1 if report.violations else 0


async def _until_told(plan: Plan) -> Report:
    """SIGTERM ends everything as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(plan)


if __name__ == "__main__":
    sys.exit(main())
