"""Taking back what was done to a job: its newest edit, or its deletion."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.changes import Change, ChangeAction
from scheduler_api.contracts.jobs.credentials import MASK
from scheduler_api.contracts.jobs.drafts import JobDraft, JobPatch
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.jobs import changes, definitions, many
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import logs
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ScheduleUnusable, StaleVersion
from scheduler_api.schedule import Reason
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
from scheduler_api.services.jobs.drafts import require_project
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.reading import VERSIONED, get, get_summary, newest_changes

#: How many changes are looked through for the one that made the job what it is.
LOOKED_AT = 20
#: What the history keeps of a large body.
DIGEST = re.compile(r"[\d,]+ bytes, SHA-256 [0-9a-f]{64}", re.ASCII)


def is_complete(change: Change) -> bool:
    """Whether an edit tells all that it replaced: values of headers and large bodies are not kept."""
    target = (change.before or {}).get("target") or {}
    body, headers = target.get("body"), target.get("headers") or {}
    return MASK not in headers.values() and not (isinstance(body, str) and DIGEST.fullmatch(body))


async def undo_edit(
    session: Session, now: datetime, actor: Actor, cipher: Cipher, jobid: int, version: int
) -> Job:
    """Give a job back what its newest edit replaced; `version` is the one that the edit made.

    Raises StaleVersion where something else was done to it since, InvalidInput where what was there is not
    kept or no longer possible, and what `edit` raises.
    """
    current = (await get_summary(session, jobid)).version
    newest = await newest_changes(session, jobid, MAX_ID, LOOKED_AT) if current == version else ()
    change = next((one for one in newest if one.action in VERSIONED), None)
    if change is None or change.action is not ChangeAction.EDITED:
        raise StaleVersion(jobid, current)
    if not is_complete(change):
        sentence = "Header values and large bodies are not kept. Edit the job instead."
        raise InvalidInput(FieldError((), sentence))
    document = written(await definitions.as_written(session, jobid))
    # A body may be large.
    patch = await aside(_patch_back, document, change)
    return await editing.edit(session, now, actor, cipher, jobid, patch, version)


def _patch_back(document: dict[str, Any], change: Change) -> JobPatch:
    try:
        draft = JobDraft.model_validate(_replaced(document, change))
    except ValidationError as error:
        raise InvalidInput(*field_errors_of(error.errors(include_url=False, include_input=False))) from None
    return JobPatch.of(draft, set(JobPatch.model_fields))


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
    if locked.job.deletedat is None:
        return await get(session, jobid)
    await _require_whole(session, jobid, locked, cipher)
    first = await _go_on_from(session, locked)
    is_paused = locked.job.is_paused and (first is not None or locked.job.afterjobid is not None)
    lasts = first is not None or locked.job.afterjobid is not None
    await many.restore(
        session, locked.now, jobid, active=lasts and not is_paused, paused=is_paused, first=first
    )
    if first is not None and not is_paused:
        future = planning.future_of(locked.job, await logs.standing(session, jobid))
        await locking.go_on(session, locked.now, locked, future, first, overlap=locked.job.overlap)
    await noticing.resumed(session, locked.now, [jobid])
    await changes.record(session, locked.now, actor, Event(ChangeAction.RESTORED, jobid))
    return await get(session, jobid)


async def _require_whole(session: Session, jobid: int, locked: LockedJob, cipher: Cipher) -> None:
    """Raise where the job could not be created as it is."""
    draft = await aside(JobDraft.model_validate, written(await definitions.as_written(session, jobid)))
    await require_project(session, draft.project)
    await quotas.require_room(session, draft, is_new=True)
    await project_secrets.require_named(session, draft, cipher)
    if draft.after is not None:
        await chains.require_parent(session, draft.after, draft.project, locked.job.jobid)


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
