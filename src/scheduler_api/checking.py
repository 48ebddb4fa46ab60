"""Checking the ledgers of many jobs, and telling how far it is."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from time import monotonic
from typing import TextIO

import click
import structlog

from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.database.engine import Database
from scheduler_api.services.history import checks

log = structlog.get_logger(__name__)

#: Jobs that are checked at once: while the database reads for one, another is compared.
SIDE_BY_SIDE = 4
#: Seconds between two words on how far it is: on a terminal, in a log.
OFTEN, SELDOM = 0.2, 10.0


async def check(
    database: Database, jobids: Sequence[int], progress: "Progress", *, full: bool = False
) -> AsyncGenerator[JobCheck]:
    """The reports on these jobs, or on all, in order; on closed days, too, if `full`. Raises JobNotFound."""
    progress.total = len(jobids) or await database.read(checks.count_jobs)
    under_way: deque[asyncio.Task[JobCheck]] = deque()
    try:
        async for jobid in _wanted(database, jobids):
            under_way.append(asyncio.create_task(database.snapshot(checks.check_job, jobid, full=full)))
            if len(under_way) == SIDE_BY_SIDE:
                yield progress.saw(await under_way.popleft())
        while under_way:
            yield progress.saw(await under_way.popleft())
    finally:
        progress.end()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _wanted(database: Database, jobids: Sequence[int]) -> AsyncIterator[int]:
    part = list(jobids) or await database.read(checks.jobids, 0)
    while part:
        for jobid in part:
            yield jobid
        part = [] if jobids else await database.read(checks.jobids, part[-1])


class Progress:
    """Tells how far it is: in one line of a terminal that is written anew, else in the log now and then."""

    def __init__(self, stream: TextIO) -> None:
        self.total = 0
        self._stream, self._is_terminal = stream, stream.isatty()
        self._jobs = self._rows = 0
        self._began = self._told = monotonic()

    def saw(self, report: JobCheck) -> JobCheck:
        """One more job is checked."""
        self._jobs += 1
        self._rows += report.rows
        now = monotonic()
        if now - self._told >= (OFTEN if self._is_terminal else SELDOM):
            self._told = now
            self._tell(round(self._rows / (now - self._began)))
        return report

    def end(self) -> None:
        """Leave the line to what comes next."""
        if self._is_terminal:
            click.echo("\r\x1b[K", self._stream, nl=False)

    def _tell(self, rows_a_second: int) -> None:
        if self._is_terminal:
            said = f"{self._jobs:,} of {self.total:,} jobs, {self._rows:,} rows, {rows_a_second:,} a second"
            click.echo(f"\r\x1b[K{said}", self._stream, nl=False)
        else:
            log.info("checking", jobs=self._jobs, of=self.total, rows=self._rows, rows_a_second=rows_a_second)
