"""Statements on the secrets that sign a job's calls."""

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


async def of_job(session: AsyncSession, jobid: int) -> list[asyncpg.Record]:
    """The job's secrets, oldest first, but for what they are."""
    return await SECRETS.all(session, jobid=jobid)


async def add(session: AsyncSession, now: datetime, jobid: int, ciphertext: bytes) -> asyncpg.Record:
    """Give the job a further secret."""
    return await ADD_SECRET.one(session, now=now, jobid=jobid, ciphertext=ciphertext)


async def remove(session: AsyncSession, jobid: int, secretid: int) -> bool:
    """Take a secret from the job; whether it had it."""
    return await REMOVE_SECRET.one_or_none(session, jobid=jobid, secretid=secretid) is not None


async def ciphertexts(session: AsyncSession, jobid: int) -> list[bytes]:
    """The job's secrets, newest first, encrypted."""
    return [row["ciphertext"] for row in await CIPHERTEXTS.all(session, jobid=jobid)]
