"""The replicas: killed, stopped, frozen, and started again each time."""

import asyncio
import random
import signal
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos import clocks
from tests.chaos.plan import NOBODY, Deeds, Kill
from tests.processes.service import SERVING
from tests.processes.smith import Process, Smith

#: Seconds that a replica has to end once it was asked to: requests, calls, last words, and a commit in doubt.
MAX_END = 45.0
RETRY_PAUSE = 0.3
LOOK = 0.05
#: How often a fault may hit a replica that does not serve yet, or has only just begun to: if it were always,
#: none would ever get to work on a slow machine.
RECKLESS, YOUNG = 0.1, 1.0


class Replica:
    """One process of the service, and what it says."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._since = 0.0
        self.name = f"{socket.gethostname()}:{process.pid}"
        self.url: str | None = None
        self.was_asked = False
        """Whether somebody told it to end."""
        self.is_frozen = False
        self.terminated: datetime | None = None
        """When it was asked to end in an orderly way."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def watch(self) -> int:
        """Wait until it serves, and then until it ends; the exit code."""
        while self.url is None and self.lives:
            await asyncio.sleep(0.05)
            if found := SERVING.search(self._log.read_bytes()):
                self._since = time.monotonic()
                self.url = found.group(1).decode().replace("localhost", "127.0.0.1")
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await self._process.wait()

    @property
    def lives(self) -> bool:
        """Whether the process is there."""
        return self._process.lives

    @property
    def serves(self) -> bool:
        """Whether it takes requests, and was not told to end."""
        return self.lives and self.url is not None and not self.was_asked

    @property
    def is_grown(self) -> bool:
        """Whether it has served for a while."""
        return self.serves and time.monotonic() - self._since > YOUNG

    @property
    def works(self) -> bool:
        """Whether it can do what is to be done."""
        return self.serves and not self.is_frozen

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is gone."""
        self._process.send_signal(number)


class Fleet:
    """So many replicas, whatever happens to them."""

    def __init__(
        self, smith: Smith, count: int, dsn: str, environment: Mapping[str, str], folder: Path, deeds: Deeds
    ) -> None:
        self._smith = smith
        self._environment = {"SCHEDULER_DATABASE_URL": dsn} | dict(environment)
        self._folder = folder
        self._deeds = deeds
        self._slots: list[Replica | None] = [None] * count
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.started = 0
        self.deaths: list[str] = []
        """Replicas that ended without being told to, or not as they should."""

    async def start(self) -> None:
        """Start all; they serve when this returns."""
        self._keepers = [asyncio.create_task(self._keep(slot)) for slot in range(len(self._slots))]
        await self.complete()

    async def complete(self) -> None:
        """Wait until all of them serve."""
        while len(self.serving) < len(self._slots):
            for keeper in self._keepers:
                if keeper.done():
                    keeper.result()
            await asyncio.sleep(0.05)

    @property
    def alive(self) -> list[Replica]:
        """Those that run, whether or not they serve yet."""
        return [replica for replica in self._slots if replica is not None and replica.lives]

    @property
    def serving(self) -> list[str]:
        """The URLs of those that were not told to end."""
        return [replica.url for replica in self.alive if replica.url and replica.serves]

    def end(self, number: signal.Signals, chance: random.Random) -> bool:
        """Kill or stop one that is at work; now and then one that is just being started."""
        recklessly = chance.random() < RECKLESS
        victims = [replica for replica in self.alive if replica.is_grown or recklessly]
        if not victims:
            return False
        replica = chance.choice(victims)
        replica.was_asked = True
        now = datetime.now(UTC)
        if number is signal.SIGKILL:
            self._deeds.kills.append(Kill(now, replica.name))
            self._deeds.tell(f"{replica.name} is killed")
            replica.signal(number)
            self._deeds.note("kill a replica", now, replica=replica.name)
        else:
            replica.terminated = now
            self._deeds.tell(f"{replica.name} is stopped")
            replica.signal(number)
        return True

    async def freeze(self, seconds: float, chance: random.Random) -> bool:
        """Let one stand still."""
        victims = [replica for replica in self.alive if replica.serves]
        if not victims:
            return False
        replica = chance.choice(victims)
        # It may hold locks that others wait for, so that all of them may suffer.
        with self._deeds.harming("freeze a replica"):
            self._deeds.tell(f"{replica.name} is frozen")
            replica.is_frozen = True
            replica.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                replica.signal(signal.SIGCONT)
                replica.is_frozen = False
        return True

    async def stop(self) -> None:
        """Stop all in an orderly way, and note those that do not."""
        self._stopping = True
        for replica in self.alive:
            replica.was_asked = True
            replica.signal(signal.SIGTERM)
        ends = [asyncio.ensure_future(self._end(replica)) for replica in self.alive]
        if ends:
            await asyncio.wait(ends)

    async def _end(self, replica: Replica) -> None:
        try:
            async with asyncio.timeout(MAX_END):
                code = await replica.ended()
        except TimeoutError:
            self.deaths.append(f"{replica.name} did not stop within {MAX_END:g} s")
        else:
            if code != 0:
                self.deaths.append(f"{replica.name} stopped with exit code {code}")

    async def watch(self) -> None:
        """Note the times at which none of them could work, until cancelled."""
        since: datetime | None = None
        try:
            while True:
                works = any(replica.works for replica in self.alive)
                if not works and since is None:
                    since = datetime.now(UTC)
                elif works and since is not None:
                    self._deeds.note(NOBODY, since)
                    since = None
                await asyncio.sleep(LOOK)
        finally:
            if since is not None:
                self._deeds.note(NOBODY, since)

    async def destroy(self) -> None:
        """Start nothing any more."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, slot: int) -> None:
        while not self._stopping:
            self.started += 1
            log = self._folder / f"replica-{self.started:04}.log"
            environment = self._environment | clocks.moved(self.started)
            with log.open("wb") as said:
                process = await self._smith.make(
                    ["serve", "--port", "0"], environment, output=said.fileno(), errors=said.fileno()
                )
            self._slots[slot] = replica = Replica(process, log)
            self._deeds.tell(f"{replica.name} is started, and writes {log.name}")
            code = await replica.watch()
            self._deeds.tell(f"{replica.name} ended with {code}")
            if replica.terminated is not None:
                self._deeds.note("stop a replica", replica.terminated, replica=replica.name)
            if replica.was_asked:
                continue
            # Where the database is away at the start, a replica says so and ends.
            if replica.url is not None:
                self.deaths.append(f"{replica.name} ended by itself with exit code {code}")
            await asyncio.sleep(RETRY_PAUSE)
