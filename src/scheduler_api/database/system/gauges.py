"""Statements for metrics: how much is due and runs, how many jobs there are, and how each of them does."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.jobs.definitions import Projects
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN


class Work(NamedTuple):
    """What is due, and what runs."""

    now: datetime
    """By the database's clock."""
    due: int
    oldest: datetime | None
    """When the first of what is due was due."""
    running: int


class JobCounts(NamedTuple):
    """How many jobs are in each state."""

    active: int
    paused: int
    completed: int
    deleted: int


class JobSeries(NamedTuple):
    """How a job does."""

    jobid: int
    jobname: str
    project: str
    nextrun: datetime | None
    lastsuccess: datetime | None
    failures: int
    """How many runs have failed in a row."""


# Each kind has an index of its own.
WORK = Statement(
    f"""
    SELECT clock_timestamp() AS now, CAST(sum(logs) AS bigint) AS due, min(first) AS oldest,
           (SELECT count(*) FROM joblog WHERE {LIVE} AND status = 'running') AS running
    FROM (
        SELECT count(*) AS logs, min(nextrun) AS first FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind <> 'http' AND nextrun <= clock_timestamp()
        UNION ALL
        SELECT count(*), min(nextrun) FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND nextrun <= clock_timestamp()
    ) AS kinds
    """,
    Work,
)
JOBS = Statement(
    """
    SELECT count(*) FILTER (WHERE active) AS active,
           count(*) FILTER (WHERE NOT active AND pausedat IS NOT NULL AND deletedat IS NULL) AS paused,
           count(*) FILTER (WHERE NOT active AND pausedat IS NULL AND deletedat IS NULL) AS completed,
           count(*) FILTER (WHERE deletedat IS NOT NULL) AS deleted
    FROM job WHERE removedat IS NULL
    """,
    JobCounts,
)
SERIES = Statement(
    f"""
    SELECT job.jobid, jobname, project, next_run.nextrun,
           CASE WHEN next_run.jobid IS NULL THEN job.lastsuccess ELSE next_run.lastsuccess END AS lastsuccess,
           coalesce(next_run.failures, job.failures) AS failures
    FROM job
    LEFT JOIN LATERAL (
        SELECT jobid, nextrun, lastsuccess, failures FROM joblog
        WHERE {LIVE_NEXT_RUN} AND joblog.jobid = job.jobid OFFSET 0
    ) AS next_run ON true
    -- What is completed runs no more.
    WHERE (active OR pausedat IS NOT NULL) AND deletedat IS NULL
      AND (CAST(:tag AS text) IS NULL OR tags @> ARRAY[CAST(:tag AS text)])
      AND (CAST(:projects AS text[]) IS NULL OR project = ANY(CAST(:projects AS text[])))
    ORDER BY job.jobid LIMIT :limit
    """,
    JobSeries,
)


async def work(session: Session) -> Work:
    """What is due, and what runs."""
    return await session.one(WORK)


async def jobs(session: Session) -> JobCounts:
    """How many jobs there are."""
    return await session.one(JOBS)


async def series(session: Session, tag: str | None, limit: int, projects: Projects) -> list[JobSeries]:
    """Up to `limit` jobs that are active or paused: of a tag, or of all; of these projects, or of all."""
    return await session.all(SERIES, tag=tag, limit=limit, projects=projects)
