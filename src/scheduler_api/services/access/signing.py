"""Signing in and out: by a password or a link that works once, with a session of its own each time."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api import tokens
from scheduler_api.actors import Actor, ActorKind
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import sessions, users
from scheduler_api.database.access.sessions import SessionRow
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import LinkNotFound, TooManyTries

#: Tries within an hour: by one name, and from one address. A link, a session and a key go on working.
MAX_TRIES = 20


class Comer(NamedTuple):
    """Who tries to sign in."""

    name: str
    address: str
    client: str | None


class Try(NamedTuple):
    """A try that counts until it is known to be none."""

    tryid: int
    userid: int | None
    """Of the user of that name; None: there is none."""
    passwordhash: str | None


async def attempt(session: Session, now: datetime, comer: Comer) -> Try:
    """Note that somebody tries. Raises TooManyTries."""
    named, there = await sessions.tries(session, now, comer.name, comer.address)
    if max(named, there) >= MAX_TRIES:
        raise TooManyTries(
            "Too many failed attempts within an hour. Try again later, or ask an admin for a one-time link."
        )
    found = await users.by_name(session, comer.name)
    userid, passwordhash = (None, None) if found is None else found
    return Try(await sessions.note_try(session, now, comer.name, comer.address), userid, passwordhash)


async def refuse(session: Session, now: datetime, comer: Comer) -> None:
    """It was the wrong password, or there is no such user."""
    said = {"name": comer.name, "address": comer.address}
    await changes.record(session, now, _actor(comer), Event(ChangeAction.SIGN_IN_REFUSED, after=said))


async def sign_in(session: Session, now: datetime, comer: Comer, tried: Try) -> str:
    """Begin a session for a user whose password was right; its token."""
    assert tried.userid is not None
    await sessions.forget_try(session, tried.tryid)
    return await _begin_session(session, now, tried.userid, comer)


async def whom(session: Session, now: datetime, token: str) -> str:
    """The name of the user that a link lets in. Raises LinkNotFound."""
    found = await users.link(session, tokens.digest_of(token))
    if found is None or found.expiresat <= now:
        raise LinkNotFound("This link has been used, or has expired. Ask an admin for another one.")
    return found.name


async def sign_in_by_link(
    session: Session, now: datetime, comer: Comer, token: str, passwordhash: str
) -> str:
    """Set the password of the user that a link lets in, and begin a session; its token.

    The link works no more, and all earlier sessions end. Raises LinkNotFound.
    """
    name = await whom(session, now, token)
    found = await users.link(session, tokens.digest_of(token))
    assert found is not None
    await users.forget_links(session, found.userid)
    await _set_password(session, now, comer._replace(name=name), found.userid, passwordhash)
    return await _begin_session(session, now, found.userid, comer._replace(name=name))


async def change_password(
    session: Session, now: datetime, comer: Comer, tried: Try, passwordhash: str
) -> str:
    """Set another password where the old one was right, end all sessions, and begin a new one; its token."""
    assert tried.userid is not None
    await sessions.forget_try(session, tried.tryid)
    await _set_password(session, now, comer, tried.userid, passwordhash)
    return await _begin_session(session, now, tried.userid, comer)


async def _set_password(
    session: Session, now: datetime, comer: Comer, userid: int, passwordhash: str
) -> None:
    await users.set_password(session, userid, passwordhash)
    await sessions.end_all(session, userid)
    await changes.record(session, now, _actor(comer), Event(ChangeAction.PASSWORD_SET))


async def sign_out(session: Session, now: datetime, actor: Actor, token: str) -> None:
    """End a session."""
    await sessions.end(session, tokens.digest_of(token))
    await changes.record(session, now, actor, Event(ChangeAction.SIGNED_OUT))


async def sign_out_elsewhere(
    session: Session, now: datetime, actor: Actor, userid: int, sessionid: int
) -> None:
    """End all sessions of a user but this one."""
    await sessions.end_all(session, userid, sessionid)
    await changes.record(session, now, actor, Event(ChangeAction.SIGNED_OUT, after={"elsewhere": True}))


async def sessions_of(session: Session, userid: int) -> list[SessionRow]:
    """The user's sessions, the newest first."""
    return await sessions.of_user(session, userid)


async def _begin_session(session: Session, now: datetime, userid: int, comer: Comer) -> str:
    token = tokens.new_token()
    await sessions.add(session, now, userid, tokens.digest_of(token), comer.client)
    await users.note_seen(session, now, userid)
    await changes.record(session, now, _actor(comer), Event(ChangeAction.SIGNED_IN))
    return token


def _actor(comer: Comer) -> Actor:
    return Actor(ActorKind.USER, comer.name)
