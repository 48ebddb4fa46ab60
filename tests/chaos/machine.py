"""The machine itself: kept busy on purpose, and watched for standing still."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.chaos.fleet import Fleet
from tests.chaos.plan import STALL, Deeds

BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10**6))"
#: Of busy processes: others of this machine come first.
NICE = 10
LOOK, LONGEST = 0.1, 0.5
#: Seconds without any work of a replica, whose ticker looks several times a second, until it is told.
QUIET = 1.0


@contextlib.asynccontextmanager
async def busy(count: int) -> AsyncIterator[None]:
    """So many processes that want all that the machine has; they end with the context, or with us."""
    command = ["nice", "-n", str(NICE), sys.executable, "-c", BUSY]
    processes = [await asyncio.create_subprocess_exec(*command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            await process.wait()


async def watch(deeds: Deeds) -> None:
    """Note each time at which nothing went on for a while, until cancelled."""
    while True:
        since = datetime.now(UTC)
        await asyncio.sleep(LOOK)
        if datetime.now(UTC) - since > timedelta(seconds=LOOK + LONGEST):
            deeds.note(STALL, since)


class Pulse(NamedTuple):
    """What a process has had of the machine."""

    ran: int
    """Nanoseconds for which its first thread ran."""
    waited: int
    """Nanoseconds for which it could have run, and had no processor."""
    state: str
    """As Linux calls it: S sleeps, D waits for a disk, T is stopped."""

    @classmethod
    def of(cls, pid: int) -> "Pulse | None":
        """The process as it is now; None: it is gone, or this is not Linux."""
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError, ValueError):
            ran, waited, _ = (folder / "schedstat").read_text().split()
            # The name of the program, in parentheses, may hold anything.
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            return cls(int(ran), int(waited), state)
        return None


async def watch_replicas(fleet: Fleet, deeds: Deeds) -> None:
    """Tell of each replica that did nothing for a while, and what kept it from that, until cancelled."""
    last: dict[int, tuple[float, Pulse]] = {}
    while True:
        now = monotonic()
        for replica in fleet.alive:
            pulse = Pulse.of(replica.pid)
            if pulse is None:
                continue
            since, before = last.setdefault(replica.pid, (now, pulse))
            if pulse.ran == before.ran:
                # How it stands while it does nothing.
                last[replica.pid] = since, before._replace(state=pulse.state)
                continue
            if now - since > QUIET and replica.url is not None:
                waited = (pulse.waited - before.waited) / 1e9
                deeds.tell(
                    f"{replica.name} did nothing for {now - since:.1f} s: it was {before.state},"
                    f" and waited {waited:.1f} s for a processor"
                )
            last[replica.pid] = now, pulse
        await asyncio.sleep(LOOK)
