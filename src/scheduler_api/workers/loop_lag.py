"""How late the event loop is: what waits for it waits at least as long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic

from scheduler_api import metrics

#: Seconds between two looks.
EVERY = 0.5


@contextlib.asynccontextmanager
async def measured() -> AsyncIterator[None]:
    """Measure it meanwhile."""
    task = asyncio.create_task(_measure(), name="loop lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _measure() -> None:
    while True:
        began = monotonic()
        await asyncio.sleep(EVERY)
        metrics.LOOP_LAG.observe(max(0.0, monotonic() - began - EVERY))
