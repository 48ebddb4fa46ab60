"""What who asks may see and do, by the projects that jobs belong to.

Addresses of a job or a run are judged before their handlers begin (`authentication`); here is what lists
show, and what a body names.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from scheduler_api.actors import Principal, Role
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.engine import Database
from scheduler_api.errors import FieldError, InvalidInput, JobNotFound
from scheduler_api.routers.http.authentication import require
from scheduler_api.routers.http.routes import wants_page
from scheduler_api.services.jobs import reading
from scheduler_api.workers.quotas import RequestQuotas


def chosen(request: Request) -> str | None:
    """The project that a reader of pages has chosen to look at; None: all.

    One that has gone counts as none, and so does the choice where an address names a project.
    """
    name = request.cookies.get("project")
    if not name or not wants_page(request) or request.query_params.get("project"):
        return None
    principal: Principal = request.scope["principal"]
    quotas: RequestQuotas = request.state.quotas
    return name if quotas.knows(name) and principal.roles.may(Role.VIEWER, name) else None


def where(request: Request, needed: Role, named: str | None = None) -> Sequence[str] | None:
    """The projects in which who asks may do what needs that role; None: all.

    Of pages, it is the chosen one, unless a form has `named` one: what is done to all that match is done to
    what is shown.
    """
    principal: Principal = request.scope["principal"]
    name = None if named else chosen(request)
    if name is not None:
        return (name,) if principal.roles.may(needed, name) else ()
    return principal.roles.where(needed)


def visible(request: Request) -> Sequence[str] | None:
    """The projects whose jobs who asks sees; None: all."""
    return where(request, Role.VIEWER)


async def _projects(request: Request) -> Sequence[str] | None:
    return visible(request)


ProjectsDep = Annotated[Sequence[str] | None, Depends(_projects)]
"""The projects whose jobs who asks sees; None: all."""


def placed(principal: Principal, draft: JobDraft) -> JobDraft:
    """A new job in a project where who asks may create it. Raises InvalidInput, NotPermitted.

    Who may do so in one project only need not name it.
    """
    mine = principal.roles.where(Role.EDITOR)
    if "project" not in draft.model_fields_set and mine is not None and DEFAULT_PROJECT not in mine:
        if len(mine) > 1:
            raise InvalidInput(FieldError(("project",), f"Must be one of these: {', '.join(mine)}."))
        draft = draft.model_copy(update={"project": mine[0]})
    _require_editor(principal, draft.project)
    return draft


def require_place(principal: Principal, patch: JobPatch) -> None:
    """Raise InvalidInput, NotPermitted where a job would be moved to where who asks may not create it."""
    changes = patch.changes
    if "project" in changes:
        _require_editor(principal, changes["project"] or DEFAULT_PROJECT)


def _require_editor(principal: Principal, project: str) -> None:
    if not principal.roles.may(Role.VIEWER, project):
        # As of one that is not there.
        raise InvalidInput(FieldError(("project",), "There is no such project."))
    require(principal, Role.EDITOR, project)


async def job_to_copy(database: Database, principal: Principal, jobid: int) -> Job:
    """A job that a query or a form names, with all that editors see. Raises JobNotFound, NotPermitted."""
    job = await database.read(reading.get, jobid)
    if not principal.roles.may(Role.VIEWER, job.project):
        raise JobNotFound(jobid)
    require(principal, Role.EDITOR, job.project)
    return job
