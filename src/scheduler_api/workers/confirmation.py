"""The start of what runs by itself: at once, or after a restore, when somebody confirms it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.errors import ReplicaOutdated, SchedulerError
from scheduler_api.services.system import restore

log = structlog.get_logger(__name__)

#: Seconds between two looks whether somebody has confirmed.
PAUSE = 1.0


class Confirmation:
    """Waits for the confirmation of a restore, if it is `wanted` and there was one."""

    def __init__(self, database: Database, *, wanted: bool) -> None:
        self._database = database
        self._wanted = wanted
        self._task: asyncio.Task[None] | None = None
        self.is_awaited = False
        """Whether this process runs nothing until somebody confirms."""

    async def start(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Begin now, or in the background once the restore is confirmed.

        `begin` is called again where it failed, so it must start nothing before it can fail.
        """
        # A unit of work, as those notice a restore.
        self.is_awaited = self._wanted and await self._database.transact(restore.is_awaited)
        if not self.is_awaited:
            await begin()
            return
        log.warning("nothing is run until the restore of the database is confirmed")
        self._task = asyncio.create_task(self._wait(begin), name="confirmation")

    async def stop(self) -> None:
        """Wait no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _wait(self, begin: Callable[[], Awaitable[None]]) -> None:
        while self.is_awaited:
            await asyncio.sleep(PAUSE)
            try:
                if not await self._database.transact(restore.is_awaited):
                    await begin()
                    self.is_awaited = False
            except ReplicaOutdated:
                return
            except (SchedulerError, *DATABASE_ERRORS) as error:
                log.warning("cannot see whether to begin", error=explain(error.__cause__ or error))
        log.info("the restore is confirmed; what is due is run from now on")
