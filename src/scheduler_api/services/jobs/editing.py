"""Editing and deleting jobs."""

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.actions import History
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.jobs import calendars, changes, definitions, many
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import logs, opened, pending
from scheduler_api.database.runs.opened import OpenLog
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ScheduleUnusable
from scheduler_api.schedule import Reason
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import (
    chains,
    locking,
    planning,
    project_secrets,
    quotas,
    removal,
    retiming,
    skipping,
)
from scheduler_api.services.jobs.documents import difference, lacking, plain, written
from scheduler_api.services.jobs.drafts import patched, require_project
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.reading import get

#: Fields that say on which days a job runs.
OF_SCHEDULE = {
    "startdate", "starttime", "timezone", "interval", "cron", "until", "exclude", "calendars", "dstgap",
    "dstfold", "after",
}  # fmt: skip


async def edit(
    session: Session,
    now: datetime,
    actor: Actor,
    cipher: Cipher,
    jobid: int,
    patch: JobPatch,
    version: int | None = None,
) -> Job:
    """Change a job's definition, and re-time its next run; its state stays.

    What was due by the old schedule alone is written off as superseded. A completed job that gets a future
    is active again. Raises InvalidInput, JobNotFound, JobIsDeleted, StaleVersion, SecretsUnavailable.
    """
    locked = await locking.lock(session, now, jobid, version)
    await _require_unchanged(session, jobid, patch)
    before = written(await definitions.as_written(session, jobid))
    known = await project_secrets.sealed_document(session, locked.now, actor, before, cipher)
    draft = await patched(session, locked.now, known, patch)
    if draft.project != before["project"]:
        await _require_movable(session, jobid, draft)
        draft = await project_secrets.carried(session, known, draft, cipher)
    wanted = written(draft.values)
    changed = {name for name in ("target", "project") if wanted[name] != known[name]}
    if changed:
        await quotas.require_room(session, draft, is_new="project" in changed)
    draft = await project_secrets.sealed(session, locked.now, actor, draft, cipher)
    if changed:
        await project_secrets.require_named(session, draft, cipher)
        await project_secrets.let_go(session, locked.now, known, draft)
    await _redefine(session, actor, locked, before, draft)
    return await get(session, jobid)


async def follow_calendars(session: Session, now: datetime, actor: Actor, jobid: int) -> bool:
    """Let a job go by its calendars as these are now; whether it did not.

    Raises JobNotFound, JobIsDeleted, and InvalidInput where it has run as often as it may, or cannot be
    computed any more.
    """
    locked = await locking.lock(session, now, jobid)
    before = written(await definitions.as_written(session, jobid))
    draft = await patched(session, locked.now, before, JobPatch())
    return await _redefine(session, actor, locked, before, draft, is_asked=False)


async def _redefine(
    session: Session,
    actor: Actor,
    locked: LockedJob,
    before: dict[str, Any],
    draft: JobDraft,
    *,
    is_asked: bool = True,
) -> bool:
    """Write a job's definition anew, if it is another one; whether it is.

    Unless that `is_asked` of this job, it may be left without a day on which it runs.
    """
    now, jobid, job = locked.now, locked.job.jobid, locked.job
    after = written(draft.values)
    changed = [name for name in after if after[name] != before[name]]
    if is_asked and not OF_SCHEDULE & set(changed):
        # Whoever edits something else is not asked about days that have changed since: they follow by and by.
        draft = draft.with_days(job.calendardays, job.calendarversion)
    values = draft.values
    if not changed and values["calendardays"] == job.calendardays:
        await calendars.looked(session, jobid, values["calendarversion"])
        return False
    # A job that goes on with nothing may let go of its calendars.
    may_never_run = not is_asked or (not job.active and set(changed) <= {"calendars"})
    state = await retiming.retime(session, now, locked, draft, changed, may_never_run=may_never_run)
    await definitions.edit(session, jobid, values, state)
    if {"target", "monitor"} & set(changed):
        await pending.rehost(session, jobid)
    by_schedule = bool(OF_SCHEDULE & set(changed)) or values["calendardays"] != job.calendardays
    await noticing.edited(
        session, now, jobid, schedule=by_schedule, target=bool({"target", "monitor"} & set(changed))
    )
    was, became = difference(before, after)
    if values["calendardays"] != job.calendardays:
        was["calendardays"] = lacking(job.calendardays, values["calendardays"])
        became["calendardays"] = lacking(values["calendardays"], job.calendardays)
    if state.validfrom == now:
        was["validfrom"], became["validfrom"] = plain(job.validfrom), plain(now)
        became["kept"] = [plain(end) for end in state.kept]
    await changes.record(session, now, actor, Event(ChangeAction.EDITED, jobid, was, became))
    return True


async def _require_movable(session: Session, jobid: int, draft: JobDraft) -> None:
    """A chain of jobs is in one project. Raises InvalidInput, JobHasFollowers."""
    await require_project(session, draft.project)
    await chains.require_no_followers(session, jobid)
    if draft.after is not None:
        await chains.require_parent(session, draft.after, draft.project, jobid)


async def _require_unchanged(session: Session, jobid: int, patch: JobPatch) -> None:
    """What a job's answer says beside its definition may be sent along, as long as it holds."""
    if not patch.seen:
        return
    job = (await get(session, jobid)).model_dump(mode="json")
    wrong = [name for name, value in patch.seen.items() if value != job[name]]
    if wrong:
        verbs = {"active": "use POST /jobs/{jobid}/pause or /resume."}
        advice = {name: verbs.get(name, "leave it out.") for name in wrong}
        raise InvalidInput(*(FieldError((name,), f"Cannot be edited; {advice[name]}") for name in wrong))


async def _close(session: Session, now: datetime, locked: LockedJob) -> None:
    """Take back the next run, and write off what was due; a schedule that cannot be computed had nothing."""
    await locking.take_back(session, locked)
    first, jobid = locked.open_from, locked.job.jobid
    if first is None or first > now:
        return
    # Or nobody could delete such a job.
    with contextlib.suppress(ScheduleUnusable):
        future = planning.future_of(locked.job, await logs.standing(session, jobid))
        await skipping.write_off(session, now, jobid, future, (first, now), Reason.DELETED)


def as_deleted(logs: Iterable[OpenLog]) -> list[Skipped]:
    """Pending logs, of whatever cause, as skipped."""
    return [
        Skipped(row.jobid, row.scheduledfor, Reason.DELETED, missed=None, logid=row.logid) for row in logs
    ]


async def delete(
    session: Session,
    now: datetime,
    actor: Actor,
    jobid: int,
    history: History,
    version: int | None = None,
) -> None:
    """Delete a job: nothing of it starts any more; a call in progress may end. Its history stays, or goes.

    Deleting a job again changes nothing. What was just being asked for, such as a run after another, may be
    added still; its claim skips it.
    """
    locked = await locking.lock(session, now, jobid, deleted=True)
    now = locked.now
    if locked.job.deletedat is not None and history is History.KEEP:
        # Who sends it again has what was wanted.
        return
    locking.require_version(locked.job, version)
    await chains.require_no_followers(session, jobid)
    if history is History.REMOVE:
        named = (await definitions.names(session, [jobid]))[jobid]
        await noticing.deleted(session, now, [jobid])
        await removal.remove(session, now, jobid)
        removed = Event(ChangeAction.DELETED, jobid, {"jobname": named.jobname}, project=named.project)
        await changes.record(session, now, actor, removed)
        return
    await _close(session, now, locked)
    await skipping.skip(session, now, as_deleted(await opened.pending_of(session, jobid)))
    await many.bury(session, now, [jobid])
    await noticing.deleted(session, now, [jobid])
    await changes.record(session, now, actor, Event(ChangeAction.DELETED, jobid))
