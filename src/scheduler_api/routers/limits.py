"""Limits on the calls to a host, and on the runs of jobs with a tag or of a project."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.system.limits import Limit, LimitOrder
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import LimitName, Scope
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.system import limits

router = APIRouter(tags=["targets"], route_class=StrictRoute)


@router.get("/limits", responses=answers(503))
async def list_limits(database: DatabaseDep) -> list[Limit]:
    """List the limits of hosts, tags and projects."""
    return await database.read(limits.listing)


@router.put("/limits/{scope}/{name}", responses=answers(400, 404, 408, 413, 415, 422, 503))
async def set_limit(
    scope: Scope, name: LimitName, order: LimitOrder, changes: ChangesDep, actor: ActorDep
) -> Limit:
    """Limit requests to a host, or runs of jobs with a tag or of a project: concurrent (`limit`), per minute
    (`rate`), or both.

    Replaces an existing limit. It applies to all replicas together, from the next request on.
    """
    return await changes.make(limits.put, actor, scope, name, order)


@router.delete(
    "/limits/{scope}/{name}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 422, 503, status=204),
)
async def remove_limit(scope: Scope, name: LimitName, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a limit."""
    await changes.make(limits.remove, actor, scope, name)
