"""Statements on how much of its quotas a project uses."""

from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement


class JobQuotas(NamedTuple):
    """What bounds the jobs of a project; None: nothing."""

    maxjobs: int | None
    maxbody: int | None


OF_PROJECT = Statement("SELECT maxjobs, maxbody FROM project WHERE name = :project", JobQuotas)
# Who adds a job to a project with a quota waits for who does so, too.
LOCK = Statement("SELECT FROM project WHERE name = :project FOR NO KEY UPDATE")
COUNT = Statement(
    """
    SELECT count(*) FROM (
        SELECT FROM job WHERE project = :project AND deletedat IS NULL LIMIT :limit
    ) AS jobs
    """
)


async def of_project(session: Session, project: str) -> JobQuotas:
    """What bounds the jobs of a project that is there."""
    return await session.one(OF_PROJECT, project=project)


async def is_full(session: Session, project: str, maxjobs: int) -> bool:
    """Whether a project has as many jobs; nobody else adds one until the transaction ends."""
    await session.all(LOCK, project=project)
    return int(await session.value(COUNT, project=project, limit=maxjobs)) >= maxjobs
