"""Statements on lists of jobs: narrowed down, in an order, page by page; and how many there are."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from scheduler_api.database.jobs.definitions import LATEST, NEXT_RUN, SUMMARY, JobRow
from scheduler_api.database.statements import Session, Statement

#: How lists can be narrowed down.
FILTERS = {
    "name": "job.jobname ILIKE :name",
    "tag": "job.tags @> ARRAY[CAST(:tag AS text)]",
    "jobids": "job.jobid = ANY(CAST(:jobids AS bigint[]))",
    "pauseid": "job.pauseid = CAST(:pauseid AS uuid)",
    "laststatus": "latest.status = :laststatus",
    "active": "job.active",
    "paused": "NOT job.active AND job.pausedat IS NOT NULL AND job.deletedat IS NULL",
    "completed": "NOT job.active AND job.pausedat IS NULL AND job.deletedat IS NULL",
    "deleted": "job.deletedat IS NOT NULL",
    "running": "EXISTS (SELECT FROM joblog WHERE jobid = job.jobid AND status = 'running')",
    # The first condition spares the second for all that never failed.
    "failing": "job.active AND job.jobid IN (SELECT jobid FROM joblog WHERE status = 'failed')"
    " AND latest.status = 'failed'",
    "overdue": "job.active AND next_run.nextrun < statement_timestamp() - CAST(:overdue AS interval)",
}
#: Filters and orders that look at more than the job's own row.
_OF_LATEST, _OF_NEXT_RUN = {"laststatus", "failing"}, {"overdue", "nextrun"}
#: How lists can be sorted: by what, and what comes after a place in that order.
SORTS = {
    "jobid": ("job.jobid", "job.jobid > :jobid"),
    "-jobid": ("job.jobid DESC", "job.jobid < :jobid"),
    "jobname": ("job.jobname, job.jobid", "(job.jobname, job.jobid) > (:key, :jobid)"),
    "nextrun": (
        "coalesce(next_run.nextrun, 'infinity'), job.jobid",
        "(coalesce(next_run.nextrun, 'infinity'), job.jobid)"
        " > (coalesce(CAST(:key AS timestamptz), 'infinity'), :jobid)",
    ),
}


async def count(session: Session, filters: Mapping[str, Any]) -> int:
    """How many jobs pass all filters."""
    (found,) = await session.one(_count(tuple(sorted(filters))), **filters)
    return int(found)


async def page(
    session: Session,
    filters: Mapping[str, Any],
    sort: str,
    after: tuple[int, Any] | None,
    limit: int,
) -> list[JobRow]:
    """Up to `limit` jobs that pass all filters (keys of FILTERS, each with its value), in order.

    `after` is a place in that order: a jobid, and the sort key that goes before it.
    """
    found = statement(tuple(sorted(filters)), sort, after is not None)
    jobid, key = after or (None, None)
    return await session.all(found, **filters, jobid=jobid, key=key, limit=limit)


@lru_cache(maxsize=256)
def statement(filters: tuple[str, ...], sort: str, further: bool) -> Statement[JobRow]:
    """The statement behind `page`."""
    order, beyond = SORTS[sort]
    conditions = _conditions(filters)
    if further:
        conditions.append(beyond)
    asked = {sort, *filters}
    seen = (NEXT_RUN if _OF_NEXT_RUN & asked else "") + (LATEST if _OF_LATEST & asked else "")
    # First which jobs, by as little as that takes; then all that there is to say of those.
    return Statement(
        f"""
        WITH chosen AS (
            SELECT job.jobid FROM job {seen} WHERE {" AND ".join(conditions)} ORDER BY {order} LIMIT :limit
        )
        {SUMMARY} WHERE job.jobid IN (SELECT jobid FROM chosen) ORDER BY {order}
        """,
        JobRow,
    )


@lru_cache(maxsize=256)
def _count(filters: tuple[str, ...]) -> Statement[Any]:
    seen = (NEXT_RUN if _OF_NEXT_RUN & {*filters} else "") + (LATEST if _OF_LATEST & {*filters} else "")
    return Statement(f"SELECT count(*) FROM job {seen} WHERE {' AND '.join(_conditions(filters)) or 'true'}")


def _conditions(filters: tuple[str, ...]) -> list[str]:
    conditions = [FILTERS[name] for name in filters]
    return conditions if "deleted" in filters else [*conditions, "job.deletedat IS NULL"]
