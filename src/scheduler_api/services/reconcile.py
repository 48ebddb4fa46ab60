"""Healing: an active job that has lost its promise gets it back; one whose zone has changed, a new one.

Nothing that this code does makes such a hole, as each verdict and the next promise are one transaction.
A restored backup, a hand in the database or a bug may: then the ledger goes on where it ended.
"""

import contextlib
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import jobs, ledger, promises
from scheduler_api.errors import JobIsDeleted, JobNotFound, ScheduleUnusable
from scheduler_api.services import hosts, standing

log = structlog.get_logger(__name__)


async def heal(session: AsyncSession, now: datetime, most: int) -> int:
    """Give up to `most` jobs their promise back, or retire them if they have no future; how many.

    Safe against other healers: whoever holds the job first gives the promise. Hosts that nobody calls any
    more are forgotten on the way.
    """
    await hosts.forget(session, now)
    return sum([await _heal(session, now, jobid) for jobid in await promises.holes(session, most)])


async def realign(session: AsyncSession, now: datetime, after: int, most: int) -> int | None:
    """Look at up to `most` promises of jobs above a jobid; the last jobid, or None where there was none.

    A promise is an instant, and a schedule is wall-clock time: where the rules of a time zone have
    changed since it was given, it is given anew.
    """
    rows = await promises.zoned(session, after, most)
    for row in rows:
        with contextlib.suppress(ScheduleUnusable, JobNotFound, JobIsDeleted):
            if not standing.schedule_in(row).calls_for(row["scheduledfor"]):
                await _realign(session, now, row["jobid"])
    return rows[-1]["jobid"] if rows else None


async def _realign(session: AsyncSession, now: datetime, jobid: int) -> None:
    held = await standing.hold(session, now, jobid)
    schedule = standing.schedule_in(held.job)
    # Whoever came first may have done it.
    if held.promise is None or schedule.calls_for(held.promise["scheduledfor"]):
        return
    await promises.withdraw(session, held.promise["logid"])
    future = standing.future_of(held.job, held.promise, schedule)
    occurrence = await standing.first_open(session, held._replace(live=held.under_way), future)
    log.warning(
        "the rules of a time zone have changed: a run is re-timed",
        jobid=jobid,
        was=held.promise["scheduledfor"],
        now=occurrence,
    )
    if occurrence is None:
        await jobs.retire(session, [jobid])
    else:
        await standing.promise(session, now, held.job, future, occurrence)


async def _heal(session: AsyncSession, now: datetime, jobid: int) -> bool:
    try:
        held = await standing.hold(session, now, jobid)
    except (JobNotFound, JobIsDeleted):
        return False
    if held.live or not held.job["active"]:
        return False
    future, occurrence = None, None
    with contextlib.suppress(ScheduleUnusable):
        future = standing.future_of(held.job, await ledger.standing(session, jobid))
        occurrence = await standing.first_open(session, held, future)
    log.warning("a job had lost its promise", jobid=jobid, promised=occurrence, at=now)
    if future is None or occurrence is None:
        await jobs.retire(session, [jobid])
    else:
        await standing.promise(session, now, held.job, future, occurrence)
    return True
