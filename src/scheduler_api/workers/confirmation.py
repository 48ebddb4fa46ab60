"""The start of the loops: at once, or once all is ready for them, in the background.

After a restore somebody may have to confirm it; where the rules of time zones have changed, next runs are
looked at first, which takes as long as there are many.
"""

from collections.abc import Callable

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.services.system import restore
from scheduler_api.workers.loops import Loop
from scheduler_api.workers.upkeep import Upkeep

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

    async def start(self, begin: Callable[[], None]) -> None:
        """Begin now, or in the background as soon as that is right."""
        # A unit of work, as those notice a restore.
        self.is_awaited = self._wanted and await self._database.transact(restore.is_awaited)
        upkeep = Upkeep(self._database)
        if not self.is_awaited and await upkeep.is_aligned():
            begin()
            return
        if self.is_awaited:
            log.warning("nothing is run until the restore of the database is confirmed")

        async def look() -> float:
            if self.is_awaited and await self._database.transact(restore.is_awaited):
                return PAUSE
            await upkeep.realign()
            begin()
            self.is_awaited = False
            loop.cease()
            log.info("what is due is run from now on")
            return PAUSE

        self._loop = loop = Loop("start of the loops", look, PAUSE, PAUSE)
        loop.start()

    async def stop(self) -> None:
        """Wait no more."""
        if self._loop is not None:
            await self._loop.cancel()
