"""The secrets that sign a job's calls."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import TypeAdapter
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.secrets import NewSecret, Secret
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type
from scheduler_api.routers.http.documentation import OR_PAGE, problems
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.wiring import (
    JobId,
    cipher_of,
    database_of,
    pages_of,
)
from scheduler_api.services.jobs import reading, secrets
from scheduler_api.services.system import health

router = APIRouter(tags=["targets"], route_class=StrictRoute)

SECRETS = TypeAdapter(list[Secret])
SecretId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which secret.")]


@router.get("/jobs/{jobid:jobid}/secrets", response_model=list[Secret], responses=problems(404, 422, 503))
async def list_secrets(request: Request, jobid: JobId) -> Response:
    """List the secrets that sign a job's requests. Their values are not included."""
    found = await database_of(request).read(secrets.listing, jobid)
    return json_answer(SECRETS.dump_json(found))


@router.post(
    "/jobs/{jobid:jobid}/secrets",
    status_code=201,
    response_model=NewSecret,
    responses=problems(404, 409, 422, 503) | OR_PAGE,
)
async def add_secret(request: Request, jobid: JobId) -> Response:
    """Create a secret that signs a job's requests (Standard Webhooks) from now on.

    Its value is shown only in this answer. With two secrets, requests carry both signatures. To rotate:
    add the new secret, give it to the receiver, then remove the old one.
    """
    database = database_of(request)
    secret = await database.transact(secrets.add, jobid, cipher_of(request))
    if content_type(request) == FORM:
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        return page_answer(await aside(pages_of(request).secret, now, job, secret), 201)
    return json_answer(secret, 201)


@router.delete("/jobs/{jobid:jobid}/secrets/{secretid}", status_code=204, responses=problems(404, 422, 503))
async def remove_secret(request: Request, jobid: JobId, secretid: SecretId) -> Response:
    """Remove a secret. Requests are no longer signed with it."""
    await database_of(request).transact(secrets.remove, jobid, secretid)
    return Response(status_code=204)


@router.post("/jobs/{jobid:jobid}/secrets/{secretid}/delete", include_in_schema=False)
async def remove_secret_by_form(request: Request, jobid: JobId, secretid: SecretId) -> Response:
    """Remove a secret; for browsers, whose forms cannot send DELETE."""
    await database_of(request).transact(secrets.remove, jobid, secretid)
    return RedirectResponse(f"/jobs/{jobid}", 303)
