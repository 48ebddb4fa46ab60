"""Around the calls that jobs make: a test, the secrets that sign them, and limits."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import aside
from scheduler_api.contracts import (
    LARGEST_ID,
    Limit,
    LimitOrder,
    LimitScope,
    NewSecret,
    Secret,
    Target,
    TestAnswer,
)
from scheduler_api.errors import Flaw, InvalidInput
from scheduler_api.routers.bodies import FORM, content_type, json_body
from scheduler_api.routers.documentation import OR_PAGE, body_of, problems
from scheduler_api.routers.negotiation import Media
from scheduler_api.routers.paging import NEGOTIATED
from scheduler_api.routers.wiring import (
    JobId,
    cipher_of,
    database_of,
    deliverer_of,
    guard_of,
    pages_of,
    wants_page,
)
from scheduler_api.services.jobs import reading, secrets
from scheduler_api.services.system import health, limits
from scheduler_api.targets import urls

router = APIRouter(tags=["targets"])

SECRETS, LIMITS = TypeAdapter(list[Secret]), TypeAdapter(list[Limit])
SecretId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which secret.")]
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


def check_target(request: Request, target: Target | None) -> None:
    """Refuse an address that is never called, before a job has it. Raises InvalidInput.

    What a name leads to is looked at with each call.
    """
    if target is None:
        return
    address = "127.0.0.1" if urls.is_localhost(target.url) else urls.address_of(target.url)
    refusal = None if address is None else guard_of(request).refusal(address)
    if refusal is not None:
        raise InvalidInput(Flaw(("target", "url"), f"{refusal} SCHEDULER_TARGET_NETWORKS opens networks."))


@router.post(
    "/jobs/{jobid:jobid}/test", response_model=TestAnswer, responses=problems(404, 409, 422, 503) | OR_PAGE
)
async def test_target(request: Request, jobid: JobId) -> Response:
    """Call a job's target once, now; no log tells of it, and nothing is tried again."""
    answer = await deliverer_of(request).test(jobid)
    if wants_page(request):
        database = database_of(request)
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        return Response(await aside(pages_of(request).test, now, job, answer), 200, NEGOTIATED, Media.HTML)
    return Response(answer.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


@router.get("/jobs/{jobid:jobid}/secrets", response_model=list[Secret], responses=problems(404, 422, 503))
async def list_secrets(request: Request, jobid: JobId) -> Response:
    """List the secrets that sign a job's calls, but not what they are."""
    found = await database_of(request).read(secrets.listing, jobid)
    return Response(SECRETS.dump_json(found), headers=NEGOTIATED, media_type=Media.JSON)


@router.post(
    "/jobs/{jobid:jobid}/secrets",
    status_code=201,
    response_model=NewSecret,
    responses=problems(404, 409, 422, 503) | OR_PAGE,
)
async def add_secret(request: Request, jobid: JobId) -> Response:
    """Give a job a secret; its calls are signed with it (Standard Webhooks) from now on.

    The secret is shown this once. With two, each call carries both signatures: add the new one, let the
    receiver know it, and remove the old one.
    """
    database = database_of(request)
    secret = await database.transact(secrets.add, jobid, cipher_of(request))
    if content_type(request) == FORM:
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        return Response(await aside(pages_of(request).secret, now, job, secret), 201, NEGOTIATED, Media.HTML)
    return Response(secret.model_dump_json(), 201, NEGOTIATED, Media.JSON)


@router.delete("/jobs/{jobid:jobid}/secrets/{secretid}", status_code=204, responses=problems(404, 422, 503))
async def remove_secret(request: Request, jobid: JobId, secretid: SecretId) -> Response:
    """Remove a secret: no call is signed with it any more."""
    await database_of(request).transact(secrets.remove, jobid, secretid)
    return Response(status_code=204)


@router.post("/jobs/{jobid:jobid}/secrets/{secretid}/delete", include_in_schema=False)
async def remove_secret_by_form(request: Request, jobid: JobId, secretid: SecretId) -> Response:
    """Remove a secret; for browsers, whose forms know no DELETE."""
    await database_of(request).transact(secrets.remove, jobid, secretid)
    return RedirectResponse(f"/jobs/{jobid}", 303)


@router.get("/limits", response_model=list[Limit], responses=problems(503))
async def list_limits(request: Request) -> Response:
    """List the limits of hosts and tags."""
    found = await database_of(request).read(limits.listing)
    return Response(LIMITS.dump_json(found), headers=NEGOTIATED, media_type=Media.JSON)


@router.put(
    "/limits/{scope}/{name}",
    response_model=Limit,
    openapi_extra=body_of(LimitOrder),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def put_limit(request: Request, scope: Scope, name: Name) -> Response:
    """Limit calls to a host, or runs of jobs with a tag: at once (`limit`), a minute (`rate`), or both.

    It replaces the limit that was there, and holds for all replicas together, from the next call on.
    """
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the limit as application/json.")
    order = await json_body(request, LimitOrder)
    limit = await database_of(request).transact(limits.put, scope, _storable(name), order)
    return Response(limit.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


@router.delete("/limits/{scope}/{name}", status_code=204, responses=problems(404, 422, 503))
async def remove_limit(request: Request, scope: Scope, name: Name) -> Response:
    """Lift a limit."""
    await database_of(request).transact(limits.remove, scope, _storable(name))
    return Response(status_code=204)


def _storable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(Flaw(("name",), "Must not contain half characters.")) from None
    return name
