"""Healing: an active job that has lost its promise gets it back; one whose zone has changed, a new one.

Nothing that this code does makes such a hole, as each verdict and the next promise are one transaction.
A restored backup, a hand in the database or a bug may: then the ledger goes on where it ended.
"""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.computing import in_turns
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
    for row, is_off in zip(rows, await in_turns(_is_off, rows), strict=True):
        if is_off:
            with contextlib.suppress(ScheduleUnusable, JobNotFound, JobIsDeleted):
                await _realign(session, now, row["jobid"])
    return rows[-1]["jobid"] if rows else None


def _is_off(row: Mapping[str, Any]) -> bool:
    """Whether the schedule does not call for what is promised."""
    try:
        return not standing.schedule_in(row).calls_for(row["scheduledfor"])
    except ScheduleUnusable:
        return False


async def _realign(session: AsyncSession, now: datetime, jobid: int) -> None:
    held = await standing.hold(session, now, jobid)
    schedule = standing.schedule_in(held.job)
    # Whoever came first may have done it.
    if held.promise is None or schedule.calls_for(held.promise["scheduledfor"]):
        return
    await promises.withdraw(session, held.promise["logid"])
    accounted = (await ledger.standing(session, jobid))["accounted"]
    occurrence = _next_open(held, accounted, held.promise["runs"])
    log.warning(
        "the rules of a time zone have changed: a run is re-timed",
        jobid=jobid,
        was=held.promise["scheduledfor"],
        now=occurrence,
    )
    if occurrence is None:
        await jobs.retire(session, [jobid])
    else:
        carried = {"lastrun": held.promise["lastrun"], "runs": held.promise["runs"]}
        await standing.promise(session, now, held.job, schedule, occurrence, **carried)


async def _heal(session: AsyncSession, now: datetime, jobid: int) -> bool:
    try:
        held = await standing.hold(session, now, jobid)
    except (JobNotFound, JobIsDeleted):
        return False
    if held.live or not held.job["active"]:
        return False
    ledger_says = await ledger.standing(session, jobid)
    occurrence = _next_open(held, ledger_says["accounted"], ledger_says["runs"] or 0)
    log.warning("a job had lost its promise", jobid=jobid, promised=occurrence, at=now)
    if occurrence is None:
        await jobs.retire(session, [jobid])
    else:
        schedule, runs = standing.schedule_in(held.job), ledger_says["runs"] or 0
        await standing.promise(session, now, held.job, schedule, occurrence, ledger_says["lastrun"], runs)
    return True


def _next_open(held: standing.Held, accounted: datetime | None, runs: int) -> datetime | None:
    """The first occurrence that the job's logs do not account for; it may be due already."""
    job = held.job
    if job["maxruns"] is not None and runs >= job["maxruns"]:
        return None
    try:
        schedule = standing.schedule_in(job)
    except ScheduleUnusable:
        return None
    since: datetime = job["validfrom"]
    return schedule.next_after(since if accounted is None else max(since, accounted))
