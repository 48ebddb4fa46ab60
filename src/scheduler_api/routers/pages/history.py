"""Why a job did or did not run, as a page."""

from fastapi import Request

from scheduler_api.computing import aside
from scheduler_api.routers.http.dependencies import DatabaseDep, JobId, PagesDep, SettingsDep
from scheduler_api.routers.http.paging import AtInstant
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.history import explain
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
    pages: PagesDep,
) -> str:
    """Why a job did or did not run at an instant."""
    answer = database.transact(explain.explain, jobid, at, settings.host_concurrency)
    found = await while_connected(request, answer)
    job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
    return await aside(pages.explanation, now, job, found)
