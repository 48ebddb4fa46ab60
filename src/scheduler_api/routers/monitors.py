"""Monitors: where runs that are made elsewhere are reported."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request

from scheduler_api.contracts.runs.monitors import MonitorAddress, ReportedRun, Signal
from scheduler_api.errors import TooManyReports
from scheduler_api.routers.http import bodies
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    DatabaseDep,
    ReportsDep,
    SettingsDep,
)
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import JobId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.runs import monitoring
from scheduler_api.workers.meter import SECOND

router = APIRouter(tags=["monitors"], route_class=StrictRoute)

#: Bytes of the end of what is sent that are kept.
MAX_TEXT = 65_536

Token = Annotated[UUID, Path(description="The secret part of the monitor's address.")]
REPORTED = answers(400, 404, 408, 422, 503)
#: Whatever is sent counts as text, so that no failure goes unreported for its form.
TEXT = {
    "requestBody": {
        "description": "Output of the run. Its last lines are kept, of any media type.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


async def _text(request: Request, token: Token, reports: ReportsDep) -> str:
    """What is sent along, of one who does not report too often. Raises TooManyReports."""
    # Once a second, and sixty at once.
    if wait := reports.take(token, SECOND).wait:
        raise TooManyReports(-(-wait // SECOND))
    return (await bodies.tail(request, MAX_TEXT)).decode("utf-8", "replace")


Text = Annotated[str, Depends(_text)]


@router.post("/monitors/{token}", responses=REPORTED, openapi_extra=TEXT)
async def report_success(token: Token, text: Text, database: DatabaseDep) -> ReportedRun:
    """Report that a run has finished: the one that was due, or that has reported its start.

    Needs no key. A monitor takes 60 reports at once, and one a second after that.
    """
    return await database.transact(monitoring.take_report, token, Signal.FINISHED, text)


@router.post("/monitors/{token}/start", responses=REPORTED, openapi_extra=TEXT)
async def report_start(token: Token, text: Text, database: DatabaseDep) -> ReportedRun:
    """Report that a run starts. Its end has to be reported within the monitor's `timeout`."""
    return await database.transact(monitoring.take_report, token, Signal.STARTED, text)


@router.post("/monitors/{token}/fail", responses=REPORTED, openapi_extra=TEXT)
async def report_failure(token: Token, text: Text, database: DatabaseDep) -> ReportedRun:
    """Report that a run has failed. The last line of what is sent becomes its error."""
    return await database.transact(monitoring.take_report, token, Signal.FAILED, text)


@router.get("/jobs/{jobid:jobid}/monitor", responses=answers(404, 409, 422, 503))
async def show_monitor(jobid: JobId, database: DatabaseDep, settings: SettingsDep) -> MonitorAddress:
    """Get the addresses at which the runs of a monitor are reported. Who knows them can report runs."""
    return await database.read(monitoring.address, jobid, settings.base_url)


@router.post("/jobs/{jobid:jobid}/monitor", responses=answers(404, 409, 422, 503, page=True))
async def change_monitor_address(
    jobid: JobId, changes: ChangesDep, actor: ActorDep, settings: SettingsDep
) -> MonitorAddress:
    """Give a monitor another address. Reports to the earlier one get 404 from now on."""
    return await changes.make(monitoring.change_address, actor, jobid, settings.base_url)
