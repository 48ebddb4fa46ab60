"""Why a job did or did not run, as a page."""

from datetime import date

from fastapi import Request, Response

from scheduler_api.computing import aside
from scheduler_api.routers.http.dependencies import DatabaseDep, PagesDep, SettingsDep
from scheduler_api.routers.http.paging import AtInstant, BeforeDay, link_next
from scheduler_api.routers.http.parameters import JobId, PageSize
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history import explain, timeline
from scheduler_api.services.jobs import reading
from scheduler_api.services.system import health

router = BrowserRouter()


@router.page("/jobs/{jobid:jobid}/explain")
async def explanation_page(
    request: Request,
    jobid: JobId,
    at: AtInstant,
    database: DatabaseDep,
    settings: SettingsDep,
    projects: ProjectsDep,
    pages: PagesDep,
) -> str:
    """Why a job did or did not run at an instant."""
    now = await database.read(health.clock)
    answer = database.snapshot(explain.explain, now, jobid, at, settings.host_concurrency, projects is None)
    found = await while_connected(request, answer)
    job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
    return await aside(pages.explanation, now, job, found)


@router.page("/jobs/{jobid:jobid}/days")
async def days_page(
    request: Request,
    response: Response,
    jobid: JobId,
    database: DatabaseDep,
    pages: PagesDep,
    before: BeforeDay,
    size: PageSize,
) -> str:
    """What became of a job's runs, day by day."""
    found = await database.read(timeline.days, jobid, before, size + 1)
    job = await database.read(reading.get_summary, jobid)
    further = link_next(request, response, before=found[size - 1].day) if found[size:] else None
    return await aside(pages.days, job, found[:size], further, is_first=before == date.max)
