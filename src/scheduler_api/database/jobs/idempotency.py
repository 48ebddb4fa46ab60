"""Statements on idempotency keys: what a request was answered, so that its repetition gets the same."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, insert, select

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import idempotencykey


class Kept(NamedTuple):
    """What a key was used for."""

    digest: bytes
    answer: str


# Held to the end of the transaction: whoever comes meanwhile is told so, and does not wait.
TAKE = Statement("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 7))")
FIND = Statement(
    select(*columns(idempotencykey, Kept)).where(
        idempotencykey.c.key == bindparam("key"), idempotencykey.c.at > bindparam("since")
    ),
    Kept,
)
KEEP = Statement(
    insert(idempotencykey).values(
        key=bindparam("key"), digest=bindparam("digest"), at=bindparam("now"), answer=bindparam("answer")
    )
)
FORGET = Statement(
    """
    DELETE FROM idempotencykey WHERE key = ANY(ARRAY(
        SELECT key FROM idempotencykey WHERE at <= :since ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED
    ))
    """
)


async def take(session: Session, key: str) -> bool:
    """Have the key for this transaction alone; False: another request has it."""
    return bool(await session.value(TAKE, key=key))


async def find(session: Session, key: str, since: datetime) -> Kept | None:
    """What the key was used for, later than `since`."""
    return await session.one_or_none(FIND, key=key, since=since)


async def keep(session: Session, now: datetime, key: str, digest: bytes, answer: str) -> None:
    """Remember the answer to a request."""
    await session.all(KEEP, key=key, digest=digest, now=now, answer=answer)


async def forget(session: Session, since: datetime) -> None:
    """Drop some of the keys that were used at `since` or earlier."""
    await session.all(FORGET, since=since)
