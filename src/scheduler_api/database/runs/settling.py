"""Writing down what came of attempts, and what follows for their jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from scheduler_api.database.jobs.definitions import DEFINITION
from scheduler_api.database.statements import Session, Statement

# Result or next attempt; the next row that rests on it reads what the update returns.
SETTLE = Statement(
    """
    WITH outcome AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:attempts AS int[]), CAST(:statuses AS text[]),
            CAST(:retries AS timestamptz[]), CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[]),
            CAST(:outcomes AS text[]), CAST(:failures AS text[]), CAST(:errors AS text[]),
            CAST(:saids AS text[]), CAST(:httpstatuses AS int[]), CAST(:timings AS jsonb[]),
            CAST(:excerpts AS text[])
        ) AS outcome (logid, attempt, status, retry, next, try,
                      outcome, failure, error, said, httpstatus, timing, excerpt)
    ), settled AS (
        UPDATE joblog SET
            status = outcome.status, nextrun = outcome.retry, leasetoken = NULL, leaseuntil = NULL,
            attempt = joblog.attempt + CAST(outcome.status = 'pending' AS int),
            -- What was handed back was never made: it counts as no attempt, and begins no time to retry for.
            spent = spent + CAST(outcome.status = 'pending' AND outcome.outcome = 'released' AS int),
            startedat = CASE WHEN outcome.outcome = 'released' AND joblog.attempt = spent + 1 THEN NULL
                             ELSE startedat END,
            finishedat = CASE WHEN outcome.status = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END,
            error = CASE WHEN outcome.status = 'failed' THEN outcome.error END,
            following = CASE WHEN outcome.status = 'pending' THEN following END
        FROM outcome WHERE joblog.logid = outcome.logid
        RETURNING joblog.jobid, joblog.lastrun, joblog.runs, outcome.next, outcome.try
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
        SELECT jobid, next, try, lastrun, runs, job.host FROM settled JOIN job USING (jobid)
        WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), told AS (
    UPDATE logattempt SET
        outcome = outcome.outcome, failure = outcome.failure, error = outcome.said, finishedat = :now,
        httpstatus = coalesce(outcome.httpstatus, logattempt.httpstatus),
        timing = coalesce(outcome.timing, logattempt.timing),
        excerpt = coalesce(outcome.excerpt, logattempt.excerpt)
    FROM outcome WHERE logattempt.logid = outcome.logid AND logattempt.attempt = outcome.attempt
    )
    SELECT jobid FROM settled WHERE next IS NOT NULL EXCEPT SELECT jobid FROM added
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
# A job whose next run is there goes on, whatever others do meanwhile.
LOCK_JOBS = Statement(
    """
    SELECT jobid FROM job WHERE jobid = ANY(:jobids) AND NOT EXISTS (
        SELECT FROM joblog
        WHERE jobid = job.jobid AND cause = 'schedule' AND status = 'pending' AND attempt = 1
    )
    ORDER BY jobid FOR NO KEY UPDATE
    """
)
_IDLE = """
    jobid = ANY(:jobids) AND afterjobid IS NULL
    AND (active OR pausedat IS NOT NULL AND resumefrom IS NULL) AND NOT EXISTS (
        SELECT FROM joblog
        WHERE jobid = job.jobid AND cause = 'schedule' AND status IN ('pending', 'running')
    )
"""
_RETIRED = "active = false, pausedat = NULL, pausereason = NULL, pauseduntil = NULL, pauseid = NULL"
# Over at once is what has nothing to come by the look of it: the run that ended is the newest, and either
# made no next one or lies at the end of the schedule. Of all others the schedule has to be asked: rows may
# lie ahead by a clock that was, and have been taken back.
RETIRE_IDLE = Statement(
    f"""
    WITH retired AS (
        UPDATE job SET {_RETIRED}
        FROM unnest(CAST(:jobids AS bigint[]), CAST(:endeds AS timestamptz[]), CAST(:counts AS int[]))
             AS given (id, ended, count)
        WHERE jobid = id AND {_IDLE} AND (
            "interval" IS NULL AND cron IS NULL
            OR ended <= :now AND (NOT overlap OR until <= :now OR count >= maxruns)
            AND ended = (SELECT max(scheduledfor) FROM joblog WHERE jobid = job.jobid AND cause = 'schedule')
        )
        RETURNING jobid
    )
    SELECT jobid, createdat, resumefrom, maxruns, {DEFINITION} FROM job
    WHERE {_IDLE} AND jobid NOT IN (SELECT jobid FROM retired)
    """
)
RETIRE = Statement(f"UPDATE job SET {_RETIRED} WHERE {_IDLE}")
#: How many of each job's newest results are failures, from the newest on.
FAILED_IN_A_ROW = Statement(
    """
    SELECT asked.jobid, counted.failures
    FROM unnest(CAST(:jobids AS bigint[]), CAST(:limits AS int[])) AS asked (jobid, count)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE others = 0) AS failures FROM (
            SELECT count(*) FILTER (WHERE status <> 'failed')
                   OVER (ORDER BY scheduledfor DESC, logid DESC) AS others
            FROM (
                SELECT status, scheduledfor, logid FROM joblog
                WHERE joblog.jobid = asked.jobid AND status IN ('finished', 'failed')
                ORDER BY scheduledfor DESC, logid DESC LIMIT asked.count
            ) AS newest
        ) AS runs
    ) AS counted
    """
)


class Settlement(NamedTuple):
    """What becomes of a running log, and what to write down of its attempt."""

    logid: int
    attempt: int
    status: str
    """`finished`, `failed`, or `pending`: another attempt."""
    retry: datetime | None
    """When the next attempt is due."""
    next: datetime | None
    """The job's next occurrence."""
    tried: datetime | None
    outcome: str
    failure: str | None
    error: str | None
    """What the log says of its failure."""
    said: str | None
    """What the attempt says of its own."""
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


async def settle(session: Session, now: datetime, settlements: Sequence[Settlement]) -> list[int]:
    """Write results of running logs that are locked, their attempts, and the next rows.

    Gives back the jobs whose next occurrence had a row already.
    """
    names = (
        "logids", "attempts", "statuses", "retries", "nexts", "tries",
        "outcomes", "failures", "errors", "saids", "httpstatuses", "timings", "excerpts",
    )  # fmt: skip
    return [row[0] for row in await session.all(SETTLE, now=now, **_arrays(names, settlements))]


async def accept(session: Session, acceptances: Sequence[Acceptance]) -> None:
    """Leave running logs, which are locked, to their targets."""
    names = ("logids", "attempts", "untils", "httpstatuses", "timings", "excerpts")
    await session.all(ACCEPT, **_arrays(names, acceptances))


def _arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


class Last(NamedTuple):
    """The newest run of a job that has ended just now."""

    scheduledfor: datetime
    runs: int
    """How many the schedule had made with it."""


async def retire_idle(
    session: Session, now: datetime, ended: Mapping[int, Last], *, overlapping: bool
) -> list[asyncpg.Record]:
    """Mark jobs as completed that have nothing to come and no live log, if paused, too.

    Where that cannot be seen at once, they are left as they are, and given back.
    """
    jobids = sorted(ended)
    if overlapping:
        # Two runs that end together would each see the other as live; so they come one after the other.
        await session.all(LOCK_JOBS, jobids=jobids)
    endeds, counts = zip(*(ended[jobid] for jobid in jobids), strict=True)
    return await session.all(RETIRE_IDLE, now=now, jobids=jobids, endeds=list(endeds), counts=list(counts))


async def retire(session: Session, jobids: Sequence[int]) -> None:
    """Mark those of the jobs as completed that are idle still."""
    await session.all(RETIRE, jobids=jobids)


async def failed_in_a_row(session: Session, limits: Mapping[int, int]) -> dict[int, int]:
    """How many of the newest runs of each job failed one after the other, counted up to its limit."""
    if not limits:
        return {}
    rows = await session.all(FAILED_IN_A_ROW, jobids=list(limits), limits=list(limits.values()))
    return {row["jobid"]: row["failures"] for row in rows}
