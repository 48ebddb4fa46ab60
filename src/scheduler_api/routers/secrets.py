"""The secrets that sign a job's calls."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.jobs.secrets import NewSecret, Secret
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, CipherDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import JobId, SecretId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.jobs import secrets

router = APIRouter(tags=["targets"], route_class=StrictRoute)


@router.get("/jobs/{jobid:jobid}/secrets", responses=answers(404, 422, 503))
async def list_secrets(jobid: JobId, database: DatabaseDep) -> list[Secret]:
    """List the secrets that sign a job's requests. Their values are not included."""
    return await database.read(secrets.listing, jobid)


@router.post(
    "/jobs/{jobid:jobid}/secrets",
    status_code=201,
    responses=answers(404, 409, 422, 503, status=201, page=True),
)
async def add_secret(jobid: JobId, changes: ChangesDep, actor: ActorDep, cipher: CipherDep) -> NewSecret:
    """Create a secret that signs a job's requests (Standard Webhooks) from now on.

    Its value is shown only in this answer. With two secrets, requests carry both signatures. To rotate:
    add the new secret, give it to the receiver, then remove the old one.
    """
    return await changes.make(secrets.add, actor, jobid, cipher)


@router.delete(
    "/jobs/{jobid:jobid}/secrets/{secretid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 422, 503, status=204),
)
async def remove_secret(jobid: JobId, secretid: SecretId, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a secret. Requests are no longer signed with it."""
    await changes.make(secrets.remove, actor, jobid, secretid)
