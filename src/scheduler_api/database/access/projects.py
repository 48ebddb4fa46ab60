"""Statements on projects, and on what belongs to which."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Text, any_, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import project
from scheduler_api.database.tables.base import columns


class ProjectRow(NamedTuple):
    """A project, and how much it may use; None: as much as there is."""

    name: str
    description: str
    createdat: datetime
    maxjobs: int | None
    maxbody: int | None
    maxrequests: int | None
    maxstreams: int | None


QUOTAS = ("maxjobs", "maxbody", "maxrequests", "maxstreams")
PROJECTS = Statement(
    select(*columns(project, ProjectRow))
    .where(or_(bindparam("names", type_=ARRAY(Text)).is_(None), project.c.name == any_(bindparam("names"))))
    .order_by(project.c.name),
    ProjectRow,
)
ADD = Statement(
    insert(project)
    .values({name: bindparam(name) for name in ("name", "description", "createdat", *QUOTAS)})
    .on_conflict_do_nothing()
    .returning(*columns(project, ProjectRow)),
    ProjectRow,
)
CHANGE = Statement(
    update(project)
    .where(project.c.name == bindparam("which"))
    .values({name: bindparam(name) for name in ("description", *QUOTAS)})
    .returning(*columns(project, ProjectRow)),
    ProjectRow,
)
# Jobs wait for it, so that none is added meanwhile.
LOCK = Statement("SELECT name FROM project WHERE name = :name FOR UPDATE")
JOBS = Statement("SELECT jobid FROM job WHERE project = :name ORDER BY jobid LIMIT :limit")
REMOVE = Statement("DELETE FROM project WHERE name = :name")
KNOWN = Statement("SELECT name FROM project WHERE name = ANY(CAST(:names AS text[])) FOR KEY SHARE")
PROJECT_OF_JOB = Statement("SELECT project FROM job WHERE jobid = :jobid")
PROJECT_OF_ISSUE = Statement("SELECT project FROM jobissue JOIN job USING (jobid) WHERE issueid = :issueid")
PROJECT_OF_LOG = Statement("SELECT project FROM joblog JOIN job USING (jobid) WHERE logid = :logid")


async def listing(session: Session, names: Sequence[str] | None) -> list[ProjectRow]:
    """The projects of these names, by name; None: all."""
    return await session.all(PROJECTS, names=names)


async def add(session: Session, now: datetime, values: Mapping[str, Any]) -> ProjectRow | None:
    """Add a project; None: the name is taken."""
    return await session.one_or_none(ADD, createdat=now, **values)


async def change(session: Session, name: str, values: Mapping[str, Any]) -> ProjectRow:
    """Describe a project that is there anew, and its quotas."""
    return await session.one(CHANGE, which=name, **values)


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


async def project_of_job(session: Session, jobid: int) -> str | None:
    """The project of a job; None: there is no such job."""
    found: str | None = await session.value(PROJECT_OF_JOB, jobid=jobid)
    return found


async def project_of_issue(session: Session, issueid: int) -> str | None:
    """The project of the job that an issue is of; None: there is no such issue."""
    found: str | None = await session.value(PROJECT_OF_ISSUE, issueid=issueid)
    return found


async def project_of_log(session: Session, logid: int) -> str | None:
    """The project of a run; None: there is no such run."""
    found: str | None = await session.value(PROJECT_OF_LOG, logid=logid)
    return found
