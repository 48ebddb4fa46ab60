"""Creating jobs."""

from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Future
from scheduler_api.services.jobs import chains, locking, project_secrets, quotas
from scheduler_api.services.jobs.documents import recorded, written
from scheduler_api.services.jobs.drafts import (
    first_ahead,
    require_future_start,
    require_project,
    resolved,
    schedule_of_draft,
)
from scheduler_api.services.jobs.planning import delay_of


async def create(session: Session, now: datetime, actor: Actor, cipher: Cipher, draft: JobDraft) -> Job:
    """Create a job and schedule its first run; what lets it in at its target becomes a secret.

    Raises InvalidInput where it has none ahead or names what is not there, and SecretsUnavailable.
    """
    draft = await resolved(session, now, draft)
    schedule = schedule_of_draft(draft)
    require_future_start(draft, schedule, now)
    await require_project(session, draft.project)
    if draft.after is not None:
        await chains.require_parent(session, draft.after, draft.project)
    await quotas.require_room(session, draft, is_new=True)
    draft = await project_secrets.sealed(session, now, actor, draft, cipher)
    await project_secrets.require_named(session, draft, cipher)
    first = None if draft.after is not None else first_ahead(schedule, now)
    values = draft.values
    jobid = await definitions.create(session, now, values, None if draft.active else first)
    nextrun = None
    if draft.active and first is not None:
        future = Future(schedule, draft.maxruns, delay=delay_of(draft, jobid))
        nextrun = await locking.schedule_next(session, now, jobid, future, first)
    created = Event(ChangeAction.CREATED, jobid, after=recorded(written(values)))
    await changes.record(session, now, actor, created)
    return Job(
        **values,
        jobid=jobid,
        state="active" if draft.active else "paused",
        pausedat=None if draft.active else now,
        pausereason=None,
        pauseduntil=None,
        pauseid=None,
        nextrun=nextrun,
        lastrun=None,
        laststatus=None,
        failures=0,
        lastsuccess=None,
        openissues=0,
        version=1,
        createdat=now,
    )
