"""Secrets of projects: named by the targets of their jobs, sent to one origin only, and never shown."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.credentials import NamedSecret, plain
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.secrets import ProjectSecret, ProjectSecretDraft
from scheduler_api.database.access import projects
from scheduler_api.database.jobs import changes, project_secrets
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.project_secrets import KnownSecret
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ProjectNotFound, SecretInUse, SecretNotFound
from scheduler_api.targets import certificates, headers, templates, urls

#: How many jobs an error names.
MAX_NAMED = 3
#: For how long one stays that came with a job, and that no job names any more: the job may be written again.
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
    origin, SecretsUnavailable.
    """
    project, name = secret
    if not await projects.known(session, [project]):
        raise ProjectNotFound(f"There is no project {project}.")
    before = await project_secrets.lock(session, project, name)
    if before is not None and before.origin != draft.origin:
        await _require_unused(session, project, name, f"send it to {before.origin}; add another secret")
    await project_secrets.put(session, now, project, name, draft.origin, cipher.encrypt(draft.value))
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
    await _require_unused(session, project, name, "name it")
    await project_secrets.remove(session, project, name)
    was = {"name": name, "origin": found.origin}
    await changes.record(session, now, actor, Event(ChangeAction.SECRET_REMOVED, before=was, project=project))


async def sealed(session: Session, now: datetime, actor: Actor, draft: JobDraft, cipher: Cipher) -> JobDraft:
    """The draft with secrets of its project in place of headers that hold credentials.

    For one value, header and origin there is one secret: whoever sends a job again changes nothing.
    Raises SecretsUnavailable.
    """
    target = draft.target
    if target is None:
        return draft
    named = {}
    for header, value in plain(target.headers).items():
        if headers.is_secret(header) and templates.has_text(value):
            given = _Given(draft.project, header, value, urls.origin_of(target.url))
            named[header] = NamedSecret(secret=await _kept(session, now, actor, given, cipher))
    if not named:
        return draft
    replaced = target.model_copy(update={"headers": {**target.headers, **named}})
    return draft.model_copy(update={"target": replaced})


async def carried(session: Session, project: str, draft: JobDraft, cipher: Cipher) -> JobDraft:
    """The draft of a job that leaves that project, with what came with it from there in plain text.

    Secrets that somebody has set stay, and are to be set where it goes. Raises SecretsUnavailable.
    """
    target = draft.target
    if target is None or project == draft.project:
        return draft
    named = {
        header: value.secret
        for header, value in target.headers.items()
        if isinstance(value, NamedSecret) and headers.is_secret(header)
    }
    known = await project_secrets.known(session, project, named.values())
    values = {one.name: cipher.decrypt(one.ciphertext) for one in known if one.generated}
    plain = {header: values[name] for header, name in named.items() if name in values}
    replaced = target.model_copy(update={"headers": {**target.headers, **plain}})
    return draft.model_copy(update={"target": replaced})


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
        error = await aside(_error_in, draft.project, place, (name, origin), known.get(name), cipher)
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
    value = cipher.decrypt(secret.ciphertext)
    match place:
        case ("headers", header):
            wrong = headers.error_in(header, value)
        case ("clientcert",):
            wrong = certificates.error_in_pair(value)
        case ("cacert",):
            wrong = certificates.error_in_authorities(value)
        case _:
            wrong = None
    return None if wrong is None else f"The secret {name} is not fit for that: {wrong}"


async def _require_unused(session: Session, project: str, name: str, what: str) -> None:
    found = await project_secrets.jobs_naming(session, project, name, MAX_NAMED + 1)
    if found:
        named = ", ".join(map(str, found[:MAX_NAMED])) + (" and others" if found[MAX_NAMED:] else "")
        raise SecretInUse(f"Jobs {what}: {named}.")


async def remove_unnamed(session: Session, now: datetime) -> int:
    """Remove secrets that came with jobs and that none names any more; how many."""
    return await project_secrets.remove_unnamed(session, now, UNUSED, BATCH)
