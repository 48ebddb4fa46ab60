"""Projects: what jobs, keys and roles belong to."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.access.projects import Project, ProjectDraft, ProjectPatch
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep, QuotasDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import ProjectPath
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.access import projects

router = APIRouter(tags=["access"], route_class=StrictRoute)


@router.get("/projects", responses=answers(503, page=True))
async def list_projects(database: DatabaseDep, visible: ProjectsDep) -> list[Project]:
    """List the projects in which you may do something, by name."""
    return await database.read(projects.listing, visible)


@router.post("/projects", status_code=201, responses=answers(400, 408, 413, 415, 422, 503, status=201))
async def add_project(
    draft: ProjectDraft, changes: ChangesDep, actor: ActorDep, quotas: QuotasDep
) -> Project:
    """Add a project. Jobs, API keys and roles of users can belong to it."""
    added = await changes.make(projects.add, actor, draft)
    await quotas.refresh()
    return added


@router.patch("/projects/{project}", responses=answers(400, 404, 408, 413, 415, 422, 503))
async def edit_project(
    project: ProjectPath, patch: ProjectPatch, changes: ChangesDep, actor: ActorDep, quotas: QuotasDep
) -> Project:
    """Change a project's description and its quotas. Jobs that it has already stay."""
    changed = await changes.make(projects.edit, actor, project, patch)
    await quotas.refresh()
    return changed


@router.delete(
    "/projects/{project}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204),
)
async def remove_project(
    project: ProjectPath, changes: ChangesDep, actor: ActorDep, quotas: QuotasDep
) -> None:
    """Remove a project that has no jobs. Its API keys are removed, too, and the roles of users in it."""
    await changes.make(projects.remove, actor, project)
    await quotas.refresh()
