"""A standby that pages are read from, as long as it is hardly behind.

A page may show what was so some seconds ago, but never what a reader knows to be over: who has just changed
something reads from the primary until the standby must have it (`WROTE_SECONDS`), and a change is
published to pages only when it can be read.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic

import structlog

from scheduler_api.database.engine import Database, Elsewhere
from scheduler_api.database.system import standby
from scheduler_api.errors import DatabaseUnavailable, SchedulerError
from scheduler_api.workers.loops import Loop

log = structlog.get_logger(__name__)

#: Seconds between two looks how far it has followed, and while somebody waits for it.
INTERVAL, HASTE = 0.5, 0.05
#: So many seconds behind it may be to be read from; and so long those read from the primary who have changed
#: something.
MAX_LAG, WROTE_SECONDS = 5.0, 10
#: How many instants of the primary are remembered: more than there are in the time that it may be behind.
REMEMBERED = 60


class Standby:
    """Reads from a standby what may be a little old."""

    def __init__(self, primary: Database, database: Database) -> None:
        self._primary, self._database = primary, database
        self.reading = primary.reading(Elsewhere(database, self._failed))
        """The connections of the primary, but what is only read is read from the standby."""
        # How far the primary had written, and when by this process' own clock, the oldest first.
        self._written: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        # What was committed until then can be read from it; and has to be able to: it was published.
        self._fresh_at = self._published_at = -inf
        self._was_fit: bool | None = None
        self._is_ours = True
        self._waiting: set[asyncio.Task[None]] = set()
        self.loop = Loop("standby for pages", self._look, INTERVAL, INTERVAL)

    @property
    def lag(self) -> float | None:
        """How many seconds it is behind at most; None: pages are read from the primary, as it is too many."""
        lag = monotonic() - self._fresh_at
        return lag if lag <= MAX_LAG and self._fresh_at >= self._published_at else None

    def when_caught_up(self, call: Callable[[], None]) -> None:
        """Call once all that is committed by now can be read; at once where the primary is read."""
        if self.lag is None:
            self._publish_at_once(call)
            return
        task = asyncio.create_task(self._catch_up(call))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def stop(self) -> None:
        """Look no more."""
        await self.loop.cancel()
        for task in self._waiting:
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting)

    async def _catch_up(self, call: Callable[[], None]) -> None:
        since = monotonic()
        while self.lag is not None and self._fresh_at < since:
            self.loop.hasten(HASTE)
            await asyncio.sleep(HASTE)
        if self._fresh_at >= since:
            call()
        else:
            self._publish_at_once(call)

    def _publish_at_once(self, call: Callable[[], None]) -> None:
        """As the primary is read, and until the standby has what is published."""
        self._published_at = monotonic()
        call()

    async def _look(self) -> float:
        """See how far it has followed."""
        try:
            now = monotonic()
            written = await self._primary.read(standby.written)
            assert written.position is not None
            self._written.append((now, written.position))
            replayed = await self._database.read(standby.replayed)
            self._is_ours = replayed.position is not None and replayed.installation == written.installation
            if replayed.position is not None and self._is_ours:
                self._saw(replayed.position)
        finally:
            self._log()
        return INTERVAL

    def _saw(self, position: int) -> None:
        while self._written and self._written[0][1] <= position:
            self._fresh_at = self._written.popleft()[0]

    def _failed(self, error: SchedulerError) -> None:
        # One that is slow, or has no connection left, may answer the next.
        if isinstance(error, DatabaseUnavailable):
            self._fresh_at = -inf
        log.warning("a page is read from the primary: the standby did not answer it", error=str(error))

    def _log(self) -> None:
        is_fit = self.lag is not None
        if is_fit == self._was_fit:
            return
        self._was_fit = is_fit
        if is_fit:
            log.info("pages are read from the standby")
        elif self._is_ours:
            log.warning("pages are read from the primary: the standby is too far behind, or away")
        else:
            log.warning(
                "pages are read from the primary: SCHEDULER_DATABASE_READ_URL leads to no standby of it"
            )
