"""Statements on live logs: next runs, and runs in progress that carry their job's future."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, exists, select, text, update

from scheduler_api.database.jobs.definitions import SCHEDULE
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.runs.standing import COLUMNS, TO_JOB
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN, joblog

#: The channel on which the tickers are told of a next run that they may not have seen.
CHANNEL = "scheduler_scheduled"

#: The channel of the change feed.
CHANGES = "scheduler_changes"

#: The schedule's live logs of a job: its next run, runs in progress, and those that wait for another attempt.
_OF_JOB = f"{LIVE} AND jobid = :jobid AND cause = 'schedule' AND status IN ('pending', 'running')"


class LiveLog(NamedTuple):
    """A pending or running log of the schedule, locked."""

    logid: int
    scheduledfor: datetime
    nextrun: datetime | None
    status: str
    attempt: int
    following: datetime | None
    """The occurrence that it adds when it settles."""
    lastrun: datetime | None
    runs: int


LIVE_LOGS = Statement(f"SELECT logid FROM joblog WHERE {_OF_JOB}")
LOCK_LIVE = Statement(
    f"""
    SELECT logid, scheduledfor, nextrun, status, attempt, following, lastrun, runs FROM joblog
    WHERE {_OF_JOB} ORDER BY logid FOR UPDATE
    """,
    LiveLog,
)
# What it does is as its job says, so that the caller need not know it. An occurrence has one row in all
# parts: this looks for it under the job's lock, without which no row goes from one part to another. In any of
# them: what was later than all parts is in the one that was the last then. Rows are compared as the index of
# occurrences has them: the planner prefers that of all jobs' instants for parts that it takes to be small.
ADD = Statement(
    f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, ahead, {COLUMNS})
    SELECT jobid, wanted.occurrence, wanted.tried, kind, host, known.ahead,
           greatest(job.lastrun, wanted.lastrun), greatest(job.runs, wanted.runs), laststatus, failures,
           failingsince, lastsuccess
    FROM unnest(
        CAST(:jobids AS bigint[]), CAST(:occurrences AS timestamptz[]), CAST(:trieds AS timestamptz[]),
        CAST(:lastruns AS timestamptz[]), CAST(:counts AS int[])
    ) AS wanted (jobid, occurrence, tried, lastrun, runs)
    JOIN job USING (jobid)
    CROSS JOIN LATERAL (
        SELECT max(coalesce(through, scheduledfor)) FILTER (WHERE scheduledfor > wanted.occurrence) AS ahead,
               coalesce(bool_or(scheduledfor = wanted.occurrence), false) AS is_there
        FROM joblog AS row
        WHERE row.jobid = wanted.jobid AND row.cause = 'schedule'
          AND (row.jobid, row.scheduledfor) >= (wanted.jobid, wanted.occurrence)
    ) AS known
    WHERE NOT known.is_there
    ON CONFLICT DO NOTHING
    RETURNING jobid
    """
)
ANNOUNCE = Statement("SELECT pg_notify(:channel, '')")
RUNNING = Statement(
    select(exists().where(text(LIVE), joblog.c.jobid == bindparam("jobid"), joblog.c.status == "running"))
)
# The jobs keep what the rows said of their runs.
WITHDRAW = Statement(
    f"""
    WITH gone AS (
        DELETE FROM joblog WHERE {LIVE} AND logid = ANY(:logids) RETURNING *
    )
    UPDATE job SET {TO_JOB.format(row="gone")} FROM gone WHERE job.jobid = gone.jobid
    """
)
RETIME = Statement(
    update(joblog)
    .where(text(LIVE), joblog.c.logid == bindparam("logid"))
    .values(nextrun=bindparam("nextrun"))
)
# A run that carries the job's future also carries how its runs have gone.
FOLLOW = Statement(
    f"""
    UPDATE joblog
    SET following = :following, {TO_JOB.format(row="job")},
        ahead = (SELECT max(coalesce(through, scheduledfor)) FROM joblog AS later
                 WHERE later.jobid = joblog.jobid AND later.cause = 'schedule'
                   AND later.scheduledfor > CAST(:following AS timestamptz))
    FROM job WHERE {LIVE} AND logid = :logid AND job.jobid = joblog.jobid
    """
)
LET_GO = Statement(
    f"""
    WITH former AS (
        UPDATE joblog SET following = NULL, ahead = NULL
        WHERE {LIVE} AND logid = ANY(:logids) AND following IS NOT NULL RETURNING *
    )
    UPDATE job SET {TO_JOB.format(row="former")} FROM former WHERE job.jobid = former.jobid
    """
)
# A run that waits for another attempt stays a call: the attempts before it were.
REHOST = Statement(
    f"""
    UPDATE joblog SET host = job.host, kind = job.kind FROM job
    WHERE {LIVE} AND joblog.jobid = :jobid AND job.jobid = joblog.jobid AND status = 'pending'
      AND (joblog.host, joblog.kind) IS DISTINCT FROM (job.host, job.kind)
      AND (job.host IS NOT NULL OR attempt = 1)
    """
)


@dataclass
class WalkedJob(ScheduleRow):
    """An active job that is suspicious; a single one that is not there where none is."""

    last: int | None
    """The last jobid that was looked at; None: there was none left."""
    scheduledfor: datetime | None
    """Its next run; None: it has none."""
    nextrun: datetime | None
    is_there: bool


# Walks over active jobs in the order of their ids, and tells of those whose next run is missing, or may be
# later than it should be: of plain intervals the database knows itself. Reads live rows only, so it costs the
# same whatever has run before.
WALK = Statement(
    f"""
    WITH walked AS (
        SELECT job.* FROM job WHERE jobid > :after AND active AND afterjobid IS NULL
        ORDER BY jobid LIMIT :limit
    )
    SELECT {SCHEDULE}, (SELECT max(jobid) FROM walked) AS last, next_run.scheduledfor, next_run.nextrun,
           job.jobid IS NOT NULL AS is_there
    FROM (VALUES (1)) AS always LEFT JOIN (
        walked AS job LEFT JOIN LATERAL (
            SELECT logid, scheduledfor, nextrun, following FROM joblog
            WHERE {LIVE_NEXT_RUN} AND jobid = job.jobid
            LIMIT 1
        ) AS next_run ON true
    ) ON CASE
        -- A run that the next one does not wait for carries nothing.
        WHEN next_run.logid IS NULL THEN
            overlap
            OR NOT EXISTS (SELECT FROM joblog WHERE {LIVE} AND jobid = job.jobid AND status = 'running'
                           AND cause = 'schedule')
            AND NOT EXISTS (SELECT FROM joblog WHERE {LIVE} AND jobid = job.jobid AND status = 'pending'
                            AND attempt > 1 AND cause = 'schedule')
        WHEN next_run.nextrun <= :now OR next_run.following IS NOT NULL THEN false
        WHEN "interval" IS NOT NULL AND num_nonnulls(until, maxruns) + jitter = 0 AND kind <> 'monitor'
             AND cardinality(exclude || calendardays) = 0 AND validfrom <= :now THEN
            next_run.nextrun > next_run.scheduledfor
            OR next_run.scheduledfor > CAST(:now AS timestamptz) + make_interval(secs => "interval")
        ELSE true
    END
    """,
    WalkedJob,
)


@dataclass
class ZonedRun(ScheduleRow):
    """A next run that rests on the rules of a time zone, and its job's schedule."""

    scheduledfor: datetime


#: Next runs that rest on the rules of a time zone.
ZONED = Statement(
    f"""
    SELECT {SCHEDULE}, joblog.scheduledfor
    FROM job JOIN joblog ON joblog.{LIVE} AND joblog.jobid = job.jobid
         AND joblog.status = 'pending' AND joblog.attempt = 1 AND joblog.cause = 'schedule'
    WHERE job.active AND job.timezone <> 'UTC' AND job.jobid > :after
    ORDER BY job.jobid LIMIT :limit
    """,
    ZonedRun,
)


class Wanted(NamedTuple):
    """The next run of a job, as it is to be added."""

    jobid: int
    occurrence: datetime
    tried: datetime
    """When it is to be tried."""
    lastrun: datetime | None = None
    runs: int = 0


async def add(session: Session, wanted: Sequence[Wanted]) -> set[int]:
    """Add the rows of next runs; the jobs that got one. An occurrence that has a row already gets none."""
    jobids, occurrences, trieds, lastruns, counts = map(list, zip(*wanted, strict=True))
    values = {"occurrences": occurrences, "trieds": trieds, "lastruns": lastruns, "counts": counts}
    return set(await session.values(ADD, jobids=jobids, **values))


async def announce(session: Session) -> None:
    """Notify the tickers of a new next run, when the transaction commits."""
    await session.all(ANNOUNCE, channel=CHANNEL)


async def publish_changes(session: Session) -> None:
    """Notify all replicas that something has changed."""
    await session.all(ANNOUNCE, channel=CHANGES)


async def live(session: Session, jobid: int) -> set[int]:
    """The logids of the schedule's live logs, by the newest state of the table."""
    return set(await session.values(LIVE_LOGS, jobid=jobid))


async def lock_live(session: Session, jobid: int) -> list[LiveLog]:
    """The schedule's live logs, locked until the end of the transaction, in order of their logids."""
    rows = await session.all(LOCK_LIVE, jobid=jobid)
    # Another transaction may have settled a row before it let it go.
    return [row for row in rows if row.status in {"pending", "running"}]


async def is_running(session: Session, jobid: int) -> bool:
    """Whether any run of the job is in progress."""
    return bool(await session.value(RUNNING, jobid=jobid))


async def withdraw(session: Session, logids: Sequence[int]) -> None:
    """Delete pending rows, as if they had never been there."""
    await session.all(WITHDRAW, logids=logids)


async def retime(session: Session, logid: int, tried: datetime) -> None:
    """Let a pending run be tried at another time."""
    await session.all(RETIME, logid=logid, nextrun=tried)


async def follow(session: Session, logid: int, occurrence: datetime) -> None:
    """Let a run that is in progress add `occurrence` when it settles: its job has no other future."""
    await session.all(FOLLOW, logid=logid, following=occurrence)


async def let_go(session: Session, logids: Sequence[int]) -> None:
    """Let runs that are in progress add nothing when they settle."""
    await session.all(LET_GO, logids=logids)


async def rehost(session: Session, jobid: int) -> None:
    """Let the job's pending logs do what the job does by now."""
    await session.all(REHOST, jobid=jobid)


async def walk(session: Session, now: datetime, after: int, limit: int) -> list[WalkedJob]:
    """The suspicious ones of the next `limit` active jobs above a jobid; at least one row, without a job."""
    return await session.all(WALK, now=now, after=after, limit=limit)


async def zoned(session: Session, after: int, limit: int) -> list[ZonedRun]:
    """Up to `limit` next runs of jobs above a jobid that are in a time zone, in order of their jobs."""
    return await session.all(ZONED, after=after, limit=limit)
