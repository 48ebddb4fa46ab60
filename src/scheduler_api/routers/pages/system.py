"""The overview, as a page."""

from fastapi import HTTPException
from starlette.responses import RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, OverviewDep, PagesDep
from scheduler_api.routers.http.problems import kinds
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.system import restore

router = BrowserRouter()


@router.page("/overview")
async def overview_page(found: OverviewDep, pages: PagesDep) -> str:
    """What is wrong, what to do about it, what has run of late, and what runs now."""
    return await aside(pages.overview, found)


@router.page("/problems/{code}")
async def problem_page(code: str, pages: PagesDep) -> str:
    """A kind of error, and what to do about it."""
    found = next((kind for kind in kinds() if kind.code == code), None)
    if found is None:
        raise HTTPException(404)
    return await aside(pages.problem, found)


@router.form("/restore/confirm")
async def confirm_by_form(database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Confirm that the database was restored, and return to the overview."""
    await database.transact(restore.confirm, actor)
    return RedirectResponse("/overview", 303)
