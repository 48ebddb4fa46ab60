"""Statements on lists of jobs: narrowed down, in an order, page by page; and how many there are."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from scheduler_api.contracts.jobs.job import Condition, LastStatus
from scheduler_api.database.jobs.definitions import BEGUN, IS_THERE, NEXT_RUN, SUMMARY
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import LIVE

#: A run that begins so much later than it should is overdue.
LATE = timedelta(seconds=5)


class JobFilter(NamedTuple):
    """Which jobs: those that fit everything that is given."""

    name: str | None = None
    """A part of the name."""
    state: Condition | None = None
    laststatus: LastStatus | None = None
    tag: str | None = None
    jobids: Sequence[int] | None = None
    pauseid: UUID | None = None
    """The order to many jobs that paused them."""


#: Filters of which each value has a condition of its own, as the planner chooses by it.
LITERAL = {"state", "laststatus"}
_WILDCARDS = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
#: Jobs whose last run failed: few, each known by an index.
_FAILED = (
    "coalesce(next_run.laststatus, job.laststatus) = 'failed' AND job.jobid IN ("
    f"SELECT jobid FROM joblog WHERE {LIVE} AND laststatus = 'failed'"
    " UNION ALL SELECT jobid FROM job WHERE laststatus = 'failed')"
)
#: The conditions, by the filter or the state that asks for them.
CONDITIONS = {
    "name": "job.jobname ILIKE :name",
    "tag": "job.tags @> ARRAY[CAST(:tag AS text)]",
    "jobids": "job.jobid = ANY(CAST(:jobids AS bigint[]))",
    "pauseid": "job.pauseid = CAST(:pauseid AS uuid)",
    "last-finished": "begun.status IS NULL AND coalesce(next_run.laststatus, job.laststatus) = 'finished'",
    "last-failed": f"begun.status IS NULL AND {_FAILED}",
    "last-running": "begun.status = 'running'",
    "last-pending": "begun.status = 'pending'",
    "active": "job.active",
    "paused": "NOT job.active AND job.pausedat IS NOT NULL AND job.deletedat IS NULL",
    "completed": "NOT job.active AND job.pausedat IS NULL AND job.deletedat IS NULL",
    "deleted": "job.deletedat IS NOT NULL",
    "running": f"EXISTS (SELECT FROM joblog WHERE {LIVE} AND jobid = job.jobid AND status = 'running')",
    "failing": f"job.active AND begun.status IS NULL AND {_FAILED}",
    "overdue": "job.active AND next_run.nextrun < statement_timestamp() - CAST(:overdue AS interval)",
}
#: Filters and orders that look at more than the job's own row.
_OF_LATEST = {"failing", *(f"last-{status}" for status in LastStatus)}
_OF_NEXT_RUN = {"overdue", "nextrun", *_OF_LATEST}
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


async def count(session: Session, wanted: JobFilter, most: int | None = None) -> int:
    """How many jobs there are; up to `most`."""
    given = _given(wanted)
    return int(await session.value(_count(tuple(sorted(given))), **given, most=most))


async def page(
    session: Session,
    wanted: JobFilter,
    sort: str,
    after: tuple[int, Any] | None,
    limit: int,
) -> list[JobRow]:
    """Up to `limit` jobs, in order.

    `after` is a place in that order: a jobid, and the sort key that goes before it.
    """
    given = _given(wanted)
    found = statement(tuple(sorted(given)), sort, after is not None)
    jobid, key = after or (None, None)
    return await session.all(found, **given, jobid=jobid, key=key, limit=limit)


def _given(wanted: JobFilter) -> dict[str, Any]:
    """The conditions that a filter makes, with their values."""
    by_name = wanted._asdict().items()
    given = {name: value for name, value in by_name if value is not None and name not in LITERAL}
    if wanted.name is not None:
        given["name"] = f"%{wanted.name.translate(_WILDCARDS)}%"
    if wanted.state is not None:
        given[wanted.state.value] = LATE
    if wanted.laststatus is not None:
        given[f"last-{wanted.laststatus}"] = None
    return given


@lru_cache(maxsize=256)
def statement(filters: tuple[str, ...], sort: str, further: bool) -> Statement[JobRow]:
    """The statement behind `page`."""
    order, beyond = SORTS[sort]
    conditions = _conditions(filters)
    if further:
        conditions.append(beyond)
    asked = {sort, *filters}
    seen = (NEXT_RUN if _OF_NEXT_RUN & asked else "") + (BEGUN if _OF_LATEST & asked else "")
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
    seen = (NEXT_RUN if _OF_NEXT_RUN & {*filters} else "") + (BEGUN if _OF_LATEST & {*filters} else "")
    return Statement(
        f"""
        SELECT count(*) FROM (
            SELECT FROM job {seen} WHERE {" AND ".join(_conditions(filters)) or "true"} LIMIT :most
        ) AS found
        """
    )


def _conditions(filters: tuple[str, ...]) -> list[str]:
    conditions = [CONDITIONS[name] for name in filters]
    return [*conditions, IS_THERE] if "deleted" in filters else [*conditions, "job.deletedat IS NULL"]
