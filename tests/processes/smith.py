"""Processes of the service, without the second that it takes to load it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
#: The command `scheduler-api`.
COMMAND = "scheduler_api.cli"


class Process:
    """A process that was made for us. It ends with us, or with our event loop."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._end = asyncio.create_task(self._listen(reader, writer))

    @classmethod
    async def take(cls, told: socket.socket) -> Self:
        """Who is told about on this socket."""
        reader, writer = await asyncio.open_unix_connection(sock=told)
        try:
            pid = int(await reader.readline())
        except BaseException:
            writer.close()
            raise
        return cls(pid, reader, writer)

    @property
    def lives(self) -> bool:
        """Whether it is there."""
        return not self._end.done()

    async def wait(self) -> int:
        """Its exit code, as soon as it has one; -9 if it was killed."""
        return await asyncio.shield(self._end)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is gone: its process id may be another's by now."""
        if self.lives:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            return int(await reader.readline())
        finally:
            writer.close()


class Smith:
    """One who makes processes of the service; `environment`: for each of them, and for what they load."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._orders, theirs = socket.socketpair()
        # None of our own settings.
        own = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        with theirs:
            self._forge = subprocess.Popen(
                [sys.executable, "-m", "tests.processes.forge"],
                cwd=ROOT,
                env=own | dict(environment),
                stdin=theirs.fileno(),
                # Ctrl-C is for us to deal with.
                start_new_session=True,
            )

    async def make(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        output: int,
        errors: int,
        module: str = COMMAND,
        files: int | None = None,
    ) -> Process:
        """A new process of a command; it writes to these descriptors, and may open so many `files`."""
        order = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "files": files,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = [theirs.fileno(), output, errors]
            socket.send_fds(self._orders, [json.dumps(order).encode() + b"\n"], descriptors)
        return await Process.take(ours)

    def stop(self) -> None:
        """End it, and every process that is left."""
        self._orders.close()
        self._forge.wait()
