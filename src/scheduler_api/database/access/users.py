"""Statements on users, and on the links that let them in once."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, text, update

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import projectrole, signinlink, useraccount, useridentity


class UserRow(NamedTuple):
    """A user, but for the password."""

    userid: int
    name: str
    role: str | None
    projects: dict[str, str]
    """The roles in projects."""
    createdat: datetime
    lastseen: datetime | None
    haspassword: bool
    issuer: str | None
    """The identity provider that signs them in; None: this service does."""


_USER = (
    useraccount.c.userid,
    useraccount.c.name,
    useraccount.c.role,
    select(func.coalesce(func.jsonb_object_agg(projectrole.c.project, projectrole.c.role), text("'{}'")))
    .where(projectrole.c.userid == useraccount.c.userid)
    .scalar_subquery()
    .label("projects"),
    useraccount.c.createdat,
    useraccount.c.lastseen,
    useraccount.c.passwordhash.is_not(None).label("haspassword"),
    select(useridentity.c.issuer)
    .where(useridentity.c.userid == useraccount.c.userid)
    .scalar_subquery()
    .label("issuer"),
)
_IS = useraccount.c.userid == bindparam("user")

ADD_USER = Statement(
    """
    INSERT INTO useraccount (name, role, createdat) VALUES (:name, :role, :now)
    ON CONFLICT (name) DO NOTHING
    RETURNING userid, name, role, CAST('{}' AS jsonb) AS projects, createdat, lastseen,
        passwordhash IS NOT NULL AS haspassword, CAST(NULL AS text) AS issuer
    """,
    UserRow,
)
USERS = Statement(select(*_USER).order_by(useraccount.c.name), UserRow)
USER = Statement(select(*_USER).where(_IS), UserRow)
#: Those who change who is an admin wait for each other: one has to be left.
LOCK_ADMINS = Statement(
    select(useraccount.c.userid)
    .where(useraccount.c.role == "admin")
    .order_by(useraccount.c.userid)
    .with_for_update()
)
#: To make a link waits for a change to the user.
LOCK_USER = Statement(select(*_USER).where(_IS).with_for_update(), UserRow)
IS_PASSWORD = Statement(
    select(useraccount.c.userid)
    .where(_IS, useraccount.c.passwordhash == bindparam("hash"))
    .with_for_update(key_share=True)
)
BY_NAME = Statement(
    select(useraccount.c.userid, useraccount.c.passwordhash).where(useraccount.c.name == bindparam("name"))
)
SET_ROLE = Statement(
    update(useraccount).where(_IS).values(role=bindparam("role_")).returning(*_USER), UserRow
)
SET_PROJECTS = Statement(
    """
    WITH gone AS (
        DELETE FROM projectrole WHERE userid = :userid AND project <> ALL (CAST(:projects AS text[]))
    )
    INSERT INTO projectrole (userid, project, role)
    SELECT :userid, project, role
    FROM unnest(CAST(:projects AS text[]), CAST(:roles AS text[])) AS wanted (project, role)
    ON CONFLICT (userid, project) DO UPDATE SET role = excluded.role
    """
)
SET_PASSWORD = Statement(update(useraccount).where(_IS).values(passwordhash=bindparam("hash")))
SEE_USER = Statement(update(useraccount).where(_IS).values(lastseen=bindparam("now")))
REMOVE_USER = Statement(delete(useraccount).where(_IS).returning(*_USER), UserRow)
COUNT_USERS = Statement("SELECT count(*) FROM (SELECT FROM useraccount LIMIT 1) AS first")
ADD_LINK = Statement(
    insert(signinlink)
    .values(
        digest=bindparam("digest"),
        userid=bindparam("user"),
        createdat=bindparam("now"),
        expiresat=bindparam("expiresat"),
    )
    .inline()
)
FORGET_LINKS = Statement(delete(signinlink).where(signinlink.c.userid == bindparam("user")))


class LinkRow(NamedTuple):
    """Whom a link lets in."""

    userid: int
    name: str
    expiresat: datetime


_LINK = (
    select(signinlink.c.userid, useraccount.c.name, signinlink.c.expiresat)
    .join_from(signinlink, useraccount)
    .where(signinlink.c.digest == bindparam("digest"))
)
LINK = Statement(_LINK, LinkRow)
LOCK_LINK = Statement(_LINK.with_for_update(of=signinlink), LinkRow)


async def add(session: Session, now: datetime, name: str, role: str | None) -> UserRow | None:
    """Add a user; None: the name is taken."""
    return await session.one_or_none(ADD_USER, now=now, name=name, role=role)


async def listing(session: Session) -> list[UserRow]:
    """All users, by name."""
    return await session.all(USERS)


async def get(session: Session, userid: int) -> UserRow | None:
    """A user."""
    return await session.one_or_none(USER, user=userid)


async def lock(session: Session, userid: int) -> UserRow | None:
    """A user, locked."""
    return await session.one_or_none(LOCK_USER, user=userid)


async def is_password(session: Session, userid: int, passwordhash: str) -> bool:
    """Whether that is still the hash of the user's password; it stays so until the transaction ends."""
    return await session.one_or_none(IS_PASSWORD, user=userid, hash=passwordhash) is not None


async def lock_admins(session: Session) -> list[int]:
    """The userids of all admins, locked."""
    return await session.values(LOCK_ADMINS)


async def by_name(session: Session, name: str) -> tuple[int, str | None] | None:
    """The userid and the password's hash, if the user has set one; None: there is no such user."""
    found = await session.one_or_none(BY_NAME, name=name)
    return None if found is None else (found["userid"], found["passwordhash"])


async def set_projects(session: Session, userid: int, roles: Mapping[str, str]) -> None:
    """Let a user have these roles in projects that are there, and no others."""
    await session.all(SET_PROJECTS, userid=userid, projects=list(roles), roles=list(roles.values()))


async def set_role(session: Session, userid: int, role: str | None) -> UserRow | None:
    """Let a user do other things; None: there is none."""
    return await session.one_or_none(SET_ROLE, user=userid, role_=role)


async def set_password(session: Session, userid: int, passwordhash: str) -> None:
    """Let a user sign in with another password."""
    await session.all(SET_PASSWORD, user=userid, hash=passwordhash)


async def note_seen(session: Session, now: datetime, userid: int) -> None:
    """Note that a user is there."""
    await session.all(SEE_USER, now=now, user=userid)


async def remove(session: Session, userid: int) -> UserRow | None:
    """Remove a user with all sessions and links; None: there is none."""
    return await session.one_or_none(REMOVE_USER, user=userid)


async def is_any(session: Session) -> bool:
    """Whether there are users."""
    return bool(await session.value(COUNT_USERS))


async def add_link(session: Session, now: datetime, userid: int, digest: bytes, expiresat: datetime) -> None:
    """Let a link let the user in once; earlier ones do so no more."""
    await session.all(FORGET_LINKS, user=userid)
    await session.all(ADD_LINK, now=now, user=userid, digest=digest, expiresat=expiresat)


async def link(session: Session, digest: bytes) -> LinkRow | None:
    """Whom a link lets in; None: nobody."""
    return await session.one_or_none(LINK, digest=digest)


async def lock_link(session: Session, digest: bytes) -> LinkRow | None:
    """The same, locked: it lets in once."""
    return await session.one_or_none(LOCK_LINK, digest=digest)


async def forget_links(session: Session, userid: int) -> None:
    """Let no link let the user in."""
    await session.all(FORGET_LINKS, user=userid)
