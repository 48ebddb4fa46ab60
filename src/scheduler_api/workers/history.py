"""Keeping history: room for what is to come, days that are over closed, and old ones dropped.

Every replica does it, whichever comes first; nothing that runs waits for it.
"""

from time import monotonic

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import tallies
from scheduler_api.errors import DatabaseBusy, ServiceBusy
from scheduler_api.schedule.days import midnight
from scheduler_api.services.history import closing
from scheduler_api.services.jobs import removal
from scheduler_api.services.runs import retention, thinning
from scheduler_api.services.runs.retention import Keep
from scheduler_api.workers.steadiness import SteadyClock

log = structlog.get_logger(__name__)

#: Seconds for which days are closed between two walks over all jobs.
CLOSE_SECONDS = 5.0
#: And for which rows go that jobs do not record.
THIN_SECONDS = 5.0
#: And for which changes go that were made before the horizon.
FORGET_SECONDS = 5.0
HOUR = 3600.0


class HistoryKeeper:
    """Tends the history of all jobs, on one pool of connections."""

    def __init__(self, database: Database, keep: Keep, confirmation: float = HOUR) -> None:
        """`keep` is how long history is kept.

        For `confirmation` seconds the database's clock has to be seen to be right before days are closed, or
        dropped.
        """
        self._database, self._keep, self._clock = database, keep, SteadyClock(confirmation)
        # To find them takes a look at all jobs: once, and whenever history has become shorter.
        self._are_jobs_forgotten = False
        # Up to which change those from before the horizon are gone; None: all of them.
        self._forgotten: int | None = 0

    async def tend(self) -> None:
        """Make room for the history to come, and move into history what is over."""
        try:
            await self._database.transact(retention.extend, self._keep)
        except asyncpg.InsufficientPrivilegeError as error:
            # All that settles goes into the newest part then.
            log.warning(
                "this role may not add parts of history; make it the owner of the tables", error=error
            )
        except DatabaseBusy as error:
            log.info("a part of history could not be added; trying later", error=error)
        while await undisturbed(self._database.transact(retention.sweep)):
            pass
        if self._clock.look(await self._database.read(definitions.clock)):
            await self._close_days()
            await self._thin_days()
            await self._drop_days()

    async def _close_days(self) -> None:
        """Go on with closing days that are over, for a while."""
        give_up = monotonic() + CLOSE_SECONDS
        try:
            await self._database.transact(closing.begin)
            while monotonic() < give_up and await undisturbed(self._database.transact(closing.close_some)):
                pass
        except (DatabaseBusy, ServiceBusy) as error:
            log.info("days could not be closed; trying later", error=error)

    async def _thin_days(self) -> None:
        """Go on with letting rows go that their jobs do not record, for a while."""
        give_up = monotonic() + THIN_SECONDS
        await self._database.transact(thinning.thin, self._keep)
        while monotonic() < give_up and await undisturbed(self._database.transact(thinning.thin_some)):
            pass

    async def _forget_jobs(self) -> None:
        """Remove deleted jobs that have no run since the horizon."""
        horizon = midnight(await self._database.read(tallies.horizon))
        while await undisturbed(self._database.transact(removal.forget, horizon)):
            pass

    async def _forget_changes(self) -> None:
        """Go on with removing what was changed before the horizon, for a while."""
        give_up = monotonic() + FORGET_SECONDS
        while self._forgotten is not None and monotonic() < give_up:
            removed = self._database.transact(removal.forget_changes, self._forgotten)
            self._forgotten = await undisturbed(removed)

    async def _drop_days(self) -> None:
        """Drop the oldest part of history, if its time has come, and what was left of earlier ones."""
        await self._database.transact(retention.forget, self._keep)
        commands = await self._database.read(retention.drops)
        for command in commands:
            try:
                await undisturbed(self._database.command_alone(command))
            except (DBAPIError, asyncpg.PostgresError) as error:
                # Somebody has it open for long, or another replica does the same.
                log.warning(
                    "a part of history could not be dropped; trying later", command=command, error=error
                )
                return
            log.info("a part of history goes", command=command)
        if commands:
            await self._database.transact(retention.dropped)
            self._are_jobs_forgotten, self._forgotten = False, 0
        if not self._are_jobs_forgotten:
            await self._forget_jobs()
            self._are_jobs_forgotten = True
        await self._forget_changes()
