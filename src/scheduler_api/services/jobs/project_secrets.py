"""Secrets of projects: named by the targets of their jobs, sent to one origin only, and never shown."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.computing import aside_locked
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.credentials import NamedSecret, plain
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.secrets import ProjectSecret, ProjectSecretDraft
from scheduler_api.contracts.jobs.targets import Target, as_kept, stored, target_of
from scheduler_api.database.access import projects
from scheduler_api.database.jobs import changes, project_secrets
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.project_secrets import KnownSecret
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    ProjectNotFound,
    SecretInUse,
    SecretNotFound,
    SecretsUnavailable,
    enumerated,
)
from scheduler_api.targets import certificates, headers, templates, urls

#: How many jobs an error names.
MAX_NAMED = 3
#: How many of the jobs that use a secret are looked at when it is set anew.
MAX_USES = 200
#: For how long one stays that came with a job, and that no job names any more: an edit may be taken back.
UNUSED = timedelta(days=1)
#: Secrets that are removed in one transaction.
BATCH = 500


async def listing(session: Session, project: str, after: str = "", limit: int = BATCH) -> list[ProjectSecret]:
    """Up to `limit` secrets of a project with a name above `after`, by name. Raises ProjectNotFound."""
    if not await projects.listing(session, [project]):
        raise ProjectNotFound(f"There is no project {project}.")
    rows = await project_secrets.listing(session, project, after, limit)
    return [ProjectSecret.model_validate(row._asdict()) for row in rows]


async def put(
    session: Session,
    now: datetime,
    actor: Actor,
    secret: tuple[str, str],
    draft: ProjectSecretDraft,
    cipher: Cipher,
) -> ProjectSecret:
    """Add a secret, or replace it: jobs that name it send the new one from their next request on.

    `secret` is its project and its name. Raises ProjectNotFound, SecretInUse where jobs send it to another
    origin, InvalidInput where it does not fit what they use it for, SecretsUnavailable.
    """
    project, name = secret
    if not await projects.known(session, [project]):
        raise ProjectNotFound(f"There is no project {project}.")
    # What forms and files end with is no part of it.
    value = draft.value.rstrip("\r\n")
    ciphertext = cipher.encrypt(value)
    # Where there is none it is added first, so that there is a row to lock: others name it, too.
    before: KnownSecret | None = None
    while before is None and not await project_secrets.add(
        session, now, project, name, draft.origin, ciphertext
    ):
        # None once more: somebody has removed it in between.
        before = await project_secrets.lock(session, project, name)
    if before is not None:
        if before.origin != draft.origin:
            await _require_unused(session, project, name, f"sent to {before.origin}", "Add another secret")
        await _require_fit(session, project, name, value)
        await project_secrets.replace_value(session, now, project, name, draft.origin, ciphertext)
    was = None if before is None else {"name": name, "origin": before.origin}
    done = Event(ChangeAction.SECRET_SET, None, was, {"name": name, "origin": draft.origin}, project)
    await changes.record(session, now, actor, done)
    row = await project_secrets.listed(session, project, name)
    return ProjectSecret.model_validate(row._asdict())


async def remove(session: Session, now: datetime, actor: Actor, project: str, name: str) -> None:
    """Remove a secret that no job names. Raises SecretNotFound, SecretInUse."""
    found = await project_secrets.lock(session, project, name)
    if found is None:
        raise SecretNotFound(f"The project {project} has no secret {name}.")
    await _require_unused(session, project, name, "used", "Change them first")
    await project_secrets.remove(session, project, name)
    was = {"name": name, "origin": found.origin}
    await changes.record(session, now, actor, Event(ChangeAction.SECRET_REMOVED, before=was, project=project))


async def sealed(session: Session, now: datetime, actor: Actor, draft: JobDraft, cipher: Cipher) -> JobDraft:
    """The draft with secrets of its project in place of headers that hold credentials.

    For one value, header and origin there is one secret: to send a job again changes nothing.
    Raises SecretsUnavailable.
    """
    if draft.target is None:
        return draft
    target = await _sealed(session, now, actor, draft.project, draft.target, cipher)
    return draft if target is draft.target else draft.model_copy(update={"target": target})


async def sealed_document(
    session: Session, now: datetime, actor: Actor, document: Mapping[str, Any], cipher: Cipher
) -> dict[str, Any]:
    """The same of a job as its row has it: an earlier version may have written it.

    What is in it is for where it goes now: an edit may send it elsewhere.
    """
    target = _target_in(document)
    if target is None:
        return dict(document)
    sealed = await _sealed(session, now, actor, document["project"], target, cipher)
    return dict(document) if sealed is target else {**document, "target": as_kept(sealed)}


def _target_in(document: Mapping[str, Any]) -> Target | None:
    """The target of a job as its row has it; None: it has none, or none that can be understood."""
    try:
        return stored(document["target"], Target) if document["target"] else None
    except ValueError:
        return None


async def _sealed(
    session: Session, now: datetime, actor: Actor, project: str, target: Target, cipher: Cipher
) -> Target:
    named = {}
    for header, value in plain(target.headers).items():
        if headers.is_secret(header) and templates.has_text(value):
            given = _Given(project, header, value, urls.origin_of(target.url))
            named[header] = NamedSecret(secret=await _kept(session, now, actor, given, cipher))
    return target.model_copy(update={"headers": {**target.headers, **named}}) if named else target


async def carried(session: Session, before: Mapping[str, Any], draft: JobDraft, cipher: Cipher) -> JobDraft:
    """The draft of a job that leaves its project, with what came with it there in plain text, to be sealed.

    That is for the job's own headers as they were `before`, and for no other origin. All else stays named,
    and is to be set where the job goes. Raises SecretsUnavailable.
    """
    target, old = draft.target, before["target"] or {}
    if target is None:
        return draft
    named = {
        header: value.secret
        for header, value in target.headers.items()
        if isinstance(value, NamedSecret)
        and headers.is_secret(header)
        and old.get("headers", {}).get(header) == value.model_dump()
    }
    known = await project_secrets.known(session, before["project"], named.values())
    here = urls.origin_of(target.url)
    values = {
        one.name: cipher.decrypt(one.ciphertext) for one in known if one.generated and one.origin == here
    }
    opened = {header: values[name] for header, name in named.items() if name in values}
    replaced = target.model_copy(update={"headers": {**target.headers, **opened}})
    return draft.model_copy(update={"target": replaced})


async def let_go(session: Session, now: datetime, before: Mapping[str, Any], draft: JobDraft) -> None:
    """Note of what a job named before, and names no more, that it did so until now."""
    target = _target_in(before)
    names = set() if target is None else {name for name, _ in target.secrets.values()}
    if before["project"] == draft.project:
        names -= set(draft.secretnames)
    if names:
        await project_secrets.note_use(session, now, before["project"], names)


class _Given(NamedTuple):
    """The value of a header that came with a job."""

    project: str
    header: str
    value: str
    origin: str


async def _kept(session: Session, now: datetime, actor: Actor, given: _Given, cipher: Cipher) -> str:
    """The name of the secret that holds the value."""
    project, header, value, origin = given
    digest = cipher.digest(f"{header.lower()} {origin} {value}")
    ciphertext = cipher.encrypt(value)
    for number in count(1):
        name = f"{headers.as_word(header)}-{digest}" + (f"-{number}" if number > 1 else "")
        found = await project_secrets.generate(session, now, project, name, origin, ciphertext)
        if found.ciphertext == ciphertext:
            done = Event(ChangeAction.SECRET_SET, after={"name": name, "origin": origin}, project=project)
            await changes.record(session, now, actor, done)
            return name
        # Somebody may have replaced it since.
        if found.origin == origin and cipher.opens_to(found.ciphertext, value):
            return name
    raise AssertionError


async def require_named(session: Session, draft: JobDraft, cipher: Cipher) -> None:
    """Raise InvalidInput where the target names a secret that is not there, for another origin, or unfit.

    Those that it names stay until the transaction ends. Raises SecretsUnavailable.
    """
    if draft.target is None or not (named := draft.target.secrets):
        return
    known = {
        secret.name: secret
        for secret in await project_secrets.known(
            session, draft.project, {name for name, _ in named.values()}
        )
    }
    wrong = []
    for place, (name, origin) in named.items():
        # A key takes a while to be read.
        error = await aside_locked(_error_in, draft.project, place, (name, origin), known.get(name), cipher)
        if error is not None:
            wrong.append(FieldError(("target", *place), error))
    if wrong:
        raise InvalidInput(*wrong)


def _error_in(
    project: str,
    place: Sequence[str],
    wanted: tuple[str, str],
    secret: KnownSecret | None,
    cipher: Cipher,
) -> str | None:
    """What is wrong with a secret where it is named, as a sentence that does not tell what it is."""
    name, origin = wanted
    if secret is None:
        return f"The project {project} has no secret {name}."
    if secret.origin != origin:
        return f"The secret {name} is for {secret.origin}, and would be sent to {origin}."
    wrong = _unfit(place, cipher.decrypt(secret.ciphertext))
    return None if wrong is None else f"The secret {name} is not fit for that: {wrong}"


def _unfit(place: Sequence[str], value: str) -> str | None:
    """Why a value cannot be used there, as a sentence that does not tell what it is; None: it can."""
    match place:
        case ("headers", header):
            return headers.error_in(header, value)
        case ("clientcert",):
            return certificates.error_in_pair(value)
        case ("cacert",):
            return certificates.error_in_authorities(value)
        case _:
            return None


async def _require_fit(session: Session, project: str, name: str, value: str) -> None:
    """Raise InvalidInput where a new value is not fit for what jobs use it for."""
    places = set[tuple[str, ...]]()
    for use in await project_secrets.uses(session, project, name, MAX_USES):
        named = target_of(use.target).secrets
        places |= {place for place, (other, _) in named.items() if other == name}
    for place in sorted(places):
        wrong = await aside_locked(_unfit, place, value)
        if wrong is not None:
            raise InvalidInput(FieldError(("value",), f"Jobs use it as {place[-1]}: {wrong}"))


async def values_of(session: Session, jobid: int, cipher: Cipher) -> list[str]:
    """What the secrets are that a job names; those that no key opens are left out."""
    document = await project_secrets.named(session, jobid)
    found = {} if document is None else json.loads(document)
    values = []
    for _, ciphertext in found.values():
        with contextlib.suppress(SecretsUnavailable):
            values.append(cipher.decrypt(ciphertext.encode()))
    return values


async def _require_unused(session: Session, project: str, name: str, what: str, action: str) -> None:
    found = await project_secrets.uses(session, project, name, MAX_NAMED + 1)
    if found:
        named = enumerated([use.jobid for use in found], MAX_NAMED)
        raise SecretInUse(f"It is {what} by these jobs: {named}. {action}.")


async def remove_unnamed(session: Session, now: datetime) -> int:
    """Remove secrets that came with jobs, and that none has named for a day; how many."""
    # A job that names one of them meanwhile has it locked, or waits; one that has just named it is seen
    # by the second statement.
    found = await project_secrets.lock_unnamed(session, now, UNUSED, BATCH)
    return await project_secrets.remove_of(session, now, UNUSED, found) if found else 0
