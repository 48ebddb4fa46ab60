"""Claiming logs that call a target.

A call takes long, so no transaction waits for it: the claim marks the log as running, under a lease and a
token, and commits; whoever settles it has to show the token. Limits count the running logs. So that no two
claims count the same free place, claims of calls take turns (`CLAIM_KEY`); settling never waits for them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from scheduler_api.database.jobs.definitions import IS_FOLLOWED, IS_REFINED, SHORT_TARGET
from scheduler_api.database.statements import Session, Statement

#: Any number that no other user of the same database takes; spells "jobcall".
CLAIM_KEY = 0x6A6F6263616C6C
#: Others' claims are worth waiting for; rows that somebody holds are not, as the others wait meanwhile.
TAKE_TURN = Statement(
    """
    SELECT set_config('lock_timeout', '2s', true), pg_advisory_xact_lock(:key),
           set_config('lock_timeout', '250ms', true)
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


#: What bounds a claim: what is under way of each job, host and tag (runs, and those of them that have a call
#: under way: a run that its target goes on with by itself takes no place); limits; hosts that do not answer.
BOUNDS = Statement(
    """
    WITH running AS MATERIALIZED (
        SELECT joblog.jobid, joblog.host, job.tags, coalesce(logattempt.outcome = 'running', true) AS calling,
               coalesce(concurrency, CASE WHEN overlap THEN NULL ELSE 1 END) AS "limit"
        FROM joblog JOIN job USING (jobid) LEFT JOIN logattempt USING (logid, attempt)
        WHERE status = 'running'
    )
    -- Thousands of jobs may run, and nearly all look alike.
    SELECT 'jobs' AS kind, CAST(NULL AS text) AS name, array_agg(jobid) AS jobids, runs, calls, "limit",
           CAST(NULL AS integer) AS rate, CAST(NULL AS timestamptz) AS until
    FROM (
        SELECT jobid, count(*) AS runs, count(*) FILTER (WHERE calling) AS calls, max("limit") AS "limit"
        FROM running GROUP BY jobid
    ) AS jobs
    GROUP BY runs, calls, "limit"
    UNION ALL
    SELECT 'host', host, NULL, 0, count(*), NULL, NULL, NULL FROM running WHERE calling GROUP BY host
    UNION ALL
    SELECT 'tag', tag, NULL, CAST(sum(runs) AS bigint), CAST(sum(calls) AS bigint), NULL, NULL, NULL
    FROM (
        SELECT tags, count(*) AS runs, count(*) FILTER (WHERE calling) AS calls FROM running GROUP BY tags
    ) AS tagged CROSS JOIN unnest(tags) AS tag GROUP BY tag
    UNION ALL
    SELECT 'limit of ' || scope, name, NULL, 0, 0, "limit", rate, busyuntil FROM concurrencylimit
    UNION ALL
    SELECT 'down', host, NULL, failures, 0, NULL, NULL, openuntil FROM hostfailure
    """
)
#: Calls that are due to these hosts, up to a share of each.
DUE = Statement(
    """
    SELECT call.logid, call.jobid, call.scheduledfor, call.cause, call.attempt, call.host
    FROM unnest(CAST(:hosts AS text[]), CAST(:shares AS int[])) AS given (host, share)
    CROSS JOIN LATERAL (
        SELECT logid, jobid, scheduledfor, cause, attempt, host, nextrun
        FROM joblog
        WHERE status = 'pending' AND joblog.host = given.host AND nextrun <= :due AND nextrun >= :floor
          AND jobid <> ALL(:jobids)
          AND (cardinality(CAST(:tags AS text[])) = 0
               OR NOT EXISTS (SELECT FROM job WHERE job.jobid = joblog.jobid AND job.tags && :tags))
        ORDER BY nextrun, logid
        LIMIT given.share
        FOR UPDATE OF joblog SKIP LOCKED
    ) AS call
    ORDER BY call.nextrun, call.logid
    """,
    DueCall,
)


class StartRules(NamedTuple):
    """What a claim has to know of a log and its job before it starts."""

    logid: int
    missed: int
    through: datetime | None
    runs: int
    lastrun: datetime | None
    parentlogid: int | None
    jobid: int
    jobname: str
    createdat: datetime
    tags: list[str]
    interval: int | None
    misfire: str
    grace: int
    overlap: bool
    concurrency: int | None
    deletedat: datetime | None
    refined: bool
    """Whether there is more to its schedule than an interval, or one start."""
    followed: bool
    """Whether other jobs run after it."""
    secrets: list[bytes]
    """Encrypted, the newest first."""


#: What a claim has to know of these logs and their jobs; read after the lock, so never stale. What follows
#: may change the job, or refer to it: one that somebody else holds is left out, not waited for.
KNOWN = Statement(
    f"""
    SELECT joblog.logid, joblog.missed, joblog.through, joblog.runs, joblog.lastrun, joblog.parentlogid,
           job.jobid, job.jobname, job.createdat, job.tags, job."interval", job.misfire, job.grace,
           job.overlap, job.concurrency, job.deletedat,
           {IS_REFINED} AS refined, {IS_FOLLOWED} AS followed,
           ARRAY(SELECT ciphertext FROM jobsecret WHERE jobid = job.jobid ORDER BY secretid DESC) AS secrets
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
    FOR NO KEY UPDATE OF job SKIP LOCKED
    """,
    StartRules,
)


class Policies(NamedTuple):
    """What a job says of what follows a run."""

    logid: int
    misfire: str
    grace: int
    overlap: bool
    autopause: int | None
    pausedat: datetime | None
    deletedat: datetime | None
    target: str | None
    """As JSON, without what is sent to it."""
    refined: bool
    """Whether there is more to its schedule than an interval, or one start."""
    followed: bool
    """Whether other jobs run after it."""


_RULES = f"""
    SELECT joblog.logid, job.misfire, job.grace, job.overlap, job.autopause, job.pausedat, job.deletedat,
           CAST({SHORT_TARGET} AS text) AS target,
           {IS_REFINED} AS refined, {IS_FOLLOWED} AS followed
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
"""
RULES = Statement(_RULES, Policies)
FREE_RULES = Statement(f"{_RULES} FOR KEY SHARE OF job SKIP LOCKED", Policies)
# The attempts are written before any request is sent. A log that has been tried before keeps
# what its first claim decided.
START = Statement(
    """
    WITH chosen AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:firsts AS bool[]), CAST(:counts AS int[]),
            CAST(:misses AS bigint[]), CAST(:throughs AS timestamptz[]), CAST(:followings AS timestamptz[]),
            CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS chosen (logid, first, count, missed, through, following, next, try)
    ), started AS (
        UPDATE joblog SET
            status = 'running', nextrun = NULL, lastrun = :now, startedat = coalesce(startedat, :now),
            leasetoken = gen_random_uuid(), leaseuntil = :leaseuntil, runs = runs + chosen.count,
            missed = CASE WHEN chosen.first THEN chosen.missed ELSE joblog.missed END,
            through = CASE WHEN chosen.first THEN chosen.through ELSE joblog.through END,
            following = CASE WHEN chosen.first THEN chosen.following ELSE joblog.following END
        FROM chosen WHERE joblog.logid = chosen.logid
        RETURNING joblog.logid, joblog.jobid, joblog.attempt, joblog.leasetoken, joblog.runs, joblog.host,
                  chosen.next, chosen.try
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
        SELECT jobid, next, try, :now, runs, host FROM started WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), written AS (
        INSERT INTO logattempt (logid, attempt, startedat, replica)
        SELECT logid, attempt, :now, :replica FROM started
    )
    SELECT logid, leasetoken, started.runs, CAST(job.target AS text) AS target, jobid,
           next IS NOT NULL AND jobid NOT IN (SELECT jobid FROM added) AS conflict
    FROM started JOIN job USING (jobid)
    """
)
NEXT_CALL = Statement(
    """
    SELECT min(nextrun) FROM joblog WHERE status = 'pending' AND host IS NOT NULL AND nextrun > :after
    """
)


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
    """The occurrence to add when it settles."""
    next: datetime | None = None
    """The occurrence to add now."""
    tried: datetime | None = None


async def take_turn(session: Session) -> None:
    """Wait until no other claim of calls is under way; the turn ends with the transaction."""
    await session.all(TAKE_TURN, key=CLAIM_KEY)


async def bounds(session: Session) -> list[asyncpg.Record]:
    """Everything that bounds a claim: (kind, name, jobids, runs, calls, limit, rate, until)."""
    return await session.all(BOUNDS)


async def due(
    session: Session,
    due: datetime,
    shares: Mapping[str, int],
    jobids: Sequence[int],
    tags: Sequence[str],
    floor: datetime,
) -> list[DueCall]:
    """Lock the oldest calls to these hosts that are due from `floor` to `due`.

    Up to so many to each host, but none of these jobs or tags.
    """
    hosts, counts = list(shares), list(shares.values())
    asked = {"hosts": hosts, "shares": counts, "jobids": jobids, "tags": tags}
    return await session.all(DUE, **asked, due=due, floor=floor)


async def known(session: Session, logids: Sequence[int]) -> dict[int, StartRules]:
    """What there is to know of these logs and their jobs before they run, by logid; of those jobs only that
    nobody else holds, which are locked."""
    return {found.logid: found for found in await session.all(KNOWN, logids=logids)}


async def rules(session: Session, logids: Sequence[int]) -> dict[int, Policies]:
    """What their jobs say of what follows from these logs, by logid."""
    return {found.logid: found for found in await session.all(RULES, logids=logids)}


async def free_rules(session: Session, logids: Sequence[int]) -> dict[int, Policies]:
    """The same for those jobs only that nobody else holds; what is settled may refer to them."""
    return {found.logid: found for found in await session.all(FREE_RULES, logids=logids)}


async def start(
    session: Session, now: datetime, replica: str, lease: timedelta, starts: Sequence[Start]
) -> dict[int, asyncpg.Record]:
    """Mark logs as running and write their attempts; (leasetoken, runs, target, jobid, conflict) by logid.

    `conflict`: the next occurrence had a row already.
    """
    logids, firsts, counts, misses, throughs, followings, nexts, tries = map(list, zip(*starts, strict=True))
    rows = await session.all(
        START,
        now=now,
        replica=replica,
        leaseuntil=now + lease,
        logids=logids,
        firsts=firsts,
        counts=counts,
        misses=misses,
        throughs=throughs,
        followings=followings,
        nexts=nexts,
        tries=tries,
    )
    return {row["logid"]: row for row in rows}


async def next_call(session: Session, after: datetime) -> datetime | None:
    """When the first call later than `after` is due; None: none is."""
    (due,) = await session.one(NEXT_CALL, after=after)
    found: datetime | None = due
    return found
