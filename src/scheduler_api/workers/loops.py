"""Loops that run as long as the service does: one step after the other, whatever happens to the database."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from scheduler_api.database.failures import explain
from scheduler_api.errors import ReplicaOutdated

log = structlog.get_logger(__name__)

#: Seconds to wait after a failed step, doubled with each further one.
FIRST_BACKOFF, MAX_BACKOFF = 0.25, 30.0
#: Failures in a row from which on a loop counts as broken.
BROKEN_AFTER = 3


class Loop:
    """Takes steps until it is stopped.

    `step` says how many seconds to wait before the next one, `longest` how many that may be at most; `wake`
    ends the wait. A step that fails is repeated, after a pause that grows with each failure in a row. It all
    ends where only newer code may write by now.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[float]], longest: float) -> None:
        self.name = name
        self._step = step
        self._longest = longest
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._last_done = monotonic()

    def start(self) -> None:
        """Begin, in the background."""
        self._last_done = monotonic()
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Finish the step under way, take no other, and end."""
        self.cease()
        if self._task is not None:
            await asyncio.wait([self._task])

    def cease(self) -> None:
        """Take no further step."""
        self._is_stopping = True
        self._wake.set()

    def wake(self) -> None:
        """Take the next step at once."""
        self._wake.set()

    @property
    def is_stopping(self) -> bool:
        """Whether no further step will be taken, so that one under way should come to its end."""
        return self._is_stopping

    @property
    def silence(self) -> float:
        """Seconds since a step last succeeded."""
        return monotonic() - self._last_done

    @property
    def issue(self) -> str | None:
        """What is wrong, in a sentence; None: nothing."""
        if self._failures >= BROKEN_AFTER:
            return f"The last {self._failures} steps of the {self.name} failed."
        if self._task is not None and self.silence > 3 * self._longest + MAX_BACKOFF:
            return f"The {self.name} has done nothing for {self.silence:.0f} s."
        return None

    async def _run(self) -> None:
        while not self._is_stopping:
            # Before the step: what happens meanwhile wakes it again.
            self._wake.clear()
            try:
                pause = await self._step()
                self._last_done = monotonic()
                self._failures = 0
            except ReplicaOutdated:
                return
            except Exception as error:  # nothing else may end the loop but stop()
                self._failures += 1
                pause = backoff(self._failures)
                self._complain(error, pause)
            await self._sleep(min(pause, max(self._longest, MAX_BACKOFF)))

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._is_stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    def _complain(self, error: Exception, pause: float) -> None:
        tell = log.error if self._failures >= BROKEN_AFTER else log.warning
        cause = error.__cause__ or error
        tell(f"{self.name} failed", error=explain(cause), failures=self._failures, again_in=round(pause, 2))


def spread(seconds: float) -> float:
    """A little less than so many seconds: replicas that started together do not act together for ever."""
    return seconds * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load


def backoff(failures: int, limit: float = MAX_BACKOFF) -> float:
    """Seconds to wait after so many failures in a row: twice as long with each, up to `limit`, and spread."""
    longest = min(limit, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
