"""API keys: added, listed, revoked. What they are is shown once, and known to nobody afterwards."""

from datetime import datetime
from typing import Any

from scheduler_api import tokens
from scheduler_api.actors import Actor
from scheduler_api.contracts.access.keys import Key, KeyDraft, NewKey
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import keys, projects
from scheduler_api.database.access.keys import KeyRow
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, KeyNotFound


async def add(session: Session, now: datetime, actor: Actor, draft: KeyDraft) -> NewKey:
    """Add a key. Raises InvalidInput where it would have expired already."""
    if draft.expiresat is not None and draft.expiresat <= now:
        raise InvalidInput(FieldError(("expiresat",), "Must be in the future."))
    if draft.project is not None and not await projects.known(session, [draft.project]):
        raise InvalidInput(FieldError(("project",), "There is no such project."))
    added = await _keep(session, now, actor, draft, tokens.new_key())
    assert added is not None
    return added


async def ensure(session: Session, now: datetime, actor: Actor, draft: KeyDraft, key: str) -> None:
    """Add the key that somebody else has made, unless it was added before, revoked or not."""
    await _keep(session, now, actor, draft, key)


async def _keep(session: Session, now: datetime, actor: Actor, draft: KeyDraft, key: str) -> NewKey | None:
    row = await keys.add(
        session,
        now,
        name=draft.name,
        role=draft.role,
        project=draft.project,
        prefix=key[: tokens.SHOWN],
        digest=tokens.digest_of(key),
        createdby=actor.client,
        expiresat=draft.expiresat,
    )
    if row is None:
        return None
    said = _said_of(row)
    await changes.record(session, now, actor, Event(ChangeAction.KEY_ADDED, after=said, project=row.project))
    return NewKey(**row._asdict(), key=key)


async def listing(session: Session) -> list[Key]:
    """All keys that let in, oldest first; those that have expired, too."""
    return [Key.model_validate(row._asdict()) for row in await keys.listing(session)]


async def revoke(session: Session, now: datetime, actor: Actor, keyid: int) -> None:
    """Let a key let in no more: a second later it does so nowhere. Raises KeyNotFound."""
    row = await keys.revoke(session, now, keyid)
    if row is None:
        raise KeyNotFound(f"There is no key {keyid}.")
    said = _said_of(row)
    await changes.record(
        session, now, actor, Event(ChangeAction.KEY_REVOKED, before=said, project=row.project)
    )


def _said_of(row: KeyRow) -> dict[str, Any]:
    said = {"keyid": row.keyid, "name": row.name, "role": row.role}
    return said if row.project is None else said | {"project": row.project}
