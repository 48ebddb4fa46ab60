"""What runs by itself in each replica: due plain runs, the end of pauses, the search for what is broken.

Each is a loop of its own, so that trouble with one keeps none of the others from its work.
"""

import asyncio
from collections.abc import Callable

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.runs.passes import NextDue
from scheduler_api.services.system import health
from scheduler_api.workers.floor import Floor
from scheduler_api.workers.loops import Loop, spread
from scheduler_api.workers.runner import Runner
from scheduler_api.workers.upkeep import Upkeep

log = structlog.get_logger(__name__)

#: Seconds between two walks over all jobs, in search of those whose next run is missing or too late.
REPAIR_EVERY = 30.0
#: Seconds that one step of such a walk may take, and to wait before it goes on.
REPAIR_SECONDS, REPAIR_PAUSE = 0.25, 2.0
#: Seconds that one step may take in which pauses end.
RESUME_SECONDS = 5.0
#: Seconds to leave alone what another replica, or a stranger, holds.
CONTENDED_PAUSE, HELD_PAUSE = 0.05, 0.5
#: Seconds of work between two looks at the clock, and at whether to stop.
MAX_RUN = 1.0


class Ticker:
    """Runs due jobs until it is stopped.

    Any number of tickers may run on one database: a claim skips what another holds. A notification
    only wakes the ticker early; without any it looks at least every `interval` seconds. `changed` is called
    after each pass that did something.
    """

    def __init__(
        self,
        database: Database,
        runner: Runner,
        upkeep: Upkeep,
        interval: float,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._runner = runner
        self._upkeep = upkeep
        self._interval = interval
        self._changed = changed
        self._floor = Floor()
        self._passes = Loop("ticker", self._tick, interval)
        self._pauses = Loop("end of pauses", self._resume, interval)
        self._repairs = Loop("search for missing runs", self._repair, REPAIR_EVERY)

    def start(self) -> None:
        """Begin, in the background."""
        for loop in self._loops:
            loop.start()

    def cease(self) -> None:
        """Take nothing new."""
        for loop in self._loops:
            loop.cease()

    async def stop(self) -> None:
        """Take nothing new, finish what is in progress, and end."""
        self.cease()
        await asyncio.gather(*(loop.stop() for loop in self._loops))

    def wake(self) -> None:
        """Look at once: something may be due, since however long."""
        self._floor.forget()
        self._passes.wake()
        self._pauses.wake()

    @property
    def issue(self) -> str | None:
        """What is wrong with running what is due, in a sentence; None: nothing."""
        return self._passes.issue

    @property
    def silence(self) -> float:
        """Seconds since it last looked at what is due, and could run it."""
        return self._passes.silence

    @property
    def standstill(self) -> list[str]:
        """What makes no progress at the moment, as sentences."""
        return [why for why in [self._passes.standstill] if why is not None]

    @property
    def issues(self) -> list[str]:
        """What is wrong with any of the loops."""
        return [issue for loop in self._loops if (issue := loop.issue) is not None]

    @property
    def _loops(self) -> tuple[Loop, ...]:
        return self._passes, self._pauses, self._repairs

    async def _tick(self) -> float:
        """One look: run passes if something is due; how many seconds to sleep then."""
        floor, version = self._floor.at, self._floor.version
        found = await self._database.read(health.next_due, floor)
        self._floor.saw(found.now if found.due is None else min(found.due, found.now), version)
        if found.due is None or found.due > found.now:
            return self._until(found)
        done = (await self._runner.run_due(found.now, MAX_RUN, floor)).total
        if done.settled:
            self._changed()
            log.info(
                "ran due jobs",
                finished=done.finished,
                failed=done.failed,
                skipped=done.skipped,
                late=round((found.now - found.due).total_seconds(), 3),
            )
            return 0.0
        return min(HELD_PAUSE, self._interval) if done.left else CONTENDED_PAUSE

    def _until(self, found: NextDue) -> float:
        ahead = (found.due - found.now).total_seconds() if found.due else self._interval
        return max(0.0, min(ahead, spread(self._interval)))

    async def _resume(self) -> float:
        """Let jobs go on whose pause has ended; how many seconds to the end of the next one."""
        resumed = await self._upkeep.resume(RESUME_SECONDS)
        if resumed.count:
            self._changed()
            self._passes.wake()
        return min(resumed.next, spread(self._interval))

    async def _repair(self) -> float:
        """A step of the walk over all jobs."""
        repaired = await self._upkeep.repair(REPAIR_SECONDS)
        if repaired.count:
            self._changed()
            self._passes.wake()
        return spread(REPAIR_EVERY) if repaired.is_through else REPAIR_PAUSE
