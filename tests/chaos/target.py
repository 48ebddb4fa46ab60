"""The receiver's process, from the side of those who started it."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from tests.chaos.evidence import Request
from tests.chaos.receiver import CONTROL

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

    async def behave(self, share: float, ways: Sequence[str], seed: int) -> None:
        """Answer a share of the requests in bad ways from now on."""
        told = {"share": share, "ways": list(ways), "seed": seed}
        async with self._session.post(self._control, json=told) as response:
            response.raise_for_status()

    def requests(self) -> list[Request]:
        """Everything that it was asked, in order."""
        with self._path.open(encoding="utf-8") as lines:
            told = [json.loads(line) for line in lines]
        return [
            Request(
                str(one["id"]),
                one["logid"],
                one["attempt"],
                one["answer"],
                datetime.fromtimestamp(one["at"], UTC),
            )
            for one in told
        ]


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
