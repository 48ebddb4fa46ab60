"""Claiming logs that call a target.

A call takes long, so no transaction waits for it: the claim marks the log as running, under a lease and a
token, and commits; whoever settles it has to show the token. Limits count the running logs. So that no two
claims count the same free place, claims of calls take turns (`CLAIM_KEY`); settling never waits for them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.statements import Statement

#: Any number that no other user of the same database takes; spells "jobcall".
CLAIM_KEY = 0x6A6F6263616C6C
TAKE_TURN = Statement("SELECT pg_advisory_xact_lock(:key)")
#: What bounds a claim: runs under way by job, host and limited tag; limits; hosts that do not answer.
BOUNDS = Statement(
    """
    SELECT 'job' AS kind, CAST(jobid AS text) AS name, count(*) AS number,
           CAST(max(coalesce(concurrency, CASE WHEN overlap THEN NULL ELSE 1 END)) AS bigint) AS most,
           CAST(NULL AS timestamptz) AS until
    FROM joblog JOIN job USING (jobid) WHERE status = 'running' GROUP BY jobid
    UNION ALL
    SELECT 'host', host, count(*), NULL, NULL FROM joblog JOIN logattempt USING (logid, attempt)
    WHERE status = 'running' AND outcome = 'running' GROUP BY host
    UNION ALL
    SELECT 'tag', name, count(jobid), most, NULL
    FROM concurrencylimit LEFT JOIN (
        SELECT joblog.jobid, job.tags FROM joblog JOIN job USING (jobid) WHERE status = 'running'
    ) AS running ON running.tags @> ARRAY[name]
    WHERE scope = 'tag' GROUP BY name, most
    UNION ALL
    SELECT 'limit', name, 0, most, NULL FROM concurrencylimit WHERE scope = 'host'
    UNION ALL
    SELECT 'down', host, failures, NULL, openuntil FROM hostfailure
    """
)
DUE = Statement(
    """
    SELECT logid, jobid, scheduledfor, cause, attempt, host
    FROM joblog
    WHERE status = 'pending' AND host IS NOT NULL AND nextrun <= :due
      AND host <> ALL(:hosts) AND jobid <> ALL(:jobids)
      AND (cardinality(CAST(:tags AS text[])) = 0
           OR NOT EXISTS (SELECT FROM job WHERE job.jobid = joblog.jobid AND job.tags && :tags))
    ORDER BY nextrun, logid
    LIMIT :most
    FOR UPDATE OF joblog SKIP LOCKED
    """
)
_REFINED = """
    num_nonnulls(cron, until, maxruns) > 0 OR jitter > 0 OR dstfold <> 'once' OR cardinality(exclude) > 0
    OR cardinality(kept) > 0
"""
_FOLLOWED = "EXISTS (SELECT FROM job AS follower WHERE follower.afterjobid = job.jobid)"
#: What a claim has to know of these logs and their jobs; read after the lock, so never stale.
KNOWN = Statement(
    f"""
    SELECT joblog.logid, joblog.missed, joblog.through, joblog.runs, joblog.lastrun, joblog.parentlogid,
           job.jobid, job.jobname, job.createdat, job.tags, job."interval", job.misfire, job.grace,
           job.overlap, job.concurrency, job.deletedat,
           {_REFINED} AS refined, {_FOLLOWED} AS followed,
           ARRAY(SELECT ciphertext FROM jobsecret WHERE jobid = job.jobid ORDER BY secretid DESC) AS secrets
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
    """
)
#: The same for verdicts, which need not know what a target is sent.
RULES = Statement(
    f"""
    SELECT joblog.logid, job.misfire, job.grace, job.overlap, job.autopause, job.pausedat, job.deletedat,
           CAST(CASE jsonb_typeof(job.target) WHEN 'object'
                THEN job.target - CAST('{{headers,body}}' AS text[]) END AS text) AS target,
           {_REFINED} AS refined, {_FOLLOWED} AS followed
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
    """
)
# The attempts are written before any request is sent. A log that has been tried before keeps
# what its first claim decided.
START = Statement(
    """
    WITH chosen AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:firsts AS bool[]), CAST(:counts AS int[]),
            CAST(:misses AS bigint[]), CAST(:throughs AS timestamptz[]), CAST(:followings AS timestamptz[]),
            CAST(:promises AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS chosen (logid, first, count, missed, through, following, promise, try)
    ), started AS (
        UPDATE joblog SET
            status = 'running', nextrun = NULL, lastrun = :now, startedat = coalesce(startedat, :now),
            leasetoken = gen_random_uuid(), leaseuntil = :leaseuntil, runs = runs + chosen.count,
            missed = CASE WHEN chosen.first THEN chosen.missed ELSE joblog.missed END,
            through = CASE WHEN chosen.first THEN chosen.through ELSE joblog.through END,
            following = CASE WHEN chosen.first THEN chosen.following ELSE joblog.following END
        FROM chosen WHERE joblog.logid = chosen.logid
        RETURNING joblog.logid, joblog.jobid, joblog.attempt, joblog.leasetoken, joblog.runs, joblog.host,
                  chosen.promise, chosen.try
    ), promised AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
        SELECT jobid, promise, try, :now, runs, host FROM started WHERE promise IS NOT NULL
        ON CONFLICT DO NOTHING
    ), written AS (
        INSERT INTO logattempt (logid, attempt, startedat, replica)
        SELECT logid, attempt, :now, :replica FROM started
    )
    SELECT logid, leasetoken, started.runs, CAST(job.target AS text) AS target
    FROM started JOIN job USING (jobid)
    """
)
NEXT_CALL = Statement(
    """
    SELECT min(nextrun) FROM joblog WHERE status = 'pending' AND host IS NOT NULL AND nextrun > :after
    """
)


class DueCall(NamedTuple):
    """A claimed log that calls a target: locked until the end of the transaction."""

    logid: int
    jobid: int
    scheduledfor: datetime
    cause: str
    attempt: int
    host: str


class Start(NamedTuple):
    """A log to be marked as running."""

    logid: int
    first: bool
    """Whether nothing has been decided for it yet: it is the first attempt of an occurrence."""
    counted: int = 0
    """1 where it is another run that the schedule makes."""
    missed: int = 0
    through: datetime | None = None
    following: datetime | None = None
    """The occurrence to promise when it settles."""
    promise: datetime | None = None
    """The occurrence to promise now."""
    tried: datetime | None = None


async def take_turn(session: AsyncSession) -> None:
    """Wait until no other claim of calls is under way; the turn ends with the transaction."""
    await TAKE_TURN.all(session, key=CLAIM_KEY)


async def bounds(session: AsyncSession) -> list[asyncpg.Record]:
    """Everything that bounds a claim: (kind, name, number, most, until)."""
    return await BOUNDS.all(session)


async def due(
    session: AsyncSession,
    due: datetime,
    most: int,
    hosts: Sequence[str],
    jobids: Sequence[int],
    tags: Sequence[str],
) -> list[DueCall]:
    """Lock up to `most` due calls, earliest first, but none to these hosts, of these jobs or tags."""
    rows = await DUE.all(session, due=due, most=most, hosts=hosts, jobids=jobids, tags=tags)
    return [DueCall(*row) for row in rows]


async def known(session: AsyncSession, logids: Sequence[int]) -> dict[int, asyncpg.Record]:
    """What there is to know of these logs and their jobs before they run, by logid."""
    return {row["logid"]: row for row in await KNOWN.all(session, logids=logids)}


async def rules(session: AsyncSession, logids: Sequence[int]) -> dict[int, asyncpg.Record]:
    """What their jobs say of what follows from these logs, by logid."""
    return {row["logid"]: row for row in await RULES.all(session, logids=logids)}


async def start(
    session: AsyncSession, now: datetime, replica: str, lease: timedelta, starts: Sequence[Start]
) -> dict[int, asyncpg.Record]:
    """Mark logs as running and write their attempts; (leasetoken, runs, target) by logid."""
    logids, firsts, counts, misses, throughs, followings, promises, tries = map(
        list, zip(*starts, strict=True)
    )
    rows = await START.all(
        session,
        now=now,
        replica=replica,
        leaseuntil=now + lease,
        logids=logids,
        firsts=firsts,
        counts=counts,
        misses=misses,
        throughs=throughs,
        followings=followings,
        promises=promises,
        tries=tries,
    )
    return {row["logid"]: row for row in rows}


async def next_call(session: AsyncSession, after: datetime) -> datetime | None:
    """When the first call later than `after` is due; None: none is promised."""
    (due,) = await NEXT_CALL.one(session, after=after)
    found: datetime | None = due
    return found
