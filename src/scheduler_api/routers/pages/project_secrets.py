"""Secrets of a project, in a browser."""

from fastapi import Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.secrets import ProjectSecretDraft
from scheduler_api.database.engine import Database
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, CipherDep, DatabaseDep, PagesDep
from scheduler_api.routers.http.forms import model_of
from scheduler_api.routers.http.parameters import (
    PAGE_LIMIT,
    NameCursor,
    PageSize,
    ProjectPath,
    SecretNamePath,
    secret_name,
)
from scheduler_api.routers.http.problems import REFUSED, complaints, problem_of
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.jobs import project_secrets
from scheduler_api.services.system import health
from scheduler_api.web.form import Typed
from scheduler_api.web.pages import Pages

router, own_router = BrowserRouter(), form_router()


@router.page("/projects/{project}/secrets")
async def secrets_page(
    project: ProjectPath, database: DatabaseDep, pages: PagesDep, size: PageSize, cursor: NameCursor = ""
) -> str:
    """The secrets of a project, and for editors a form to set one."""
    return await _page(database, pages, project, (cursor, size), Typed({}))


@own_router.post("/projects/{project}/secrets/edit")
async def set_secret_by_form(
    project: ProjectPath,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    cipher: CipherDep,
) -> Response:
    """Add a secret, or replace it; for browsers, whose forms cannot send PUT."""
    try:
        name = secret_name(fields.get("name", "").strip())
        rest = {field: text for field, text in fields.items() if field != "name"}
        draft = model_of(rest, ProjectSecretDraft)
        await database.transact(project_secrets.put, actor, (project, name), draft, cipher)
    except REFUSED as error:
        # What it was to be is not sent back.
        typed = {field: text for field, text in fields.items() if field != "value"}
        shown = Typed(typed, complaints(error))
        page = await _page(database, pages, project, ("", PAGE_LIMIT), shown)
        return HTMLResponse(page, problem_of(error).status)
    return RedirectResponse(f"/projects/{project}/secrets", 303)


async def _page(database: Database, pages: Pages, project: str, part: tuple[str, int], typed: Typed) -> str:
    """The page, with a part of the list: what follows a name, and how many."""
    after, size = part
    found = await database.read(project_secrets.listing, project, after, size + 1)
    further = f"/projects/{project}/secrets?cursor={found[size - 1].name}" if found[size:] else None
    now = await database.read(health.clock)
    return await aside(pages.project_secrets, now, project, found[:size], further, typed)


@own_router.post("/projects/{project}/secrets/{secret}/delete")
async def remove_secret_by_form(
    project: ProjectPath, secret: SecretNamePath, database: DatabaseDep, actor: ActorDep
) -> RedirectResponse:
    """Remove a secret; for browsers, whose forms cannot send DELETE."""
    await database.transact(project_secrets.remove, actor, project, secret)
    return RedirectResponse(f"/projects/{project}/secrets", 303)
