"""Creating a job once, however often the request arrives."""

import json
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database import marks
from scheduler_api.database.jobs import idempotency
from scheduler_api.database.statements import Session
from scheduler_api.errors import KeyInFlight, KeyReused
from scheduler_api.services.jobs import creating

#: How long a key is remembered.
LIFETIME = timedelta(hours=24)


class Created(NamedTuple):
    """A job as the first request with a key created it."""

    jobid: int
    version: int
    answer: str
    """The job in JSON, as that request was answered; an earlier version of the service may have done it."""
    is_replayed: bool


async def create_once(
    session: Session, now: datetime, actor: Actor, cipher: Cipher, key: str, draft: JobDraft
) -> Created:
    """Create the job, or find it as the key's first use created it.

    Raises what creating raises, KeyInFlight while another request has the key, and KeyReused where the
    key was used for another job. Each project has keys of its own.
    """
    if draft.project != DEFAULT_PROJECT:
        # No key has a line end.
        key = f"{draft.project}\n{key}"
    if not await idempotency.take(session, key):
        raise KeyInFlight("A request with this Idempotency-Key is in progress; wait for its answer.")
    # Of what was sent: a field that a later version adds makes no other request of it.
    digest, *older = cipher.digests(draft.model_dump_json(exclude_unset=True))
    found = await idempotency.find(session, key, now - LIFETIME)
    if found is not None:
        if found.digest not in {digest, *older}:
            raise KeyReused("This Idempotency-Key was used for another job; use a new key.")
        await marks.leave(session)
        job = json.loads(found.answer)
        return Created(job["jobid"], job["version"], found.answer, is_replayed=True)
    await idempotency.forget(session, now - LIFETIME)
    created = await creating.create(session, now, actor, cipher, draft)
    answer = created.model_dump_json()
    await idempotency.keep(session, now, key, digest, answer)
    return Created(created.jobid, created.version, answer, is_replayed=False)
