"""What follows from results for jobs: whether they are over."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from scheduler_api.database.jobs.definitions import STATE
from scheduler_api.database.jobs.rows import StateRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

# A job whose next run is there goes on, whatever others do meanwhile.
LOCK_JOBS = Statement(
    f"""
    SELECT jobid FROM job WHERE jobid = ANY(:jobids) AND NOT EXISTS (
        SELECT FROM joblog
        WHERE {LIVE} AND jobid = job.jobid AND cause = 'schedule' AND status = 'pending' AND attempt = 1
    )
    ORDER BY jobid FOR NO KEY UPDATE
    """
)
_IDLE = f"""
    jobid = ANY(:jobids) AND afterjobid IS NULL
    AND (active OR pausedat IS NOT NULL AND resumefrom IS NULL AND deletedat IS NULL) AND NOT EXISTS (
        -- Each job is looked up, whatever statistics say: not joined, and by no other index.
        SELECT FROM joblog
        WHERE {LIVE} AND joblog.jobid BETWEEN job.jobid AND job.jobid
          AND cause = 'schedule' AND status IN ('pending', 'running')
        ORDER BY joblog.jobid OFFSET 0
    )
"""
_RETIRED = "active = false, pausedat = NULL, pausereason = NULL, pauseduntil = NULL, pauseid = NULL"
# Over at once is what has nothing to come by the look of it: the run that ended is the newest, and either
# made no next one or lies at the end of the schedule. Of all others the schedule has to be asked: rows may
# lie ahead by a clock that was, and have been taken back.
RETIRE_IDLE = Statement(
    f"""
    WITH retired AS (
        UPDATE job SET {_RETIRED}
        FROM unnest(CAST(:jobids AS bigint[]), CAST(:endeds AS timestamptz[]), CAST(:counts AS int[]))
             AS given (id, ended, count)
        WHERE jobid = id AND {_IDLE} AND (
            "interval" IS NULL AND cron IS NULL
            OR ended <= :now AND (NOT overlap OR until <= :now OR count >= maxruns)
            AND ended = (SELECT max(scheduledfor) FROM joblog WHERE jobid = job.jobid AND cause = 'schedule')
        )
        RETURNING jobid
    )
    SELECT {STATE} FROM job
    WHERE {_IDLE} AND jobid NOT IN (SELECT jobid FROM retired)
    """,
    StateRow,
)
RETIRE = Statement(f"UPDATE job SET {_RETIRED} WHERE {_IDLE}")


async def retire_idle(
    session: Session, now: datetime, ended: Mapping[int, tuple[datetime, int]], *, overlapping: bool
) -> list[StateRow]:
    """Mark jobs as completed that have nothing to come and no live log, if paused, too.

    `ended` has, by jobid, the newest occurrence of each that has ended just now, and how many runs the
    schedule had made with it. Where that cannot be seen at once, jobs are left as they are, and given back.
    """
    jobids = sorted(ended)
    if overlapping:
        # Two runs that end together would each see the other as live; so they come one after the other.
        await session.all(LOCK_JOBS, jobids=jobids)
    endeds, counts = zip(*(ended[jobid] for jobid in jobids), strict=True)
    return await session.all(RETIRE_IDLE, now=now, jobids=jobids, endeds=list(endeds), counts=list(counts))


async def retire(session: Session, jobids: Sequence[int]) -> None:
    """Mark those of the jobs as completed that are idle still."""
    await session.all(RETIRE, jobids=jobids)
