"""The projects of who asks, and how many requests and event streams these allow: counted by each replica.

Who has a role everywhere is not counted. Who has roles in several projects has the highest of their quotas.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic
from typing import NamedTuple

from scheduler_api.actors import Principal, Role
from scheduler_api.contracts.access.projects import Project
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import QuotaExceeded, SchedulerError
from scheduler_api.services.access import projects
from scheduler_api.workers.meter import SECOND, Meter

#: Seconds over which requests are averaged, and for which quotas are known.
WINDOW, KNOWN_SECONDS = 10, 5.0

Who = tuple[str, int, str | None]


class Allowance(NamedTuple):
    """What is left to who asks."""

    quota: int
    """Requests in WINDOW seconds."""
    left: int
    seconds: int
    """Until all of them are there again."""


class RequestQuotas:
    """Counts against the quotas of projects."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Project] = {}
        self._until = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._meter = Meter(WINDOW)
        self._streams = Counter[Who]()

    async def take(self, principal: Principal) -> Allowance | None:
        """Count one request; None: they are not bounded. Raises QuotaExceeded."""
        allowed = await self._highest(principal, "maxrequests")
        if allowed is None:
            return None
        share = SECOND // allowed
        taken = self._meter.take(_who(principal), share)
        if taken.wait:
            seconds = -(-taken.wait // SECOND)
            raise QuotaExceeded(f"The quota of {allowed:,} requests a second is used up.", seconds)
        # The share is rounded down: there is room for the last one, too.
        left = (WINDOW * SECOND - taken.ahead) // share
        return Allowance(allowed * WINDOW, left, -(-taken.ahead // SECOND))

    @contextlib.asynccontextmanager
    async def streaming(self, principal: Principal) -> AsyncIterator[None]:
        """One more event stream, while it is entered. Raises QuotaExceeded."""
        allowed, who = await self._highest(principal, "maxstreams"), _who(principal)
        if allowed is not None and self._streams[who] >= allowed:
            raise QuotaExceeded(f"The quota of {allowed:,} event streams is used up.", WINDOW)
        self._streams[who] += 1
        try:
            yield
        finally:
            self._streams[who] -= 1
            if not self._streams[who]:
                del self._streams[who]

    async def projects_of(self, principal: Principal) -> list[str]:
        """The projects that who asks may see, by name."""
        await self._look()
        return [name for name in self._known if principal.roles.may(Role.VIEWER, name)]

    def knows(self, name: str) -> bool:
        """Whether there is such a project, as far as is known here."""
        return name in self._known

    async def refresh(self) -> None:
        """Look at the projects. That the database is away keeps what is known."""
        self._until = monotonic() + KNOWN_SECONDS
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            self._known = {one.name: one for one in await self._database.read(projects.listing, None)}

    async def _look(self) -> None:
        """See to it that what is known is not old. Only the first who asks waits for the database."""
        if not self._known:
            await self.refresh()
        elif monotonic() > self._until and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self.refresh())

    async def close(self) -> None:
        """Look no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    async def _highest(self, principal: Principal, name: str) -> int | None:
        """The highest quota of the projects of who asks; None: they are not bounded."""
        if principal.roles.everywhere is not None or not principal.roles.projects:
            return None
        await self._look()
        found = [getattr(self._known[one], name) for one in principal.roles.projects if one in self._known]
        return None if None in found or not found else max(found)


def _who(principal: Principal) -> Who:
    # Those whom a proxy has signed in have no id here.
    return principal.kind, principal.id, principal.name
