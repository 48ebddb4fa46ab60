"""Statements on running logs and the leases that they are held under."""

from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.statements import Statement

_LEASED = """
    logid, jobid, cause, attempt, spent, scheduledfor, startedat, following, runs, lastrun, host, leasetoken
"""
#: Of these logs, those that still run under the token that is shown.
FENCE = Statement(
    f"""
    SELECT {_LEASED} FROM joblog
    WHERE status = 'running' AND leasetoken = ANY(:tokens) AND logid = ANY(:logids)
    ORDER BY logid FOR UPDATE
    """
)
EXPIRED = Statement(
    f"""
    SELECT {_LEASED}, EXISTS (
        SELECT FROM logattempt
        WHERE logattempt.logid = joblog.logid AND logattempt.attempt = joblog.attempt AND outcome = 'accepted'
    ) AS accepted
    FROM joblog WHERE status = 'running' AND leaseuntil <= :now
    ORDER BY logid LIMIT :most FOR UPDATE SKIP LOCKED
    """
)
RUNNING = Statement(
    f"SELECT {_LEASED}, status, error, reason, leaseuntil FROM joblog WHERE logid = :logid FOR UPDATE"
)
RENEW = Statement(
    """
    WITH mine AS (
        SELECT logid FROM joblog
        WHERE status = 'running' AND leasetoken = ANY(:tokens) AND logid = ANY(:logids)
        ORDER BY logid FOR UPDATE
    )
    UPDATE joblog SET leaseuntil = :leaseuntil FROM mine WHERE joblog.logid = mine.logid
    RETURNING joblog.logid
    """
)


async def fence(session: AsyncSession, tokens: dict[int, UUID]) -> dict[int, asyncpg.Record]:
    """Of these logs (by logid, with their tokens), those that are still held so; locked, by logid."""
    logids = sorted(tokens)
    rows = await FENCE.all(session, logids=logids, tokens=[tokens[logid] for logid in logids])
    return {row["logid"]: row for row in rows if row["leasetoken"] == tokens[row["logid"]]}


async def expired(session: AsyncSession, now: datetime, most: int) -> list[asyncpg.Record]:
    """Up to `most` running logs whose lease has run out, locked."""
    return await EXPIRED.all(session, now=now, most=most)


async def lock(session: AsyncSession, logid: int) -> asyncpg.Record | None:
    """The log with its lease, locked."""
    return await RUNNING.one_or_none(session, logid=logid)


async def renew(session: AsyncSession, tokens: dict[int, UUID], until: datetime) -> set[int]:
    """Hold these logs (by logid, with their tokens) until then; those that are still held."""
    logids = sorted(tokens)
    values = {"tokens": [tokens[logid] for logid in logids], "leaseuntil": until}
    return {row["logid"] for row in await RENEW.all(session, logids=logids, **values)}
