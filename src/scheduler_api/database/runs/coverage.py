"""Statements on what the schedule's own rows account for: many rows in one, as arrays.

A row that is read as a record costs as much as twenty that come in an array.
"""

from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import MISSED


class CoveredPart(NamedTuple):
    """Some of the schedule's rows, in order, all in one."""

    rows: int
    last: datetime
    """The occurrence of the last row."""
    missed: int
    """How many further occurrences all of them stand for."""
    runs: int
    """The highest number of runs."""
    status: str
    """Of the last row."""
    logid: int
    """Of the last row."""
    writtenoff: bool
    """Whether any was written off by an edit or by the end of the schedule."""
    firsts: list[int]
    """The occurrence of each row, in microseconds since 1970."""
    lasts: list[int] | None
    """The last one that each tells of; None: each row is of one."""
    misses: list[int] | None
    """How many further ones each stands for; None: each row is of one."""
    blocked: list[bool] | None
    """Whether the schedule itself kept each from running; None: none."""


# Whatever else is to be known of each row, to judge it, has to be told here of all together: those that are
# unremarkable are looked at in no other way.
PART = Statement(
    f"""
    SELECT count(*) AS rows, max(scheduledfor) AS last, CAST(sum(missed) AS bigint) AS missed,
           max(runs) AS runs, (array_agg(status))[count(*)] AS status, (array_agg(logid))[count(*)] AS logid,
           bool_or(coalesce(reason IN ('superseded', 'until'), false)) AS writtenoff,
           array_agg(first) AS firsts,
           CASE WHEN count(through) > 0 THEN array_agg(last) END AS lasts,
           CASE WHEN count(through) > 0 THEN array_agg(missed) END AS misses,
           CASE WHEN bool_or(blocked) THEN array_agg(blocked) END AS blocked
    FROM (
        SELECT logid, scheduledfor, through, {MISSED}, runs, status, reason,
               CAST(date_part('epoch', scheduledfor) * 1000000 AS bigint) AS first,
               CAST(date_part('epoch', coalesce(through, scheduledfor)) * 1000000 AS bigint) AS last,
               coalesce(reason = ANY(:blocked), false) AS blocked
        FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
          AND scheduledfor > :after AND scheduledfor < :before
        ORDER BY scheduledfor LIMIT :limit
    ) AS part
    """,
    CoveredPart,
)


async def part(
    session: Session, jobid: int, after: datetime, before: datetime, blocked: list[str], limit: int
) -> CoveredPart:
    """Up to `limit` of the schedule's rows between two instants, in order; `blocked` are reasons."""
    return await session.one(PART, jobid=jobid, after=after, before=before, blocked=blocked, limit=limit)
