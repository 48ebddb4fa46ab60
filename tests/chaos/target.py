"""The receiver's process, from the side of those who started it."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.evidence import Message, Request
from tests.chaos.receiver import ALERTS, CONTROL

ROOT = Path(__file__).parents[2]
#: Ports, each a host of its own to the service: one that it leaves alone for a while is not all of them.
HOSTS = 8


class Target:
    """A receiver that runs."""

    def __init__(self, path: Path, ports: Sequence[int], session: aiohttp.ClientSession) -> None:
        self._path = path
        self._session = session
        self.urls = [f"http://127.0.0.1:{port}/hook" for port in ports]
        self._control = f"http://127.0.0.1:{ports[0]}{CONTROL}"
        self.alerts = f"http://127.0.0.1:{ports[0]}{ALERTS}"

    async def behave(self, share: float, ways: Sequence[str], seed: int) -> None:
        """Answer a share of the requests in bad ways from now on."""
        told = {"share": share, "ways": list(ways), "seed": seed}
        async with self._session.post(self._control, json=told) as response:
            response.raise_for_status()

    def requests(self) -> list[Request]:
        """Everything that it was asked, in order."""
        return [
            Request(
                str(one["id"]),
                one["logid"],
                one["attempt"],
                one["answer"],
                datetime.fromtimestamp(one["at"], UTC),
            )
            for one in self._lines()
            if "message" not in one
        ]

    def messages(self) -> list[Message]:
        """The alerts that it was sent, in order."""
        lines = [one for one in self._lines() if "message" in one]
        return [Message(one["message"], datetime.fromtimestamp(one["at"], UTC)) for one in lines]

    def _lines(self) -> list[dict[str, Any]]:
        with self._path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


@contextlib.asynccontextmanager
async def running(path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Target]:
    """A receiver, for as long as the context lasts."""
    command = [sys.executable, "-m", "tests.chaos.receiver", str(path), str(HOSTS)]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for us to deal with.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        ports = json.loads(await process.stdout.readline())
        yield Target(path, ports, session)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
