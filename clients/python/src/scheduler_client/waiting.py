"""Waiting until a run has ended."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from scheduler_client.calls import ApiError, checked
from scheduler_client.generated.api.logs import show_log
from scheduler_client.generated.client import Client
from scheduler_client.generated.models.log_status import LogStatus
from scheduler_client.generated.models.log_with_attempts import LogWithAttempts

ENDED = {LogStatus.FINISHED, LogStatus.FAILED, LogStatus.SKIPPED}
#: The service, or what stands in front of it, is not to be had for a moment.
PASSING = {502, 503, 504}


class _Wait:
    """How long to wait, and what was seen last."""

    def __init__(self, logid: int, within: float, every: float) -> None:
        self.every = every
        self._logid, self._within = logid, within
        self._give_up = time.monotonic() + within
        self._seen = "not to be had"
        self._error: Exception | None = None

    @contextmanager
    def looking(self) -> Iterator[None]:
        """A failover of the service ends no wait. Raises ApiError for what will not pass."""
        try:
            yield
        except ApiError as error:
            if error.status not in PASSING:
                raise
            self._error = error
        except httpx.TransportError as error:
            self._error = error

    def is_over(self, found: LogWithAttempts) -> bool:
        self._seen, self._error = f"still {found.log.status}", None
        return found.log.status in ENDED

    def check(self) -> None:
        """Raise TimeoutError where there is no time for another look."""
        if time.monotonic() + self.every > self._give_up:
            said = f"Run {self._logid} is {self._seen} after {self._within:g} s."
            raise TimeoutError(said) from self._error


def wait(client: Client, logid: int, *, within: float = 3600, every: float = 1) -> LogWithAttempts:
    """The run once it has ended, `within` so many seconds; looks `every` so many.

    Raises TimeoutError, and ApiError.
    """
    waiting = _Wait(logid, within, every)
    while True:
        with waiting.looking():
            found = checked(show_log.sync_detailed(logid, client=client))
            if waiting.is_over(found):
                return found
        waiting.check()
        time.sleep(every)


async def wait_async(
    client: Client, logid: int, *, within: float = 3600, every: float = 1
) -> LogWithAttempts:
    """The same without blocking."""
    waiting = _Wait(logid, within, every)
    while True:
        with waiting.looking():
            found = checked(await show_log.asyncio_detailed(logid, client=client))
            if waiting.is_over(found):
                return found
        waiting.check()
        await asyncio.sleep(every)
