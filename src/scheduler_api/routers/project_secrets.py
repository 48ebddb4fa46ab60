"""Secrets of projects, which the targets of their jobs name."""

from fastapi import APIRouter, Request, Response

from scheduler_api.contracts.jobs.secrets import ProjectSecret, ProjectSecretDraft
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, CipherDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.paging import link_next
from scheduler_api.routers.http.parameters import Limit, NameCursor, ProjectPath, SecretNamePath
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.jobs import project_secrets

router = APIRouter(tags=["targets"], route_class=StrictRoute)


@router.get("/projects/{project}/secrets", responses=answers(404, 422, 503, headers=["Link"], page=True))
async def list_project_secrets(
    request: Request,
    response: Response,
    project: ProjectPath,
    database: DatabaseDep,
    cursor: NameCursor = "",
    limit: Limit = project_secrets.BATCH,
) -> list[ProjectSecret]:
    """List the secrets of a project by name, without their values."""
    found = await database.read(project_secrets.listing, project, cursor, limit + 1)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].name)
    return found[:limit]


@router.put("/projects/{project}/secrets/{secret}", responses=answers(400, 404, 408, 409, 413, 415, 422, 503))
async def set_project_secret(
    project: ProjectPath,
    secret: SecretNamePath,
    draft: ProjectSecretDraft,
    changes: ChangesDep,
    actor: ActorDep,
    cipher: CipherDep,
) -> ProjectSecret:
    """Add a secret, or replace it. The targets of the project's jobs can name it.

    Jobs that name it send the new value from their next request on. It is sent to its `origin` only, and no
    answer contains it.
    """
    return await changes.make(project_secrets.put, actor, (project, secret), draft, cipher)


@router.delete(
    "/projects/{project}/secrets/{secret}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204),
)
async def remove_project_secret(
    project: ProjectPath, secret: SecretNamePath, changes: ChangesDep, actor: ActorDep
) -> None:
    """Remove a secret that no job names."""
    await changes.make(project_secrets.remove, actor, project, secret)
