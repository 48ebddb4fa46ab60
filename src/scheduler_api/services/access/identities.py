"""Signing in by an identity provider: a try that begins and ends in one browser, and the user it leads to."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api import tokens
from scheduler_api.actors import Actor, Roles
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import identities, projects, sessions, users
from scheduler_api.database.access.users import UserRow
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import SignInRefused
from scheduler_api.services.access.signing import Comer, begin_session
from scheduler_api.services.access.users import said_of


class Vouched(NamedTuple):
    """Whom a provider vouches for, and what they may do here."""

    issuer: str
    subject: str
    roles: Roles


async def begin_attempt(session: Session, now: datetime, digest: bytes, address: str, back: str) -> None:
    """Note that somebody begins to sign in, to go on at the page `back`."""
    await identities.add_attempt(session, now, digest, address, back)


async def end_attempt(session: Session, now: datetime, digest: bytes) -> str:
    """The page that the try was for, which ends with this. Raises SignInRefused."""
    back = await identities.take_attempt(session, now, digest)
    if back is None:
        raise SignInRefused("This sign-in was not begun in this browser, or took too long. Sign in again.")
    return back


async def sign_in_by_provider(
    session: Session, now: datetime, comer: Comer, vouched: Vouched, before: str | None
) -> str:
    """Begin a session for whom the provider vouches, instead of the one `before`; its token.

    Who comes for the first time is added; name and role are as the provider has them now. Raises
    SignInRefused where another user has that name: who chooses a name there must not become them.
    """
    # One after the other, so that no two take a name at once.
    await sessions.wait_turn(session)
    userid = await _user(session, now, comer, vouched)
    if before is not None:
        await sessions.end(session, tokens.digest_of(before))
    return await begin_session(session, now, userid, comer)


async def shut_out(session: Session, now: datetime, comer: Comer, issuer: str, subject: str) -> None:
    """The provider grants nothing any more: whom it signed in before may do nothing, and is signed out."""
    userid = await identities.find(session, issuer, subject)
    before = None if userid is None else await users.get(session, userid)
    if userid is None or before is None:
        return
    await users.set_role(session, userid, None)
    await users.set_projects(session, userid, {})
    await sessions.end_all(session, userid)
    after = await users.get(session, userid)
    if after is not None and after != before:
        await _record(session, now, comer.user, before, after)


async def refuse(session: Session, now: datetime, comer: Comer, why: str) -> None:
    """Somebody whom the provider sent back does not get in."""
    said = {"name": comer.name or None, "error": why}
    await changes.record(session, now, comer.stranger, Event(ChangeAction.SIGN_IN_REFUSED, after=said))


async def _user(session: Session, now: datetime, comer: Comer, vouched: Vouched) -> int:
    """The userid, of a user who is called so and may do what the provider says by now."""
    (issuer, subject, roles), name = vouched, comer.name
    added = None
    userid = await identities.find(session, issuer, subject)
    if userid is None and (added := await users.add(session, now, name, roles.everywhere)) is not None:
        userid = added.userid
        await identities.add(session, issuer, subject, userid)
    # They may have come by two replicas at once.
    userid = userid or await identities.find(session, issuer, subject)
    if userid is None or await identities.is_taken(session, name, userid):
        raise SignInRefused(TAKEN.format(name))
    before = await users.get(session, userid)
    await identities.rename(session, userid, name)
    known = await projects.known(session, sorted(roles.projects))
    await users.set_role(session, userid, roles.everywhere)
    await users.set_projects(session, userid, {one: roles.projects[one] for one in sorted(known)})
    after = await users.get(session, userid)
    assert after is not None
    if added is not None or after != before:
        await _record(session, now, comer.user, None if added is not None else before, after)
    return userid


async def _record(
    session: Session, now: datetime, actor: Actor, before: UserRow | None, after: UserRow
) -> None:
    action = ChangeAction.USER_ADDED if before is None else ChangeAction.USER_CHANGED
    was, became = before and said_of(before), said_of(after) | {"issuer": after.issuer}
    await changes.record(session, now, actor, Event(action, before=was, after=became))


TAKEN = "Another user is called {} here. If it is you, ask an admin to remove that user."
