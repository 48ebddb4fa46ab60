"""Statements on users whom an identity provider signs in, and on tries to sign in there."""

from datetime import datetime, timedelta

from sqlalchemy import bindparam, insert

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import signinattempt, useridentity

#: How long the provider may take, with whoever signs in there.
PATIENCE = timedelta(minutes=10)
#: The most that begin from one address at a time.
MAX_OPEN = 500


FORGET_OLD = Statement("DELETE FROM signinattempt WHERE createdat <= :horizon")
ADD_ATTEMPT = Statement(
    insert(signinattempt)
    .values(
        digest=bindparam("digest"),
        createdat=bindparam("now"),
        address=bindparam("address"),
        back=bindparam("back"),
    )
    .inline()
)
#: All but the newest.
FORGET_OLDEST = Statement(
    """
    DELETE FROM signinattempt WHERE digest IN (
        SELECT digest FROM signinattempt WHERE address = :address ORDER BY createdat DESC OFFSET :most
    )
    """
)
TAKE = Statement("DELETE FROM signinattempt WHERE digest = :digest RETURNING createdat, back")
FIND = Statement(
    """
    SELECT userid FROM useridentity JOIN useraccount USING (userid)
    WHERE issuer = :issuer AND subject = :subject FOR NO KEY UPDATE OF useraccount
    """
)
ADD = Statement(
    insert(useridentity)
    .values(issuer=bindparam("issuer"), subject=bindparam("subject"), userid=bindparam("user"))
    .inline()
)
IS_TAKEN = Statement("SELECT count(*) FROM useraccount WHERE name = :name AND userid <> :userid")
RENAME = Statement("UPDATE useraccount SET name = :name WHERE userid = :userid")


async def add_attempt(session: Session, now: datetime, digest: bytes, address: str, back: str) -> None:
    """Note a try that an address began; those that are over are forgotten, and so are the oldest of many."""
    await session.all(FORGET_OLD, horizon=now - PATIENCE)
    await session.all(ADD_ATTEMPT, now=now, digest=digest, address=address, back=back)
    await session.all(FORGET_OLDEST, address=address, most=MAX_OPEN)


async def take_attempt(session: Session, now: datetime, digest: bytes) -> str | None:
    """End a try: the page that it was for; None: there is none, or it has taken too long."""
    found = await session.one_or_none(TAKE, digest=digest)
    return found["back"] if found is not None and found["createdat"] > now - PATIENCE else None


async def find(session: Session, issuer: str, subject: str) -> int | None:
    """The userid of whom the issuer calls so, locked; None: there is no such user."""
    found: int | None = await session.value(FIND, issuer=issuer, subject=subject)
    return found


async def add(session: Session, issuer: str, subject: str, userid: int) -> None:
    """Let the issuer sign in the user, whom it calls so."""
    await session.all(ADD, issuer=issuer, subject=subject, user=userid)


async def is_taken(session: Session, name: str, userid: int) -> bool:
    """Whether another user has that name."""
    return bool(await session.value(IS_TAKEN, name=name, userid=userid))


async def rename(session: Session, userid: int, name: str) -> None:
    """Let a user be called so."""
    await session.all(RENAME, userid=userid, name=name)
