"""Statements on jobs that run after others."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from scheduler_api.database.statements import Session, Statement

#: Any number that no other user of the same database takes; spells "jobafte".
CHAIN_KEY = 0x6A6F6261667465

TAKE_TURN = Statement("SELECT pg_advisory_xact_lock(:key)")

# A paused follower does not run, and its ledger says so.
FIRE = Statement(
    """
    INSERT INTO joblog (jobid, scheduledfor, status, nextrun, finishedat, reason, cause, host, parentlogid)
    SELECT follower.jobid, :now, CASE WHEN follower.active THEN 'pending' ELSE 'skipped' END,
           CASE WHEN follower.active THEN CAST(:now AS timestamptz) END,
           CASE WHEN NOT follower.active THEN CAST(:now AS timestamptz) END,
           CASE WHEN NOT follower.active THEN 'paused' END,
           'after', follower.host, parent.logid
    FROM joblog AS parent JOIN job AS follower ON follower.afterjobid = parent.jobid
    WHERE parent.logid = ANY(:logids) AND parent.status IN ('finished', 'failed')
      AND follower.after ->> 'on' IN ('any', parent.status) AND follower.deletedat IS NULL
      AND (follower.active OR follower.pausedat IS NOT NULL)
    ON CONFLICT DO NOTHING
    RETURNING jobid
    """
)
FOLLOWERS = Statement(
    "SELECT jobid FROM job WHERE afterjobid = :jobid AND deletedat IS NULL ORDER BY jobid LIMIT :limit"
)
#: The job, what it runs after, what that runs after, and so on.
CHAIN = Statement(
    """
    WITH RECURSIVE chain (jobid, depth) AS (
        SELECT CAST(:jobid AS bigint), 1
        UNION
        SELECT job.afterjobid, depth + 1 FROM chain JOIN job USING (jobid)
        WHERE job.afterjobid IS NOT NULL AND depth <= :limit
    )
    SELECT jobid FROM chain ORDER BY depth
    """
)
#: Ends of the job that it runs after, which it should have run after and did not.
LOST = Statement(
    """
    SELECT count(*) AS count, min(parent.finishedat) AS first
    FROM job JOIN joblog AS parent ON parent.jobid = job.afterjobid
    WHERE job.jobid = :jobid AND parent.status IN ('finished', 'failed')
      AND job.after ->> 'on' IN ('any', parent.status)
      AND parent.finishedat > job.validfrom AND (job.deletedat IS NULL OR parent.finishedat < job.deletedat)
      AND NOT EXISTS (
          SELECT FROM joblog AS child WHERE child.jobid = job.jobid AND child.parentlogid = parent.logid
      )
    """
)


async def take_turn(session: Session) -> None:
    """Wait until nobody else changes what runs after what."""
    await session.all(TAKE_TURN, key=CHAIN_KEY)


async def fire(session: Session, now: datetime, logids: Sequence[int]) -> list[asyncpg.Record]:
    """Ask for runs of the jobs that run after these logs, which have their verdicts."""
    return await session.all(FIRE, now=now, logids=logids)


async def followers(session: Session, jobid: int, limit: int) -> list[int]:
    """Up to `limit` jobs that run after the job."""
    return [row["jobid"] for row in await session.all(FOLLOWERS, jobid=jobid, limit=limit)]


async def chain(session: Session, jobid: int, limit: int) -> list[int]:
    """The job, and those before it in its chain, nearest first; a few more than `limit` at most."""
    return [row["jobid"] for row in await session.all(CHAIN, jobid=jobid, limit=limit)]


async def lost(session: Session, jobid: int) -> asyncpg.Record:
    """How many runs the job lacks, and when the first of them should have been."""
    return await session.one(LOST, jobid=jobid)
