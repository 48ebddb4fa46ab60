"""Keeping jobs going: pauses end, next runs that are missing or too late are put right, history has room.

Nobody who runs what is due depends on it. Each job is a try of its own; one that somebody holds is left
for the next time.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import structlog

from scheduler_api.actors import SCHEDULE, Actor
from scheduler_api.database import installation
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.errors import DatabaseBusy
from scheduler_api.schedule import zones
from scheduler_api.services.jobs import actions, calendars, project_secrets, removal
from scheduler_api.services.runs import breakers, repairs
from scheduler_api.services.runs.retention import FOR_EVER, Keep
from scheduler_api.workers.history import HistoryKeeper

log = structlog.get_logger(__name__)

#: Pauses that end, and jobs that are looked at, in one unit of work.
RESUME_BATCH, WALK_BATCH = 50, 1000
#: Seconds to leave a pause alone whose job somebody holds.
HELD_PAUSE = 0.5
#: Seconds for which whoever changes a calendar waits until jobs go by it; the rest follows by and by.
FOLLOW_SECONDS = 5.0
#: Seconds between two walks in which the histories of removed jobs go.
REMOVE_SECONDS = 5.0
#: Seconds until the next pause ends, where none is known to.
NEVER = float("inf")


@dataclass(slots=True)
class Resumed:
    """Jobs whose pause has ended."""

    count: int = 0
    next: float = NEVER
    """Seconds to the next look."""


@dataclass(slots=True)
class Repaired:
    """Jobs whose next run was put right."""

    count: int = 0
    is_through: bool = False
    """Whether all jobs have been looked at, since the walk began."""


class Upkeep:
    """Walks over jobs in bounded steps, on one pool of connections."""

    def __init__(self, database: Database, keep: Keep = FOR_EVER) -> None:
        """`keep` is how long history is kept."""
        self._database, self._history = database, HistoryKeeper(database, keep)
        self._walked = 0
        self._zone_rules = ""

    async def resume(self, seconds: float) -> Resumed:
        """End the pauses whose time has come, but those of jobs that somebody holds, for so many seconds."""
        resumed = Resumed()
        give_up = monotonic() + seconds
        after = actions.FIRST_PAUSE
        while True:
            over = await self._database.read(actions.pauses_over, after, RESUME_BATCH)
            if over.jobids:
                done = await undisturbed(self._database.transact(actions.resume_all, over.jobids))
                resumed.count += done
                if done < len(over.jobids):
                    resumed.next = HELD_PAUSE
            if len(over.jobids) < RESUME_BATCH:
                resumed.next = min(resumed.next, NEVER if over.next is None else over.next)
                return resumed
            if monotonic() >= give_up:
                resumed.next = min(resumed.next, 0.0 if resumed.count else HELD_PAUSE)
                return resumed
            after = over.last

    async def repair(self, seconds: float) -> Repaired:
        """Go on with the walk over all active jobs, for so many seconds; at least by one step or repair."""
        repaired = Repaired()
        give_up = monotonic() + seconds
        while True:
            step = await self._database.read(repairs.suspects, self._walked, WALK_BATCH)
            for jobid in step.jobids:
                repaired.count += await self._repair(jobid)
                if monotonic() >= give_up:
                    self._walked = jobid
                    return repaired
            self._walked = step.last or 0
            if step.last is None:
                await self._database.transact(breakers.forget)
                repaired.count += await undisturbed(self._database.transact(repairs.shorten_waits))
                await self.follow_calendars(SCHEDULE, seconds)
                await self._remove()
                await undisturbed(self._database.transact(project_secrets.remove_unnamed))
                await self._history.tend()
                repaired.is_through = True
                return repaired
            if monotonic() >= give_up:
                return repaired

    async def _repair(self, jobid: int) -> bool:
        try:
            return await undisturbed(self._database.transact(repairs.repair, jobid))
        except DatabaseBusy:
            log.info("a job is locked by another transaction; trying later", jobid=jobid)
            return False

    async def _remove(self) -> None:
        """Go on with the removal of jobs with long histories, for a while."""
        give_up = monotonic() + REMOVE_SECONDS
        for jobid in await self._database.read(removal.hidden):
            since: datetime | None = removal.BEGINNING
            while since is not None:
                if monotonic() > give_up:
                    return
                since = await undisturbed(self._database.transact(removal.remove_more, jobid, since))

    async def follow_calendars(self, actor: Actor, seconds: float, name: str | None = None) -> None:
        """Let jobs go by their calendars, or by this one, as these are now, for about so many seconds."""
        give_up = monotonic() + seconds
        after: int | None = 0
        while after is not None and monotonic() < give_up:
            work = self._database.transact(calendars.follow, actor, name, after)
            after = (await undisturbed(work)).last

    async def begin_to_follow(self, actor: Actor, name: str) -> None:
        """The same for whoever has just changed the calendar, who does not wait for others."""
        with contextlib.suppress(DatabaseBusy):
            await self.follow_calendars(actor, FOLLOW_SECONDS, name)

    async def is_aligned(self) -> bool:
        """Whether all next runs were timed by the rules of time zones that this replica has."""
        self._zone_rules = await asyncio.to_thread(zones.digest_of_rules)
        return await self._database.read(installation.zone_rules) == self._zone_rules

    async def realign(self) -> None:
        """Re-time next runs that rest on rules of time zones that have changed."""
        if await self.is_aligned():
            return
        # Of a database just made, none are known.
        if await self._database.read(installation.zone_rules) is not None:
            log.info("the rules of time zones have changed: all next runs are looked at")
        after: int | None = 0
        while after is not None:
            after = await self._database.transact(repairs.realign, after, WALK_BATCH)
        await self._database.transact(installation.keep_zone_rules, self._zone_rules)
