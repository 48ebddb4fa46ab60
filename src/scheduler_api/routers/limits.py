"""Limits on the calls to a host, and on the runs of jobs with a tag."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from scheduler_api.contracts.system.limits import Limit, LimitOrder, LimitScope
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep
from scheduler_api.routers.http.documentation import problems
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.system import limits

router = APIRouter(tags=["targets"], route_class=StrictRoute)

Scope = Annotated[LimitScope, Path(description="What is limited: `host` or `tag`.")]


async def _name(
    name: Annotated[
        str,
        Path(
            min_length=1,
            max_length=260,
            pattern=r"^[^\x00-\x1f]+$",
            description="The tag; or the host, with its port unless it is the usual one.",
        ),
    ],
) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(FieldError(("name",), "Must not contain unpaired surrogates.")) from None
    return name


Name = Annotated[str, Depends(_name)]


@router.get("/limits", responses=problems(503))
async def list_limits(database: DatabaseDep) -> list[Limit]:
    """List the limits of hosts and tags."""
    return await database.read(limits.listing)


@router.put("/limits/{scope}/{name}", responses=problems(400, 408, 413, 415, 422, 503))
async def set_limit(
    scope: Scope, name: Name, order: LimitOrder, database: DatabaseDep, actor: ActorDep
) -> Limit:
    """Limit requests to a host, or runs of jobs with a tag: concurrent (`limit`), per minute (`rate`), or
    both.

    Replaces an existing limit. It applies to all replicas together, from the next request on.
    """
    return await database.transact(limits.put, actor, scope, name, order)


@router.delete(
    "/limits/{scope}/{name}", status_code=204, response_class=Response, responses=problems(404, 422, 503)
)
async def remove_limit(scope: Scope, name: Name, database: DatabaseDep, actor: ActorDep) -> None:
    """Remove a limit."""
    await database.transact(limits.remove, actor, scope, name)
