"""Statements on what the schedule's own rows account for: many rows in one, as arrays.

A row that is read as a record costs as much as twenty that come in an array.
"""

from datetime import datetime

import asyncpg

from scheduler_api.database.statements import Session, Statement

# Whatever else is to be known of each row, to judge it, has to be told here of all together: those that are
# unremarkable are looked at in no other way.
PART = Statement(
    """
    SELECT count(*) AS rows, max(scheduledfor) AS last, CAST(sum(missed) AS bigint) AS missed,
           max(runs) AS runs, (array_agg(status))[count(*)] AS status, (array_agg(logid))[count(*)] AS logid,
           bool_or(coalesce(reason IN ('superseded', 'until'), false)) AS writtenoff,
           array_agg(first) AS firsts,
           CASE WHEN max(missed) > 0 OR count(through) > 0 THEN array_agg(last) END AS lasts,
           CASE WHEN max(missed) > 0 OR count(through) > 0 THEN array_agg(missed) END AS misses,
           CASE WHEN bool_or(blocked) THEN array_agg(blocked) END AS blocked
    FROM (
        SELECT logid, scheduledfor, through, missed, runs, status, reason,
               CAST(date_part('epoch', scheduledfor) * 1000000 AS bigint) AS first,
               CAST(date_part('epoch', coalesce(through, scheduledfor)) * 1000000 AS bigint) AS last,
               coalesce(reason = ANY(:blocked), false) AS blocked
        FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
          AND scheduledfor > :after AND scheduledfor < :before
        ORDER BY scheduledfor LIMIT :limit
    ) AS part
    """
)


async def part(
    session: Session, jobid: int, after: datetime, before: datetime, blocked: list[str], limit: int
) -> asyncpg.Record:
    """Up to `limit` of the schedule's verdicts between two instants, in order, as one record.

    `firsts` and `lasts` are the occurrences that each row tells of, in microseconds since 1970, `misses` how
    many further ones it stands for; `blocked` whether its reason is one of those. Null: each row is of one,
    or none is blocked. `rows` is how many there are, `missed` the sum of `misses`, `runs` the highest number
    of runs, `writtenoff` whether any was, by an edit or the end of the schedule; `last`, `status` and `logid`
    are the last row's occurrence, status and logid.
    """
    return await session.one(PART, jobid=jobid, after=after, before=before, blocked=blocked, limit=limit)
