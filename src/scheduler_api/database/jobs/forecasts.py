"""Statements on what a forecast of the load rests on."""

from dataclasses import dataclass

from scheduler_api.database.jobs.definitions import NEXT_RUN, OF_PROJECTS, SCHEDULE, Projects
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement


@dataclass
class ForecastRow(ScheduleRow):
    """The schedule of an active job, for a forecast of all."""

    jobname: str
    project: str
    calls: bool
    """Whether its runs call a target."""
    runs: int | None
    """How many runs the schedule has made."""


COUNT_ACTIVE = Statement(f"SELECT count(*) FROM job WHERE active AND afterjobid IS NULL AND {OF_PROJECTS}")
ACTIVE_DEFINITIONS = Statement(
    f"""
    SELECT {SCHEDULE}, jobname, project, kind = 'http' AS calls, next_run.runs
    FROM job {NEXT_RUN}
    -- With its last run in progress, a job is active still, and nothing of it is to come.
    WHERE active AND afterjobid IS NULL AND (maxruns IS NULL OR next_run.jobid IS NOT NULL)
      AND {OF_PROJECTS} AND hashint8(job.jobid) % CAST(:every AS int) = 0
    LIMIT :limit
    """,
    ForecastRow,
)


async def count_active(session: Session, projects: Projects) -> int:
    """How many jobs of these projects are active and have a schedule."""
    return int(await session.value(COUNT_ACTIVE, projects=projects))


async def active_definitions(
    session: Session, every: int, limit: int, projects: Projects
) -> list[ForecastRow]:
    """The schedules of up to `limit` active jobs: of every so many-th, in no order of theirs."""
    return await session.all(ACTIVE_DEFINITIONS, every=every, limit=limit, projects=projects)
