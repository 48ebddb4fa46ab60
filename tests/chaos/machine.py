"""The machine itself: kept busy on purpose, and watched for standing still."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from tests.chaos.plan import STALL, Deeds

BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10**6))"
#: Of busy processes: others of this machine come first.
NICE = 10
LOOK, LONGEST = 0.1, 0.5


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
