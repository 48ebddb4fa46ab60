"""What a job goes on with: the first occurrence that its ledger does not account for.

Nothing before the horizon of history runs again: nobody knows any more whether it has. The horizon is read
after the rows, as these go only when it has moved.
"""

from datetime import datetime

from scheduler_api.database.jobs import changes
from scheduler_api.database.runs import logs, tallies
from scheduler_api.database.statements import Session
from scheduler_api.schedule import TICK, Future
from scheduler_api.schedule.days import midnight
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.planning import first_beside
from scheduler_api.services.jobs.skipping import MAX_ROWS


async def first_open(session: Session, locked: LockedJob, future: Future) -> datetime | None:
    """The first occurrence that the ledger does not account for, due or not; None: nothing is to come."""
    if locked.open_from is not None:
        return future.admit(locked.open_from)
    jobid, validfrom = locked.job.jobid, locked.job.validfrom
    if locked.job.kept:
        since = await logs.settled(session, jobid) or locked.job.createdat
        if since < validfrom:
            return future.next_after(max(since, await _horizon(session, jobid)))
    # Rows may tell of what lies ahead, as a clock was wrong, and what came between them have been taken back.
    since = max(validfrom, await _accounted(session, locked) or validfrom)
    rows = await logs.rows_since(session, jobid, since, MAX_ROWS)
    if len(rows) == MAX_ROWS:
        since = max(since, rows[0].scheduledfor - TICK)
    since = max(since, await _horizon(session, jobid))
    return future.admit(first_beside(future.schedule, since, rows))


async def _horizon(session: Session, jobid: int) -> datetime:
    """Up to when history has gone."""
    return midnight((await tallies.frontier(session, jobid)).horizon) - TICK


async def _accounted(session: Session, locked: LockedJob) -> datetime | None:
    """Up to when all is accounted for, though it may be for more: only a repair takes rows back."""
    jobid, until = locked.job.jobid, locked.now
    repaired = await changes.repaired(session, jobid)
    return await logs.reached(session, jobid, until if repaired is None else min(until, repaired))
