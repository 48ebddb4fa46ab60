"""Statements on the service as a whole: what runs, what waits, what fails, who is there."""

import contextlib
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.database.jobs.definitions import IS_OF, ITS_JOB, OF_PROJECTS, Projects
from scheduler_api.database.jobs.lists import have_few
from scheduler_api.database.jobs.turns import IN_TURN
from scheduler_api.database.plans import joining_by_hash
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN

#: How every replica's own connections are called: the rest of the name says which it is.
REPLICA = "scheduler-api at "
#: The jobs of the projects of who asks. What is compared with them is so by hash: they may be very many.
_MINE = "SELECT jobid FROM job WHERE project = ANY(CAST(:projects AS text[]))"
#: Projects of up to so many jobs have few: of all that waits, little may be theirs.
FEW = 12_000


class Totals(NamedTuple):
    """What became of occurrences, by their number, in a stretch of time."""

    bucket: int | None
    """The number of the stretch; None: all of them."""
    looked: int
    """How many were looked at, of other projects too."""
    logs: int
    finished: int
    failed: int
    running: int
    skipped: int
    missed: int

    @property
    def results(self) -> dict[str, int]:
        """What is told of them."""
        return {name: getattr(self, name) for name in ("finished", "failed", "running", "skipped", "missed")}


class RunningRow(NamedTuple):
    """A run that is in progress."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    startedat: datetime
    attempt: int
    host: str | None
    progress: int | None
    message: str | None


class LateRow(NamedTuple):
    """A log that was to be tried before."""

    logid: int
    jobid: int
    nextrun: datetime
    attempt: int
    jobname: str
    timezone: str


class FailingJob(NamedTuple):
    """A job whose newest run that ended failed."""

    jobid: int
    jobname: str
    timezone: str
    runbook: str
    logid: int
    error: str
    times: int
    """How often in a row."""
    since: datetime


class GivenUpJob(NamedTuple):
    """A job that the service has paused itself."""

    jobid: int
    jobname: str
    timezone: str
    runbook: str
    pausedat: datetime
    pausereason: str | None


class FailedRow(NamedTuple):
    """A log that failed."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    finishedat: datetime
    error: str


class RepairedJob(NamedTuple):
    """A job whose next run was missing, or too late, and what that was changed to."""

    jobid: int
    jobname: str
    timezone: str
    at: datetime
    was: str | None
    became: str | None


class OldTransaction(NamedTuple):
    """A transaction that has been open for long."""

    pid: int | None
    """Of its process; None: it is prepared."""
    application_name: str
    since: datetime


# By the block ranges of an index; the bound keeps a page quick on any number of runs. What a row stands for
# beside its own occurrence counts when the last of that was due.
# First by what they have in common: to put each of very many into two groups takes twice as long.
TOTALS = Statement(
    f"""
    WITH told AS (
        (SELECT scheduledfor AS at, true AS own, jobid, status, attempt > 1 AS again, missed FROM joblog
         WHERE scheduledfor > :since AND scheduledfor <= :now LIMIT :limit)
        UNION ALL
        (SELECT through, false, jobid, status, attempt > 1, missed FROM joblog
         WHERE through > :since AND through <= :now LIMIT :limit)
    ), parts AS MATERIALIZED (
        SELECT CAST(floor(date_part('epoch', at - :since) / CAST(:width AS float8)) AS int) AS bucket,
               own, status, again, CAST(:projects AS text[]) IS NULL OR mine.jobid IS NOT NULL AS theirs,
               count(*) AS logs, sum(missed) AS missed
        FROM told LEFT JOIN ({_MINE}) AS mine ON mine.jobid = told.jobid GROUP BY 1, 2, 3, 4, 5
    ), counted AS (
        SELECT bucket, own, status, again, CASE WHEN theirs THEN logs ELSE 0 END AS logs,
               CASE WHEN theirs THEN missed ELSE 0 END AS missed, logs AS looked
        FROM parts
    )
    SELECT bucket,
           CAST(coalesce(sum(looked) FILTER (WHERE own), 0) AS bigint) AS looked,
           CAST(coalesce(sum(logs) FILTER (WHERE own), 0) AS bigint) AS logs,
           CAST(coalesce(sum(logs) FILTER (WHERE own AND status = 'finished'), 0) AS bigint) AS finished,
           CAST(coalesce(sum(logs) FILTER (WHERE own AND status = 'failed'), 0) AS bigint) AS failed,
           CAST(coalesce(sum(logs) FILTER (
               WHERE own AND (status = 'running' OR status = 'pending' AND again)
           ), 0) AS bigint) AS running,
           CAST(coalesce(sum(logs) FILTER (WHERE own AND status = 'skipped'), 0)
                + coalesce(sum(missed) FILTER (WHERE NOT own AND status = 'skipped'), 0) AS bigint)
               AS skipped,
           CAST(coalesce(sum(missed) FILTER (WHERE NOT own AND status <> 'skipped'), 0) AS bigint)
               AS missed
    FROM counted GROUP BY GROUPING SETS ((1), ())
    """,
    Totals,
)
_SOON = " UNION ALL ".join(
    f"SELECT jobid FROM joblog WHERE {LIVE} AND {which} AND {key} > :now AND {key} <= :until"
    for key, which in IN_TURN
)
SOON = Statement(f"SELECT count(*) FROM (SELECT FROM ({_SOON}) AS next_run LIMIT :limit) AS soon")
SOON_OF_PROJECTS = Statement(
    f"""
    SELECT count(*) FROM (
        SELECT FROM ({_SOON}) AS next_run JOIN ({_MINE}) AS mine ON mine.jobid = next_run.jobid LIMIT :limit
    ) AS soon
    """
)
RUNNING = Statement(
    f"""
    SELECT logid, jobid, jobname, timezone, startedat, attempt, host, latest.progress, latest.message
    FROM (
        SELECT logid, job.jobid, jobname, job.timezone, startedat, attempt, joblog.host
        FROM joblog {ITS_JOB.format(row="joblog")}
        WHERE {LIVE} AND status = 'running' AND {OF_PROJECTS} ORDER BY startedat LIMIT :limit
    ) AS running LEFT JOIN LATERAL (
        SELECT progress, message FROM logattempt
        WHERE logid = running.logid AND attempt = running.attempt AND {LIVE} OFFSET 0
    ) AS latest ON true
    ORDER BY startedat
    """,
    RunningRow,
)


def _late(theirs: str) -> Statement[LateRow]:
    waiting = f"""
        (SELECT logid, jobid, nextrun, attempt FROM joblog
         WHERE {LIVE} AND status = 'pending' AND kind {{}} 'http' AND nextrun < :before AND {theirs}
         ORDER BY nextrun, logid LIMIT :limit)
    """
    return Statement(
        f"""
        SELECT waiting.logid, job.jobid, waiting.nextrun, waiting.attempt, job.jobname, job.timezone
        FROM ({waiting.format("<>")} UNION ALL {waiting.format("=")}) AS waiting
        {ITS_JOB.format(row="waiting")}
        ORDER BY nextrun, logid LIMIT :limit
        """,
        LateRow,
    )


LATE = _late("true")
LATE_OF_FEW = _late(f"jobid IN ({_MINE})")
LATE_OF_MANY = _late(IS_OF.format(row="joblog", which="job.project = ANY(:projects)"))
# Of active jobs, and of ones that are over and have failed since less than a day. The newest log that failed
# is the newest that ended, or one close to it: the status is compared as text, so that it is looked for from
# there, and not by the index of all that failed.
FAILING = Statement(
    f"""
    WITH standing AS (
        SELECT jobid, failures, failingsince FROM joblog WHERE {LIVE_NEXT_RUN} AND laststatus = 'failed'
        UNION ALL
        SELECT jobid, failures, failingsince FROM job
        WHERE laststatus = 'failed'
          AND NOT EXISTS (SELECT FROM joblog WHERE {LIVE_NEXT_RUN} AND jobid = job.jobid)
    ), failing AS (
        SELECT job.jobid, jobname, timezone, runbook, latest.logid, latest.error, standing.failures AS times,
               coalesce(standing.failingsince, latest.finishedat) AS since
        FROM standing {ITS_JOB.format(row="standing")} CROSS JOIN LATERAL (
            SELECT logid, error, finishedat FROM joblog
            WHERE jobid = job.jobid AND CAST(status AS text) = 'failed' ORDER BY scheduledfor DESC LIMIT 1
        ) AS latest
        WHERE (job.active OR job.pausedat IS NULL AND job.deletedat IS NULL AND latest.finishedat > :recent)
          AND {OF_PROJECTS}
        ORDER BY latest.finishedat DESC LIMIT :limit
    )
    SELECT * FROM failing ORDER BY since DESC, jobid
    """,
    FailingJob,
)
#: Jobs that the service itself has paused, as they failed too often.
GIVEN_UP = Statement(
    f"""
    SELECT job.jobid, job.jobname, job.timezone, job.runbook, job.pausedat, job.pausereason FROM job
    CROSS JOIN LATERAL (
        SELECT actor FROM auditevent WHERE jobid = job.jobid AND action = 'paused'
        ORDER BY changeid DESC LIMIT 1
    ) AS change
    WHERE job.pausedat IS NOT NULL AND job.deletedat IS NULL AND change.actor = 'schedule'
      AND {OF_PROJECTS}
    ORDER BY job.pausedat DESC, job.jobid LIMIT :limit
    """,
    GivenUpJob,
)
# Of those who see some projects, no more than the newest failures are looked at.
LAST_ERROR = Statement(
    f"""
    SELECT logid, job.jobid, job.jobname, job.timezone, failed.finishedat, failed.error
    FROM (
        SELECT logid, jobid, finishedat, error FROM joblog WHERE status = 'failed'
        ORDER BY finishedat DESC LIMIT CASE WHEN CAST(:projects AS text[]) IS NULL THEN 1 ELSE 1000 END
    ) AS failed {ITS_JOB.format(row="failed")}
    WHERE {OF_PROJECTS} ORDER BY failed.finishedat DESC LIMIT 1
    """,
    FailedRow,
)
#: Jobs whose next run was missing, or too late, and what it was changed to.
REPAIRED = Statement(
    f"""
    SELECT job.jobid, job.jobname, job.timezone, repair.at, repair.before ->> 'nextrun' AS was,
           repair.after ->> 'nextrun' AS became
    FROM (
        SELECT DISTINCT ON (jobid) jobid, at, before, after FROM auditevent
        WHERE action = 'repaired' AND at > :since ORDER BY jobid, at DESC
    ) AS repair {ITS_JOB.format(row="repair")}
    WHERE job.deletedat IS NULL AND {OF_PROJECTS} ORDER BY repair.at DESC LIMIT :limit
    """,
    RepairedJob,
)
# What a transaction can see cannot be cleaned up: each look for due runs walks over it.
OLD_TRANSACTIONS = Statement(
    """
    SELECT pid, application_name, xact_start AS since FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < :before
      AND backend_type = 'client backend'
    UNION ALL
    SELECT NULL, 'the prepared transaction ' || gid, prepared FROM pg_prepared_xacts
    WHERE database = current_database() AND prepared < :before
    ORDER BY since LIMIT :limit
    """,
    OldTransaction,
)
REPLICAS = Statement(
    """
    SELECT DISTINCT substr(application_name, length(:prefix) + 1) AS replica FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, :prefix) ORDER BY replica
    """
)


async def totals(
    session: Session, since: datetime, now: datetime, width: timedelta, limit: int, projects: Projects
) -> list[Totals]:
    """What became of the occurrences after `since`, up to now, in stretches of a `width` and in all.

    Of `limit` logs at most.
    """
    values = {"since": since, "width": width.total_seconds(), "limit": limit, "projects": projects}
    async with _by_hash(session, projects):
        return await session.all(TOTALS, now=now, **values)


async def soon(session: Session, now: datetime, until: datetime, limit: int, projects: Projects) -> int:
    """How many jobs run next before `until`, counted up to `limit`."""
    values = {"now": now, "until": until, "limit": limit}
    if projects is None:
        return int(await session.value(SOON, **values))
    async with _by_hash(session, projects):
        return int(await session.value(SOON_OF_PROJECTS, **values, projects=projects))


async def running(session: Session, limit: int, projects: Projects) -> list[RunningRow]:
    """Up to `limit` runs that are in progress, the oldest first."""
    return await session.all(RUNNING, limit=limit, projects=projects)


async def late(session: Session, before: datetime, limit: int, projects: Projects) -> list[LateRow]:
    """Up to `limit` logs that were to be tried before then, the latest first."""
    values = {"before": before, "limit": limit}
    if projects is None:
        return await session.all(LATE, **values)
    # Of many jobs some are soon among those that wait; for those of a few, all that waits is gone through.
    if not await have_few(session, projects, FEW):
        return await session.all(LATE_OF_MANY, **values, projects=projects)
    async with _by_hash(session, projects):
        return await session.all(LATE_OF_FEW, **values, projects=projects)


def _by_hash(session: Session, projects: Projects) -> contextlib.AbstractAsyncContextManager[None]:
    return contextlib.nullcontext() if projects is None else joining_by_hash(session)


async def failing(session: Session, recent: datetime, limit: int, projects: Projects) -> list[FailingJob]:
    """Up to `limit` jobs whose last run that ended failed, the newest trouble first.

    Those that are over count if they failed after `recent`.
    """
    return await session.all(FAILING, recent=recent, limit=limit, projects=projects)


async def given_up(session: Session, limit: int, projects: Projects) -> list[GivenUpJob]:
    """Up to `limit` jobs that the service has paused itself."""
    return await session.all(GIVEN_UP, limit=limit, projects=projects)


async def last_error(session: Session, projects: Projects) -> FailedRow | None:
    """The newest failed log."""
    return await session.one_or_none(LAST_ERROR, projects=projects)


async def repaired(session: Session, since: datetime, limit: int, projects: Projects) -> list[RepairedJob]:
    """Up to `limit` jobs whose next run had to be put right after `since`, the newest first."""
    return await session.all(REPAIRED, since=since, limit=limit, projects=projects)


async def old_transactions(session: Session, before: datetime, limit: int) -> list[OldTransaction]:
    """Up to `limit` transactions on this database that began before then and are still open, oldest first."""
    return await session.all(OLD_TRANSACTIONS, before=before, limit=limit)


async def replicas(session: Session) -> list[str]:
    """The replicas that are connected to the database, as they call themselves."""
    return await session.values(REPLICAS, prefix=REPLICA)
