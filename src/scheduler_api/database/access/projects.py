"""Statements on projects, and on what belongs to which."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement


class ProjectRow(NamedTuple):
    """A project."""

    name: str
    description: str
    createdat: datetime


PROJECTS = Statement(
    """
    SELECT name, description, createdat FROM project
    WHERE CAST(:names AS text[]) IS NULL OR name = ANY(:names) ORDER BY name
    """,
    ProjectRow,
)
ADD = Statement(
    """
    INSERT INTO project (name, description, createdat) VALUES (:name, :description, :now)
    ON CONFLICT (name) DO NOTHING RETURNING name, description, createdat
    """,
    ProjectRow,
)
# Jobs wait for it, so that none is added meanwhile.
LOCK = Statement("SELECT name FROM project WHERE name = :name FOR UPDATE")
JOBS = Statement("SELECT jobid FROM job WHERE project = :name ORDER BY jobid LIMIT :limit")
REMOVE = Statement("DELETE FROM project WHERE name = :name")
KNOWN = Statement("SELECT name FROM project WHERE name = ANY(CAST(:names AS text[])) FOR KEY SHARE")
OF_PROJECTS = Statement(
    "SELECT jobid FROM job WHERE jobid = ANY(:jobids) AND project = ANY(CAST(:projects AS text[]))"
)
PROJECT_OF_JOB = Statement("SELECT project FROM job WHERE jobid = :jobid")
PROJECT_OF_LOG = Statement("SELECT project FROM joblog JOIN job USING (jobid) WHERE logid = :logid")


async def listing(session: Session, names: Sequence[str] | None) -> list[ProjectRow]:
    """The projects of these names, by name; None: all."""
    return await session.all(PROJECTS, names=names)


async def add(session: Session, now: datetime, name: str, description: str) -> ProjectRow | None:
    """Add a project; None: the name is taken."""
    return await session.one_or_none(ADD, now=now, name=name, description=description)


async def lock(session: Session, name: str) -> bool:
    """Lock a project until the transaction ends; False: there is none."""
    return await session.one_or_none(LOCK, name=name) is not None


async def jobs(session: Session, name: str, limit: int) -> list[int]:
    """Up to `limit` jobs of a project, deleted ones among them."""
    return await session.values(JOBS, name=name, limit=limit)


async def remove(session: Session, name: str) -> None:
    """Remove a project that has no jobs, with its keys and its roles."""
    await session.all(REMOVE, name=name)


async def known(session: Session, names: Sequence[str]) -> set[str]:
    """Those of these projects that are there, and stay until the transaction ends."""
    return set(await session.values(KNOWN, names=names))


async def jobs_of(session: Session, jobids: Sequence[int], projects: Sequence[str]) -> set[int]:
    """Those of the jobs that belong to these projects."""
    return set(await session.values(OF_PROJECTS, jobids=jobids, projects=projects))


async def project_of_job(session: Session, jobid: int) -> str | None:
    """The project of a job; None: there is no such job."""
    found: str | None = await session.value(PROJECT_OF_JOB, jobid=jobid)
    return found


async def project_of_log(session: Session, logid: int) -> str | None:
    """The project of a run; None: there is no such run."""
    found: str | None = await session.value(PROJECT_OF_LOG, logid=logid)
    return found
