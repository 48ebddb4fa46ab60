"""The forecast of the load, computed at most every half minute, however many pages show it."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.database.engine import Database
from scheduler_api.services.history import forecast

#: Seconds for which a forecast is good: what it tells of changes with the schedules only.
GOOD_FOR = 30.0
#: Of how many sets of projects forecasts are remembered.
MAX_KNOWN = 100


class Forecasts:
    """Remembers the newest forecasts, each of the projects of somebody who asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._known: dict[Sequence[str] | None, tuple[float, Forecast]] = {}

    async def newest(self, projects: Sequence[str] | None = None) -> Forecast:
        """The forecast of now, or of a moment ago: of these projects; None: of all."""
        async with self._turn:
            until, newest = self._known.get(projects, (0.0, None))
            if newest is None or monotonic() >= until:
                seen = await self._database.transact(forecast.look, projects)
                newest = await QUESTIONS.compute(forecast.forecast, seen)
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[projects] = (monotonic() + GOOD_FOR, newest)
            return newest

    def forget(self) -> None:
        """Compute it anew next time: a schedule has changed."""
        self._known.clear()
