"""The two statements that write what became of a log: one for what ran, one for what never did.

Both add the job's next row, which rests on what they have written: sibling statements of a WITH run in no
set order, so the insert reads what the update returns. A row that is there already stays as it is, and the
caller is told of its job.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from scheduler_api.database.statements import Session, Statement

RAN = Statement(
    """
    WITH result AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:statuses AS text[]), CAST(:errors AS text[]),
            CAST(:retries AS timestamptz[]), CAST(:releases AS bool[]), CAST(:misses AS bigint[]),
            CAST(:throughs AS timestamptz[]), CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS result (logid, status, error, retry, released, missed, through, next, try)
    ), settled AS (
        UPDATE joblog SET
            status = result.status, error = result.error, nextrun = result.retry,
            leasetoken = NULL, leaseuntil = NULL,
            finishedat = CASE WHEN result.status = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END,
            following = CASE WHEN result.status = 'pending' THEN following END,
            attempt = attempt + CAST(result.status = 'pending' AS int),
            -- What was handed back was never made: it counts as no attempt, and begins no time to retry for.
            spent = spent + CAST(result.released AND result.status = 'pending' AS int),
            -- A plain run begins as it ends.
            startedat = CASE WHEN result.missed IS NOT NULL THEN :now
                             WHEN result.released AND attempt = spent + 1 THEN NULL
                             ELSE startedat END,
            lastrun = CASE WHEN result.missed IS NOT NULL THEN :now ELSE lastrun END,
            missed = coalesce(result.missed, joblog.missed),
            through = CASE WHEN result.missed IS NOT NULL THEN result.through ELSE joblog.through END,
            runs = runs
                + CAST(result.missed IS NOT NULL AND result.status = 'finished' AND cause = 'schedule' AS int)
        -- What has ended keeps its result.
        FROM result WHERE joblog.logid = result.logid AND joblog.status IN ('pending', 'running')
        RETURNING joblog.jobid, lastrun, runs, kind, host, result.next, result.try,
                  result.missed IS NOT NULL AS first
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, kind, host)
        SELECT jobid, next, coalesce(try, next), lastrun, runs, kind, host FROM settled
        WHERE next IS NOT NULL AND first
        UNION ALL
        -- What its job does may have changed while a call was made.
        SELECT jobid, next, coalesce(try, next), lastrun, runs, job.kind, job.host
        FROM settled JOIN job USING (jobid) WHERE next IS NOT NULL AND NOT first
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), written AS (
        UPDATE logattempt SET
            outcome = ended.outcome, failure = ended.failure, error = ended.error, finishedat = :now,
            httpstatus = coalesce(ended.httpstatus, logattempt.httpstatus),
            timing = coalesce(ended.timing, logattempt.timing),
            excerpt = coalesce(ended.excerpt, logattempt.excerpt)
        FROM unnest(
            CAST(:called AS bigint[]), CAST(:attempts AS int[]), CAST(:outcomes AS text[]),
            CAST(:failures AS text[]), CAST(:reasons AS text[]), CAST(:httpstatuses AS int[]),
            CAST(:timings AS jsonb[]), CAST(:excerpts AS text[])
        ) AS ended (logid, attempt, outcome, failure, error, httpstatus, timing, excerpt)
        WHERE logattempt.logid = ended.logid AND logattempt.attempt = ended.attempt
    )
    SELECT jobid FROM settled WHERE next IS NOT NULL EXCEPT SELECT jobid FROM added
    """
)
# Pending logs that are not to run, and occurrences that have no log.
SKIPPED = Statement(
    """
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:jobids AS bigint[]), CAST(:firsts AS timestamptz[]), CAST(:reasons AS text[]),
            CAST(:misses AS bigint[]), CAST(:throughs AS timestamptz[]), CAST(:lastruns AS timestamptz[]),
            CAST(:runs AS int[]), CAST(:parents AS bigint[]), CAST(:logids AS bigint[]),
            CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS given (jobid, first, reason, missed, through, lastrun, runs, parent, logid, next, try)
    ), settled AS (
        UPDATE joblog SET
            status = 'skipped', reason = given.reason, nextrun = NULL, finishedat = :now, following = NULL,
            missed = coalesce(given.missed, joblog.missed),
            through = CASE WHEN given.missed IS NULL THEN joblog.through ELSE given.through END
        FROM given WHERE joblog.logid = given.logid AND joblog.status = 'pending'
        RETURNING joblog.jobid, joblog.lastrun, joblog.runs, kind, host, given.next, given.try
    ), following AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, kind, host)
        SELECT jobid, next, coalesce(try, next), lastrun, runs, kind, host FROM settled WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, status, cause, reason, missed, through, finishedat,
                            lastrun, runs, parentlogid)
        SELECT jobid, first, 'skipped', CASE WHEN parent IS NULL THEN 'schedule' ELSE 'after' END,
               reason, coalesce(missed, 0), through, :now, lastrun, runs, parent
        FROM given WHERE logid IS NULL
        ON CONFLICT DO NOTHING
        RETURNING jobid, scheduledfor
    )
    SELECT jobid, CAST(NULL AS timestamptz) FROM settled
    WHERE next IS NOT NULL AND jobid NOT IN (SELECT jobid FROM following)
    UNION ALL
    SELECT jobid, first FROM given
    WHERE logid IS NULL AND (jobid, first) NOT IN (SELECT jobid, scheduledfor FROM added)
    """
)
# The target goes on by itself: the run lasts, and only the answer is written.
ACCEPTED = Statement(
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


class Result(NamedTuple):
    """What becomes of a log that is to run, runs, or has run."""

    logid: int
    status: str
    """`running`, `finished`, `failed`, or `pending`: another attempt."""
    error: str | None = None
    """Why it has failed."""
    retry: datetime | None = None
    """When the next attempt is due."""
    released: bool = False
    """Whether no request was made: then the attempt does not count."""
    missed: int | None = None
    """Of a run that begins (and ends at once, if it is plain): how many further occurrences it stands for.

    None: it has begun, and what it stands for has been written.
    """
    through: datetime | None = None
    """The last of these."""
    next: datetime | None = None
    """The job's next occurrence: its row is added now."""
    tried: datetime | None = None
    """When that is tried, if not at its own time."""
    following: datetime | None = None
    """Of a run that begins: the occurrence to add when it ends."""


class AttemptEnd(NamedTuple):
    """How an attempt ended."""

    logid: int
    attempt: int
    outcome: str
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: str | None
    """As JSON."""
    excerpt: str | None


class Skipped(NamedTuple):
    """An occurrence, or many, that did not run: a pending log that is not to run, or one that has no log."""

    jobid: int
    first: datetime
    reason: str
    missed: int | None = 0
    """How many further occurrences it stands for; None: as its log says."""
    through: datetime | None = None
    """The last of these."""
    lastrun: datetime | None = None
    runs: int = 0
    parentlogid: int | None = None
    """The log that it was to run after."""
    logid: int | None = None
    """The pending log; None: there is none."""
    next: datetime | None = None
    """The job's next occurrence: its row is added now."""
    tried: datetime | None = None
    """When that is tried, if not at its own time."""

    @property
    def status(self) -> str:
        """What becomes of it."""
        return "skipped"


class Acceptance(NamedTuple):
    """A running log whose target goes on by itself."""

    logid: int
    attempt: int
    until: datetime
    httpstatus: int | None
    timing: str | None
    excerpt: str | None


async def ran(
    session: Session, now: datetime, results: Sequence[Result], ends: Sequence[AttemptEnd] = ()
) -> list[int]:
    """Write the results of logs that are locked, the ends of their attempts, and the next rows.

    Gives back the jobs whose next occurrence had a row already.
    """
    names = (
        "logids", "statuses", "errors", "retries", "releases", "misses", "throughs", "nexts", "tries",
    )  # fmt: skip
    of_ends = ("called", "attempts", "outcomes", "failures", "reasons", "httpstatuses", "timings", "excerpts")
    return await session.values(RAN, now=now, **columns(names, results), **columns(of_ends, ends))


async def skip(
    session: Session, now: datetime, rows: Sequence[Skipped]
) -> tuple[list[int], set[tuple[int, datetime]]]:
    """Let pending logs not run, and write logs of occurrences that have none.

    Gives back the jobs whose next occurrence had a row already, and the (jobid, first) of those that met a
    row of their first occurrence.
    """
    names = (
        "jobids", "firsts", "reasons", "misses", "throughs", "lastruns", "runs", "parents", "logids",
        "nexts", "tries",
    )  # fmt: skip
    met = await session.all(SKIPPED, now=now, **columns(names, rows))
    return [row[0] for row in met if row[1] is None], {tuple(row) for row in met if row[1] is not None}


async def accept(session: Session, acceptances: Sequence[Acceptance]) -> None:
    """Leave running logs, which are locked, to their targets."""
    names = ("logids", "attempts", "untils", "httpstatuses", "timings", "excerpts")
    await session.all(ACCEPTED, **columns(names, acceptances))


def columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as a statement with `unnest` wants them: a list for each of their first columns, by its name."""
    found = map(list, zip(*rows, strict=True)) if rows else ([] for _ in names)
    return dict(zip(names, found, strict=False))
