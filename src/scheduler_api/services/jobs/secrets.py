"""Secrets that sign a job's calls: two at once, so that they can be replaced without a gap."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.secrets import NewSecret, Secret
from scheduler_api.database.jobs import changes, definitions, project_secrets, secrets
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.project_secrets import FIRST, Encrypted
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    JobIsDeleted,
    JobNotFound,
    SecretNotFound,
    SecretsUnavailable,
    TooManySecrets,
)
from scheduler_api.targets import signatures

MOST = 2
#: Secrets that are looked at in one transaction.
BATCH = 500


async def add(session: Session, now: datetime, actor: Actor, jobid: int, cipher: Cipher) -> NewSecret:
    """Give a job a further secret; it is shown this once.

    Raises JobNotFound, JobIsDeleted, TooManySecrets, SecretsUnavailable.
    """
    job = await definitions.lock(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job.deletedat is not None:
        raise JobIsDeleted(jobid)
    if len(await secrets.of_job(session, jobid)) >= MOST:
        raise TooManySecrets(f"Job {jobid} has {MOST} secrets; remove the older one before you add another.")
    secret = signatures.new_secret()
    row = await secrets.add(session, now, jobid, cipher.encrypt(secret))
    await changes.record(
        session, now, actor, Event(ChangeAction.SECRET_ADDED, jobid, after={"secretid": row.secretid})
    )
    return NewSecret(**row._asdict(), secret=secret)


async def listing(session: Session, jobid: int) -> list[Secret]:
    """The job's secrets, oldest first, but for what they are. Raises JobNotFound."""
    if await definitions.summary(session, jobid) is None:
        raise JobNotFound(jobid)
    return await kept(session, jobid)


async def kept(session: Session, jobid: int) -> list[Secret]:
    """The same of a job that is there."""
    return [Secret.model_validate(row._asdict()) for row in await secrets.of_job(session, jobid)]


async def remove(session: Session, now: datetime, actor: Actor, jobid: int, secretid: int) -> None:
    """Sign with a secret no more. Raises SecretNotFound."""
    if not await secrets.remove(session, jobid, secretid):
        raise SecretNotFound(f"Job {jobid} has no secret {secretid}.")
    removed = Event(ChangeAction.SECRET_REMOVED, jobid, before={"secretid": secretid})
    await changes.record(session, now, actor, removed)


class Rotated(NamedTuple):
    """Secrets that were looked at."""

    done: int
    lost: int
    """How many no key opens."""
    last: Encrypted | None
    """The last one; None: there was none left."""


async def rotate(session: Session, _: datetime, cipher: Cipher, after: Encrypted) -> Rotated:
    """Encrypt the next secrets after this one with the newest key. Raises SecretsUnavailable."""
    found = await project_secrets.some(session, after, BATCH)
    done = 0
    for secret in found:
        try:
            renewed = cipher.renewed(secret.ciphertext)
        except SecretsUnavailable:
            if not cipher.has_keys:
                raise
            continue
        await project_secrets.replace(session, secret, renewed)
        done += 1
    return Rotated(done, len(found) - done, found[-1] if found else None)


async def unreadable(session: Session, cipher: Cipher) -> int:
    """How many of the oldest secrets no key opens: those that an exchange of keys forgot are among them."""
    lost = 0
    for secret in await project_secrets.some(session, FIRST, BATCH):
        try:
            cipher.decrypt(secret.ciphertext)
        except SecretsUnavailable:
            lost += 1
    return lost
