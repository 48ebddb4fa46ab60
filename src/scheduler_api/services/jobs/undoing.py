"""Taking back what was done to a job: its newest edit, or its deletion."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.computing import aside_locked
from scheduler_api.contracts.jobs.changes import Change, ChangeAction
from scheduler_api.contracts.jobs.credentials import MASK
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.database.jobs import changes, definitions, many
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import logs
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ScheduleUnusable, StaleVersion
from scheduler_api.schedule import Reason, comings, is_zone
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import (
    chains,
    editing,
    locking,
    opening,
    planning,
    project_secrets,
    quotas,
    skipping,
)
from scheduler_api.services.jobs.documents import written
from scheduler_api.services.jobs.drafts import draft_of_document, require_project, resolved
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.reading import VERSIONED, get, get_summary

#: What the history keeps of a large body.
DIGEST = re.compile(r"[\d,]+ bytes, SHA-256 [0-9a-f]{64}", re.ASCII)


def is_undoable(change: Change, job: Job, now: datetime) -> bool:
    """Whether an edit, the newest one of a job, can be undone.

    It must tell all that it replaced: values of headers and large bodies are not kept. And a start that it
    replaced must be still to come.
    """
    before = change.before or {}
    if change.action is not ChangeAction.EDITED or not _tells_all(before):
        return False
    if not {"startdate", "starttime"} & before.keys():
        return True
    started = job.model_dump(mode="json", include={"startdate", "starttime", "timezone"}) | before
    if started["startdate"] is None or started["starttime"] is None:
        return True
    wall = datetime.fromisoformat(f"{started['startdate']}T{started['starttime']}")
    zone = started["timezone"]
    return is_zone(zone) and any(start > now for start in comings(wall, zone))


def _tells_all(before: Mapping[str, Any]) -> bool:
    target = before.get("target") or {}
    body, headers = target.get("body"), target.get("headers") or {}
    is_kept = MASK not in headers.values() and not (isinstance(body, str) and DIGEST.fullmatch(body))
    # Where only days of calendars have changed, nobody edited anything.
    return is_kept and any(name in before for name in definitions.WRITTEN)


async def way_back(session: Session, jobid: int, version: int) -> JobDraft:
    """The job without its newest edit, which made this `version` of it.

    Raises JobNotFound, StaleVersion where something else was done to it since, and InvalidInput where what
    was there is not kept.
    """
    current = (await get_summary(session, jobid)).version
    row = await changes.newest_of(session, jobid, sorted(VERSIONED)) if current == version else None
    change = None if row is None else Change.model_validate(row._asdict())
    if change is None or change.action is not ChangeAction.EDITED:
        raise StaleVersion(jobid, current)
    if not _tells_all(change.before or {}):
        sentence = "What was there is not kept: header values, large bodies, days of calendars. Edit the job."
        raise InvalidInput(FieldError((), sentence))
    document = written(await definitions.as_written(session, jobid))
    # A body may be large.
    return await aside_locked(draft_of_document, _replaced(document, change))


def _replaced(document: dict[str, Any], change: Change) -> dict[str, Any]:
    """A job with what an edit changed as it was before."""
    before, after = change.before or {}, change.after or {}
    found = document | {name: value for name, value in before.items() if name in document}
    if before.get("target") and after.get("target"):
        # Of a target that stayed one, and of its headers, only what differs is kept.
        old, new = dict(before["target"]), dict(after["target"])
        headers = _merged(document["target"].get("headers"), old.pop("headers", {}), new.pop("headers", {}))
        found["target"] = _merged(document["target"], old, new) | {"headers": headers}
    return found


def _merged(now: Mapping[str, Any] | None, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in (now or {}).items() if name not in new}
    return kept | dict(old)


async def restore(
    session: Session, now: datetime, actor: Actor, cipher: Cipher, jobid: int, version: int | None = None
) -> Job:
    """Bring a deleted job back as it was: active, paused or completed. One that is there stays as it is.

    It goes on from now: what was due since it was deleted is written off. Raises JobNotFound, StaleVersion,
    QuotaExceeded, and InvalidInput where what it names is gone.
    """
    locked = await locking.lock(session, now, jobid, version, deleted=True)
    job, now = locked.job, locked.now
    if job.deletedat is None:
        return await get(session, jobid)
    draft = await _require_whole(session, locked, cipher)
    first = await _go_on_from(session, locked)
    lasts = first is not None or bool(locked.under_way) or job.afterjobid is not None
    is_paused = job.is_paused and lasts and (job.pauseduntil is None or job.pauseduntil > now)
    await many.restore(session, now, jobid, active=lasts and not is_paused, paused=is_paused, first=first)
    if first is not None and not is_paused:
        future = planning.future_of(job, await logs.standing(session, jobid))
        await locking.go_on(session, now, locked, future, first, overlap=job.overlap)
    await noticing.resumed(session, now, [jobid])
    await changes.record(session, now, actor, Event(ChangeAction.RESTORED, jobid))
    if lasts and draft.values["calendardays"] != job.calendardays:
        # They have changed meanwhile.
        await editing.follow_calendars(session, now, actor, jobid)
    return await get(session, jobid)


async def _require_whole(session: Session, locked: LockedJob, cipher: Cipher) -> JobDraft:
    """The job as it would be created now. Raises where it could not be."""
    jobid = locked.job.jobid
    draft = await aside_locked(draft_of_document, written(await definitions.as_written(session, jobid)))
    await require_project(session, draft.project)
    if draft.after is not None:
        await chains.require_parent(session, draft.after, draft.project, jobid)
    await quotas.require_room(session, draft, is_new=True)
    try:
        await project_secrets.require_named(session, draft, cipher)
    except InvalidInput as error:
        why = "What came with a job is removed a day after it was deleted."
        said = (FieldError(one.path, f"{one.detail} {why}") for one in error.field_errors)
        raise InvalidInput(*said) from None
    return await resolved(session, locked.now, draft)


async def _go_on_from(session: Session, locked: LockedJob) -> datetime | None:
    """Write off what was due while the job was deleted; the occurrence to go on with, if any may run."""
    job, now = locked.job, locked.now
    try:
        future = planning.future_of(job, await logs.standing(session, job.jobid))
    except ScheduleUnusable:
        return None
    first = await opening.first_open(session, locked, future)
    if first is None or future.schedule.first_free(first) is None:
        # Nothing but days off is left: it was completed.
        return None
    if first <= now:
        return await skipping.write_off(session, now, job.jobid, future, (first, now), Reason.DELETED)
    return first
