"""Statements on what has run: of many jobs at a glance, of one job over time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import MISSED, TOOK


class RecentRow(NamedTuple):
    """A log that was begun or decided."""

    jobid: int
    scheduledfor: datetime
    status: str
    missed: int
    took: float | None
    """Milliseconds, if it took any."""


class TimedRow(NamedTuple):
    """A log whose call is over."""

    logid: int
    scheduledfor: datetime
    status: str
    took: float
    """Milliseconds."""


class BucketRow(NamedTuple):
    """What became of the occurrences of a stretch of time."""

    bucket: int | None
    """The number of the stretch; None: all of them."""
    logs: int
    finished: int
    failed: int
    running: int
    skipped: int
    missed: int
    p50: float | None
    p95: float | None


RECENT = Statement(
    f"""
    SELECT recent.* FROM unnest(CAST(:jobids AS bigint[])) AS wanted (jobid)
    CROSS JOIN LATERAL (
        SELECT jobid, scheduledfor, status, {MISSED},
               {TOOK} AS took
        FROM joblog
        WHERE jobid = wanted.jobid AND (status <> 'pending' OR attempt > 1)
        ORDER BY scheduledfor DESC LIMIT :limit
    ) AS recent
    """,
    RecentRow,
)
# What a row stands for beside its own occurrence counts when the last of that was due; earlier rows may reach
# into the time, and the newest of them do. Skipped rows stand for skipped ones, others for missed ones.
TIMELINE = Statement(
    f"""
    WITH told AS (
        SELECT scheduledfor, through, status, missed,
               {TOOK} AS took
        FROM joblog
        WHERE jobid = :jobid AND scheduledfor >= :since AND scheduledfor < :until
          AND (status <> 'pending' OR attempt > 1)
        ORDER BY scheduledfor DESC LIMIT :limit
    ), further AS (
        SELECT through, status, missed FROM told WHERE through < :until
        UNION ALL
        SELECT through, status, missed FROM (
            SELECT through, status, missed FROM joblog
            WHERE jobid = :jobid AND scheduledfor < :since ORDER BY scheduledfor DESC LIMIT 10
        ) AS earlier
        WHERE through >= :since AND through < :until
    ), counted AS (
        SELECT scheduledfor AS at, status, NULL AS further, took FROM told
        UNION ALL
        SELECT through, status, missed, NULL FROM further
    )
    SELECT CAST(floor(extract(epoch FROM at - :since) / :width) AS int) AS bucket,
           count(*) FILTER (WHERE further IS NULL) AS logs,
           count(*) FILTER (WHERE further IS NULL AND status = 'finished') AS finished,
           count(*) FILTER (WHERE further IS NULL AND status = 'failed') AS failed,
           count(*) FILTER (WHERE further IS NULL AND status IN ('running', 'pending')) AS running,
           CAST(coalesce(sum(coalesce(further, 1)) FILTER (WHERE status = 'skipped'), 0) AS bigint)
               AS skipped,
           CAST(coalesce(sum(further) FILTER (WHERE status <> 'skipped'), 0) AS bigint) AS missed,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY took) AS p95
    FROM counted
    GROUP BY GROUPING SETS ((1), ())
    """,
    BucketRow,
)
TIMED = Statement(
    f"""
    SELECT logid, scheduledfor, status, {TOOK} AS took FROM joblog
    WHERE jobid = :jobid AND scheduledfor >= :since AND scheduledfor < :until
      AND status IN ('finished', 'failed') AND kind <> 'plain' AND finishedat > startedat
    ORDER BY scheduledfor DESC LIMIT :limit
    """,
    TimedRow,
)
TALLIED = Statement(
    """
    SELECT wanted.jobid, newest.p50 * interval '1 millisecond' AS took
    FROM unnest(CAST(:jobids AS bigint[])) AS wanted (jobid)
    CROSS JOIN LATERAL (
        SELECT p50 FROM jobtally WHERE jobid = wanted.jobid ORDER BY day DESC LIMIT 1
    ) AS newest
    WHERE newest.p50 IS NOT NULL
    """
)
MEDIANS = Statement(
    """
    SELECT wanted.jobid, median.took FROM unnest(CAST(:jobids AS bigint[])) AS wanted (jobid)
    CROSS JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY finishedat - startedat) AS took
        FROM (
            SELECT startedat, finishedat FROM joblog
            WHERE jobid = wanted.jobid AND kind <> 'plain' AND status IN ('finished', 'failed')
              AND finishedat > startedat
            ORDER BY scheduledfor DESC LIMIT 20
        ) AS latest
    ) AS median
    WHERE median.took IS NOT NULL
    """
)


async def recent(session: Session, jobids: Sequence[int], limit: int) -> list[RecentRow]:
    """The newest `limit` logs of each job that were begun or decided, newest first; `took` milliseconds."""
    return await session.all(RECENT, jobids=jobids, limit=limit)


async def timeline(
    session: Session, jobid: int, since: datetime, until: datetime, width: timedelta, limit: int
) -> list[BucketRow]:
    """What became of a job's occurrences, in buckets of a `width`; the sum of all has no bucket.

    Only the newest `limit` logs are counted.
    """
    seconds = width.total_seconds()
    return await session.all(TIMELINE, jobid=jobid, since=since, until=until, width=seconds, limit=limit)


async def timed(session: Session, jobid: int, since: datetime, until: datetime, limit: int) -> list[TimedRow]:
    """How long the newest `limit` runs of a job took that called something, newest first."""
    return await session.all(TIMED, jobid=jobid, since=since, until=until, limit=limit)


async def medians(session: Session, jobids: Sequence[int]) -> dict[int, timedelta]:
    """How long a call of each job takes, by its twenty newest; those that never called are left out."""
    return dict(await session.all(MEDIANS, jobids=jobids))


async def tallied(session: Session, jobids: Sequence[int]) -> dict[int, timedelta]:
    """The same by the newest day that is closed; jobs of which there is none are left out."""
    return dict(await session.all(TALLIED, jobids=jobids))
