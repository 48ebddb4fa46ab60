"""Projects, in a browser."""

from fastapi import Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.actors import Role
from scheduler_api.computing import aside
from scheduler_api.contracts.access.projects import ProjectDraft, ProjectPatch
from scheduler_api.errors import InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep, PrincipalDep, QuotasDep
from scheduler_api.routers.http.forms import model_of, validated
from scheduler_api.routers.http.parameters import ProjectPath
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.access import projects
from scheduler_api.services.system import health

router, own_router = BrowserRouter(), form_router()


@router.page("/projects")
async def projects_page(database: DatabaseDep, pages: PagesDep, principal: PrincipalDep) -> str:
    """Projects, and for admins a form for a new one."""
    mine = principal.roles.where(Role.VIEWER)
    found, now = await database.read(projects.listing, mine), await database.read(health.clock)
    return await aside(pages.projects, now, found, {}, ())


@router.form("/projects", ProjectDraft)
async def add_project_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep, quotas: QuotasDep
) -> Response:
    """Add a project."""
    try:
        await database.transact(projects.add, actor, model_of(fields, ProjectDraft))
        await quotas.refresh()
    except InvalidInput as error:
        found, now = await database.read(projects.listing, None), await database.read(health.clock)
        return HTMLResponse(await aside(pages.projects, now, found, fields, error.field_errors), 422)
    return RedirectResponse("/projects", 303)


@own_router.post("/projects/{project}/edit")
async def edit_project_by_form(
    project: ProjectPath,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    quotas: QuotasDep,
) -> Response:
    """Change a project; for browsers, whose forms cannot send PATCH. An empty quota is none."""
    try:
        given: dict[str, str | None] = {name: text if text.strip() else None for name, text in fields.items()}
        patch = validated(given | {"description": fields.get("description", "")}, ProjectPatch)
        await database.transact(projects.edit, actor, project, patch)
        await quotas.refresh()
    except InvalidInput as error:
        found, now = await database.read(projects.listing, None), await database.read(health.clock)
        page = await aside(pages.projects, now, found, fields | {"editing": project}, error.field_errors)
        return HTMLResponse(page, 422)
    return RedirectResponse("/projects", 303)


@own_router.post("/projects/{project}/delete")
async def remove_project_by_form(
    project: ProjectPath, database: DatabaseDep, actor: ActorDep, quotas: QuotasDep
) -> RedirectResponse:
    """Remove a project; for browsers, whose forms cannot send DELETE."""
    await database.transact(projects.remove, actor, project)
    await quotas.refresh()
    return RedirectResponse("/projects", 303)
