"""What scrapes get: of the installation it is read at most every ten seconds, however many ask."""

import asyncio
from time import monotonic

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.errors import SchedulerError
from scheduler_api.services.system import gauges
from scheduler_api.services.system.gauges import Gauges

log = structlog.get_logger(__name__)

#: Seconds for which what was read is good.
GOOD_FOR = 10.0


class Scrapes:
    """Remembers what was read last, that the database could not be read included."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._until = 0.0
        self._newest: Gauges | None = None

    async def gauges(self) -> Gauges | None:
        """What the installation has to do; None: the database does not answer."""
        async with self._turn:
            if monotonic() >= self._until:
                self._newest = await self._measure()
                self._until = monotonic() + GOOD_FOR
            return self._newest

    async def _measure(self) -> Gauges | None:
        try:
            return await self._database.read(gauges.measure)
        except (SchedulerError, *DATABASE_ERRORS) as error:
            log.warning("metrics of the installation cannot be read", error=explain(error.__cause__ or error))
            return None
