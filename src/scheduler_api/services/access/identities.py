"""Signing in by an identity provider: a try that begins and ends in one browser, and the user it leads to."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api import tokens
from scheduler_api.actors import Actor, ActorKind, Role
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import identities, sessions, users
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import SignInRefused
from scheduler_api.services.access.signing import Comer, begin_session


class Vouched(NamedTuple):
    """Whom a provider vouches for, and what they may do here."""

    issuer: str
    subject: str
    role: Role


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
    userid = await _user(session, now, comer.name, vouched)
    if before is not None:
        await sessions.end(session, tokens.digest_of(before))
    return await begin_session(session, now, userid, comer)


async def refuse(session: Session, now: datetime, comer: Comer, why: str) -> None:
    """Somebody whom the provider sent back does not get in."""
    said = {"name": comer.name or None, "address": comer.address, "error": why}
    actor = Actor(ActorKind.LOCAL, comer.client)
    await changes.record(session, now, actor, Event(ChangeAction.SIGN_IN_REFUSED, after=said))


async def _user(session: Session, now: datetime, name: str, vouched: Vouched) -> int:
    """The userid, of a user who is called so and may do what the provider says by now."""
    issuer, subject, role = vouched
    by_provider = Actor(ActorKind.USER, name)
    found = await identities.find(session, issuer, subject)
    if found is None:
        added = await users.add(session, now, name, role)
        if added is not None:
            await identities.add(session, issuer, subject, added.userid)
            said = {"name": name, "role": role, "issuer": issuer}
            await changes.record(session, now, by_provider, Event(ChangeAction.USER_ADDED, after=said))
            return added.userid
        # They may have come by two replicas at once.
        found = await identities.find(session, issuer, subject)
    if found is None:
        raise SignInRefused(TAKEN.format(name))
    if (found.name, found.role) != (name, role):
        if await identities.is_taken(session, name, found.userid):
            raise SignInRefused(TAKEN.format(name))
        await identities.change(session, found.userid, name, role)
        before, after = {"name": found.name, "role": found.role}, {"name": name, "role": role}
        await changes.record(session, now, by_provider, Event(ChangeAction.USER_CHANGED, None, before, after))
    return found.userid


TAKEN = "Another user is called {} here. If it is you, ask an admin to remove that user."
