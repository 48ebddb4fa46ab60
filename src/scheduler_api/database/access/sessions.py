"""Statements on sessions of users, and on tries to begin one."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, update

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import signintry, usersession


class SessionRow(NamedTuple):
    """A session, but for what it is."""

    sessionid: int
    createdat: datetime
    seenat: datetime
    client: str | None


class KnownSession(NamedTuple):
    """A session that lets in."""

    sessionid: int
    userid: int
    name: str
    role: str | None
    projects: dict[str, str]
    """The roles in projects."""
    stale: bool
    """Whether it is not known yet that it was used a moment ago."""


#: The most that a user has.
MAX_SESSIONS = 50
#: Any number that no other user of the same database takes; spells "jobtry". Who tries to sign in takes
#: turns, as tries are counted and noted.
TRY_KEY = 0x6A6F62747279
#: A session ends when nobody has used it for so long, and after so long whatever is done.
LASTS = "createdat > now() - interval '24 hours' AND seenat > now() - interval '8 hours'"
ADD_SESSION = Statement(
    insert(usersession)
    .values(
        userid=bindparam("user"),
        digest=bindparam("digest"),
        createdat=bindparam("now"),
        seenat=bindparam("now"),
        client=bindparam("client"),
    )
    .inline()
)
# Nothing is concluded from it but whether to let in now.
FIND_SESSION = Statement(
    f"""
    SELECT sessionid, userid, name, role, (
        SELECT coalesce(jsonb_object_agg(project, projectrole.role), '{{}}') FROM projectrole
        WHERE projectrole.userid = useraccount.userid
    ) AS projects, stale
    FROM (
        SELECT sessionid, userid, seenat < now() - interval '1 minute' AS stale FROM usersession
        WHERE digest = :digest AND {LASTS}
    ) AS lasting JOIN useraccount USING (userid)
    """,
    KnownSession,
)
SEE_SESSION = Statement(
    update(usersession).where(usersession.c.sessionid == bindparam("id")).values(seenat=bindparam("now"))
)
SESSIONS = Statement(
    f"""
    SELECT sessionid, createdat, seenat, client FROM usersession
    WHERE userid = :userid AND {LASTS} ORDER BY seenat DESC, sessionid DESC LIMIT 100
    """,
    SessionRow,
)
END_SESSION = Statement(
    """
    WITH ended AS (DELETE FROM usersession WHERE digest = :digest RETURNING userid)
    SELECT name FROM ended JOIN useraccount USING (userid)
    """
)
END_SESSIONS = Statement(
    delete(usersession)
    .where(usersession.c.userid == bindparam("user"), usersession.c.sessionid != bindparam("but"))
    .returning(usersession.c.sessionid)
)
#: All but the newest.
END_OLDEST_SESSIONS = Statement(
    """
    DELETE FROM usersession WHERE sessionid IN (
        SELECT sessionid FROM usersession WHERE userid = :userid
        ORDER BY seenat DESC, sessionid DESC OFFSET :most
    )
    """
)
END_OLD_SESSIONS = Statement(f"DELETE FROM usersession WHERE NOT ({LASTS})")
TAKE_TRY_TURN = Statement("SELECT pg_advisory_xact_lock(:key)")
TRY = Statement(
    insert(signintry)
    .values(at=bindparam("now"), name=bindparam("name"), address=bindparam("address"))
    .returning(signintry.c.tryid)
)
#: Of the last hour: how many by that name, and how many from that address.
TRIES = Statement(
    """
    SELECT count(*) FILTER (WHERE name = :name) AS named, count(*) FILTER (WHERE address = :address) AS there
    FROM signintry WHERE at > CAST(:now AS timestamptz) - interval '1 hour'
      AND (name = :name OR address = :address)
    """
)
FORGET_TRY = Statement(delete(signintry).where(signintry.c.tryid == bindparam("tryid")))
FORGET_TRIES = Statement("DELETE FROM signintry WHERE at < CAST(:now AS timestamptz) - interval '1 hour'")


async def add(session: Session, now: datetime, userid: int, digest: bytes, client: str | None) -> None:
    """Begin a session; those that are over are forgotten, and so are the oldest of very many."""
    await session.all(END_OLD_SESSIONS)
    await session.all(ADD_SESSION, now=now, user=userid, digest=digest, client=client)
    await session.all(END_OLDEST_SESSIONS, userid=userid, most=MAX_SESSIONS)


async def by_digest(session: Session, digest: bytes) -> KnownSession | None:
    """The session of that digest, if it lets in."""
    return await session.one_or_none(FIND_SESSION, digest=digest)


async def touch(session: Session, now: datetime, sessionid: int) -> None:
    """Note that the session is used."""
    await session.all(SEE_SESSION, now=now, id=sessionid)


async def of_user(session: Session, userid: int) -> list[SessionRow]:
    """The user's sessions, the newest first."""
    return await session.all(SESSIONS, userid=userid)


async def end(session: Session, digest: bytes) -> str | None:
    """End a session; whose it was, None: there was none."""
    name: str | None = await session.value(END_SESSION, digest=digest)
    return name


async def end_all(session: Session, userid: int, but: int = 0) -> int:
    """End all sessions of a user but one; how many."""
    return len(await session.values(END_SESSIONS, user=userid, but=but))


async def wait_turn(session: Session) -> None:
    """Until the transaction ends, nobody else tries to sign in."""
    await session.all(TAKE_TRY_TURN, key=TRY_KEY)


async def tries(session: Session, now: datetime, name: str, address: str) -> tuple[int, int]:
    """How often somebody tried to sign in within the last hour: by that name, and from that address.

    Until the transaction ends, nobody else tries.
    """
    await wait_turn(session)
    found = await session.one(TRIES, now=now, name=name, address=address)
    return found["named"], found["there"]


async def note_try(session: Session, now: datetime, name: str, address: str) -> int:
    """Note that somebody tries to sign in; the try's id. Those that count no more are forgotten."""
    await session.all(FORGET_TRIES, now=now)
    return int(await session.value(TRY, now=now, name=name, address=address))


async def forget_try(session: Session, tryid: int) -> None:
    """It was no failure."""
    await session.all(FORGET_TRY, tryid=tryid)
