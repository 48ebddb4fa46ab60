"""The in-process ticker: sleeps until something is due, runs it, and outlives the database."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from time import monotonic

import structlog

from scheduler_api.database.claims import NextDue
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import explain
from scheduler_api.runner import Runner
from scheduler_api.services import health

log = structlog.get_logger(__name__)

#: Seconds between two searches for jobs that lost their promise.
HEAL_EVERY = 60.0
#: Seconds to leave alone what another replica holds.
CONTENDED_PAUSE = 0.05
#: Seconds of work between two looks at the clock, and at whether to stop.
LONGEST_RUN = 1.0
#: Seconds to wait after a failure, doubled with each further one.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.25, 30.0
#: Failures in a row from which on the ticker counts as broken.
BROKEN_AFTER = 3


class Ticker:
    """Runs due jobs until it is stopped.

    Any number of tickers may run on one database: a claim skips what another holds. A notification
    only wakes the ticker early; without any it looks at least every `interval` seconds. `changed` is called
    after each pass that did something.
    """

    def __init__(
        self,
        database: Database,
        runner: Runner,
        interval: float,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._runner = runner
        self._interval = interval
        self._changed = changed
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._heal_at = monotonic()
        self._last_tick = monotonic()
        self._failures = 0

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._tick_forever(), name="ticker")

    async def stop(self) -> None:
        """Take nothing new, finish the pass under way, and end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._wake.set()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the ticker, in a sentence; None: nothing."""
        if self._failures >= BROKEN_AFTER:
            return f"The last {self._failures} looks at the database failed."
        silence = monotonic() - self._last_tick
        if silence > 3 * self._interval + LONGEST_BACKOFF:
            return f"The ticker has not looked for {silence:.0f} s."
        return None

    async def _tick_forever(self) -> None:
        while not self._stopping:
            # Before the look: what is promised meanwhile wakes it again.
            self._wake.clear()
            try:
                pause = await self._tick()
                self._last_tick = monotonic()
                self._failures = 0
            except Exception as error:  # nothing may end the loop but stop()
                self._failures += 1
                pause = _backoff(self._failures)
                self._complain(error, pause)
            await self._sleep(pause)

    async def _tick(self) -> float:
        """One look: run a pass if something is due; how many seconds to sleep then."""
        if monotonic() >= self._heal_at:
            await self._runner.heal()
            self._heal_at = monotonic() + HEAL_EVERY
        found = await self._database.read(health.next_due)
        await self._runner.resume(found)
        if found.resume is not None and found.resume <= found.now:
            self._changed()
        if found.due is None or found.due > found.now:
            return self._until(found)
        done = (await self._runner.run_due(found.now, LONGEST_RUN)).total
        if done.claimed:
            self._changed()
            log.info(
                "ran due jobs",
                finished=done.finished,
                failed=done.failed,
                skipped=done.skipped,
                late=round((found.now - found.due).total_seconds(), 3),
            )
        if done.claimed == done.stuck:
            return self._interval if done.stuck else CONTENDED_PAUSE
        return 0.0

    def _until(self, found: NextDue) -> float:
        # Jitter keeps replicas that started together from looking together forever.
        longest = self._interval * random.uniform(0.8, 1.0)  # noqa: S311
        ahead = [(instant - found.now).total_seconds() for instant in (found.due, found.resume) if instant]
        return max(0.0, min([*ahead, longest]))

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    def _complain(self, error: Exception, pause: float) -> None:
        tell = log.error if self._failures >= BROKEN_AFTER else log.warning
        cause = error.__cause__ or error
        tell("ticker failed", error=explain(cause), failures=self._failures, again_in=round(pause, 2))


def _backoff(failures: int) -> float:
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311
