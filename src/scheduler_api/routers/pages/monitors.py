"""Monitors, from the page of a job."""

from starlette.responses import RedirectResponse

from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep
from scheduler_api.routers.http.parameters import JobId
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.runs import monitoring

router = BrowserRouter()


@router.form("/jobs/{jobid:jobid}/monitor")
async def change_address_by_form(jobid: JobId, database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Give a monitor another address, which its page shows."""
    await database.transact(monitoring.change_address, actor, jobid, "")
    return RedirectResponse(f"/jobs/{jobid}#monitor", 303)
