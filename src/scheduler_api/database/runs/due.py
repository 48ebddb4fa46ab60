"""What is due, and what its jobs say: what passes and claims of calls have in common."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import any_, bindparam, select

from scheduler_api.database.jobs.definitions import IS_REFINED
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import LIVE


class DueLog(NamedTuple):
    """A pending log that was claimed: locked until the end of the transaction."""

    logid: int
    jobid: int
    scheduledfor: datetime
    cause: str
    attempt: int
    host: str | None
    """Whom it calls; None: nobody, the run is plain."""
    lastrun: datetime | None
    """When the job ran before."""
    runs: int
    """How often the schedule has made the job run before."""
    nextrun: datetime
    """When it was to begin."""
    ahead: datetime | None
    """The last occurrence that has a row although it is later; None: there is none."""

    @property
    def carries(self) -> bool:
        """Whether it carries its job's future."""
        return self.attempt == 1 and self.cause == "schedule"


#: The columns of a DueLog.
DUE = "logid, jobid, scheduledfor, cause, attempt, host, lastrun, runs, nextrun, ahead"


class JobRules(NamedTuple):
    """What a job says about its runs."""

    jobid: int
    kind: str
    interval: int | None
    misfire: str
    grace: int
    overlap: bool
    concurrency: int | None
    tags: list[str]
    project: str
    refined: bool
    """Whether there is more to its schedule than an interval, or one start."""
    deleted: bool
    """Whether it was deleted, while what asked for this run was in progress."""
    openissues: int
    """How many issues of it are open."""


# Most jobs of most services are plain intervals: the schedules of the others are read apart. What is settled
# may have to change the job, or refer to it: one that somebody else holds is left out, not waited for. Read
# after the logs are locked, this is never stale.
RULES = Statement(
    f"""
    SELECT jobid, kind, "interval", misfire, grace, overlap, concurrency, tags, project,
           {IS_REFINED} AS refined, deletedat IS NOT NULL AS deleted,
           openissues
    FROM job WHERE jobid = ANY(:jobids)
    FOR NO KEY UPDATE SKIP LOCKED
    """,
    JobRules,
)
SCHEDULES = Statement(
    select(*columns(job, ScheduleRow)).where(job.c.jobid == any_(bindparam("jobids"))), ScheduleRow
)


def due_cells(condition: str) -> str:
    """SQL for the cells in which a pending log is due for which that holds; the one with the oldest first."""
    return f"""
        SELECT cell FROM generate_series(0, CAST(:cells AS int) - 1) AS cell CROSS JOIN LATERAL (
            SELECT nextrun FROM joblog
            WHERE {LIVE} AND joblog.cell = cell.cell AND status = 'pending' AND {condition}
              AND nextrun <= :due AND nextrun >= :floor
            ORDER BY nextrun LIMIT 1
        ) AS oldest
        ORDER BY oldest.nextrun, cell
    """


async def in_cell(session: Session, cell: int, claim: Statement[DueLog], **values: Any) -> list[DueLog]:
    """The logs that a statement claims in a cell."""
    session.cell = cell
    try:
        logs = await session.all(claim, **values)
    finally:
        session.cell = None
    session.know(cell, [log.logid for log in logs])
    return logs


def earliest(log: DueLog) -> tuple[datetime, int]:
    """Orders logs as they are claimed."""
    return log.nextrun, log.logid


async def rules_of(session: Session, logs: Sequence[DueLog]) -> dict[int, JobRules]:
    """Lock those of the logs' jobs that nobody else holds; their rules, by jobid."""
    jobids = [log.jobid for log in logs]
    return {rules.jobid: rules for rules in await session.all(RULES, jobids=jobids)}


async def schedules_of(session: Session, jobids: Sequence[int]) -> dict[int, ScheduleRow]:
    """The schedules of these jobs, by jobid."""
    if not jobids:
        return {}
    return {row.jobid: row for row in await session.all(SCHEDULES, jobids=jobids)}
