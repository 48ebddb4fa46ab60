"""Taking due logs, and writing down what became of them.

Whoever holds the row lock on a job's pending log decides the job's future: a claim takes it and skips
the logs that others hold; whoever edits a job has to take it too. So the job row, read *after* the
lock, is never stale, and no claim ever waits for another.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database.statements import Statement

CLAIM = Statement(
    """
    SELECT logid, jobid, scheduledfor
    FROM joblog
    WHERE status = 'pending' AND nextrun <= :due
    ORDER BY nextrun, logid
    LIMIT :most
    FOR UPDATE SKIP LOCKED
    """
)

JOBS = Statement('SELECT jobid, "interval", misfire, grace FROM job WHERE jobid = ANY(:jobids)')

# The verdict, then the promise that rests on it: sibling statements of a WITH run in no set order, so
# the insert reads what the update returns. A promise that exists already is left as it is.
SETTLE = Statement(
    """
    WITH outcome AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:statuses AS text[]), CAST(:misses AS bigint[]),
            CAST(:reasons AS text[]), CAST(:errors AS text[]), CAST(:nexts AS timestamptz[])
        ) AS outcome (logid, status, missed, reason, error, next)
    ), settled AS (
        UPDATE joblog SET
            status = outcome.status, missed = outcome.missed, nextrun = NULL,
            lastrun = CASE WHEN outcome.status = 'skipped' THEN joblog.lastrun ELSE :now END,
            startedat = CASE WHEN outcome.status = 'skipped' THEN NULL ELSE :now END,
            finishedat = :now, reason = outcome.reason, error = outcome.error
        FROM outcome
        WHERE joblog.logid = outcome.logid AND joblog.status = 'pending'
        RETURNING joblog.jobid, joblog.lastrun, outcome.next
    ), promised AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun)
        SELECT jobid, next, next, lastrun FROM settled WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
    ), over AS (
        UPDATE job SET active = false FROM settled
        WHERE job.jobid = settled.jobid AND settled.next IS NULL
    )
    SELECT count(*) FROM settled
    """
)

NEXT_DUE = Statement("SELECT clock_timestamp(), (SELECT min(nextrun) FROM joblog WHERE status = 'pending')")


class DueLog(NamedTuple):
    """A claimed log: locked until the end of the transaction."""

    logid: int
    jobid: int
    scheduledfor: datetime


class JobRules(NamedTuple):
    """What a job says about its time."""

    jobid: int
    interval: int | None
    misfire: str
    grace: int


class Outcome(NamedTuple):
    """What became of a log, and the occurrence to promise next (None: the job is over)."""

    logid: int
    status: str
    missed: int
    reason: str | None
    error: str | None
    next: datetime | None


async def claim_due(session: AsyncSession, due: datetime, most: int) -> list[DueLog]:
    """Lock up to `most` pending logs whose time is at or before `due`, earliest first."""
    return [DueLog(*row) for row in await CLAIM.all(session, due=due, most=most)]


async def rules_of(session: AsyncSession, jobids: list[int]) -> dict[int, JobRules]:
    """The rules of these jobs, by jobid."""
    return {row[0]: JobRules(*row) for row in await JOBS.all(session, jobids=jobids)}


async def settle(session: AsyncSession, now: datetime, outcomes: Sequence[Outcome]) -> int:
    """Write the verdicts and the next promises; how many of the logs were still pending."""
    logids, statuses, misses, reasons, errors, nexts = map(list, zip(*outcomes, strict=True))
    (count,) = await SETTLE.one(
        session,
        now=now,
        logids=logids,
        statuses=statuses,
        misses=misses,
        reasons=reasons,
        errors=errors,
        nexts=nexts,
    )
    return int(count)


async def next_due(session: AsyncSession) -> tuple[datetime, datetime | None]:
    """The database's clock, and the instant at which the next pending log is due."""
    now, due = await NEXT_DUE.one(session)
    return now, due
