"""Limits on the calls to a host, and on the runs of jobs with a tag."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.contracts.system.limits import Limit, LimitOrder, LimitScope
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.answers import json_answer
from scheduler_api.routers.http.bodies import content_type, json_body
from scheduler_api.routers.http.documentation import body_of, problems
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.wiring import (
    database_of,
)
from scheduler_api.services.system import limits

router = APIRouter(tags=["targets"], route_class=StrictRoute)

LIMITS = TypeAdapter(list[Limit])
Scope = Annotated[LimitScope, Path(description="What is limited: `host` or `tag`.")]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=260,
        pattern=r"^[^\x00-\x1f]+$",
        description="The tag; or the host, with its port unless it is the usual one.",
    ),
]


@router.get("/limits", response_model=list[Limit], responses=problems(503))
async def list_limits(request: Request) -> Response:
    """List the limits of hosts and tags."""
    found = await database_of(request).read(limits.listing)
    return json_answer(LIMITS.dump_json(found))


@router.put(
    "/limits/{scope}/{name}",
    response_model=Limit,
    openapi_extra=body_of(LimitOrder),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def set_limit(request: Request, scope: Scope, name: Name) -> Response:
    """Limit requests to a host, or runs of jobs with a tag: concurrent (`limit`), per minute (`rate`), or
    both.

    Replaces an existing limit. It applies to all replicas together, from the next request on.
    """
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the limit as application/json.")
    order = await json_body(request, LimitOrder)
    limit = await database_of(request).transact(limits.put, scope, _storable(name), order)
    return json_answer(limit)


@router.delete("/limits/{scope}/{name}", status_code=204, responses=problems(404, 422, 503))
async def remove_limit(request: Request, scope: Scope, name: Name) -> Response:
    """Remove a limit."""
    await database_of(request).transact(limits.remove, scope, _storable(name))
    return Response(status_code=204)


def _storable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(FieldError(("name",), "Must not contain unpaired surrogates.")) from None
    return name
