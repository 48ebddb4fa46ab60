"""Claiming logs that call a target.

A call takes long, so no transaction waits for it: the claim marks the log as running, under a lease and a
token, and commits; whoever settles it has to show the token. Limits count the running logs. So that no two
claims count the same free place, claims of calls take turns (`CLAIM_KEY`); settling never waits for them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select, text

from scheduler_api.database.jobs.project_secrets import NAMED
from scheduler_api.database.runs.due import DUE, DueLog, due_cells, earliest, in_cell
from scheduler_api.database.runs.settling import IS_FREE, Result, columns
from scheduler_api.database.runs.standing import COLUMNS, TO_JOB
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import LIVE, joblog

#: Any number that no other user of the same database takes; spells "jobcall".
CLAIM_KEY = 0x6A6F6263616C6C
#: Others' claims are worth waiting for; rows that somebody holds are not, as the others wait meanwhile.
TAKE_TURN = Statement(
    """
    SELECT set_config('lock_timeout', '2s', true), pg_advisory_xact_lock(:key),
           set_config('lock_timeout', '250ms', true)
    """
)


class Bound(NamedTuple):
    """What bounds a claim: jobs that look alike, a host, a tag, a project, a limit, a host that is down."""

    kind: str
    name: str
    jobids: list[int]
    runs: int
    """Under way; or failures in a row."""
    calls: int
    """Those of them that have a call in progress."""
    limit: int | None
    rate: int | None
    until: datetime | None


#: What bounds a claim: what is in progress of each job, host, tag and project (runs, and those of them that
#: have a call in progress: a run that its target goes on with by itself takes no place); limits; hosts that
#: do not answer.
BOUNDS = Statement(
    f"""
    WITH running AS MATERIALIZED (
        SELECT job.jobid, joblog.host, job.tags, job.project,
               coalesce(logattempt.outcome = 'running', true) AS calling,
               coalesce(concurrency, CASE WHEN overlap THEN NULL ELSE 1 END) AS "limit"
        FROM joblog JOIN job ON job.jobid = joblog.jobid
        LEFT JOIN logattempt USING (logid, attempt, day)
        WHERE {LIVE} AND status = 'running'
    )
    -- Thousands of jobs may run, and nearly all look alike.
    SELECT 'jobs' AS kind, '' AS name, array_agg(jobid) AS jobids, runs, calls, "limit",
           CAST(NULL AS integer) AS rate, CAST(NULL AS timestamptz) AS until
    FROM (
        SELECT jobid, count(*) AS runs, count(*) FILTER (WHERE calling) AS calls, max("limit") AS "limit"
        FROM running GROUP BY jobid
    ) AS jobs
    GROUP BY runs, calls, "limit"
    UNION ALL
    SELECT 'host', host, '{{}}', 0, count(*), NULL, NULL, NULL FROM running WHERE calling GROUP BY host
    UNION ALL
    SELECT 'tag', tag, '{{}}', CAST(sum(runs) AS bigint), CAST(sum(calls) AS bigint), NULL, NULL, NULL
    FROM (
        SELECT tags, count(*) AS runs, count(*) FILTER (WHERE calling) AS calls FROM running GROUP BY tags
    ) AS tagged CROSS JOIN unnest(tags) AS tag GROUP BY tag
    UNION ALL
    SELECT 'project', project, '{{}}', count(*), 0, NULL, NULL, NULL FROM running GROUP BY project
    UNION ALL
    SELECT 'limit of ' || scope, name, '{{}}', 0, 0, "limit", rate, busyuntil FROM concurrencylimit
    UNION ALL
    SELECT 'down', host, '{{}}', failures, 0, NULL, NULL, openuntil FROM hostfailure
    """,
    Bound,
)
#: Calls that are due to these hosts, up to a share of each.
DUE_CALLS = Statement(
    f"""
    SELECT {DUE}
    FROM unnest(CAST(:hosts AS text[]), CAST(:shares AS int[])) AS given (asked, share)
    CROSS JOIN LATERAL (
        SELECT {DUE}
        FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND host = given.asked
          AND nextrun <= :due AND nextrun >= :floor
          AND jobid <> ALL(:jobids)
          AND (cardinality(CAST(:tags AS text[])) + cardinality(CAST(:projects AS text[])) = 0
               OR NOT EXISTS (SELECT FROM job WHERE job.jobid = joblog.jobid
                              AND (job.tags && :tags OR job.project = ANY(:projects))))
        ORDER BY nextrun, logid
        LIMIT given.share
        FOR UPDATE OF joblog SKIP LOCKED
    ) AS call
    ORDER BY call.nextrun, call.logid
    """,
    DueLog,
)


#: Where tables are distributed.
DUE_CELLS = Statement(due_cells("kind = 'http'"))


class Terms(NamedTuple):
    """On what terms a replica claims."""

    replica: str
    """Its name, for those who read the attempts."""
    lease: timedelta
    """How long it may hold a run without a word."""
    hostmost: int
    """How many calls to one host may be in progress, of all replicas, where no limit says otherwise."""
    traced: bool = False
    """Whether it makes traces."""


class Parent(NamedTuple):
    """A run that made requests, and after which another one came."""

    logid: int
    jobid: int
    createdat: datetime
    """When its job was made."""
    scheduledfor: datetime
    cause: str
    parentlogid: int | None


class Started(NamedTuple):
    """A run that is to make its call now."""

    logid: int
    jobid: int
    scheduledfor: datetime
    cause: str
    attempt: int
    host: str
    parentlogid: int | None
    runs: int
    """How often the schedule has made the job run, this run included."""
    now: datetime
    token: UUID
    """The lease's: who settles the run has to show it."""
    jobname: str
    timezone: str
    createdat: datetime
    document: str | None
    """The job's target as JSON. It may be large, so that it is parsed outside of any transaction."""
    secrets: list[bytes]
    """Encrypted, the newest first."""
    named: str | None = None
    """What the target names, as JSON: by the name of a secret its origin, and what it is, encrypted."""
    conflict: bool = False
    """Whether the job's next occurrence had a row already."""
    parent: Parent | None = None
    """The run that it came after, if that made requests and traces are wanted."""


# The attempts are written before any request is sent. A log that has been tried before keeps
# what its first claim decided.
START = Statement(
    f"""
    WITH chosen AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:misses AS bigint[]), CAST(:throughs AS timestamptz[]),
            CAST(:followings AS timestamptz[]), CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS chosen (logid, missed, through, following, next, try)
    ), started AS (
        UPDATE joblog SET
            status = 'running', nextrun = NULL, lastrun = :now, startedat = coalesce(startedat, :now),
            leasetoken = gen_random_uuid(), leaseuntil = :leaseuntil,
            runs = runs + CAST(chosen.missed IS NOT NULL AS int),
            missed = coalesce(chosen.missed, joblog.missed),
            through = CASE WHEN chosen.missed IS NOT NULL THEN chosen.through ELSE joblog.through END,
            following = CASE WHEN chosen.missed IS NOT NULL THEN chosen.following ELSE joblog.following END
        FROM chosen WHERE joblog.{LIVE} AND joblog.logid = chosen.logid
        RETURNING joblog.logid, jobid, scheduledfor, cause, attempt, kind, host, leasetoken,
                  parentlogid, body, ahead, joblog.following, {COLUMNS}, chosen.next, chosen.try,
                  chosen.missed IS NOT NULL AS carried
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, ahead, {COLUMNS})
        SELECT jobid, next, coalesce(try, next), kind, host, CASE WHEN ahead > next THEN ahead END, {COLUMNS}
        FROM started WHERE next IS NOT NULL AND {IS_FREE.format(jobid="started.jobid")}
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), left_to_job AS (
        UPDATE job SET {TO_JOB.format(row="started")} FROM started
        WHERE job.jobid = started.jobid AND carried AND following IS NULL
          AND job.jobid NOT IN (SELECT jobid FROM added)
    ), written AS (
        INSERT INTO logattempt (logid, jobid, attempt, startedat, replica)
        SELECT logid, jobid, attempt, :now, :replica FROM started
    )
    SELECT logid, job.jobid, scheduledfor, cause, attempt, started.host,
           nullif(parentlogid, 0) AS parentlogid, started.runs,
           CAST(:now AS timestamptz) AS now, leasetoken AS token, jobname, timezone, createdat,
           CAST(CASE WHEN body IS NULL THEN job.target
                     ELSE jsonb_set(job.target, '{{body}}', body) END AS text) AS document,
           ARRAY(SELECT ciphertext FROM jobsecret WHERE jobid = job.jobid ORDER BY secretid DESC) AS secrets,
           CASE WHEN cardinality(job.secretnames) > 0 THEN {NAMED} END AS named,
           next IS NOT NULL AND job.jobid NOT IN (SELECT jobid FROM added) AS conflict
    FROM started JOIN job ON job.jobid = started.jobid
    """,
    Started,
)
PARENTS = Statement(
    """
    SELECT logid, joblog.jobid, createdat, scheduledfor, cause, nullif(parentlogid, 0) AS parentlogid
    FROM joblog JOIN job ON job.jobid = joblog.jobid
    WHERE logid = ANY(:parents) AND joblog.kind = 'http'
    """,
    Parent,
)
NEXT_CALL = Statement(
    select(func.min(joblog.c.nextrun)).where(
        text(LIVE),
        joblog.c.status == "pending",
        joblog.c.kind == "http",
        joblog.c.nextrun > bindparam("after"),
    )
)


async def take_turn(session: Session) -> None:
    """Wait until no other claim of calls is in progress; the turn ends with the transaction."""
    await session.all(TAKE_TURN, key=CLAIM_KEY)


async def bounds(session: Session) -> list[Bound]:
    """Everything that bounds a claim."""
    return await session.all(BOUNDS)


class Closed(NamedTuple):
    """What nothing can start of."""

    jobids: Sequence[int]
    tags: Sequence[str]
    projects: Sequence[str]


async def due(
    session: Session, due: datetime, shares: Mapping[str, int], closed: Closed, floor: datetime
) -> list[DueLog]:
    """Lock the oldest calls to these hosts that are due from `floor` to `due`.

    Up to so many to each host, but none of what is closed.
    """
    wanted = {"hosts": list(shares), "shares": list(shares.values()), "due": due, "floor": floor}
    wanted |= closed._asdict()
    if session.cells is None:
        return await session.all(DUE_CALLS, **wanted)
    found = []
    for cell in await session.values(DUE_CELLS, cells=session.cells, due=due, floor=floor):
        found += await in_cell(session, cell, DUE_CALLS, **wanted)
    taken: Counter[str | None] = Counter()
    oldest = []
    for log in sorted(found, key=earliest):
        taken[log.host] += 1
        if taken[log.host] <= shares[str(log.host)]:
            oldest.append(log)
    return oldest


async def start(
    session: Session, now: datetime, terms: Terms, results: Sequence[Result]
) -> dict[int, Started]:
    """Mark logs as running, write their attempts and the next rows; the runs, by logid."""
    chosen = [(one.logid, one.missed, one.through, one.following, one.next, one.tried) for one in results]
    names = ("logids", "misses", "throughs", "followings", "nexts", "tries")
    values = {"now": now, "replica": terms.replica, "leaseuntil": now + terms.lease}
    started = await session.all(START, **values, **columns(names, chosen))
    parents = {run.parentlogid for run in started if run.parentlogid} if terms.traced else set()
    known = {run.logid: run for run in await session.all(PARENTS, parents=list(parents))} if parents else {}
    return {run.logid: run._replace(parent=known.get(run.parentlogid or 0)) for run in started}


async def next_call(session: Session, after: datetime) -> datetime | None:
    """When the first call later than `after` is due; None: none is."""
    found: datetime | None = await session.value(NEXT_CALL, after=after)
    return found
