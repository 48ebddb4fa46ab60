"""What people do with a job beside editing it: pause, resume, run it now, skip its next run."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from scheduler_api.actors import SCHEDULE, Actor, ActorKind
from scheduler_api.contracts.jobs.actions import Missed, Pause, Resume, RunOrder
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import SAFE_METHODS
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.database.jobs import changes, definitions, many
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.many import Pausing
from scheduler_api.database.runs import logs, pending
from scheduler_api.database.runs.logs import LogRow
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.singly import one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    JobHasNoFuture,
    JobHasNoTarget,
    JobIsDeleted,
    JobIsMonitor,
    JobIsPaused,
    JobNotFound,
    ScheduleUnusable,
)
from scheduler_api.schedule import Future, Misfire, Reason
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import locking, opening, planning, quotas, skipping
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.reading import get

log = structlog.get_logger(__name__)


async def pause(
    session: Session, now: datetime, actor: Actor, jobid: int, order: Pause, version: int | None = None
) -> Job:
    """Schedule nothing of the job until it is resumed. A paused job gets the new reason and end.

    Raises InvalidInput for an end that has passed, JobNotFound, JobIsDeleted, JobHasNoFuture, StaleVersion.
    """
    await pause_locked(session, actor, await locking.lock(session, now, jobid, version), order)
    return await get(session, jobid)


async def pause_locked(
    session: Session, actor: Actor, locked: LockedJob, order: Pause, pauseid: UUID | None = None
) -> None:
    """The same of a job that is locked.

    `pauseid` names the order to many jobs of which this is a part; without one, the pause is its own.
    """
    now, jobid = locked.now, locked.job.jobid
    if field_errors := errors_in_end(now, order.until):
        raise InvalidInput(*field_errors)
    _require_future(locked)
    await locking.take_back(session, locked)
    goes_on = {jobid: await _open_from(session, locked)}
    await many.pause(session, now, Pausing(order.reason, order.until, pauseid), goes_on)
    if order.until is not None and order.until - now < locking.ANNOUNCE_WITHIN:
        await pending.announce(session)
    await noticing.paused(session, now, [jobid], is_asked=actor.kind is not ActorKind.SCHEDULE)
    said = order.model_dump(mode="json") | ({} if pauseid is None else {"pauseid": str(pauseid)})
    await changes.record(session, now, actor, Event(ChangeAction.PAUSED, jobid, after=said))


def errors_in_end(now: datetime, until: datetime | None) -> tuple[FieldError, ...]:
    """What is wrong with the end of a pause that begins now."""
    if until is None or until > now:
        return ()
    return (FieldError(("until",), f"Must be in the future; it is {now:%Y-%m-%dT%H:%M:%SZ} now."),)


async def _open_from(session: Session, locked: LockedJob) -> datetime | None:
    """The occurrence that a job is to go on with when it is resumed; None: there is none, or is unknown."""
    try:
        future = planning.future_of(locked.job, await logs.standing(session, locked.job.jobid))
    except ScheduleUnusable:
        return locked.open_from
    return await opening.first_open(session, locked, future)


async def resume(
    session: Session, now: datetime, actor: Actor, jobid: int, order: Resume, version: int | None = None
) -> Job:
    """Promise the job's next run again; one that is active stays as it is.

    What the pause kept from running is caught up as the job's misfire policy says, or skipped on
    request; the ledger then says that the job was paused. Raises JobNotFound, JobIsDeleted,
    JobHasNoFuture, StaleVersion.
    """
    await resume_locked(session, actor, await locking.lock(session, now, jobid, version), order)
    return await get(session, jobid)


async def resume_locked(session: Session, actor: Actor, locked: LockedJob, order: Resume) -> None:
    """The same of a job that is locked."""
    _require_future(locked)
    if locked.job.is_paused:
        await _go_on(session, actor, locked, order.missed)


class PausesOver(NamedTuple):
    """Pauses whose time has come, in order."""

    jobids: list[int]
    last: tuple[datetime, int]
    """The end of the last of them, and its job."""
    next: float | None
    """Seconds until a further one ends; None: none will."""


#: Before all pauses.
FIRST_PAUSE = (datetime.min.replace(tzinfo=UTC), 0)


async def pauses_over(session: Session, after: tuple[datetime, int], limit: int) -> PausesOver:
    """Up to `limit` pauses that are over, after a place in their order."""
    now = await definitions.clock(session)
    rows = await definitions.pauses_over(session, now, after, limit)
    last = (rows[-1].pauseduntil, rows[-1].jobid) if rows else after
    following = await definitions.next_pause(session, now)
    seconds = None if following is None else (following - now).total_seconds()
    return PausesOver([row.jobid for row in rows], last, seconds)


async def resume_all(session: Session, now: datetime, jobids: Sequence[int]) -> int:
    """Resume those of the jobs whose pause has ended; how many of them nobody else holds."""

    async def resume_due(jobid: int) -> None:
        with contextlib.suppress(JobNotFound, JobIsDeleted):
            locked = await locking.lock(session, now, jobid)
            until = locked.job.pauseduntil
            # Another replica may have come first, or somebody paused it anew.
            if until is not None and until <= locked.now:
                await _go_on(session, SCHEDULE, locked, Missed.POLICY)

    tried = await one_by_one(session, jobids, resume_due)
    for one in tried:
        if one.refusal is not None:
            log.warning("a pause does not end now", jobid=one.item, error=one.refusal)
    return sum(one.refusal is None for one in tried)


async def _go_on(session: Session, actor: Actor, locked: LockedJob, missed: Missed) -> None:
    job, now = locked.job, locked.now
    future, first = None, None
    try:
        future = planning.future_of(job, await logs.standing(session, job.jobid))
        first = await _catch_up(session, locked, future, missed)
    except ScheduleUnusable:
        log.exception("a paused job cannot go on", jobid=job.jobid)
    # Completed, but for a run in progress: that retires the job when it settles.
    await many.resume(session, now, [job.jobid], active=first is not None or _lasts(locked))
    await noticing.resumed(session, now, [job.jobid])
    if future is not None and first is not None:
        await locking.go_on(session, now, locked, future, first, overlap=job.overlap)
    await changes.record(
        session, now, actor, Event(ChangeAction.RESUMED, job.jobid, after={"missed": missed})
    )


async def _catch_up(session: Session, locked: LockedJob, future: Future, missed: Missed) -> datetime | None:
    """Write off what is not to be caught up; the occurrence to go on with."""
    job, now = locked.job, locked.now
    first = await opening.first_open(session, locked, future)
    if first is None or first > now:
        return first
    last = None
    if missed is Missed.SKIP:
        last = now
    elif job.misfire == Misfire.SKIP:
        # Later than grace: now - occurrence > grace.
        last = now - timedelta(seconds=job.grace) - datetime.resolution
    if last is None or first > last:
        return first
    return await skipping.write_off(session, now, job.jobid, future, (first, last), Reason.PAUSED)


#: With the target's own body.
USUAL = RunOrder()


async def run_now(session: Session, now: datetime, actor: Actor, jobid: int, order: RunOrder = USUAL) -> Log:
    """Ask for a run of the job now, beside its schedule, which does not move; the pending log.

    A paused or completed job runs, too. Raises JobNotFound, JobIsDeleted, JobHasNoTarget, InvalidInput.
    """
    job = await definitions.share(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job.deletedat is not None:
        raise JobIsDeleted(jobid)
    if job.kind == planning.MONITOR:
        raise JobIsMonitor(jobid)
    if order.body is not None:
        _require_body(await get(session, jobid))
        await quotas.require_size(session, job.project, order.body, ("body",))
    rows: list[LogRow] = []
    instant = now
    while not rows:
        # Somebody else may have asked at the very same microsecond.
        rows = await logs.request(session, now, "manual", [(jobid, instant)], order.body)
        instant += datetime.resolution
    await pending.announce(session)
    await changes.record(
        session, now, actor, Event(ChangeAction.STARTED, jobid, after={"logid": rows[0].logid})
    )
    return Log.model_validate(vars(rows[0]))


def _require_body(job: Job) -> None:
    """Raise where the requests of a job have no body."""
    if job.target is None:
        raise JobHasNoTarget(f"Job {job.jobid} has no target to send a body to.")
    if job.target.method in SAFE_METHODS:
        raise InvalidInput(FieldError(("body",), f"The job sends {job.target.method}, which has no body."))


async def skip_next(
    session: Session, now: datetime, actor: Actor, jobid: int, version: int | None = None
) -> Job:
    """Skip the job's next run; the one after it comes next.

    Raises JobNotFound, JobIsDeleted, JobIsPaused, JobHasNoFuture, ScheduleUnusable, StaleVersion.
    """
    locked = await locking.lock(session, now, jobid, version)
    now = locked.now
    _require_future(locked)
    if locked.job.is_paused:
        raise JobIsPaused(jobid)
    job, carrier, first = locked.job, locked.carrier, locked.open_from
    if carrier is None or first is None:
        raise JobHasNoFuture(f"Job {jobid} has no upcoming run to skip.")
    future = planning.future_of(job, carrier)
    skipped = future.schedule.first_free(first)
    if skipped is None:
        raise JobHasNoFuture(f"All remaining runs of job {jobid} are excluded.")
    await locking.take_back(session, locked)
    # Rows of what is over and of what is yet to come stay apart: an edit forgets the latter.
    open_from: datetime | None = first
    for last in (now, skipped - datetime.resolution):
        if open_from is not None and open_from <= last < skipped:
            span = open_from, last
            open_from = await skipping.write_off(session, now, jobid, future, span, Reason.REQUEST)
    row = Skipped(jobid, skipped, Reason.REQUEST, lastrun=future.lastrun, runs=future.runs)
    await skipping.skip(session, now, [row])
    following = future.next_after(skipped)
    if following is not None:
        await locking.go_on(session, now, locked, future, following, overlap=job.overlap)
    elif not locked.under_way:
        await definitions.retire(session, [jobid])
    await definitions.touch(session, jobid)
    said = {"scheduledfor": skipped.isoformat().replace("+00:00", "Z")}
    await changes.record(session, now, actor, Event(ChangeAction.SKIPPED, jobid, after=said))
    return await get(session, jobid)


def _lasts(locked: LockedJob) -> bool:
    """Whether a job stays active without a next run: one is in progress, or it runs after another job."""
    return bool(locked.under_way) or locked.job.afterjobid is not None


def _require_future(locked: LockedJob) -> None:
    """Raise JobHasNoFuture for a completed job."""
    if not locked.job.active and not locked.job.is_paused:
        jobid = locked.job.jobid
        raise JobHasNoFuture(f"Job {jobid} is completed: its schedule has no further run.")
