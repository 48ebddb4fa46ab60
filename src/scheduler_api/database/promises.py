"""Statements on live logs: promises, and runs under way that carry their job's future."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.jobs import DEFINITION
from scheduler_api.database.statements import Statement

#: The channel on which the tickers are told of a promise that they may not have seen.
CHANNEL = "scheduler_promise"

#: The channel on which pages are told that something has changed.
NEWS = "scheduler_news"

#: The schedule's live logs of a job, each from an index that holds live rows only: its promise, runs under
#: way, and those that wait for another attempt.
_LIVE = """
    SELECT logid FROM joblog
    WHERE jobid = :jobid AND cause = 'schedule'
      AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)
    UNION
    SELECT logid FROM joblog
    WHERE jobid = :jobid AND cause = 'schedule' AND status = 'running'
    UNION
    SELECT logid FROM joblog
    WHERE jobid = :jobid AND cause = 'schedule' AND status = 'pending' AND attempt > 1
"""
LIVE = Statement(_LIVE)
LOCK_LIVE = Statement(
    f"""
    SELECT logid, scheduledfor, status, attempt, following, lastrun, runs FROM joblog
    WHERE logid IN ({_LIVE}) ORDER BY logid FOR UPDATE
    """
)

# The host is the job's, so that who promises need not know it.
PROMISE = Statement(
    """
    INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
    SELECT jobid, :scheduledfor, :nextrun, CAST(:lastrun AS timestamptz), :runs, host
    FROM job WHERE jobid = :jobid
    ON CONFLICT DO NOTHING
    """
)
ANNOUNCE = Statement("SELECT pg_notify(:channel, '')")
RUNNING = Statement("SELECT EXISTS (SELECT FROM joblog WHERE jobid = :jobid AND status = 'running')")
WITHDRAW = Statement("DELETE FROM joblog WHERE logid = :logid")
RETIME = Statement("UPDATE joblog SET nextrun = :nextrun WHERE logid = :logid")
FOLLOW = Statement("UPDATE joblog SET following = :following WHERE logid = ANY(:logids)")
# A run that waits for another attempt stays a call: the attempts before it were.
REHOST = Statement(
    """
    UPDATE joblog SET host = :host
    WHERE jobid = :jobid AND status = 'pending' AND host IS DISTINCT FROM :host
      AND (CAST(:host AS text) IS NOT NULL OR attempt = 1)
    """
)

#: Active jobs without a live log of the schedule.
HOLES = Statement(
    """
    SELECT job.jobid
    FROM job
    -- Nearly all have a promise, which its own index tells soon.
    LEFT JOIN joblog AS promise ON promise.jobid = job.jobid AND promise.cause = 'schedule'
         AND (promise.status = 'pending' AND promise.attempt = 1 OR promise.following IS NOT NULL)
    WHERE job.active AND job.after IS NULL AND promise.logid IS NULL
      AND NOT EXISTS (
          SELECT FROM joblog
          WHERE jobid = job.jobid AND status IN ('pending', 'running') AND cause = 'schedule'
      )
    ORDER BY job.jobid
    LIMIT :most
    """
)
#: Promises that rest on the rules of a time zone.
ZONED = Statement(
    f"""
    SELECT job.jobid, {DEFINITION}, joblog.scheduledfor
    FROM job JOIN joblog ON joblog.jobid = job.jobid
         AND joblog.status = 'pending' AND joblog.attempt = 1 AND joblog.cause = 'schedule'
    WHERE job.active AND job.timezone <> 'UTC' AND job.jobid > :after
    ORDER BY job.jobid LIMIT :most
    """
)


async def promise(
    session: AsyncSession,
    jobid: int,
    occurrence: datetime,
    tried: datetime,
    lastrun: datetime | None = None,
    runs: int = 0,
) -> None:
    """Promise an occurrence, to be tried at `tried`, unless somebody else has."""
    values = {"scheduledfor": occurrence, "nextrun": tried, "lastrun": lastrun, "runs": runs}
    await PROMISE.all(session, jobid=jobid, **values)


async def announce(session: AsyncSession) -> None:
    """Tell the tickers that there is a new promise, when the transaction commits."""
    await ANNOUNCE.all(session, channel=CHANNEL)


async def spread_news(session: AsyncSession) -> None:
    """Tell pages that something has changed."""
    await ANNOUNCE.all(session, channel=NEWS)


async def live(session: AsyncSession, jobid: int) -> set[int]:
    """The logids of the schedule's live logs, by the newest state of the table."""
    return {row["logid"] for row in await LIVE.all(session, jobid=jobid)}


async def lock_live(session: AsyncSession, jobid: int) -> list[asyncpg.Record]:
    """The schedule's live logs, locked until the end of the transaction, in order of their logids."""
    rows = await LOCK_LIVE.all(session, jobid=jobid)
    # Whoever held a row before may have settled it.
    return [row for row in rows if row["status"] in {"pending", "running"}]


async def running(session: AsyncSession, jobid: int) -> bool:
    """Whether any run of the job is under way."""
    (there,) = await RUNNING.one(session, jobid=jobid)
    return bool(there)


async def withdraw(session: AsyncSession, logid: int) -> None:
    """Take back a promise, as if it had never been given."""
    await WITHDRAW.all(session, logid=logid)


async def retime(session: AsyncSession, logid: int, tried: datetime) -> None:
    """Let a promise be tried at another time."""
    await RETIME.all(session, logid=logid, nextrun=tried)


async def follow(session: AsyncSession, logids: Sequence[int], occurrence: datetime | None) -> None:
    """Let runs that are under way promise `occurrence` when they settle; None: nothing."""
    await FOLLOW.all(session, logids=logids, following=occurrence)


async def rehost(session: AsyncSession, jobid: int, host: str | None) -> None:
    """Let the job's pending logs call another host, or nothing."""
    await REHOST.all(session, jobid=jobid, host=host)


async def holes(session: AsyncSession, most: int) -> list[int]:
    """Up to `most` active jobs that have no live log."""
    return [row["jobid"] for row in await HOLES.all(session, most=most)]


async def zoned(session: AsyncSession, after: int, most: int) -> list[asyncpg.Record]:
    """Up to `most` promises of jobs above a jobid that are in a time zone, in order of their jobs."""
    return await ZONED.all(session, after=after, most=most)
