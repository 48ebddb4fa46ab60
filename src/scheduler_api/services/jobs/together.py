"""The same done to many ordinary jobs at once, by a handful of statements.

Ordinary is a job that nobody else holds, of which nothing runs, and of which nothing is written off by what
is done. What comes of it is what the action on a single job would make of it; the others are left to that.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from scheduler_api.actors import Actor
from scheduler_api.computing import in_turns
from scheduler_api.contracts.jobs.actions import Missed, Pause
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import definitions, many
from scheduler_api.database.jobs.many import Pausing
from scheduler_api.database.jobs.rows import StateRow
from scheduler_api.database.runs import logs, opened, pending
from scheduler_api.database.runs.opened import OpenLog
from scheduler_api.database.runs.pending import Wanted
from scheduler_api.database.statements import Session
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import Misfire
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import editing, locking, planning, skipping
from scheduler_api.services.jobs.planning import Carried

#: Seconds in which schedules are looked at.
LOOK_SECONDS = 1.0
#: What a job without a limit of runs has made of them decides nothing.
UNCOUNTED = Carried(None, 0)


class _Held(NamedTuple):
    """A job that is locked with its next run, and of whose schedule nothing else is open."""

    job: StateRow
    next_run: OpenLog | None
    asked: Sequence[OpenLog]
    """What is pending beside the schedule, locked as well."""
    is_busy: bool
    """Whether more than that is open beside the schedule."""


async def pause(
    session: Session, now: datetime, actor: Actor, jobids: Sequence[int], order: Pause, pauseid: UUID
) -> Sequence[int]:
    """Pause those of the jobs that are ordinary and active; which."""
    if order.until is not None and order.until <= now:
        return ()
    held, now = await _hold(session, now, jobids)
    taken = [
        one.next_run
        for one in held
        if one.job.active and one.next_run is not None and one.job.maxruns is None
    ]
    if not taken:
        return ()
    await pending.withdraw(session, [next_run.logid for next_run in taken])
    goes_on = {next_run.jobid: next_run.scheduledfor for next_run in taken}
    await many.pause(session, now, Pausing(order.reason, order.until, pauseid), goes_on)
    await noticing.paused(session, now, goes_on, is_asked=True)
    if order.until is not None and order.until - now < locking.ANNOUNCE_WITHIN:
        await pending.announce(session)
    said = order.model_dump(mode="json") | {"pauseid": str(pauseid)}
    await many.record(session, now, actor, ChangeAction.PAUSED, dict.fromkeys(goes_on, said))
    return list(goes_on)


async def resume(
    session: Session, now: datetime, actor: Actor, jobids: Sequence[int], missed: Missed
) -> Sequence[int]:
    """Resume those of the jobs that are ordinary and paused; which."""
    held, now = await _hold(session, now, jobids)
    # Some schedules take long; jobs that are not looked at in time are left.
    looked_at = await in_turns(partial(_next_run_of, now=now, missed=missed), held, LOOK_SECONDS)
    wanted = [one for one in looked_at if one is not None]
    if not wanted:
        return ()
    added = await pending.add(session, wanted)
    done = [one.jobid for one in wanted if one.jobid in added]
    await many.resume(session, now, done, active=True)
    await noticing.resumed(session, now, done)
    if any(one.tried - now < locking.ANNOUNCE_WITHIN for one in wanted):
        await pending.announce(session)
    said = {jobid: {"missed": missed} for jobid in done}
    await many.record(session, now, actor, ChangeAction.RESUMED, said)
    return done


def _next_run_of(held: _Held, *, now: datetime, missed: Missed) -> Wanted | None:
    """What a paused job goes on with; None: it is no ordinary one."""
    job, first = held.job, held.job.resumefrom
    if not job.is_paused or held.next_run is not None or first is None or job.maxruns is not None:
        return None
    if first <= now and _is_written_off(job, now - first, missed):
        return None
    try:
        return Wanted(job.jobid, first, planning.future_of(job, UNCOUNTED).tried_at(first))
    except (ScheduleUnusable, ArithmeticError, ValueError):
        return None


def _is_written_off(job: StateRow, late: timedelta, missed: Missed) -> bool:
    """Whether the first of what a job has missed is not to be caught up."""
    return missed is Missed.SKIP or (job.misfire == Misfire.SKIP and late > timedelta(seconds=job.grace))


async def run_now(session: Session, now: datetime, actor: Actor, jobids: Sequence[int]) -> Sequence[int]:
    """Ask for a run of those of the jobs that nobody else holds; which."""
    shared = await many.share(session, jobids)
    rows = await logs.request(session, now, "manual", [(jobid, now) for jobid in shared])
    if not rows:
        return ()
    await pending.announce(session)
    done = {row.jobid: {"logid": row.logid} for row in rows}
    await many.record(session, now, actor, ChangeAction.STARTED, done)
    return list(done)


async def delete(session: Session, now: datetime, actor: Actor, jobids: Sequence[int]) -> Sequence[int]:
    """Delete those of the jobs that are ordinary, and keep their history; which."""
    held, now = await _hold(session, now, jobids)
    followed = await many.followed(session, jobids)
    gone: list[_Held] = []
    for one in held:
        first = one.job.resumefrom if one.next_run is None else one.next_run.scheduledfor
        if not one.is_busy and one.job.jobid not in followed and (first is None or first > now):
            gone.append(one)
    if not gone:
        return ()
    done = [one.job.jobid for one in gone]
    await pending.withdraw(session, [one.next_run.logid for one in gone if one.next_run is not None])
    asked = [row for one in gone for row in one.asked]
    await skipping.skip(session, now, editing.as_deleted(asked))
    await many.bury(session, now, done)
    await noticing.deleted(session, now, done)
    await many.record(session, now, actor, ChangeAction.DELETED, dict.fromkeys(done))
    return done


async def _hold(session: Session, now: datetime, jobids: Sequence[int]) -> tuple[list[_Held], datetime]:
    """The ordinary ones of these jobs, locked, and the instant to go on from; see `locking.lock`.

    Nobody is waited for, so the order of the locks could be any.
    """
    locked = defaultdict[int, list[OpenLog]](list)
    for row in await opened.lock_pending(session, jobids):
        locked[row.jobid].append(row)
    jobs = await many.lock(session, jobids)
    others = defaultdict[int, set[str]](set)
    for row in await opened.open_logs(session, [job.jobid for job in jobs]):
        if row not in locked[row.jobid] or (row.cause == "schedule" and not row.is_next_run):
            others[row.jobid].add(row.cause)
    held = [
        _Held(
            job,
            next((row for row in locked[job.jobid] if row.is_next_run), None),
            [row for row in locked[job.jobid] if not row.is_next_run],
            bool(others[job.jobid]),
        )
        for job in jobs
        if job.afterjobid is None and "schedule" not in others[job.jobid]
    ]
    return held, max(now, await definitions.clock(session))
