"""Statements on API keys."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import apikey
from scheduler_api.database.tables.base import columns


class KeyRow(NamedTuple):
    """A key, but for what it is."""

    keyid: int
    name: str
    role: str
    project: str | None
    prefix: str
    createdat: datetime
    createdby: str | None
    expiresat: datetime | None
    lastused: datetime | None


class KnownKey(NamedTuple):
    """A key that lets in."""

    keyid: int
    name: str
    role: str
    project: str | None
    """Where; None: everywhere."""
    stale: bool
    """Whether it is not known yet that it was used a moment ago."""


# A key that somebody else has made may come from several replicas at once.
ADD_KEY = Statement(
    insert(apikey)
    .values(
        {
            name: bindparam(name)
            for name in ("name", "role", "project", "prefix", "digest", "createdby", "expiresat", "createdat")
        }
    )
    .on_conflict_do_nothing(index_elements=["digest"])
    .returning(*columns(apikey, KeyRow)),
    KeyRow,
)
# Nothing is concluded from it but whether to let in now.
FIND_KEY = Statement(
    """
    SELECT keyid, name, role, project, coalesce(lastused < now() - interval '1 minute', true) AS stale
    FROM apikey
    WHERE digest = :digest AND revokedat IS NULL AND (expiresat IS NULL OR expiresat > now())
    """,
    KnownKey,
)
USE_KEY = Statement(
    update(apikey).where(apikey.c.keyid == bindparam("key")).values(lastused=bindparam("now"))
)
KEYS = Statement(
    select(*columns(apikey, KeyRow)).where(apikey.c.revokedat.is_(None)).order_by(apikey.c.keyid), KeyRow
)
ERASE = Statement("UPDATE apikey SET createdby = :instead WHERE createdby = :name")
REVOKE_KEY = Statement(
    update(apikey)
    .where(apikey.c.keyid == bindparam("key"), apikey.c.revokedat.is_(None))
    .values(revokedat=bindparam("now"))
    .returning(*columns(apikey, KeyRow)),
    KeyRow,
)


async def add(session: Session, now: datetime, **values: object) -> KeyRow | None:
    """Add a key: its name, role, project, prefix, digest, createdby, expiresat; None: it was added before."""
    return await session.one_or_none(ADD_KEY, createdat=now, **values)


async def by_digest(session: Session, digest: bytes) -> KnownKey | None:
    """The key of that digest, if it lets in."""
    return await session.one_or_none(FIND_KEY, digest=digest)


async def use(session: Session, now: datetime, keyid: int) -> None:
    """Note that the key was used."""
    await session.all(USE_KEY, now=now, key=keyid)


async def listing(session: Session) -> list[KeyRow]:
    """All keys that are not revoked, oldest first."""
    return await session.all(KEYS)


async def revoke(session: Session, now: datetime, keyid: int) -> KeyRow | None:
    """Let a key let in no more; None: there is none."""
    return await session.one_or_none(REVOKE_KEY, now=now, key=keyid)


async def erase(session: Session, name: str, instead: str) -> None:
    """Let keys that a user added be those of somebody else."""
    await session.all(ERASE, name=name, instead=instead)
