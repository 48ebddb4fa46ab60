"""What an edit means for a job's future: it takes away only what the new schedule does not call for.

An occurrence that both schedules call for stays as it is, due or not, with its row, and so does one that
was skipped ahead of its time. The new schedule calls for nothing else of the time before the edit.
"""

import contextlib
from collections.abc import Collection
from datetime import datetime
from itertools import chain

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.jobs import many
from scheduler_api.database.jobs.definitions import Continuation
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.runs import logs
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ScheduleUnusable
from scheduler_api.schedule import TICK, Future, Once, Part, Reason, Schedule, Succession, succeed
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import chains, locking, opening, planning, skipping
from scheduler_api.services.jobs.drafts import first_ahead, require_future_start, schedule_of_draft
from scheduler_api.services.jobs.locking import LockedJob

#: What says when an occurrence is looked at, and how many there are, beside the schedule.
RETIMING = {"jitter", "maxruns", "monitor", "grace"}


async def retime(
    session: Session,
    now: datetime,
    locked: LockedJob,
    draft: JobDraft,
    changed: Collection[str],
    *,
    may_never_run: bool = False,
) -> Continuation:
    """Put the next run where the new definition wants it; how the job stands then.

    Raises InvalidInput where the new definition has no run ahead, unless it `may_never_run`.
    """
    job = locked.job
    redefined = draft.definition != planning.definition_of(job) or "after" in changed
    if not redefined and not RETIMING & set(changed):
        return Continuation(job.active, job.validfrom, job.resumefrom, job.kept)
    said = await logs.standing(session, job.jobid)
    delay = planning.delay_of(draft, job.jobid)
    future = Future(schedule_of_draft(draft), draft.maxruns, said.runs or 0, said.lastrun, delay)
    if future.is_spent and (redefined or "maxruns" in changed) and not may_never_run:
        sentence = f"Must be greater than {future.runs}, the number of runs so far."
        raise InvalidInput(FieldError(("maxruns",), sentence))
    if redefined:
        if {"startdate", "starttime"} & set(changed):
            require_future_start(draft, future.schedule, now)
        return await _replace(session, now, locked, draft, future, may_never_run=may_never_run)
    return await _keep(session, now, locked, draft, future)


async def _keep(
    session: Session, now: datetime, locked: LockedJob, draft: JobDraft, future: Future
) -> Continuation:
    """Go on with the same schedule; a completed job that may run again does so from now on."""
    job, validfrom, ends = locked.job, locked.job.validfrom, locked.job.kept
    schedule = planning.keeping(future.schedule, planning.parts_of(ends), validfrom)
    future = future._replace(schedule=schedule)
    if job.active or locked.open_from is not None:
        first = await opening.first_open(session, locked, future)
    else:
        accounted = (await logs.standing(session, job.jobid)).accounted
        first = future.next_after(max(accounted or now, now))
        if first is not None and future.schedule.first_free(first) is None:
            # Nothing but days off is left.
            first = None
        # More runs are for what comes from now on, even if nothing does: they were spent until now.
        if first is not None or draft.maxruns != job.maxruns:
            validfrom, ends = now, []
    return await _go_on(session, now, locked, draft, future, Continuation(True, validfrom, first, ends))


async def _replace(
    session: Session,
    now: datetime,
    locked: LockedJob,
    draft: JobDraft,
    future: Future,
    *,
    may_never_run: bool,
) -> Continuation:
    """Go on with another schedule: what is due by both stays, what is due by the old one alone is over."""
    jobid = locked.job.jobid
    if draft.after is not None:
        await chains.require_parent(session, draft.after, draft.project, jobid)
    change = succession(locked.job, future.schedule, locked.open_from, now)
    first: datetime | None = None
    if change is not None and change.kept:
        schedule = planning.keeping(future.schedule, change.kept, now)
        first, future = schedule.next_after(change.kept[0].first - TICK), future._replace(schedule=schedule)
    elif draft.after is None:
        if isinstance(future.schedule.cadence, Once) and not may_never_run:
            require_future_start(draft, future.schedule, now)
        last = await _skipped_up_to(session, now, locked, future.schedule, keeps=may_never_run)
        first = future.next_after(last) if may_never_run else first_ahead(future.schedule, last)
    await locking.take_back(session, locked, but=first)
    ends: list[datetime] = []
    if change is not None:
        ends = [*chain.from_iterable(change.kept)]
        gone = change.gone.next_after(change.since - TICK)
        if gone is not None:
            old = Future(change.gone, None, future.runs, future.lastrun)
            await skipping.write_off(session, now, jobid, old, (gone, now), Reason.SUPERSEDED)
    return await _go_on(session, now, locked, draft, future, Continuation(True, now, first, ends))


def succession(
    job: ScheduleRow, schedule: Schedule, since: datetime | None, now: datetime
) -> Succession | None:
    """What becomes of a job's due occurrences, from `since` on, under another schedule; None: none is due.

    A schedule that cannot be computed had none.
    """
    if since is None or since > now:
        return None
    try:
        return succeed(planning.schedule_in(job), schedule, Part(since, now))
    except ScheduleUnusable:
        return None


async def _skipped_up_to(
    session: Session, now: datetime, locked: LockedJob, schedule: Schedule, *, keeps: bool
) -> datetime:
    """The last of the occurrences that were skipped ahead of their time and stay so, or now.

    What the new schedule does not call for, or not next, is forgotten. Where only days off have changed, it
    `keeps` what was jumped over: a day off of these is one, and what is none any more stays skipped.
    """
    jobid, last = locked.job.jobid, now
    with contextlib.suppress(ScheduleUnusable):
        await _part(session, now, jobid, planning.schedule_in(locked.job))
    if locked.job.active or locked.job.is_paused:
        for row in await logs.ahead(session, jobid, now):
            if schedule.next_after(last) != row.scheduledfor:
                break
            span = next(schedule.spans(row.scheduledfor, row.last))
            said = Reason.REQUEST if span.block is None else Reason(span.block)
            if (span.last, span.size, said) == (row.last, row.missed + 1, row.reason):
                last = row.last
            elif keeps and row.missed == 0:
                await logs.excuse(session, row.logid, said)
                last = row.last
            else:
                break
    await logs.forget_ahead(session, jobid, last)
    return last


async def _part(session: Session, now: datetime, jobid: int, old: Schedule) -> None:
    """Part a verdict that was given ahead of its time, and of which some has come by now."""
    row = await logs.straddling(session, jobid, now)
    first = old.next_after(now)
    if row is None or first is None:
        return
    parts = (row.scheduledfor, now), (first, row.last)
    (missed, through), (further, last) = (
        (count - 1, old.last_before(end + TICK) if count > 1 else None)
        for start, end in parts
        for count in [old.count_between(start, end + TICK)]
    )
    await logs.shorten(session, row.logid, missed, through)
    assert row.reason is not None
    rest = Skipped(jobid, first, row.reason, further, last, row.lastrun, row.runs)
    await skipping.skip(session, now, [rest], old, is_new=False)


async def _go_on(
    session: Session,
    now: datetime,
    locked: LockedJob,
    draft: JobDraft,
    future: Future,
    wanted: Continuation,
) -> Continuation:
    """Promise what the job is to go on with, unless it is paused; how the job stands then."""
    first = wanted.resumefrom
    if locked.job.is_paused:
        if first is None and draft.after is None and not locked.under_way:
            # Nothing is left to resume: it is completed.
            await many.resume(session, now, [locked.job.jobid], active=False)
            await noticing.resumed(session, now, [locked.job.jobid])
        return wanted._replace(active=False)
    await locking.take_back(session, locked, but=first)
    if first is None:
        # Completed, but for a run in progress: that retires the job when it settles.
        lasts = bool(locked.under_way) or draft.after is not None
        return wanted._replace(active=lasts)
    await locking.go_on(session, now, locked, future, first, overlap=draft.overlap)
    return wanted._replace(resumefrom=None)
