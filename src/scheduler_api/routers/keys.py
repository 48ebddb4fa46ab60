"""API keys."""

from fastapi import APIRouter, Depends, Response

from scheduler_api.contracts.access.keys import Key, KeyDraft, NewKey
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    DatabaseDep,
    where_signing_in_is_required,
)
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import KeyId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.access import keys

router = APIRouter(
    tags=["access"], route_class=StrictRoute, dependencies=[Depends(where_signing_in_is_required)]
)


@router.get("/keys", responses=answers(503, page=True))
async def list_keys(database: DatabaseDep) -> list[Key]:
    """List the API keys that are not revoked, without what they are."""
    return await database.read(keys.listing)


@router.post(
    "/keys",
    status_code=201,
    responses=answers(400, 408, 409, 413, 415, 422, 503, status=201, page=True),
)
async def add_key(draft: KeyDraft, database: DatabaseDep, actor: ActorDep) -> NewKey:
    """Add an API key. It is shown only in this answer.

    To replace a key without a gap, add another one, use it, then revoke the old one.
    """
    return await database.transact(keys.add, actor, draft)


@router.delete(
    "/keys/{keyid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204),
)
async def revoke_key(keyid: KeyId, changes: ChangesDep, actor: ActorDep) -> None:
    """Revoke an API key. All replicas refuse it a second later."""
    await changes.make(keys.revoke, actor, keyid)
