"""How many issues are open, for the header of pages: known for a moment, so that no page waits for it."""

import asyncio
import contextlib
from contextvars import Context
from time import monotonic

from scheduler_api.actors import Principal, Role
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import SchedulerError
from scheduler_api.services.alerts import issues

#: Seconds for which the count is known.
KNOWN_SECONDS = 3.0


class OpenIssues:
    """Counts them by project, when somebody asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, int] = {}
        self._until = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    def count(self, principal: Principal, project: str | None) -> int:
        """How many issues who asks may see: of a project, or of all; as of a few seconds ago."""
        if monotonic() > self._until and (self._refreshing is None or self._refreshing.done()):
            # It belongs to no request: neither its log lines nor its spans.
            self._refreshing = asyncio.create_task(self._refresh(), context=Context())
        return sum(
            count
            for name, count in self._known.items()
            if project in {None, name} and principal.roles.may(Role.VIEWER, name)
        )

    async def _refresh(self) -> None:
        """Count anew. That the database is away keeps what is known."""
        self._until = monotonic() + KNOWN_SECONDS
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            self._known = await self._database.read(issues.count_by_project)

    async def close(self) -> None:
        """Count no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
