"""Mutes: times in which alerts are held back."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.alerts.mutes import Mute, MuteDraft
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.parameters import MuteId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.alerts import mutes

router = APIRouter(tags=["alerts"], route_class=StrictRoute)


@router.get("/mutes", responses=answers(503))
async def list_mutes(database: DatabaseDep) -> list[Mute]:
    """List the mutes that hold or will hold, in the order in which they end."""
    return await database.read(mutes.listing)


@router.post(
    "/mutes",
    status_code=201,
    responses=answers(400, 408, 413, 415, 422, 503, status=201) | back("the channels"),
)
async def add_mute(draft: MuteDraft, changes: ChangesDep, actor: ActorDep) -> Mute:
    """Hold alerts back: until an instant, or in windows on a cron.

    Issues are opened and closed meanwhile. What is still open when the mute ends is told then; what came and
    went is not.
    """
    return await changes.make(mutes.add, actor, draft)


@router.delete(
    "/mutes/{muteid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 422, 503, status=204),
)
async def remove_mute(muteid: MuteId, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a mute. Alerts that it held back are sent."""
    await changes.make(mutes.remove, actor, muteid)
