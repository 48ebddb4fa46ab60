"""The most memory that a pass takes: for few due jobs, and for many.

Run as a program, `python -m benchmarks.memory DSN`, it makes one pass and writes its peak in MB.
"""

import asyncio
import resource
import sys
from pathlib import Path

import structlog
import uvloop
from sqlalchemy.engine import URL, make_url

from benchmarks import programs
from benchmarks.contestants import service_pass
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_most
from benchmarks.server import bare_connection, dsn, fresh_database, service_database
from benchmarks.sizes import Sizes

QUESTION = "peak memory of a pass, each in a fresh process"
PROCESS = Path("/proc/self/status")
MEGABYTE = 1024


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    few, many = sizes.memory_due
    peaks: dict[int, list[float]] = {few: [], many: []}
    async with fresh_database(server) as url, bare_connection(url) as connection:
        for _ in range(sizes.repetitions):
            for count in (few, many):
                await refill(connection, count)
                peaks[count].append(float(await programs.answer_of("memory", dsn(url))))
    growth = [high - low for low, high in zip(peaks[few], peaks[many], strict=True)]
    return [
        Row(f"{few:,} due", peaks[few], "MB"),
        Row(f"{many:,} due", peaks[many], "MB"),
        Row("more for the many", growth, "MB", sizes.judged(at_most(64, " MB"))),
    ]


def peak() -> float:
    """This process's own peak in MB. What getrusage says includes the parent, where a child is forked."""
    if PROCESS.exists():
        lines = dict(line.split(":", 1) for line in PROCESS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / MEGABYTE
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return limit / MEGABYTE**2 if sys.platform == "darwin" else limit / MEGABYTE


async def _one_pass(url: URL) -> None:
    async with service_database(url) as database:
        await service_pass(database)


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    url = make_url(sys.argv[1]).set(drivername="postgresql+asyncpg")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_one_pass(url))
    print(peak())


if __name__ == "__main__":
    main()
