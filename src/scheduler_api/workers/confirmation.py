"""The start of what runs by itself: at once, or after a restore, when somebody confirms it."""

from collections.abc import Awaitable, Callable

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.services.system import restore
from scheduler_api.workers.loops import Loop

log = structlog.get_logger(__name__)

#: Seconds between two looks whether somebody has confirmed.
PAUSE = 1.0


class Confirmation:
    """Waits for the confirmation of a restore, if it is `wanted` and there was one."""

    def __init__(self, database: Database, *, wanted: bool) -> None:
        self._database = database
        self._wanted = wanted
        self._loop: Loop | None = None
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

        async def look() -> float:
            if not await self._database.transact(restore.is_awaited):
                await begin()
                self.is_awaited = False
                loop.cease()
                log.info("the restore is confirmed; what is due is run from now on")
            return PAUSE

        self._loop = loop = Loop("wait for the confirmation", look, PAUSE, PAUSE)
        loop.start()

    async def stop(self) -> None:
        """Wait no more."""
        if self._loop is not None:
            await self._loop.cancel()
