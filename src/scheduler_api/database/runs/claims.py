"""Claiming logs that call a target.

A call takes long, so no transaction waits for it: the claim marks the log as running, under a lease and a
token, and commits; whoever settles it has to show the token. Limits count the running logs (see `counting`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from scheduler_api.database.arrays import as_arrays
from scheduler_api.database.jobs.project_secrets import NAMED
from scheduler_api.database.plans import planned_for
from scheduler_api.database.runs.counting import MOST
from scheduler_api.database.runs.due import DUE, DueLog, due_cells, earliest, in_cell
from scheduler_api.database.runs.results import Result
from scheduler_api.database.runs.settling import IS_FREE, IS_LAST
from scheduler_api.database.runs.standing import COLUMNS, TO_JOB
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

#: More than ever run at once.
UNLIMITED = 2**31 - 1

#: Calls that are due to these hosts, up to a share of each, but none of jobs that have as many runs as they
#: may, or, where the places that are left are for others, any call in progress.
DUE_CALLS = Statement(
    f"""
    SELECT {DUE}
    FROM unnest(CAST(:hosts AS text[]), CAST(:shares AS int[])) AS given (asked, share)
    CROSS JOIN LATERAL (
        SELECT {DUE}
        FROM joblog CROSS JOIN LATERAL (
            SELECT count(*) AS underway, count(*) FILTER (WHERE other.acceptedat IS NULL) AS calling
            FROM joblog AS other
            WHERE other.{LIVE} AND other.jobid = joblog.jobid AND other.status = 'running'
        ) AS own
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND host = given.asked
          AND nextrun <= :due AND nextrun >= :floor
          AND jobid <> ALL(:jobids)
          AND (underway = 0 OR (calling = 0 OR NOT :idle)
               AND underway < coalesce(({MOST.format(jobid="joblog.jobid")}), {UNLIMITED}))
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


def _start(is_free: str) -> str:
    """SQL: the attempts are written before any request is sent; next rows are added, if that holds for them.

    A log that has been tried before keeps what its first claim decided.
    """
    return f"""
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
            missed = CASE WHEN chosen.missed IS NOT NULL THEN nullif(chosen.missed, 0) ELSE joblog.missed END,
            through = CASE WHEN chosen.missed IS NOT NULL THEN chosen.through ELSE joblog.through END,
            following = CASE WHEN chosen.missed IS NOT NULL THEN chosen.following ELSE joblog.following END
        FROM chosen WHERE joblog.{LIVE} AND joblog.logid = chosen.logid
        RETURNING joblog.logid, jobid, scheduledfor, cause, attempt, kind, host, leasetoken,
                  parentlogid, body, ahead, joblog.following, {COLUMNS}, chosen.next, chosen.try,
                  chosen.missed IS NOT NULL AS carried
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, ahead, {COLUMNS})
        SELECT jobid, next, coalesce(try, next), kind, host, CASE WHEN ahead > next THEN ahead END, {COLUMNS}
        FROM started WHERE next IS NOT NULL AND {is_free}
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), left_to_job AS (
        UPDATE job SET {TO_JOB.format(row="started")} FROM started
        WHERE job.jobid = started.jobid AND carried AND following IS NULL
          AND job.jobid NOT IN (SELECT jobid FROM added)
          -- Where nothing is compared in loops, all jobs would be read for these.
          AND job.jobid = ANY(ARRAY(SELECT jobid FROM started WHERE carried AND following IS NULL))
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
    FROM started CROSS JOIN LATERAL (SELECT * FROM job WHERE job.jobid = started.jobid OFFSET 0) AS job
    """


# As with results: only those look for a row of what comes next for whom it may be there.
START = Statement(_start(IS_LAST), Started)
START_LOOKING = Statement(_start(IS_FREE.format(jobid="started.jobid")), Started)
PARENTS = Statement(
    """
    SELECT logid, joblog.jobid, createdat, scheduledfor, cause, nullif(parentlogid, 0) AS parentlogid
    FROM joblog JOIN job ON job.jobid = joblog.jobid
    WHERE logid = ANY(:parents) AND joblog.kind = 'http'
    """,
    Parent,
)


class Rest(NamedTuple):
    """What a claim leaves."""

    is_left: bool
    """Whether calls that are due wait on: limits, others, or a lack of places hold them back."""
    next: datetime | None
    """When the first of the others is due; None: none is."""


# The order has the index read: where the server knows of many due calls that have gone meanwhile, it expects
# to come upon one among all live rows soon.
REST = Statement(
    f"""
    SELECT (
        SELECT nextrun FROM joblog WHERE {LIVE} AND status = 'pending' AND kind = 'http'
          AND nextrun <= :due AND nextrun >= :floor
        ORDER BY nextrun LIMIT 1
    ) IS NOT NULL AS is_left, (
        SELECT min(nextrun) FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND nextrun > :now
    ) AS next
    """,
    Rest,
)


class Closed(NamedTuple):
    """What nothing can start of."""

    jobids: Sequence[int]
    tags: Sequence[str]
    projects: Sequence[str]
    idle: bool
    """Whether nothing can of jobs that have a call in progress."""


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
    session: Session, now: datetime, terms: Terms, results: Sequence[Result], *, looking: bool
) -> dict[int, Started]:
    """Mark logs as running, write their attempts and the next rows; the runs, by logid.

    `looking` is whether a next occurrence may have a row already.
    """
    chosen = [(one.logid, one.missed, one.through, one.following, one.next, one.tried) for one in results]
    names = ("logids", "misses", "throughs", "followings", "nexts", "tries")
    values = {"now": now, "replica": terms.replica, "leaseuntil": now + terms.lease}
    async with planned_for(session, len(chosen), "joblog_live"):
        statement = START_LOOKING if looking else START
        started = await session.all(statement, **values, **as_arrays(names, chosen))
    parents = {run.parentlogid for run in started if run.parentlogid} if terms.traced else set()
    known = {run.logid: run for run in await session.all(PARENTS, parents=list(parents))} if parents else {}
    return {run.logid: run._replace(parent=known.get(run.parentlogid or 0)) for run in started}


async def rest(session: Session, now: datetime, due: datetime, floor: datetime) -> Rest:
    """What is still to be done of what is due from `floor` to `due`, and later."""
    return await session.one(REST, now=now, due=due, floor=floor)
