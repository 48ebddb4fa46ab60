"""Statements on jobs and their logs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.statements import Statement

#: The channel on which the tickers are told of a promise that they may not have seen.
CHANNEL = "scheduler_promise"

#: A job with what its logs say of it: the promise, and the newest verdict.
_JOB = """
    SELECT job.jobid, job.jobname, job.startdate, job.starttime, job.timezone, job.repeat, job.interval,
           job.active, job.misfire, job.grace, promise.nextrun, latest.lastrun, latest.status AS laststatus
    FROM job
    LEFT JOIN LATERAL (
        SELECT nextrun FROM joblog WHERE jobid = job.jobid AND status = 'pending' ORDER BY nextrun LIMIT 1
    ) AS promise ON true
    LEFT JOIN LATERAL (
        SELECT lastrun, status FROM joblog
        WHERE jobid = job.jobid AND status <> 'pending' ORDER BY scheduledfor DESC LIMIT 1
    ) AS latest ON true
"""

ONE = Statement(f"{_JOB} WHERE job.jobid = :jobid")
PAGE = Statement(f"{_JOB} WHERE job.jobid > :after ORDER BY job.jobid LIMIT :most")
_LOGS = """
    SELECT logid, jobid, scheduledfor, nextrun, lastrun, status, cause, attempt, missed,
           startedat, finishedat, reason, error
    FROM joblog
    WHERE jobid = :jobid
"""
NEWEST_LOGS = Statement(f"{_LOGS} ORDER BY scheduledfor DESC LIMIT :most")
OLDER_LOGS = Statement(
    f"{_LOGS} AND scheduledfor < (SELECT scheduledfor FROM joblog WHERE logid = :before AND jobid = :jobid)"
    " ORDER BY scheduledfor DESC LIMIT :most"
)

CREATE = Statement(
    """
    WITH created AS (
        INSERT INTO job (jobname, startdate, starttime, timezone, repeat, interval, misfire, grace, active)
        VALUES (:jobname, :startdate, :starttime, :timezone, :repeat, :interval, :misfire, :grace, :active)
        RETURNING jobid
    ), promised AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun)
        SELECT jobid, CAST(:first AS timestamptz), CAST(:first AS timestamptz)
        FROM created WHERE CAST(:first AS timestamptz) IS NOT NULL
    )
    SELECT jobid FROM created
    """
)
ANNOUNCE = Statement("SELECT pg_notify(:channel, '')")

#: Active jobs without a live log, and the last occurrence that each has accounted for.
HOLES = Statement(
    """
    SELECT job.jobid, job.startdate, job.starttime, job.timezone, job.interval,
           latest.scheduledfor, latest.missed, latest.lastrun
    FROM job
    LEFT JOIN LATERAL (
        SELECT scheduledfor, missed, lastrun FROM joblog
        WHERE jobid = job.jobid ORDER BY scheduledfor DESC LIMIT 1
    ) AS latest ON true
    WHERE job.active
      AND NOT EXISTS (
          SELECT FROM joblog WHERE jobid = job.jobid AND status IN ('pending', 'running')
      )
    ORDER BY job.jobid
    LIMIT :most
    """
)
PROMISE = Statement(
    """
    INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun) VALUES (:jobid, :due, :due, :lastrun)
    ON CONFLICT DO NOTHING
    """
)
RETIRE = Statement("UPDATE job SET active = false WHERE jobid = ANY(:jobids)")


async def create(session: AsyncSession, values: Mapping[str, Any], first: datetime | None) -> int:
    """Insert a job and, where it has a first occurrence, the promise of it; the new jobid."""
    (jobid,) = await CREATE.one(session, **values, first=first)
    return int(jobid)


async def announce(session: AsyncSession) -> None:
    """Tell the tickers that there is a new promise, when the transaction commits."""
    await ANNOUNCE.all(session, channel=CHANNEL)


async def one(session: AsyncSession, jobid: int) -> asyncpg.Record | None:
    """The job, with what its logs say of it."""
    return await ONE.one_or_none(session, jobid=jobid)


async def page(session: AsyncSession, after: int, most: int) -> list[asyncpg.Record]:
    """Up to `most` jobs with a jobid above `after`, in order."""
    return await PAGE.all(session, after=after, most=most)


async def logs(session: AsyncSession, jobid: int, before: int | None, most: int) -> list[asyncpg.Record]:
    """Up to `most` logs of the job, newest first; with `before`, those older than that logid."""
    if before is None:
        return await NEWEST_LOGS.all(session, jobid=jobid, most=most)
    return await OLDER_LOGS.all(session, jobid=jobid, before=before, most=most)


async def holes(session: AsyncSession, most: int) -> list[asyncpg.Record]:
    """Up to `most` active jobs that have no live log, with the last occurrence accounted for."""
    return await HOLES.all(session, most=most)


async def promise(session: AsyncSession, jobid: int, due: datetime, lastrun: datetime | None) -> None:
    """Promise an occurrence, unless somebody else has."""
    await PROMISE.all(session, jobid=jobid, due=due, lastrun=lastrun)


async def retire(session: AsyncSession, jobids: list[int]) -> None:
    """Mark jobs as having no future."""
    await RETIRE.all(session, jobids=jobids)
