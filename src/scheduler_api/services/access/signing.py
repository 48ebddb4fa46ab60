"""Signing in and out: by a password or a link that works once, with a session of its own each time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api import tokens
from scheduler_api.actors import Actor, ActorKind
from scheduler_api.contracts.access.users import USER_NAME
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import sessions, users
from scheduler_api.database.access.sessions import SessionRow
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import LinkNotFound, NotSignedIn, TooManyTries

#: Tries within an hour: by one name, and from one address. A link, a session and a key go on working.
MAX_TRIES = 20
#: The same at an identity provider, whose answers cannot be guessed: so that nothing grows.
MAX_RETURNS = 200
#: What counts as the name of all who give none that a user could have.
NO_NAME = ""


class Comer(NamedTuple):
    """Who tries to sign in."""

    name: str
    address: str
    client: str | None

    @property
    def user(self) -> Actor:
        """Who they are, once that is known."""
        return Actor(ActorKind.USER, self.name, self.address)

    @property
    def stranger(self) -> Actor:
        """Who they are before that."""
        return Actor(ActorKind.LOCAL, self.client, self.address)


class Try(NamedTuple):
    """A try that counts until it is known to be none."""

    tryid: int
    userid: int | None
    """Of the user of that name; None: there is none."""
    passwordhash: str | None


async def attempt(session: Session, now: datetime, comer: Comer) -> Try:
    """Note that somebody tries. Raises TooManyTries."""
    name = comer.name if USER_NAME.fullmatch(comer.name) else NO_NAME
    named, there = await sessions.tries(session, now, name, comer.address)
    if there >= MAX_TRIES or (named >= MAX_TRIES and name != NO_NAME):
        raise TooManyTries(
            "Too many failed attempts within an hour. Try again later, or ask an admin for a one-time link."
        )
    found = await users.by_name(session, name)
    userid, passwordhash = (None, None) if found is None else found
    return Try(await sessions.note_try(session, now, name, comer.address), userid, passwordhash)


async def attempt_elsewhere(session: Session, now: datetime, comer: Comer) -> int:
    """Note that somebody comes back from an identity provider; the try's id. Raises TooManyTries.

    Apart from passwords: whoever spoils the one leaves the other.
    """
    address = f"{comer.address}, from the provider"
    _, there = await sessions.tries(session, now, NO_NAME, address)
    if there >= MAX_RETURNS:
        raise TooManyTries("Too many failed attempts within an hour. Try again later.")
    return await sessions.note_try(session, now, NO_NAME, address)


async def withdraw(session: Session, _: datetime, tryid: int) -> None:
    """It was no failure: nobody looked at the password, or the identity provider."""
    await sessions.forget_try(session, tryid)


async def refuse(session: Session, now: datetime, comer: Comer, tried: Try) -> None:
    """It was the wrong password, or there is no such user.

    The name is recorded only if such a user exists: some people type their password there.
    """
    said = {"name": None if tried.userid is None else comer.name}
    await changes.record(session, now, comer.stranger, Event(ChangeAction.SIGN_IN_REFUSED, after=said))


async def sign_in(session: Session, now: datetime, comer: Comer, tried: Try, before: str | None) -> str:
    """Begin a session for a user whose password was right, instead of the one `before`; its token.

    Raises NotSignedIn where the password is another one by now.
    """
    await _require_same_password(session, tried)
    assert tried.userid is not None
    await sessions.forget_try(session, tried.tryid)
    if before is not None:
        await sessions.end(session, tokens.digest_of(before))
    return await begin_session(session, now, tried.userid, comer)


async def _require_same_password(session: Session, tried: Try) -> None:
    """It was compared outside of the transaction."""
    if (
        tried.userid is None
        or tried.passwordhash is None
        or not await users.is_password(session, tried.userid, tried.passwordhash)
    ):
        raise NotSignedIn("The name or the password is wrong.")


async def whom(session: Session, token: str) -> tuple[str, datetime]:
    """The name of the user that a link lets in, and until when. Raises LinkNotFound."""
    found = await users.link(session, tokens.digest_of(token))
    if found is None:
        raise LinkNotFound(GONE)
    return found.name, found.expiresat


GONE = "This link has been used, or has expired. Ask an admin for another one."


async def sign_in_by_link(
    session: Session, now: datetime, comer: Comer, token: str, passwordhash: str
) -> str:
    """Set the password of the user that a link lets in, and begin a session; its token.

    The link works no more, and all earlier sessions end. Raises LinkNotFound.
    """
    found = await users.lock_link(session, tokens.digest_of(token))
    if found is None or found.expiresat <= now:
        raise LinkNotFound(GONE)
    named = comer._replace(name=found.name)
    await users.forget_links(session, found.userid)
    await _set_password(session, now, named, found.userid, passwordhash)
    return await begin_session(session, now, found.userid, named)


async def change_password(
    session: Session, now: datetime, comer: Comer, tried: Try, passwordhash: str
) -> str:
    """Set another password where the old one was right, end all sessions, and begin a new one; its token.

    Raises NotSignedIn where the old one is another by now.
    """
    await _require_same_password(session, tried)
    assert tried.userid is not None
    await sessions.forget_try(session, tried.tryid)
    await _set_password(session, now, comer, tried.userid, passwordhash)
    return await begin_session(session, now, tried.userid, comer)


async def _set_password(
    session: Session, now: datetime, comer: Comer, userid: int, passwordhash: str
) -> None:
    await users.set_password(session, userid, passwordhash)
    await sessions.end_all(session, userid)
    await changes.record(session, now, comer.user, Event(ChangeAction.PASSWORD_SET))


async def sign_out(session: Session, now: datetime, comer: Comer, token: str) -> None:
    """End a session, if there is one."""
    name = await sessions.end(session, tokens.digest_of(token))
    if name is not None:
        await changes.record(session, now, comer._replace(name=name).user, Event(ChangeAction.SIGNED_OUT))


async def sign_out_elsewhere(
    session: Session, now: datetime, actor: Actor, userid: int, sessionid: int
) -> None:
    """End all sessions of a user but this one."""
    ended = await sessions.end_all(session, userid, sessionid)
    if ended:
        await changes.record(session, now, actor, Event(ChangeAction.SIGNED_OUT, after={"elsewhere": ended}))


async def sessions_of(session: Session, userid: int) -> Sequence[SessionRow]:
    """The user's sessions, the newest first."""
    return await sessions.of_user(session, userid)


async def begin_session(session: Session, now: datetime, userid: int, comer: Comer) -> str:
    """Begin a session of a user who may come in; its token."""
    token = tokens.new_token()
    await sessions.add(session, now, userid, tokens.digest_of(token), comer.client)
    await users.note_seen(session, now, userid)
    await changes.record(session, now, comer.user, Event(ChangeAction.SIGNED_IN))
    return token
