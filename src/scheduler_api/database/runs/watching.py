"""Statements that look for what does not happen: runs that do not begin or end, jobs that do not succeed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.database.jobs.definitions import IS_REFINED, SCHEDULE
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN

#: How many runs tell how long a run of a job usually takes: the newest that finished.
COUNTED, ENOUGH = 100, 20
#: Runs in progress that are looked at, the oldest first.
MAX_RUNNING = 200


class SuspectRun(NamedTuple):
    """A run that has not begun, or not ended, for too long."""

    jobid: int
    logid: int
    scheduledfor: datetime
    since: datetime
    """When it was due, or began."""
    usual: float
    """Seconds that 95 of 100 runs of the job take at most; 0: of a run that has not begun."""
    limit: int | None
    """Seconds that its job lets it take, or be late; None: as is usual."""


@dataclass
class WatchedJob(ScheduleRow):
    """A job that may be silent, or of which it is not known when it would be."""

    reference: datetime
    """When it last succeeded, was added, edited or resumed: it was not silent then."""
    distance: int | None
    """Seconds between two of its runs, at most; None: nobody has looked."""
    silentafter: int | None
    """Seconds without a success after which it is; None: as is usual."""


class WalkedTo(NamedTuple):
    """How far a walk over jobs has come."""

    last: int | None


# Tables may have been counted last while they were nearly empty. By such counts, to read all jobs costs as
# much as to look at one, and all would be read for each run. OFFSET 0 keeps the planner from joining them,
# and the order from any other index.
_NO_ISSUE = """
    NOT EXISTS (
        SELECT FROM jobissue WHERE endedat IS NULL
          AND (jobissue.jobid, jobissue.kind) >= (job.jobid, '{0}')
          AND (jobissue.jobid, jobissue.kind) <= (job.jobid, '{0}')
        ORDER BY jobissue.jobid, jobissue.kind OFFSET 0
    )
"""
_ITS_JOB = "CROSS JOIN LATERAL (SELECT * FROM job WHERE job.jobid = joblog.jobid OFFSET 0) AS job"
#: Since when a run waits to begin. What is reported from elsewhere is looked at only when that is overdue.
_SINCE = "CASE WHEN joblog.kind = 'monitor' THEN scheduledfor ELSE nextrun END"
_IS_LATE = f"""
    {_SINCE} < CAST(:now AS timestamptz) - make_interval(
        secs => coalesce(job.lateafter, CASE WHEN joblog.kind <> 'monitor' THEN CAST(:seconds AS float8) END)
    )
"""
_LATE_RUN = f"""
    job.jobid, logid, scheduledfor, {_SINCE} AS since, CAST(0 AS float8) AS usual, job.lateafter AS "limit"
"""
#: What is due, by an index for calls and one for all else.
_WAITING = f"""
    SELECT {_LATE_RUN} FROM joblog {_ITS_JOB}
    WHERE {LIVE} AND status = 'pending' AND joblog.kind {{}} 'http' AND nextrun < :now
      AND cause = 'schedule' AND job.deletedat IS NULL AND {_IS_LATE} AND {_NO_ISSUE.format("late")}
    ORDER BY nextrun, logid LIMIT :limit
"""
#: What is to be reported, of the monitors that can be late.
_EXPECTED = f"""
    SELECT {_LATE_RUN} FROM job JOIN joblog ON joblog.{LIVE} AND joblog.jobid = job.jobid
    WHERE job.monitortoken IS NOT NULL AND job.lateafter IS NOT NULL
      AND cause = 'schedule' AND status = 'pending' AND attempt = 1
      AND job.deletedat IS NULL AND {_IS_LATE} AND {_NO_ISSUE.format("late")}
    LIMIT :limit
"""
LATE = Statement(
    f"({_WAITING.format('<>')}) UNION ({_WAITING.format('=')}) UNION ({_EXPECTED})",
    SuspectRun,
)
#: What is late is still so, of jobs that nobody else holds.
STILL_LATE = Statement(
    f"""
    SELECT {_LATE_RUN}
    FROM joblog JOIN job ON job.jobid = joblog.jobid
    WHERE {LIVE} AND logid = ANY(:logids) AND status = 'pending' AND {_IS_LATE}
      AND job.deletedat IS NULL AND {_NO_ISSUE.format("late")}
    ORDER BY job.jobid FOR NO KEY UPDATE OF job SKIP LOCKED
    """,
    SuspectRun,
)
_STUCK = f"""
    SELECT job.jobid, logid, scheduledfor, startedat AS since, coalesce(usual.p95, 0) AS usual,
           job.stuckafter AS "limit"
    FROM (
        SELECT logid, joblog.jobid, scheduledfor, startedat FROM joblog {_ITS_JOB}
        WHERE {LIVE} AND status = 'running' AND {_NO_ISSUE.format("stuck")}
          AND startedat < CAST(:now AS timestamptz)
              - make_interval(secs => coalesce(job.stuckafter, CAST(:seconds AS float8)))
        ORDER BY startedat LIMIT {MAX_RUNNING}
    ) AS run JOIN job ON job.jobid = run.jobid
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs, percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95 FROM (
            SELECT extract(epoch FROM finishedat - startedat) AS seconds FROM joblog AS known
            WHERE known.jobid = run.jobid AND known.day < 'infinity' AND known.status = 'finished'
              -- What was reported only when it had ended says nothing of that.
              AND known.finishedat > known.startedat
            ORDER BY known.scheduledfor DESC LIMIT {COUNTED}
        ) AS took
    ) AS usual
    WHERE job.deletedat IS NULL AND (
          job.stuckafter IS NOT NULL
          OR usual.runs >= {ENOUGH}
          AND startedat < CAST(:now AS timestamptz) - make_interval(secs => :times * usual.p95)
      )
      AND {_NO_ISSUE.format("stuck")}
"""
STUCK = Statement(f"{_STUCK} ORDER BY startedat LIMIT :limit", SuspectRun)
STILL_STUCK = Statement(
    f"{_STUCK} AND logid = ANY(:logids) ORDER BY job.jobid FOR NO KEY UPDATE OF job SKIP LOCKED", SuspectRun
)
# Issues of jobs that nobody else holds.
NO_LONGER_LATE = Statement(
    f"""
    SELECT job.jobid FROM jobissue JOIN job USING (jobid)
    WHERE jobissue.kind = 'late' AND endedat IS NULL AND NOT EXISTS (
        SELECT FROM joblog
        WHERE {LIVE} AND joblog.jobid = job.jobid AND status = 'pending' AND {_IS_LATE}
    )
    ORDER BY job.jobid LIMIT :limit FOR NO KEY UPDATE OF job SKIP LOCKED
    """
)
NO_LONGER_STUCK = Statement(
    f"""
    SELECT job.jobid FROM jobissue JOIN job USING (jobid)
    WHERE jobissue.kind = 'stuck' AND endedat IS NULL AND NOT EXISTS (
        -- Not by the index of all that run: there may seem to be none.
        SELECT FROM joblog
        WHERE {LIVE} AND logid BETWEEN jobissue.logid AND jobissue.logid AND CAST(status AS text) = 'running'
        ORDER BY logid OFFSET 0
    )
    ORDER BY job.jobid LIMIT :limit FOR NO KEY UPDATE OF job SKIP LOCKED
    """
)
_REFERENCE = """
    greatest(
        coalesce(next_run.lastsuccess, job.lastsuccess), job.createdat, job.validfrom, job.watchedfrom
    )
"""
_WATCHED = f"""
    job LEFT JOIN LATERAL (
        SELECT lastsuccess FROM joblog WHERE {LIVE_NEXT_RUN} AND joblog.jobid = job.jobid LIMIT 1
    ) AS next_run ON true
"""
#: What is wrong already says that nothing succeeds; a job that says itself how long it may be silent is held
#: to that.
_MAY_BE_SILENT = f"""
    active AND afterjobid IS NULL AND num_nonnulls("interval", cron) = 1
    AND (openissues = 0 OR silentafter IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobissue
        WHERE jobissue.jobid = job.jobid AND jobissue.kind = 'silent' AND jobissue.endedat IS NULL
    ))
    AND {_REFERENCE} < CAST(:now AS timestamptz)
        - make_interval(secs => coalesce(
            CAST(silentafter AS float8),
            2.0 * CASE WHEN {IS_REFINED} THEN coalesce(distance, 0) ELSE "interval" END
            + CASE WHEN kind = 'monitor' THEN job.grace ELSE jitter END + :grace
        ))
"""
WALK = Statement(
    f"""
    SELECT {SCHEDULE}, {_REFERENCE} AS reference,
           CASE WHEN {IS_REFINED} THEN distance ELSE "interval" END AS distance, silentafter
    FROM {_WATCHED}
    WHERE job.jobid > :after AND job.jobid <= :last AND {_MAY_BE_SILENT}
    ORDER BY job.jobid
    """,
    WatchedJob,
)
LAST = Statement(
    """
    SELECT max(jobid) AS last FROM (
        SELECT jobid FROM job WHERE jobid > :after AND active AND afterjobid IS NULL
        ORDER BY jobid LIMIT :limit
    ) AS walked
    """,
    WalkedTo,
)
# Jobs that nobody else holds.
STILL_SILENT = Statement(
    f"""
    SELECT {SCHEDULE}, {_REFERENCE} AS reference, distance, silentafter FROM {_WATCHED}
    WHERE job.jobid = ANY(:jobids) AND {_MAY_BE_SILENT}
    ORDER BY job.jobid FOR NO KEY UPDATE OF job SKIP LOCKED
    """,
    WatchedJob,
)
MEASURED = Statement(
    """
    UPDATE job SET distance = known.distance
    FROM unnest(CAST(:jobids AS bigint[]), CAST(:distances AS int[])) AS known (jobid, distance)
    WHERE job.jobid = known.jobid
    """
)


async def late_runs(session: Session, now: datetime, seconds: float, limit: int) -> list[SuspectRun]:
    """Runs that wait for longer than their jobs say, or so many seconds, and of which no issue tells.

    Up to `limit` of each kind, the latest first.
    """
    return await session.all(LATE, now=now, seconds=seconds, limit=limit)


async def still_late(
    session: Session, now: datetime, seconds: float, logids: Sequence[int]
) -> list[SuspectRun]:
    """Those of these runs that still are, of jobs that nobody else holds; the jobs are locked."""
    return await session.all(STILL_LATE, now=now, seconds=seconds, logids=logids)


async def stuck_runs(
    session: Session, now: datetime, seconds: float, times: float, limit: int
) -> list[SuspectRun]:
    """Up to `limit` runs that take longer than their jobs say.

    Or, where these say nothing, longer than so many seconds, and so many times as long as usual.
    """
    return await session.all(STUCK, now=now, seconds=seconds, times=times, limit=limit)


async def still_stuck(
    session: Session, now: datetime, seconds: float, times: float, logids: Sequence[int]
) -> list[SuspectRun]:
    """Those of these runs that still do, of jobs that nobody else holds; the jobs are locked."""
    return await session.all(STILL_STUCK, now=now, seconds=seconds, times=times, logids=logids)


async def no_longer_late(session: Session, now: datetime, seconds: float, limit: int) -> list[int]:
    """Jobs with an issue that says so, of which nothing is late; locked."""
    return await session.values(NO_LONGER_LATE, now=now, seconds=seconds, limit=limit)


async def no_longer_stuck(session: Session, limit: int) -> list[int]:
    """Jobs with an issue that says so, whose run has ended; locked."""
    return await session.values(NO_LONGER_STUCK, limit=limit)


async def walk(
    session: Session, now: datetime, grace: timedelta, after: int, limit: int
) -> tuple[list[WatchedJob], int | None]:
    """Those of the next `limit` active jobs that may be silent; the last one of all, None: none."""
    (found,) = await session.all(LAST, after=after, limit=limit)
    if found.last is None:
        return [], None
    values = {"after": after, "last": found.last, "grace": grace.total_seconds()}
    return await session.all(WALK, now=now, **values), found.last


async def still_silent(
    session: Session, now: datetime, grace: timedelta, jobids: Sequence[int]
) -> list[WatchedJob]:
    """Those of these jobs that still may be, and nobody else holds; locked."""
    return await session.all(STILL_SILENT, now=now, grace=grace.total_seconds(), jobids=jobids)


async def measured(session: Session, rows: Sequence[tuple[int, int]]) -> None:
    """Keep for jobs how many seconds lie between two of their runs, at most."""
    jobids, distances = [jobid for jobid, _ in rows], [distance for _, distance in rows]
    await session.all(MEASURED, jobids=jobids, distances=distances)
