"""The proof by force: python -m tests.chaos [--seconds 180] [--seed N …] [--load N] [--cells N]
[--faults WORD,…].

Exits with 1 if an occurrence was lost or doubled, or anything else that the service promises was broken; the
last line then names the folder with the evidence.
"""

import argparse
import asyncio
import logging
import random
import signal
import sys
from pathlib import Path

import structlog

from tests.chaos import disk
from tests.chaos.checker import check
from tests.chaos.harness import run
from tests.chaos.papers import evidence_in
from tests.chaos.plan import ENDS, GREAT, SMALL, Plan
from tests.chaos.report import Report

STOPPED = 130
KINDS = (*ENDS, *SMALL, *GREAT)


def main() -> int:
    """Run it as the command line says."""
    given = _arguments()
    if given.again is not None:
        return _again(given.again)
    if "fill the disk" in given.faults:
        disk.go_on_alone()
    # That the database ended is what we wanted.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seeds = given.seed or [random.SystemRandom().randrange(10**6)]
    failed = False
    for seed in seeds:
        print(f"seed {seed}: {given.seconds:g} s of faults, then peace", flush=True)
        folder = given.folder and (given.folder / str(seed) if len(seeds) > 1 else given.folder)
        plan = Plan(
            given.seconds,
            seed,
            given.replicas,
            given.jobs,
            faults=given.faults,
            load=given.load,
            cells=given.cells,
            folder=folder,
        )
        try:
            report = asyncio.run(_until_told(plan))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("stopped before its time")
            return STOPPED
        print(report, flush=True)
        failed = failed or bool(report.violations)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="how long faults go on")
    parser.add_argument(
        "--seed", type=int, nargs="*", help="the faults and their order, one run for each (default: any)"
    )
    parser.add_argument("--replicas", type=int, default=Plan.replicas)
    parser.add_argument("--jobs", type=int, default=Plan.jobs)
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it")
    parser.add_argument("--cells", type=int, default=None, help="distribute the tables over so many cells")
    parser.add_argument(
        "--faults",
        type=_kinds,
        default=frozenset(KINDS),
        help="only those that are called so, or in part, separated by commas: " + ", ".join(KINDS),
    )
    parser.add_argument("--folder", type=Path, default=None, help="keep what it writes there")
    parser.add_argument("--again", type=Path, default=None, help="only check the evidence in a folder anew")
    return parser.parse_args()


def _kinds(text: str) -> frozenset[str]:
    """The faults whose names have one of these words, or one that begins so."""
    found: set[str] = set()
    for word in text.split(","):
        kinds = [kind for kind in KINDS if f" {kind}".find(f" {word.strip()}") >= 0]
        if not kinds:
            raise argparse.ArgumentTypeError(f"no fault is called {word.strip()!r}")
        found.update(kinds)
    return frozenset(found)


def _again(folder: Path) -> int:
    violations = check(evidence_in(folder)).violations
    print(*violations, f"violations: {len(violations)}", sep="\n")
    return 1 if violations else 0


async def _until_told(plan: Plan) -> Report:
    """SIGTERM ends everything as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(plan)


if __name__ == "__main__":
    sys.exit(main())
