"""Waiting until a run has ended."""

import asyncio
import time

from scheduler_client.calls import checked
from scheduler_client.generated.api.logs import show_log
from scheduler_client.generated.client import AuthenticatedClient, Client
from scheduler_client.generated.models.log_status import LogStatus
from scheduler_client.generated.models.log_with_attempts import LogWithAttempts

ENDED = {LogStatus.FINISHED, LogStatus.FAILED, LogStatus.SKIPPED}


def wait(
    client: Client | AuthenticatedClient, logid: int, *, within: float = 3600, every: float = 1
) -> LogWithAttempts:
    """The run once it has ended, `within` so many seconds; looks `every` so many.

    Raises TimeoutError, and ApiError.
    """
    give_up = time.monotonic() + within
    while True:
        found = checked(show_log.sync_detailed(logid, client=client))
        if found.log.status in ENDED:
            return found
        if time.monotonic() + every > give_up:
            raise TimeoutError(f"Run {logid} is still {found.log.status} after {within:g} s.")
        time.sleep(every)


async def wait_async(
    client: Client | AuthenticatedClient, logid: int, *, within: float = 3600, every: float = 1
) -> LogWithAttempts:
    """The same without blocking."""
    give_up = time.monotonic() + within
    while True:
        found = checked(await show_log.asyncio_detailed(logid, client=client))
        if found.log.status in ENDED:
            return found
        if time.monotonic() + every > give_up:
            raise TimeoutError(f"Run {logid} is still {found.log.status} after {within:g} s.")
        await asyncio.sleep(every)
