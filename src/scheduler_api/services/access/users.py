"""Users: added with a link to set a password, changed, removed."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from scheduler_api import tokens
from scheduler_api.actors import Actor, Role
from scheduler_api.contracts.access.users import Invitation, User, UserDraft, UserPatch
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.database.access import keys, users
from scheduler_api.database.access.users import UserRow
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, LastAdmin, SignedInElsewhere, UserNotFound
from scheduler_api.services.access import projects

#: For how long a link lets in.
LINK_LASTS = timedelta(hours=24)


async def add(session: Session, now: datetime, actor: Actor, draft: UserDraft, base: str) -> Invitation:
    """Add a user, with a link under `base`. Raises InvalidInput for a name that is taken."""
    added = await users.add(session, now, draft.name, draft.role)
    if added is None:
        raise InvalidInput(FieldError(("name",), "There is such a user already."))
    await projects.require(session, draft.projects, "projects")
    await users.set_projects(session, added.userid, draft.projects)
    row = _found(await users.get(session, added.userid), added.userid)
    await _record(session, now, actor, ChangeAction.USER_ADDED, after=row)
    return await _invite(session, now, row, base)


async def invite(session: Session, now: datetime, actor: Actor, userid: int, base: str) -> Invitation:
    """A new link for a user; earlier ones work no more. Raises UserNotFound, SignedInElsewhere."""
    row = _ours(_found(await users.lock(session, userid), userid))
    await _record(session, now, actor, ChangeAction.LINK_MADE, after=row)
    return await _invite(session, now, row, base)


async def _invite(session: Session, now: datetime, row: UserRow, base: str) -> Invitation:
    token, expiresat = tokens.new_token(), now + LINK_LASTS
    await users.add_link(session, now, row.userid, tokens.digest_of(token), expiresat)
    return Invitation(user=_user(row), link=f"{base}/sign-in/{token}", expiresat=expiresat)


async def listing(session: Session) -> list[User]:
    """All users, by name."""
    return [_user(row) for row in await users.listing(session)]


async def get(session: Session, userid: int) -> User:
    """A user. Raises UserNotFound."""
    return _user(_found(await users.get(session, userid), userid))


async def is_any(session: Session) -> bool:
    """Whether there are users."""
    return await users.is_any(session)


async def id_of(session: Session, name: str) -> int:
    """The userid of a name. Raises UserNotFound."""
    found = await users.by_name(session, name)
    if found is None:
        raise UserNotFound(f"There is no user {name}.")
    return found[0]


async def edit(session: Session, now: datetime, actor: Actor, userid: int, patch: UserPatch) -> User:
    """Let a user do other things. Raises UserNotFound, LastAdmin, SignedInElsewhere, InvalidInput."""
    # In the order in which all do who need both.
    await users.lock_admins(session)
    before = _ours(_found(await users.lock(session, userid), userid))
    role = patch.role if "role" in patch.model_fields_set else before.role
    roles = before.projects if patch.projects is None else patch.projects
    if role is None and not roles:
        raise InvalidInput(FieldError(("role",), "Leave a role, or remove the user."))
    await projects.require(session, roles, "projects")
    await _require_admin_beside(session, userid, unless=role == Role.ADMIN)
    await users.set_role(session, userid, role)
    await users.set_projects(session, userid, roles)
    row = _found(await users.get(session, userid), userid)
    if row != before:
        await _record(session, now, actor, ChangeAction.USER_CHANGED, before=before, after=row)
    return _user(row)


async def give(
    session: Session, now: datetime, actor: Actor, userid: int, project: str | None, role: str | None
) -> User:
    """Let a user have a role, or none: in a project; without one, everywhere. Raises as `edit` does."""
    await users.lock_admins(session)
    row = _found(await users.lock(session, userid), userid)
    roles = {name: held for name, held in row.projects.items() if name != project}
    if project is not None and role is not None:
        roles[project] = role
    change = {"role": role} if project is None else {"projects": roles}
    try:
        patch = UserPatch.model_validate(change)
    except ValidationError as error:
        raise InvalidInput(*field_errors_of(error.errors(include_url=False, include_input=False))) from None
    return await edit(session, now, actor, userid, patch)


async def remove(session: Session, now: datetime, actor: Actor, userid: int, *, erase: bool = False) -> None:
    """Remove a user, who is signed out everywhere. Raises UserNotFound, LastAdmin.

    With `erase`, what they did stays, and says no more who it was.
    """
    await _require_admin_beside(session, userid)
    row = _found(await users.remove(session, userid), userid)
    await _record(session, now, actor, ChangeAction.USER_REMOVED, before=row)
    if erase:
        instead = f"erased user {userid}"
        await changes.erase(session, row.name, instead)
        await keys.erase(session, row.name, instead)


async def _require_admin_beside(session: Session, userid: int, *, unless: bool = False) -> None:
    """Somebody has to be left who can let others in. Raises LastAdmin."""
    if not unless and await users.lock_admins(session) == [userid]:
        raise LastAdmin("This is the only admin. Make another user an admin first.")


def _found(row: UserRow | None, userid: int) -> UserRow:
    if row is None:
        raise UserNotFound(f"There is no user {userid}.")
    return row


def _ours(row: UserRow) -> UserRow:
    """A user whom this service signs in."""
    if row.issuer is not None:
        raise SignedInElsewhere(f"{row.name} signs in at {row.issuer}, whose groups decide what they may do.")
    return row


def _user(row: UserRow) -> User:
    return User.model_validate(row._asdict())


def said_of(row: UserRow) -> dict[str, Any]:
    """What changes say of a user."""
    return {"userid": row.userid, "name": row.name, "role": row.role} | (
        {"projects": row.projects} if row.projects else {}
    )


async def _record(
    session: Session,
    now: datetime,
    actor: Actor,
    action: ChangeAction,
    *,
    before: UserRow | None = None,
    after: UserRow | None = None,
) -> None:
    sides = [row and said_of(row) for row in (before, after)]
    await changes.record(session, now, actor, Event(action, before=sides[0], after=sides[1]))
