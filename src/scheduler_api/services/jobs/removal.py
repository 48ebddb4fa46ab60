"""Removing jobs with their history: a large one is out of sight at once, and its rows go by and by."""

from collections.abc import Sequence
from datetime import UTC, datetime

from scheduler_api.database.jobs import changes, removal
from scheduler_api.database.statements import Session

#: Runs, jobs or changes that are removed in one transaction.
BATCH = 2000
#: Before all occurrences.
BEGINNING = datetime.min.replace(tzinfo=UTC)


async def remove(session: Session, now: datetime, jobid: int) -> None:
    """Remove a job that is locked, with its history; of a long one the rest is left to `remove_more`."""
    await removal.live_logs(session, jobid)
    if (await removal.some_logs(session, jobid, BEGINNING, BATCH)).runs == BATCH:
        await removal.hide(session, now, jobid)
    else:
        await removal.whole(session, jobid)


async def forget(session: Session, now: datetime, horizon: datetime) -> bool:
    """Remove deleted jobs of which history tells nothing any more, since it begins with the horizon.

    What was counted of their days goes with them. Whether there may be more.
    """
    return await removal.hide_forgotten(session, now, horizon, BATCH) == BATCH


async def forget_changes(session: Session, _: datetime, after: int) -> int | None:
    """Remove some of what was changed before the horizon, behind a change: up to which. None: all is gone."""
    return await changes.forget(session, after, BATCH)


async def hidden(session: Session) -> Sequence[int]:
    """Jobs that are being removed; some of them, where there are many."""
    return await removal.hidden(session, BATCH)


async def remove_more(session: Session, _: datetime, jobid: int, since: datetime) -> datetime | None:
    """Remove more runs of a job, from an occurrence on: up to which.

    None: all are gone, and the job, too; or somebody else goes on with it.
    """
    if not await removal.try_lock(session, jobid):
        return None
    gone = await removal.some_logs(session, jobid, since, BATCH)
    if gone.runs == BATCH:
        return gone.last
    if since == BEGINNING:
        await removal.whole(session, jobid)
        return None
    # Somebody may have settled an earlier one meanwhile.
    return BEGINNING
