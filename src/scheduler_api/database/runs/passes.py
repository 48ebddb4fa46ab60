"""Taking due logs of plain jobs, and writing down what became of them.

Whoever holds the row lock on a job's next run decides the job's future: a claim takes it and skips the
logs that others hold; whoever edits a job has to take it too. So the job row, read *after* the lock, is
never stale. The job's row is locked, too, or the log left alone: no claim ever waits for anybody.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from scheduler_api.database.jobs.definitions import DEFINITION, IS_FOLLOWED, IS_REFINED
from scheduler_api.database.statements import Session, Statement

#: Before all that is ever due.
BEGINNING = datetime.min.replace(tzinfo=UTC)


class DueLog(NamedTuple):
    """A claimed log: locked until the end of the transaction."""

    logid: int
    jobid: int
    scheduledfor: datetime
    cause: str


class JobRules(NamedTuple):
    """What a job says about its time."""

    jobid: int
    interval: int | None
    misfire: str
    grace: int
    refined: bool
    """Whether there is more to it than an interval, or one start."""
    followed: bool
    """Whether other jobs run after it."""
    deleted: bool = False
    """Whether it was deleted, while what asked for this run was under way."""


class NextDue(NamedTuple):
    """What there will be to do for passes, and when."""

    now: datetime
    """By the database's clock."""
    due: datetime | None
    """When the next pending log is to be tried."""


# The floor skips the index entries of what has run: while somebody else's transaction can still see it, they
# cannot be removed.
CLAIM = Statement(
    """
    SELECT logid, jobid, scheduledfor, cause
    FROM joblog
    WHERE status = 'pending' AND host IS NULL AND nextrun <= :due AND nextrun >= :floor
      AND jobid <> ALL(:held)
    ORDER BY nextrun, logid
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """,
    DueLog,
)

# Most jobs of most services are plain intervals: what the others need is read apart. What is settled may
# have to change the job, or refer to it: one that somebody else holds is left out, not waited for.
RULES = Statement(
    f"""
    SELECT jobid, "interval", misfire, grace, {IS_REFINED} AS refined, {IS_FOLLOWED} AS followed,
           deletedat IS NOT NULL AS deleted
    FROM job WHERE jobid = ANY(:jobids)
    FOR NO KEY UPDATE SKIP LOCKED
    """,
    JobRules,
)
REFINED = Statement(
    f"""
    SELECT joblog.logid, job.jobid, jitter, maxruns, joblog.runs, joblog.lastrun, {DEFINITION}
    FROM joblog JOIN job USING (jobid) WHERE joblog.logid = ANY(:logids)
    """
)

# The result, then the next row that rests on it: sibling statements of a WITH run in no set order, so
# the insert reads what the update returns. A row that exists already is left as it is, and told. Only the
# schedule's own runs move the schedule.
SETTLE = Statement(
    """
    WITH outcome AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:statuses AS text[]), CAST(:misses AS bigint[]),
            CAST(:throughs AS timestamptz[]), CAST(:reasons AS text[]), CAST(:errors AS text[]),
            CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[])
        ) AS outcome (logid, status, missed, through, reason, error, next, try)
    ), settled AS (
        UPDATE joblog SET
            status = outcome.status, missed = outcome.missed, through = outcome.through,
            runs = runs + CAST(outcome.status = 'finished' AND cause = 'schedule' AS int), nextrun = NULL,
            lastrun = CASE WHEN outcome.status = 'skipped' THEN joblog.lastrun ELSE :now END,
            startedat = CASE WHEN outcome.status = 'skipped' THEN NULL ELSE :now END,
            finishedat = :now, reason = outcome.reason, error = outcome.error, following = NULL
        FROM outcome
        WHERE joblog.logid = outcome.logid AND joblog.status = 'pending'
        RETURNING joblog.jobid, joblog.cause, joblog.lastrun, joblog.runs, joblog.host,
                  outcome.next, outcome.try
    ), added AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs, host)
        SELECT jobid, next, coalesce(try, next), lastrun, runs, host FROM settled WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING jobid
    ), over AS (
        UPDATE job SET active = false FROM settled
        WHERE job.jobid = settled.jobid AND settled.next IS NULL AND settled.cause = 'schedule'
    )
    SELECT jobid FROM settled WHERE next IS NOT NULL EXCEPT SELECT jobid FROM added
    """
)

NEXT_DUE = Statement(
    """
    SELECT clock_timestamp() AS now, (
        SELECT min(nextrun) FROM joblog WHERE status = 'pending' AND host IS NULL AND nextrun >= :floor
    ) AS due
    """,
    NextDue,
)
OLDEST = Statement(
    """
    SELECT clock_timestamp() AS now, least(
        (SELECT min(nextrun) FROM joblog WHERE status = 'pending' AND host IS NULL),
        (SELECT min(nextrun) FROM joblog WHERE status = 'pending' AND host IS NOT NULL)
    ) AS due
    """,
    NextDue,
)


class Outcome(NamedTuple):
    """What became of a log, and which occurrence comes next (None: the job is over)."""

    logid: int
    status: str
    missed: int = 0
    through: datetime | None = None
    reason: str | None = None
    error: str | None = None
    next: datetime | None = None
    """The occurrence to add."""
    tried: datetime | None = None
    """When that will be tried, if not at its own time."""


async def claim_due(
    session: Session,
    due: datetime,
    limit: int,
    held: Collection[int] = (),
    floor: datetime = BEGINNING,
) -> list[DueLog]:
    """Lock up to `limit` pending logs due from `floor` to `due`, earliest first; none of the `held` jobs."""
    return await session.all(CLAIM, due=due, floor=floor, limit=limit, held=list(held))


async def rules_of(session: Session, jobids: list[int]) -> dict[int, JobRules]:
    """Lock those of these jobs that nobody else holds; their rules, by jobid."""
    return {rules.jobid: rules for rules in await session.all(RULES, jobids=jobids)}


async def refinements_of(session: Session, logids: list[int]) -> dict[int, asyncpg.Record]:
    """All that matters for these logs: their jobs' definitions and how far they have come, by logid."""
    return {row["logid"]: row for row in await session.all(REFINED, logids=logids)}


async def settle(session: Session, now: datetime, outcomes: Sequence[Outcome]) -> list[int]:
    """Write the results of those logs that are pending still, and the next rows.

    Gives back the jobs whose next occurrence had a row already.
    """
    columns = map(list, zip(*outcomes, strict=True))
    logids, statuses, misses, throughs, reasons, errors, nexts, tries = columns
    rows = await session.all(
        SETTLE,
        now=now,
        logids=logids,
        statuses=statuses,
        misses=misses,
        throughs=throughs,
        reasons=reasons,
        errors=errors,
        nexts=nexts,
        tries=tries,
    )
    return [row[0] for row in rows]


async def next_due(session: Session, floor: datetime = BEGINNING) -> NextDue:
    """What there will be to do, and when; not before `floor`."""
    return await session.one(NEXT_DUE, floor=floor)


async def oldest(session: Session) -> NextDue:
    """When the pending log that is to be tried first is due, call or not."""
    return await session.one(OLDEST)
