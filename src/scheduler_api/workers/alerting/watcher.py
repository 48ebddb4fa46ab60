"""Looks for what does not happen, and reminds of what goes on: what no result tells of."""

from collections.abc import Collection
from time import monotonic

import structlog

from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.services.alerts import sending
from scheduler_api.services.runs import watching
from scheduler_api.services.runs.watching import Suspicion
from scheduler_api.workers.loops import Loop, spread

log = structlog.get_logger(__name__)

#: Seconds between two looks; after how many a suspicion is looked at again; that a look at jobs may take.
EVERY, AGAIN, WALK_SECONDS = 15.0, 10.0, 0.25
#: Jobs that are noticed in one transaction.
BATCH = 200


class Watcher:
    """Looks until it is stopped. Any number may look at one database: an issue is opened once."""

    def __init__(self, database: Database, every: float = EVERY, again: float = AGAIN) -> None:
        self._database = database
        self._every, self._again = every, again
        # When runs and jobs were suspected first; those of the walk over jobs that is in progress apart.
        self._runs: dict[Suspicion, float] = {}
        self._jobs: dict[Suspicion, float] = {}
        self._walking: dict[Suspicion, float] = {}
        self._walked = 0
        self.loop = Loop("search for late and silent jobs", self._look, every)

    async def _look(self) -> float:
        now = monotonic()
        found = await self._database.read(watching.suspect_runs)
        self._runs = {one: self._runs.get(one, now) for one in found}
        await self._walk(now)
        ripe = [
            one
            for known in (self._runs, self._jobs)
            for one, since in known.items()
            if now - since >= self._again
        ]
        await self._notice(ripe)
        await undisturbed(self._database.transact(watching.clear))
        await undisturbed(self._database.transact(sending.tend))
        return spread(self._every)

    async def _walk(self, now: float) -> None:
        """Go on with the walk over all jobs, for a while."""
        give_up = monotonic() + WALK_SECONDS
        while monotonic() < give_up:
            step = await self._database.read(watching.walk_jobs, self._walked)
            if step.distances:
                await undisturbed(self._database.transact(watching.keep_distances, step.distances))
            self._walking |= {one: self._jobs.get(one, now) for one in step.silent}
            self._walked = step.last or 0
            if step.last is None:
                self._jobs, self._walking = self._walking, {}
                return

    async def _notice(self, ripe: Collection[Suspicion]) -> None:
        found = list(ripe)
        for start in range(0, len(found), BATCH):
            part = found[start : start + BATCH]
            await undisturbed(self._database.transact(watching.verify, part))
        if found:
            log.info("issues of jobs were looked at", jobs=len(found))
