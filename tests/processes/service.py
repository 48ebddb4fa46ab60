"""The service as a real process, started and ended by its process id."""

import asyncio
import atexit
import contextlib
import functools
import os
import re
import signal
from collections.abc import AsyncIterator
from typing import Protocol, Self

from sqlalchemy.engine import URL

from tests import leaks, pooler
from tests.processes.smith import COMMAND, Smith

SERVING = re.compile(rb"serving on (http://\S+?)/jobs")
#: Seconds for what takes far less, on however busy a machine.
PATIENCE = 60


class Ends(Protocol):
    """A process whose end can be waited for."""

    def send_signal(self, number: signal.Signals, /) -> None: ...

    async def wait(self) -> int: ...


class Program:
    """A process, and what it says."""

    def __init__(self, process: Ends, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr = stderr

    async def ends(self) -> tuple[int, bytes, bytes]:
        """Wait for its end: its exit code, and what it had still to say."""
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        return await self.process.wait(), out, err


async def run(
    *command: str,
    database: URL | None,
    files: str | None = None,
    module: str = COMMAND,
    **environment: str,
) -> Program:
    """Start the command-line program. `files`: how many it may open."""
    if database is not None:
        environment = pooler.environment(database) | environment
    async with _heard() as (stdout, output), _heard() as (stderr, errors):
        process = await _smith().make(
            command,
            environment,
            output=output,
            errors=errors,
            module=module,
            files=None if files is None else int(files),
        )
    return Program(process, stdout, stderr)


@contextlib.asynccontextmanager
async def _heard() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A way to hear what is written to a descriptor; the context is for handing it to somebody else."""
    ours, theirs = os.pipe()
    try:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
        )
        yield reader, theirs
    finally:
        os.close(theirs)


@functools.cache
def _smith() -> Smith:
    """One for all tests of this process."""
    smith = Smith({})
    atexit.register(smith.stop)
    return smith


class Service:
    """A running `scheduler-api serve`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._ending: asyncio.Task[int] | None = None
        self.url = ""
        self.said = b""

    @classmethod
    async def start(
        cls, database: URL | None, *arguments: str, files: str | None = None, **environment: str
    ) -> Self:
        """Start the service on a free port; it serves when this returns. `files`: how many it may open."""
        command = ("serve", *(arguments or ("--port", "0")))
        service = cls(await run(*command, database=database, files=files, **environment))
        async with asyncio.timeout(PATIENCE):
            await service._begin()
        return service

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end; the exit code."""
        assert self._ending is not None
        self._program.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._ending)

    async def _begin(self) -> None:
        while not self.url:
            line = await self._program.stderr.readline()
            self.said += line
            if not line:
                code = await self._end()
                raise AssertionError(f"the service ended with {code}: {self.said.decode()}")
            if found := SERVING.search(line):
                self.url = found.group(1).decode()
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> int:
        code, _, said = await self._program.ends()
        self.said += said
        assert not (found := leaks.found_in([self.said.decode(errors="replace")])), f"logged: {found}"
        return code


@contextlib.asynccontextmanager
async def services(
    count: int, database: URL, *, files: str | None = None, **environment: str
) -> AsyncIterator[list[Service]]:
    """Several services on one database; killed at the end if they still run."""
    starting = (Service.start(database, files=files, **environment) for _ in range(count))
    started = await asyncio.gather(*starting)
    try:
        yield started
    finally:
        await asyncio.gather(*(service.stop(signal.SIGKILL) for service in started))
