"""Statements on what calls need: secrets to sign with, and limits."""

from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.statements import Statement

SECRETS = Statement("SELECT secretid, jobid, createdat FROM jobsecret WHERE jobid = :jobid ORDER BY secretid")
ADD_SECRET = Statement(
    """
    INSERT INTO jobsecret (jobid, createdat, ciphertext) VALUES (:jobid, :now, :ciphertext)
    RETURNING secretid, jobid, createdat
    """
)
REMOVE_SECRET = Statement(
    "DELETE FROM jobsecret WHERE jobid = :jobid AND secretid = :secretid RETURNING secretid"
)
CIPHERTEXTS = Statement("SELECT ciphertext FROM jobsecret WHERE jobid = :jobid ORDER BY secretid DESC")
LIMITS = Statement("SELECT scope, name, most FROM concurrencylimit ORDER BY scope, name")
SET_LIMIT = Statement(
    """
    INSERT INTO concurrencylimit (scope, name, most) VALUES (:scope, :name, :most)
    ON CONFLICT (scope, name) DO UPDATE SET most = excluded.most
    """
)
REMOVE_LIMIT = Statement("DELETE FROM concurrencylimit WHERE scope = :scope AND name = :name RETURNING most")


async def secrets(session: AsyncSession, jobid: int) -> list[asyncpg.Record]:
    """The job's secrets, oldest first, but for what they are."""
    return await SECRETS.all(session, jobid=jobid)


async def add_secret(session: AsyncSession, now: datetime, jobid: int, ciphertext: bytes) -> asyncpg.Record:
    """Give the job a further secret."""
    return await ADD_SECRET.one(session, now=now, jobid=jobid, ciphertext=ciphertext)


async def remove_secret(session: AsyncSession, jobid: int, secretid: int) -> bool:
    """Take a secret from the job; whether it had it."""
    return await REMOVE_SECRET.one_or_none(session, jobid=jobid, secretid=secretid) is not None


async def ciphertexts(session: AsyncSession, jobid: int) -> list[bytes]:
    """The job's secrets, newest first, encrypted."""
    return [row["ciphertext"] for row in await CIPHERTEXTS.all(session, jobid=jobid)]


async def limits(session: AsyncSession) -> list[asyncpg.Record]:
    """All limits, in order."""
    return await LIMITS.all(session)


async def set_limit(session: AsyncSession, scope: str, name: str, most: int) -> None:
    """Set the limit of a tag or a host."""
    await SET_LIMIT.all(session, scope=scope, name=name, most=most)


async def remove_limit(session: AsyncSession, scope: str, name: str) -> bool:
    """Lift a limit; whether there was one."""
    return await REMOVE_LIMIT.one_or_none(session, scope=scope, name=name) is not None
