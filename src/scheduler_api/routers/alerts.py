"""Alerts: what channels were told of issues, and are to be."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scheduler_api.contracts.alerts.alerts import Alert, AlertState
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.alerts.told import AlertFilter
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.paging import link_next
from scheduler_api.routers.http.parameters import LIST_LIMIT, AlertId, Cursor, Limit
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.alerts import issues

router = APIRouter(tags=["alerts"], route_class=StrictRoute)


@router.get("/alerts", responses=answers(422, 503, headers=["Link"], page=True))
async def list_alerts(
    request: Request,
    response: Response,
    database: DatabaseDep,
    state: Annotated[AlertState | None, Query(description="Only alerts of which this has become.")] = None,
    channelid: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this channel.")] = None,
    jobid: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only of this job.")] = None,
    cursor: Cursor = None,
    limit: Limit = LIST_LIMIT,
) -> list[Alert]:
    """List alerts, newest first. They are kept for 90 days."""
    wanted = AlertFilter(channelid, jobid, state)
    found = await database.read(issues.alerts, wanted, cursor or MAX_ID, limit + 1)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].alertid)
    return found[:limit]


@router.post(
    "/alerts/{alertid}/retry",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204) | back("the alerts"),
)
async def retry_alert(alertid: AlertId, changes: ChangesDep, actor: ActorDep) -> None:
    """Send an alert again that was given up, with the others of its message, under the id that they had."""
    await changes.make(issues.redrive, actor, alertid)
