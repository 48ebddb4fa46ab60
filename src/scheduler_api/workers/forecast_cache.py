"""The forecast of the load, computed at most every half minute, however many pages show it."""

import asyncio
from time import monotonic

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.database.engine import Database
from scheduler_api.services.history import forecast

#: Seconds for which a forecast is good: what it tells of changes with the schedules only.
GOOD_FOR = 30.0


class Forecasts:
    """Remembers the newest forecast."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._newest: Forecast | None = None
        self._until = 0.0

    async def newest(self) -> Forecast:
        """The forecast of now, or of a moment ago."""
        async with self._turn:
            if self._newest is None or monotonic() >= self._until:
                seen = await self._database.transact(forecast.look)
                self._newest = await QUESTIONS.compute(forecast.forecast, seen)
                self._until = monotonic() + GOOD_FOR
            return self._newest

    def forget(self) -> None:
        """Compute it anew next time: a schedule has changed."""
        self._until = 0.0
