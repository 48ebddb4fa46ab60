"""Statements on running logs and the leases that they are held under."""

from collections.abc import Sequence
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
    -- The row lock may have been waited for, while the target accepted the run: that lasts longer.
    UPDATE joblog SET leaseuntil = greatest(joblog.leaseuntil, CAST(:leaseuntil AS timestamptz))
    FROM mine WHERE joblog.logid = mine.logid
    RETURNING joblog.logid, joblog.leasetoken
    """
)


async def fence(session: AsyncSession, held: Sequence[tuple[int, UUID]]) -> dict[UUID, asyncpg.Record]:
    """Of these logs (with their tokens), those that are still held so; locked, by token."""
    logids, tokens = [logid for logid, _ in held], [token for _, token in held]
    rows = await FENCE.all(session, logids=logids, tokens=tokens)
    shown = {*held}
    return {row["leasetoken"]: row for row in rows if (row["logid"], row["leasetoken"]) in shown}


async def expired(session: AsyncSession, now: datetime, most: int) -> list[asyncpg.Record]:
    """Up to `most` running logs whose lease has run out, locked."""
    return await EXPIRED.all(session, now=now, most=most)


async def lock(session: AsyncSession, logid: int) -> asyncpg.Record | None:
    """The log with its lease, locked."""
    return await RUNNING.one_or_none(session, logid=logid)


async def renew(session: AsyncSession, held: Sequence[tuple[int, UUID]], until: datetime) -> set[UUID]:
    """Hold these logs (with their tokens) until then, if not longer; the tokens that still count."""
    logids, tokens = [logid for logid, _ in held], [token for _, token in held]
    rows = await RENEW.all(session, logids=logids, tokens=tokens, leaseuntil=until)
    return {row["leasetoken"] for row in rows}
