"""The service as a real process, started and ended by its process id."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from resource import RLIMIT_NOFILE, setrlimit
from typing import Self

from sqlalchemy.engine import URL

from tests.servers import dsn

SERVING = re.compile(rb"serving on (http://\S+?)/jobs")
#: Seconds for what takes far less, on however busy a machine.
PATIENCE = 60


class Service:
    """A running `scheduler-api serve`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""
        self.said = b""
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, database: URL | None, *arguments: str, files: str | None = None, **environment: str
    ) -> Self:
        """Start the service on a free port; it serves when this returns. `files`: how many it may open."""
        command = ("serve", *(arguments or ("--port", "0")))
        service = cls(await run(*command, database=database, files=files, **environment))
        async with asyncio.timeout(PATIENCE):
            while not service.url:
                line = await service._line()
                if found := SERVING.search(line):
                    service.url = found.group(1).decode()
        service._reading = asyncio.create_task(service._read_on())
        return service

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
        return code

    async def _line(self) -> bytes:
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        self.said += line
        assert line, f"the service ended: {self.said.decode()}"
        return line

    async def _read_on(self) -> None:
        assert self.process.stderr is not None
        self.said += await self.process.stderr.read()


async def run(
    *command: str, database: URL | None, files: str | None = None, **environment: str
) -> asyncio.subprocess.Process:
    """Start the command-line program."""
    if database is not None:
        environment["SCHEDULER_DATABASE_URL"] = dsn(database)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler_api",
        *command,
        env=inherited | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=None if files is None else partial(setrlimit, RLIMIT_NOFILE, (int(files), int(files))),
    )


@contextlib.asynccontextmanager
async def services(
    count: int, database: URL, *, files: str | None = None, **environment: str
) -> AsyncIterator[list[Service]]:
    """Several services on one database; killed at the end if they still run."""
    started = await asyncio.gather(
        *(Service.start(database, files=files, **environment) for _ in range(count))
    )
    try:
        yield started
    finally:
        await asyncio.gather(*(service.stop(signal.SIGKILL) for service in started))
