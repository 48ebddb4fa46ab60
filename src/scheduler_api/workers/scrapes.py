"""What scrapes get: of the installation it is read at most every ten seconds, however many ask."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.errors import SchedulerError
from scheduler_api.services.system import gauges
from scheduler_api.services.system.gauges import Gauges, Sizes

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Seconds for which what was read is good; and sizes, which take longer to find out.
GOOD_FOR, SIZES_GOOD_FOR = 10.0, 300.0
#: Seconds that a scrape waits for the database: it has much to tell without.
PATIENCE = 3.0


class _Remembered(Generic[T]):
    """What was read last, that it could not be read included; one reads for all who wait."""

    def __init__(self, read: Callable[[], Awaitable[T]], good_for: Callable[[], float]) -> None:
        self._read, self._good_for = read, good_for
        self._turn = asyncio.Lock()
        self._until = 0.0
        self._newest: T | None = None

    async def newest(self) -> T | None:
        async with self._turn:
            if monotonic() >= self._until:
                self._newest = await self._try()
                self._until = monotonic() + self._good_for()
            return self._newest

    async def _try(self) -> T | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._read()
        except (SchedulerError, TimeoutError, *DATABASE_ERRORS) as error:
            log.warning("metrics of the installation cannot be read", error=explain(error.__cause__ or error))
            return None


class Scrapes:
    """Reads for scrapes."""

    def __init__(self, database: Database) -> None:
        self._gauges = _Remembered(lambda: database.read(gauges.measure), lambda: GOOD_FOR)
        self._sizes = _Remembered(lambda: database.read(gauges.sizes), lambda: SIZES_GOOD_FOR)

    async def gauges(self) -> Gauges | None:
        """What the installation has to do; None: the database does not answer in time."""
        return await self._gauges.newest()

    async def sizes(self) -> Sizes | None:
        """What it takes on disk; None: that took too long."""
        return await self._sizes.newest()
