"""Statements on how jobs did in a week: by the tallies of closed days, and the rows of open ones."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from scheduler_api.contracts.history.performance import PerformanceSort
from scheduler_api.database.jobs.definitions import OF_PROJECTS
from scheduler_api.database.plans import planned_for_those
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, TOOK

# Of each job no more is read than an index has; which few are deleted, another knows.
COUNT_JOBS = Statement(
    f"""
    SELECT (SELECT count(*) FROM job WHERE {OF_PROJECTS})
           - (SELECT count(*) FROM job WHERE deletedat IS NOT NULL AND {OF_PROJECTS})
    """
)


class PerformanceRow(NamedTuple):
    """A job, and its runs of a week."""

    jobid: int
    jobname: str
    runs: int
    failed: int
    p50: float | None
    p95: float | None
    usual: float | None
    slower: float | None
    looked_at: int
    """Rows of open days, of all jobs."""


async def count_there(session: Session, projects: Sequence[str] | None) -> int:
    """How many jobs of these projects there are, whatever their state, but for deleted ones."""
    return int(await session.value(COUNT_JOBS, projects=projects))


async def of_week(
    session: Session,
    before: date,
    since: date,
    until: date,
    sort: PerformanceSort,
    every: int,
    among: int,
    limit: int,
    projects: Sequence[str] | None,
) -> list[PerformanceRow]:
    """Up to `limit` jobs that ran from `since` up to `until`, with the days from `before` on for comparison.

    Of `every` so many jobs one is looked at, and of open days up to `among` rows.
    """
    days = {"before": before, "since": since, "until": until}
    async with planned_for_those(session, projects):
        return await session.all(
            week_statement(sort), **days, every=every, among=among, limit=limit, projects=projects
        )


@lru_cache(maxsize=len(PerformanceSort))
def week_statement(sort: PerformanceSort) -> Statement[PerformanceRow]:
    """The statement behind `of_week`."""
    in_week = "WHERE day >= :since"
    return Statement(
        f"""
        WITH chosen AS MATERIALIZED (
            SELECT jobid FROM job
            WHERE hashint8(job.jobid) % CAST(:every AS int) = 0 AND {OF_PROJECTS}
              AND NOT EXISTS (
                  SELECT FROM job AS deleted WHERE jobid = job.jobid AND deletedat IS NOT NULL OFFSET 0
              )
        ), recent AS MATERIALIZED (
            SELECT jobid, day, status, {TOOK} AS took FROM joblog
            WHERE day >= greatest(CAST(:before AS date), (SELECT closedto FROM history)) AND NOT ({LIVE})
              AND day < :until AND status IN ('finished', 'failed')
            LIMIT :among
        ), daily AS (
            SELECT jobid, day, finished + failed AS runs, failed, p50, p95
            FROM chosen CROSS JOIN LATERAL (
                SELECT day, finished, failed, p50, p95 FROM jobtally
                WHERE jobtally.jobid = chosen.jobid
                  AND day >= :before AND day < least(CAST(:until AS date), (SELECT closedto FROM history))
                OFFSET 0
            ) AS closed
            UNION ALL
            SELECT jobid, day, count(*), count(*) FILTER (WHERE status = 'failed'),
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY took),
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY took)
            FROM recent WHERE (jobid IN (SELECT jobid FROM chosen)) IS TRUE GROUP BY jobid, day
        ), week AS (
            SELECT *, p95 / nullif(usual, 0) AS slower FROM (
                SELECT jobid, CAST(sum(runs) FILTER ({in_week}) AS bigint) AS runs,
                       CAST(sum(failed) FILTER ({in_week}) AS bigint) AS failed,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY p50) FILTER ({in_week}) AS p50,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY p95) FILTER ({in_week}) AS p95,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY p95) FILTER (WHERE day < :since) AS usual
                FROM daily GROUP BY jobid
            ) AS compared
            WHERE runs > 0
            ORDER BY {sort.value} DESC NULLS LAST, p95 DESC NULLS LAST, jobid LIMIT :limit
        )
        SELECT jobid, jobname, runs, failed, p50, p95, usual, slower,
               (SELECT count(*) FROM recent) AS looked_at
        FROM week CROSS JOIN LATERAL (SELECT jobname FROM job WHERE job.jobid = week.jobid OFFSET 0) AS job
        ORDER BY {sort.value} DESC NULLS LAST, p95 DESC NULLS LAST, jobid
        """,
        PerformanceRow,
    )
