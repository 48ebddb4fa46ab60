"""What everybody did."""

from fastapi import APIRouter, Request, Response

from scheduler_api.contracts.access.audit import AuditEvent
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.dependencies import DatabaseDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.paging import ChangeFilterDep, link_next
from scheduler_api.routers.http.parameters import LIST_LIMIT, Cursor, Limit
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.access import audit

router = APIRouter(tags=["access"], route_class=StrictRoute)


@router.get("/audit", responses=answers(422, 503, headers=["Link"], page=True))
async def list_audit_events(
    request: Request,
    response: Response,
    database: DatabaseDep,
    wanted: ChangeFilterDep,
    cursor: Cursor = None,
    limit: Limit = LIST_LIMIT,
) -> list[AuditEvent]:
    """List who did what, and when, newest first: to jobs, runs, limits, calendars, users and keys.

    Sign-ins are among it, and refused ones. What is older than the history that is kept is gone.
    """
    found = await database.read(audit.events, wanted, cursor or MAX_ID, limit + 1)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].changeid)
    return found[:limit]
