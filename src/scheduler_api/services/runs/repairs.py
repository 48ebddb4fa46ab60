"""Repair: an active job whose next run is missing, or later than its schedule says, gets it put right.

Nothing that this code does makes such a hole, as each result and the next row are one transaction.
A restored backup, a hand in the database, a clock of the database that was ahead or a bug may: then the
job goes on with the first occurrence that no row tells of.
"""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from scheduler_api.actors import SCHEDULE
from scheduler_api.computing import in_turns
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.runs import logs, pending, waits
from scheduler_api.database.runs.logs import LedgerRow
from scheduler_api.database.runs.pending import LiveLog, WalkedJob, ZonedRun
from scheduler_api.database.singly import one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobIsDeleted, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Future, Reason, Schedule
from scheduler_api.services.jobs import locking, opening, planning
from scheduler_api.services.jobs.documents import plain
from scheduler_api.services.jobs.planning import Carried
from scheduler_api.services.runs.breakers import MAX_BREAK

log = structlog.get_logger(__name__)

#: Why occurrences that are yet to come cannot have been skipped: the clock was ahead when it was said.
TOO_EARLY = {Reason.MISFIRE, Reason.PAUSED, Reason.OVERLAP, Reason.UNTIL, Reason.SUPERSEDED}
#: Rows for what is yet to come that are looked at.
MAX_AHEAD = 1000
#: Jobs that are let go on in the transaction in which they came to a stop.
MAX_AT_ONCE = 50


class Suspects(NamedTuple):
    """Jobs whose next run may be missing, or too late."""

    jobids: list[int]
    last: int | None
    """The last job that was looked at; None: there was none left."""


async def suspects(session: Session, after: int, limit: int) -> Suspects:
    """Look at the next `limit` active jobs above a jobid, without any lock."""
    now = await definitions.clock(session)
    rows = await pending.walk(session, now, after, limit)
    # Many jobs share one schedule, which is one object.
    nexts: dict[int, datetime | None] = {}
    shown = [row for row in rows if row.is_there]
    found = await in_turns(lambda row: _is_suspicious(row, now, nexts), shown)
    jobids = [row.jobid for row, is_suspicious in zip(shown, found, strict=True) if is_suspicious]
    return Suspects(jobids, rows[0].last)


def _is_suspicious(row: WalkedJob, now: datetime, nexts: dict[int, datetime | None]) -> bool:
    if row.scheduledfor is None:
        return True
    try:
        schedule = planning.schedule_in(row)
    except ScheduleUnusable:
        # The claim of the next run will say so.
        return False
    if row.nextrun is None or row.nextrun > _future(row, schedule).tried_at(row.scheduledfor):
        return True
    if row.validfrom > now:
        return False
    if id(schedule) not in nexts:
        nexts[id(schedule)] = schedule.next_after(now)
    following = nexts[id(schedule)]
    return following is not None and row.scheduledfor > following


def _future(row: ScheduleRow, schedule: Schedule) -> Future:
    return planning.future_of(row, Carried(None, None), schedule)


async def repair(session: Session, now: datetime, jobid: int) -> bool:
    """Put the job's next run right, or retire the job if it has no future; whether anything was wrong.

    Safe against others who do the same: whoever holds the job first does it.
    """
    try:
        locked = await locking.lock(session, now, jobid)
    except (JobNotFound, JobIsDeleted):
        return False
    if not locked.job.active or locked.job.afterjobid is not None:
        return False
    if not locked.live or (locked.carrier is None and locked.job.overlap):
        return await _restore(session, locked)
    return locked.next_run is not None and await _advance(session, locked, locked.next_run)


async def go_on(session: Session, now: datetime, jobids: Sequence[int]) -> None:
    """Let jobs go on whose next occurrence had a row already.

    So it is where occurrences have run ahead of their time, by a clock that was ahead. What somebody holds,
    or is too much for this transaction, is found by the search.
    """
    if jobids:
        await one_by_one(session, jobids[:MAX_AT_ONCE], lambda jobid: repair(session, now, jobid))


async def realign(session: Session, now: datetime, after: int, limit: int) -> int | None:
    """Look at up to `limit` next runs of jobs above a jobid; the last jobid, or None where there was none.

    A next run is an instant, and a schedule is wall-clock time: where the rules of a time zone have
    changed since it was added, it is added anew.
    """
    rows = await pending.zoned(session, after, limit)
    for row, is_off in zip(rows, await in_turns(_is_off, rows), strict=True):
        if is_off:
            with contextlib.suppress(ScheduleUnusable, JobNotFound, JobIsDeleted):
                await _realign(session, now, row.jobid)
    return rows[-1].jobid if rows else None


def _is_off(row: ZonedRun) -> bool:
    """Whether the schedule does not call for the next run."""
    try:
        return not planning.schedule_in(row).calls_for(row.scheduledfor)
    except ScheduleUnusable:
        return False


async def _realign(session: Session, now: datetime, jobid: int) -> None:
    locked = await locking.lock(session, now, jobid)
    schedule = planning.schedule_in(locked.job)
    # Whoever came first may have done it.
    if locked.next_run is None or schedule.calls_for(locked.next_run.scheduledfor):
        return
    await pending.withdraw(session, [locked.next_run.logid])
    future = planning.future_of(locked.job, locked.next_run, schedule)
    occurrence = await opening.first_open(session, locked._replace(live=locked.under_way), future)
    log.warning(
        "the rules of a time zone have changed: a run is re-timed",
        jobid=jobid,
        was=locked.next_run.scheduledfor,
        now=occurrence,
    )
    if occurrence is None:
        await definitions.retire(session, [jobid])
    else:
        await locking.schedule_next(session, now, jobid, future, occurrence)


async def shorten_waits(session: Session, now: datetime) -> int:
    """Let nothing wait for an instant that a clock that was ahead has shown; how many retries did."""
    retries = await waits.shorten_retries(session, now, MAX_AHEAD)
    hosts = await waits.shorten_hosts(session, now, MAX_BREAK)
    rates = await waits.shorten_rates(session, now)
    if retries or hosts or rates:
        log.warning(
            "the clock of the database was ahead: waits are shortened", runs=retries, hosts=hosts, rates=rates
        )
        await pending.announce(session)
    return len(retries)


async def _restore(session: Session, locked: locking.LockedJob) -> bool:
    """Give the job its first open occurrence, or retire it; False where its last runs are in progress."""
    jobid, now = locked.job.jobid, locked.now
    future, occurrence = None, None
    with contextlib.suppress(ScheduleUnusable):
        future = planning.future_of(locked.job, await logs.standing(session, jobid))
        occurrence = await opening.first_open(session, locked, future)
    if occurrence is None and locked.live:
        return False
    log.warning("a job had lost its next run", jobid=jobid, scheduled=occurrence, at=now)
    await _record(session, locked, None, occurrence)
    if future is None or occurrence is None:
        await definitions.retire(session, [jobid])
    else:
        await locking.schedule_next(session, now, jobid, future, occurrence)
    return True


async def _advance(session: Session, locked: locking.LockedJob, ahead: LiveLog) -> bool:
    """Give the job its first open occurrence, where its next run is later for no reason that is known."""
    job, now = locked.job, locked.now
    try:
        future = planning.future_of(job, ahead)
    except ScheduleUnusable:
        return False
    schedule = future.schedule
    rows = await logs.rows_ahead(session, job.jobid, now, MAX_AHEAD)
    wrong = [row for row in rows if _is_too_early(row, now)]
    right = [row for row in rows if not _is_too_early(row, now)]
    first = future.admit(planning.first_beside(schedule, max(now, job.validfrom), right))
    occurrence = ahead.scheduledfor if first is None else min(first, ahead.scheduledfor)
    tried = future.tried_at(occurrence)
    if occurrence == ahead.scheduledfor and ahead.nextrun is not None and ahead.nextrun <= tried:
        return False
    log.warning("a job's next run was too late", jobid=job.jobid, was=ahead.nextrun, now=tried)
    await _record(session, locked, ahead.nextrun, tried)
    await pending.withdraw(session, [ahead.logid])
    await _take_back(session, now, schedule, wrong)
    await locking.schedule_next(session, now, job.jobid, future, occurrence)
    return True


def _is_too_early(row: LedgerRow, now: datetime) -> bool:
    """Whether a row says of what is yet to come what nobody can know."""
    if row.reason == Reason.REQUEST:
        return False
    return row.scheduledfor <= now or row.reason in TOO_EARLY


async def _take_back(session: Session, now: datetime, schedule: Schedule, rows: Sequence[LedgerRow]) -> None:
    """Let rows say nothing of what is yet to come."""
    await logs.drop(session, [row.logid for row in rows if row.scheduledfor > now])
    for row in rows:
        if row.scheduledfor > now:
            continue
        free, _ = schedule.counts(row.scheduledfor, now + datetime.resolution)
        through = schedule.last_before(now + datetime.resolution)
        await logs.shorten(session, row.logid, max(0, free - 1), through if free > 1 else None)


async def _record(
    session: Session, locked: locking.LockedJob, was: datetime | None, became: datetime | None
) -> None:
    """Tell those who look after the job."""
    before, after = ({"nextrun": plain(instant)} for instant in (was, became))
    repaired = Event(ChangeAction.REPAIRED, locked.job.jobid, before, after)
    await changes.record(session, locked.now, SCHEDULE, repaired)
