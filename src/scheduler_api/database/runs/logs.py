"""Statements on logs: requests, skipped occurrences, and what the rows account for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, or_, select, update

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LASTRUN, LIVE_NEXT_RUN, MISSED, joblog


@dataclass
class LogRow:
    """A log as it is shown."""

    logid: int
    jobid: int
    scheduledfor: datetime
    nextrun: datetime | None
    lastrun: datetime | None
    status: str
    cause: str
    attempt: int
    missed: int
    through: datetime | None
    runs: int
    startedat: datetime | None
    finishedat: datetime | None
    reason: str | None
    error: str | None
    kind: str
    host: str | None
    leaseuntil: datetime | None
    parentlogid: int | None


class LedgerRow(NamedTuple):
    """A log of the schedule's own, as those read it who account for occurrences."""

    logid: int
    scheduledfor: datetime
    status: str
    missed: int
    through: datetime | None
    reason: str | None
    lastrun: datetime | None
    runs: int

    @property
    def last(self) -> datetime:
        """The last occurrence that it tells of."""
        return self.through or self.scheduledfor


_LEDGER = f"logid, scheduledfor, status, {MISSED}, through, reason, {LASTRUN}, runs"
#: The columns of a LogRow.
COLUMNS = f"""
    logid, jobid, scheduledfor, nextrun, {LASTRUN}, status, cause, attempt, {MISSED}, through, runs,
    startedat, finishedat, reason, error, kind, host, leaseuntil, nullif(parentlogid, 0) AS parentlogid
"""
LOGS = f"SELECT {COLUMNS} FROM joblog"
ONE = Statement(f"{LOGS} WHERE logid = :logid", LogRow)
BODY = Statement("SELECT CAST(body AS text) FROM joblog WHERE logid = :logid")


# Each job, and each row that may be there, is looked up by itself, by the key of occurrences: a plan for few
# jobs compares each with all rows of the cause in all of history, and so does one of the time when no run had
# that cause, by the index of those that have. Causes are compared as text, of which that index does not know.
REQUEST = Statement(
    f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, lastrun, cause, body)
    SELECT wanted.jobid, first, :now, job.kind, job.host,
           coalesce((SELECT lastrun FROM joblog WHERE {LIVE_NEXT_RUN} AND jobid = wanted.jobid), job.lastrun),
           :cause, CAST(:body AS jsonb)
    FROM unnest(CAST(:jobids AS bigint[]), CAST(:firsts AS timestamptz[])) AS wanted (jobid, first)
    CROSS JOIN LATERAL (SELECT kind, host, lastrun FROM job WHERE job.jobid = wanted.jobid OFFSET 0) AS job
    WHERE NOT EXISTS (
        SELECT FROM joblog AS known
        WHERE known.jobid = wanted.jobid AND known.scheduledfor = first
          AND CAST(known.cause AS text) = CAST(CAST(:cause AS logcause) AS text) OFFSET 0
    )
    ON CONFLICT DO NOTHING
    RETURNING {COLUMNS}
    """,
    LogRow,
)
_OWN = f"SELECT {_LEDGER} FROM joblog WHERE jobid = :jobid AND cause = 'schedule'"
#: The schedule's own rows but for the next run; and those that tell what did not run.
_ACCOUNTED = f"{_OWN} AND (status <> 'pending' OR attempt > 1)"
_SKIPPED = f"{_OWN} AND status = 'skipped'"
#: What the schedule's own rows account for, in order.
COVERAGE = Statement(
    f"{_ACCOUNTED} AND scheduledfor > :after AND scheduledfor < :before ORDER BY scheduledfor LIMIT :limit",
    LedgerRow,
)
#: Rows of earlier occurrences that reach over an instant. They are under days from its own on.
REACHING = Statement(
    f"{_ACCOUNTED} AND day >= :day AND scheduledfor < :since AND through >= :since", LedgerRow
)
#: The rows that tell of an instant: its own, of whatever cause, and the newest that reach over it.
AROUND = Statement(
    f"""
    ({LOGS} WHERE jobid = :jobid AND scheduledfor >= :at AND scheduledfor < :until
     ORDER BY scheduledfor, logid LIMIT 20)
    UNION ALL
    (SELECT {COLUMNS} FROM (
        {LOGS} WHERE jobid = :jobid AND cause = 'schedule' AND scheduledfor < :at
        ORDER BY scheduledfor DESC LIMIT 100
     ) AS earlier WHERE through >= :at ORDER BY scheduledfor DESC)
    """,
    LogRow,
)
#: Occurrences of a range that have run, or are in progress, and those that were asked for.
DONE = Statement(
    select(joblog.c.scheduledfor).where(
        joblog.c.jobid == bindparam("jobid"),
        joblog.c.scheduledfor >= bindparam("since"),
        joblog.c.scheduledfor < bindparam("before"),
        or_(
            and_(joblog.c.status.in_(["finished", "running", "pending"]), joblog.c.cause == "schedule"),
            joblog.c.cause == "backfill",
        ),
    )
)

#: What users asked to skip before its time.
AHEAD = Statement(f"{_SKIPPED} AND scheduledfor > :now ORDER BY scheduledfor", LedgerRow)
#: A row that was skipped ahead of its time, and of whose occurrences some have come since.
STRADDLING = Statement(
    f"{_SKIPPED} AND scheduledfor <= :now AND through > :now ORDER BY scheduledfor DESC LIMIT 1", LedgerRow
)
SHORTEN = Statement(
    update(joblog)
    .where(joblog.c.logid == bindparam("logid"))
    .values(missed=bindparam("missed"), through=bindparam("through"))
)
FORGET_AHEAD = Statement(
    delete(joblog).where(
        joblog.c.jobid == bindparam("jobid"),
        joblog.c.cause == "schedule",
        joblog.c.status == "skipped",
        joblog.c.scheduledfor > bindparam("now"),
    )
)
EXCUSE = Statement(
    update(joblog).where(joblog.c.logid == bindparam("logid")).values(reason=bindparam("reason"))
)

#: Rows of the schedule that tell of what is yet to come.
ROWS_AHEAD = Statement(
    f"""
    (SELECT {_LEDGER} FROM joblog
     WHERE jobid = :jobid AND cause = 'schedule' AND scheduledfor > :now AND status <> 'pending'
     ORDER BY scheduledfor LIMIT :limit)
    UNION ALL
    (SELECT * FROM (
        SELECT {_LEDGER} FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND scheduledfor <= :now
        ORDER BY scheduledfor DESC LIMIT 100
     ) AS newest WHERE through > :now)
    """,
    LedgerRow,
)
DROP = Statement(
    """
    WITH gone AS (
        DELETE FROM joblog WHERE logid = ANY(:logids) RETURNING logid, day
    ), lines AS (
        DELETE FROM logline USING gone WHERE logline.logid = gone.logid AND logline.day = gone.day
    )
    DELETE FROM logattempt USING gone WHERE logattempt.logid = gone.logid AND logattempt.day = gone.day
    """
)

#: How far the schedule's rows up to an instant account for it.
REACHED = Statement(
    """
    SELECT max(coalesce(through, scheduledfor)) FROM (
        SELECT scheduledfor, through FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
          AND scheduledfor <= :now
        ORDER BY scheduledfor DESC LIMIT 100
    ) AS newest
    """
)
#: The newest of the schedule's rows that tell of what is later than an instant.
ROWS_SINCE = Statement(
    f"{_ACCOUNTED} AND scheduledfor > :since ORDER BY scheduledfor DESC LIMIT :limit", LedgerRow
)
#: Where the runs of a part of a job's past were used up: right after what the last of them stands for.
SPENT = Statement(
    """
    SELECT coalesce(through, scheduledfor) + interval '1 microsecond' FROM joblog
    WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
      AND scheduledfor >= :since AND scheduledfor < :before AND runs >= :maxruns
      AND EXISTS (SELECT FROM unnest(CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]))
                  AS part (first, last) WHERE scheduledfor BETWEEN first AND last)
    ORDER BY scheduledfor LIMIT 1
    """
)


class Standing(NamedTuple):
    """Where a job's schedule stands by its rows; None: it has none."""

    accounted: datetime | None
    """The last occurrence that they account for."""
    lastrun: datetime | None
    runs: int | None
    """How often the schedule has made it run."""


#: By the newest rows, as a row's reach may exceed that of a later one; and by what the job keeps, as history
#: goes, unless a hand took its next run away.
STANDING = Statement(
    f"""
    SELECT newest.accounted, greatest(newest.lastrun, next_run.lastrun, job.lastrun) AS lastrun,
           greatest(newest.runs, next_run.runs, job.runs) AS runs
    FROM job
    CROSS JOIN (
        SELECT max(coalesce(through, scheduledfor)) AS accounted, max(lastrun) AS lastrun, max(runs) AS runs
        FROM (
            SELECT scheduledfor, through, {LASTRUN}, runs FROM joblog
            WHERE jobid = :jobid AND cause = 'schedule' ORDER BY scheduledfor DESC LIMIT 100
        ) AS rows
    ) AS newest
    LEFT JOIN (SELECT jobid, lastrun, runs FROM joblog WHERE {LIVE_NEXT_RUN}) AS next_run USING (jobid)
    WHERE job.jobid = :jobid
    """,
    Standing,
)


#: The last occurrence that a row tells of, but for those that an edit took away: these lie between ones
#: that stayed.
SETTLED = Statement(
    """
    SELECT max(coalesce(through, scheduledfor)) FROM (
        SELECT scheduledfor, through FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
          AND reason IS DISTINCT FROM 'superseded'
        ORDER BY scheduledfor DESC LIMIT 100
    ) AS newest
    """
)


async def request(
    session: Session, now: datetime, cause: str, wanted: Sequence[tuple[int, datetime]], body: Any = None
) -> list[LogRow]:
    """Ask for runs (jobid, occurrence) now; the new logs. One that was asked for before is left out.

    Nobody else may settle runs of these jobs meanwhile.
    They send `body`; None: what their targets have.
    """
    jobids, firsts = map(list, zip(*wanted, strict=True)) if wanted else ([], [])
    document = None if body is None else json.dumps(body)
    return await session.all(REQUEST, now=now, cause=cause, jobids=jobids, firsts=firsts, body=document)


async def body_of(session: Session, logid: int) -> Any:
    """What a log sends instead of its target's body; None: it does not."""
    document = await session.value(BODY, logid=logid)
    return None if document is None else json.loads(document)


async def one(session: Session, logid: int) -> LogRow | None:
    """The log."""
    return await session.one_or_none(ONE, logid=logid)


async def coverage(
    session: Session, jobid: int, after: datetime, before: datetime, limit: int
) -> list[LedgerRow]:
    """Up to `limit` of the schedule's rows between two instants, in order."""
    return await session.all(COVERAGE, jobid=jobid, after=after, before=before, limit=limit)


async def reaching(session: Session, jobid: int, since: datetime) -> list[LedgerRow]:
    """The schedule's rows that tell of occurrences before an instant, midnight of UTC, and from it on."""
    return await session.all(REACHING, jobid=jobid, since=since, day=since.date())


async def around(session: Session, jobid: int, at: datetime, until: datetime) -> list[LogRow]:
    """The job's logs from `at` up to `until`, and those of earlier occurrences that reach over `at`."""
    return await session.all(AROUND, jobid=jobid, at=at, until=until)


async def done(session: Session, jobid: int, since: datetime, before: datetime) -> set[datetime]:
    """The occurrences of a range that have run, are in progress, or are asked to run."""
    return set(await session.values(DONE, jobid=jobid, since=since, before=before))


async def straddling(session: Session, jobid: int, now: datetime) -> LedgerRow | None:
    """The row of skipped occurrences that lie on both sides of now; None: there is none."""
    return await session.one_or_none(STRADDLING, jobid=jobid, now=now)


async def shorten(session: Session, logid: int, missed: int, through: datetime | None) -> None:
    """Let a row cover fewer occurrences."""
    await session.all(SHORTEN, logid=logid, missed=missed or None, through=through)


async def ahead(session: Session, jobid: int, now: datetime) -> list[LedgerRow]:
    """The skipped rows of occurrences that are yet to come, in order."""
    return await session.all(AHEAD, jobid=jobid, now=now)


async def spent(
    session: Session,
    jobid: int,
    within: Sequence[tuple[datetime, datetime]],
    before: datetime,
    maxruns: int | None,
) -> datetime | None:
    """From when on, in the parts of time of a schedule, the job was to run no more; None: it went on."""
    if maxruns is None or not within:
        return None
    firsts, lasts = zip(*within, strict=True)
    found: datetime | None = await session.value(
        SPENT, jobid=jobid, since=firsts[0], before=before, maxruns=maxruns, firsts=firsts, lasts=lasts
    )
    return found


async def forget_ahead(session: Session, jobid: int, now: datetime) -> None:
    """Delete the skipped rows of occurrences that are yet to come."""
    await session.all(FORGET_AHEAD, jobid=jobid, now=now)


async def excuse(session: Session, logid: int, reason: str) -> None:
    """Let a skipped row have another reason."""
    await session.all(EXCUSE, logid=logid, reason=reason)


async def rows_ahead(session: Session, jobid: int, now: datetime, limit: int) -> list[LedgerRow]:
    """Up to `limit` of the schedule's rows, but pending ones, that tell of occurrences later than `now`."""
    return await session.all(ROWS_AHEAD, jobid=jobid, now=now, limit=limit)


async def reached(session: Session, jobid: int, now: datetime) -> datetime | None:
    """The last occurrence that the schedule's rows up to `now` account for; None: there is none."""
    found: datetime | None = await session.value(REACHED, jobid=jobid, now=now)
    return found


async def rows_since(session: Session, jobid: int, since: datetime, limit: int) -> list[LedgerRow]:
    """The newest `limit` of the schedule's rows, but pending ones, of occurrences after `since`, in order."""
    return (await session.all(ROWS_SINCE, jobid=jobid, since=since, limit=limit))[::-1]


async def drop(session: Session, logids: Sequence[int]) -> None:
    """Delete rows."""
    await session.all(DROP, logids=logids)


async def settled(session: Session, jobid: int) -> datetime | None:
    """The last occurrence that a row tells of, edits apart; None: there is none."""
    found: datetime | None = await session.value(SETTLED, jobid=jobid)
    return found


async def standing(session: Session, jobid: int) -> Standing:
    """Where the job's schedule stands."""
    return await session.one(STANDING, jobid=jobid)
