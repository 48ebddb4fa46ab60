"""Looks for what is wrong with the service itself, so that channels are told of it."""

from collections.abc import Callable
from time import monotonic

import structlog

from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import SchedulerError
from scheduler_api.services.system import troubles
from scheduler_api.services.system.troubles import Outage, Replica
from scheduler_api.workers.loops import Loop, spread

log = structlog.get_logger(__name__)

#: Seconds between two looks; and for how long the database must be out of reach to be told of.
EVERY, AWAY = 30.0, 60.0


class ServiceWatcher:
    """Looks until it is stopped. What one look finds may be over in a moment: the second one is noticed."""

    def __init__(self, database: Database, replica: Callable[[], Replica], every: float = EVERY) -> None:
        """`replica` tells what this one knows by itself."""
        self._database, self._replica, self._every = database, replica, every
        self._suspected, self._known = set[tuple[str, str]](), set[tuple[str, str]]()
        self._awaysince: float | None = None
        self.loop = Loop("search for issues of the service", self._look, every)

    async def _look(self) -> float:
        replica = self._replica()
        try:
            found = await self._database.transact(troubles.find_all, replica)
        except (SchedulerError, *DATABASE_ERRORS):
            self._awaysince = self._awaysince or monotonic()
            raise
        outage = self._outage(replica.name)
        noticed = [one for one in found if one.name in self._suspected]
        self._suspected = {one.name for one in found}
        await undisturbed(self._database.transact(troubles.tell_of, noticed, outage))
        self._awaysince = None
        for one in noticed:
            if one.name not in self._known:
                log.warning("an issue of the service", what=one.issue.what, why=one.issue.why)
        self._known = {one.name for one in noticed}
        return spread(self._every)

    def _outage(self, name: str) -> Outage | None:
        """That the database could not be reached for a while, and can be again."""
        if self._awaysince is None or monotonic() - self._awaysince < AWAY:
            return None
        return Outage(name, monotonic() - self._awaysince)
