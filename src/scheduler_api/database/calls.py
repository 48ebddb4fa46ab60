"""Claiming logs that call a target, and writing down what came of each attempt.

A call takes long, so no transaction waits for it: the claim marks the log as running, under a lease and a
token, and commits; whoever settles it has to show the token. Limits count the running logs. So that no two
claims count the same free place, claims of calls take turns (`CLAIM_KEY`); settling never waits for them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.jobs import DEFINITION
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
#: What a claim, or a verdict, has to know of these logs and their jobs; read after the lock, so never stale.
KNOWN = Statement(
    f"""
    SELECT joblog.logid, joblog.runs, joblog.lastrun, joblog.parentlogid,
           job.jobid, job.jobname, job.createdat, job.tags, job.misfire, job.grace, job.jitter,
           job.maxruns, {DEFINITION},
           job.overlap, job.concurrency, job.autopause, job.pausedat, CAST(job.target AS text) AS target,
           num_nonnulls(cron, until, maxruns) > 0 OR jitter > 0 OR dstfold <> 'once'
           OR cardinality(exclude) > 0 AS refined,
           EXISTS (SELECT FROM job AS follower WHERE follower.afterjobid = job.jobid) AS followed,
           ARRAY(SELECT ciphertext FROM jobsecret WHERE jobid = job.jobid ORDER BY secretid DESC) AS secrets
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
    """
)
# The attempts are written before any request is sent. A chain of a log that has been tried before keeps
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
    SELECT logid, leasetoken, runs FROM started
    """
)

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
# Verdict or next attempt; the promise that rests on it reads what the update returns.
SETTLE = Statement(
    """
    WITH outcome AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:attempts AS int[]), CAST(:statuses AS text[]),
            CAST(:nexts AS timestamptz[]), CAST(:promises AS timestamptz[]), CAST(:tries AS timestamptz[]),
            CAST(:outcomes AS text[]), CAST(:failures AS text[]), CAST(:errors AS text[]),
            CAST(:httpstatuses AS int[]), CAST(:timings AS jsonb[]), CAST(:excerpts AS text[])
        ) AS outcome (logid, attempt, status, next, promise, try,
                      outcome, failure, error, httpstatus, timing, excerpt)
    ), settled AS (
        UPDATE joblog SET
            status = outcome.status, nextrun = outcome.next, leasetoken = NULL, leaseuntil = NULL,
            attempt = joblog.attempt + CAST(outcome.status = 'pending' AS int),
            finishedat = CASE WHEN outcome.status = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END,
            error = CASE WHEN outcome.status = 'failed' THEN outcome.error END,
            following = CASE WHEN outcome.status = 'pending' THEN following END
        FROM outcome WHERE joblog.logid = outcome.logid
        RETURNING joblog.jobid, joblog.lastrun, joblog.runs, outcome.promise, outcome.try
    ), promised AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
        SELECT jobid, promise, try, lastrun, runs, job.host FROM settled JOIN job USING (jobid)
        WHERE promise IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    UPDATE logattempt SET
        outcome = outcome.outcome, failure = outcome.failure, error = outcome.error, finishedat = :now,
        httpstatus = coalesce(outcome.httpstatus, logattempt.httpstatus),
        timing = coalesce(outcome.timing, logattempt.timing),
        excerpt = coalesce(outcome.excerpt, logattempt.excerpt)
    FROM outcome WHERE logattempt.logid = outcome.logid AND logattempt.attempt = outcome.attempt
    """
)
ACCEPT = Statement(
    """
    WITH accepted AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:attempts AS int[]), CAST(:untils AS timestamptz[]),
            CAST(:httpstatuses AS int[]), CAST(:timings AS jsonb[]), CAST(:excerpts AS text[])
        ) AS accepted (logid, attempt, until, httpstatus, timing, excerpt)
    ), leased AS (
        UPDATE joblog SET leaseuntil = greatest(leaseuntil, accepted.until)
        FROM accepted WHERE joblog.logid = accepted.logid
    )
    UPDATE logattempt SET outcome = 'accepted', httpstatus = accepted.httpstatus,
                          timing = accepted.timing, excerpt = accepted.excerpt
    FROM accepted WHERE logattempt.logid = accepted.logid AND logattempt.attempt = accepted.attempt
    """
)
LOCK_JOBS = Statement("SELECT jobid FROM job WHERE jobid = ANY(:jobids) ORDER BY jobid FOR NO KEY UPDATE")
RETIRE_IDLE = Statement(
    """
    UPDATE job SET active = false
    WHERE jobid = ANY(:jobids) AND active AND NOT EXISTS (
        SELECT FROM joblog
        WHERE jobid = job.jobid AND cause = 'schedule' AND status IN ('pending', 'running')
    )
    """
)
#: How many of a job's newest verdicts are failures, from the newest on.
FAILED_IN_A_ROW = Statement(
    """
    SELECT count(*) FROM (
        SELECT count(*) FILTER (WHERE status <> 'failed')
               OVER (ORDER BY scheduledfor DESC, logid DESC) AS others
        FROM (
            SELECT status, scheduledfor, logid FROM joblog
            WHERE jobid = :jobid AND status IN ('finished', 'failed')
            ORDER BY scheduledfor DESC, logid DESC LIMIT :most
        ) AS newest
    ) AS counted WHERE others = 0
    """
)
HOST_FAILED = Statement(
    """
    INSERT INTO hostfailure (host, failures, since, openuntil, error)
    SELECT host, failures, :now, NULL, error
    FROM unnest(CAST(:hosts AS text[]), CAST(:counts AS int[]), CAST(:errors AS text[]))
         AS failed (host, failures, error)
    ORDER BY host
    ON CONFLICT (host) DO UPDATE SET
        failures = hostfailure.failures + excluded.failures, error = excluded.error
    """
)
HOST_OPEN = Statement(
    """
    UPDATE hostfailure SET openuntil = CAST(:now AS timestamptz) + make_interval(secs =>
        least(:longest, CAST(:shortest AS float8) * power(2, least(20, (failures - :breaks) / :breaks))))
    WHERE host = ANY(:hosts) AND failures >= :breaks
    """
)
HOST_ANSWERED = Statement("DELETE FROM hostfailure WHERE host = ANY(:hosts)")
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


class Verdict(NamedTuple):
    """What becomes of a running log, and what to write down of its attempt."""

    logid: int
    attempt: int
    status: str
    """`finished`, `failed`, or `pending`: another attempt."""
    next: datetime | None
    """When the next attempt is due."""
    promise: datetime | None
    tried: datetime | None
    outcome: str
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: str | None
    """As JSON."""
    excerpt: str | None


class Acceptance(NamedTuple):
    """A running log whose target goes on by itself."""

    logid: int
    attempt: int
    until: datetime
    httpstatus: int | None
    timing: str | None
    excerpt: str | None


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
    """What there is to know of these logs and their jobs, by logid."""
    return {row["logid"]: row for row in await KNOWN.all(session, logids=logids)}


async def start(
    session: AsyncSession, now: datetime, replica: str, lease: timedelta, starts: Sequence[Start]
) -> dict[int, asyncpg.Record]:
    """Mark logs as running and write their attempts; (leasetoken, runs) by logid."""
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


async def settle(session: AsyncSession, now: datetime, verdicts: Sequence[Verdict]) -> None:
    """Write verdicts of running logs that are locked, their attempts, and the promises that follow."""
    names = (
        "logids", "attempts", "statuses", "nexts", "promises", "tries",
        "outcomes", "failures", "errors", "httpstatuses", "timings", "excerpts",
    )  # fmt: skip
    await SETTLE.all(session, now=now, **_arrays(names, verdicts))


async def accept(session: AsyncSession, acceptances: Sequence[Acceptance]) -> None:
    """Leave running logs, which are locked, to their targets."""
    names = ("logids", "attempts", "untils", "httpstatuses", "timings", "excerpts")
    await ACCEPT.all(session, **_arrays(names, acceptances))


def _arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


async def retire_idle(session: AsyncSession, jobids: Sequence[int], *, overlapping: bool) -> None:
    """Mark those of the jobs as completed that have no live log left."""
    if overlapping:
        # Two runs that end together would each see the other as live; so they come one after the other.
        await LOCK_JOBS.all(session, jobids=jobids)
    await RETIRE_IDLE.all(session, jobids=jobids)


async def failed_in_a_row(session: AsyncSession, jobid: int, most: int) -> int:
    """How many of the job's newest runs failed one after the other, `most` at most."""
    (count,) = await FAILED_IN_A_ROW.one(session, jobid=jobid, most=most)
    return int(count)


async def host_failed(
    session: AsyncSession,
    now: datetime,
    failures: dict[str, tuple[int, str]],
    breaks: int,
    shortest: float,
    longest: float,
) -> None:
    """Count failures by host, each with the last error; from `breaks` on, call it no more for a while."""
    hosts = sorted(failures)
    counts, errors = [failures[host][0] for host in hosts], [failures[host][1] for host in hosts]
    await HOST_FAILED.all(session, now=now, hosts=hosts, counts=counts, errors=errors)
    bounds = {"breaks": breaks, "shortest": shortest, "longest": longest}
    await HOST_OPEN.all(session, now=now, hosts=hosts, **bounds)


async def host_answered(session: AsyncSession, hosts: Sequence[str]) -> None:
    """Forget the failures of hosts."""
    await HOST_ANSWERED.all(session, hosts=hosts)


async def next_call(session: AsyncSession, after: datetime) -> datetime | None:
    """When the first call later than `after` is due; None: none is promised."""
    (due,) = await NEXT_CALL.one(session, after=after)
    found: datetime | None = due
    return found
