"""Loops that run as long as the service does: one step after the other, whatever happens to the database."""

import asyncio
import contextlib
import math
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

    `step` says how many seconds to wait before the next one; `longest`, how many that may be at most: without
    it, steps wait for something themselves. A step that fails is repeated after a pause that grows with each
    failure in a row, up to `max_backoff` seconds. It all ends where only newer code may write by now.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        longest: float = math.inf,
        max_backoff: float = MAX_BACKOFF,
    ) -> None:
        self.name = name
        self._step = step
        self._longest = longest
        self._max_backoff = max_backoff
        # When the next step is due; it may come nearer while one is being taken, and while it is waited for.
        self._next = math.inf
        self._nearer = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._last_done = monotonic()

    def start(self) -> None:
        """Begin, in the background."""
        self._last_done = monotonic()
        self._task = asyncio.create_task(self._run(), name=self.name)

    def cease(self) -> None:
        """Take no further step."""
        self._is_stopping = True
        self._nearer.set()

    async def stop(self) -> None:
        """Finish the step in progress, take no other, and end."""
        self.cease()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def cancel(self) -> None:
        """End at once, in the midst of a step too."""
        if self._task is not None:
            self._task.cancel()
        await self.stop()

    def wake(self) -> None:
        """Take the next step at once, whatever failed."""
        self._take_at(monotonic())

    def hasten(self, seconds: float) -> None:
        """Take the next step in so many seconds, if not before. After a failure its pause is kept."""
        if not self._failures:
            self._take_at(monotonic() + seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether no further step will be taken, so that one in progress should come to its end."""
        return self._is_stopping

    @property
    def silence(self) -> float:
        """Seconds since a step last succeeded; 0 before the start."""
        return 0.0 if self._task is None else monotonic() - self._last_done

    @property
    def standstill(self) -> str | None:
        """Why it makes no progress at the moment, in a sentence; None: it does."""
        if self._task is None or self._task.done():
            return f"The {self.name} does not run."
        if self._failures:
            return f"The last step of the {self.name} failed."
        if self.silence > self._longest + MAX_BACKOFF:
            return f"The {self.name} has done nothing for {self.silence:.0f} s."
        return None

    @property
    def issue(self) -> str | None:
        """What is wrong, in a sentence; None: nothing."""
        if self._failures >= BROKEN_AFTER:
            return f"The last {self._failures} steps of the {self.name} failed."
        if self.silence > 3 * self._longest + MAX_BACKOFF:
            return f"The {self.name} has done nothing for {self.silence:.0f} s."
        return None

    async def _run(self) -> None:
        while not self._is_stopping:
            self._next = math.inf
            try:
                pause = min(await self._step(), self._longest)
                self._last_done = monotonic()
                self._failures = 0
            except ReplicaOutdated:
                return
            except Exception as error:  # nothing else may end the loop but stop()
                self._failures += 1
                pause = backoff(self._failures, self._max_backoff)
                self._complain(error, pause)
            self._take_at(monotonic() + pause)
            await self._sleep()

    def _take_at(self, at: float) -> None:
        if at < self._next:
            self._next = at
            self._nearer.set()

    async def _sleep(self) -> None:
        while (left := self._next - monotonic()) > 0 and not self._is_stopping:
            self._nearer.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._nearer.wait()

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
