"""Channels, where people are told of issues."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.alerts.channels import Channel, ChannelDraft, NewChannel
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    CipherDep,
    DatabaseDep,
    SettingsDep,
)
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.parameters import ChannelId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.alerts import channels

router = APIRouter(tags=["alerts"], route_class=StrictRoute)


@router.get("/channels", responses=answers(503, page=True))
async def list_channels(database: DatabaseDep) -> list[Channel]:
    """List channels by name, without what is secret of them."""
    return await database.read(channels.listing)


@router.get("/channels/{channelid}", responses=answers(404, 422, 503))
async def show_channel(channelid: ChannelId, database: DatabaseDep) -> Channel:
    """Get a channel, with how sending to it goes."""
    return await database.read(channels.get, channelid)


@router.post(
    "/channels", status_code=201, responses=answers(400, 408, 409, 413, 415, 422, 503, status=201, page=True)
)
async def add_channel(
    draft: ChannelDraft, changes: ChangesDep, actor: ActorDep, cipher: CipherDep, settings: SettingsDep
) -> NewChannel:
    """Add a channel. The first one gets a rule that tells it of all jobs.

    A webhook gets a secret that signs what it is sent; it is shown only in this answer.
    """
    return await changes.make(channels.add, actor, draft, cipher, can_mail=settings.can_mail)


@router.put("/channels/{channelid}", responses=answers(400, 404, 408, 409, 413, 415, 422, 503))
async def set_channel(
    channelid: ChannelId,
    draft: ChannelDraft,
    changes: ChangesDep,
    actor: ActorDep,
    cipher: CipherDep,
    settings: SettingsDep,
) -> Channel:
    """Replace a channel; its kind and its rules stay. Waiting alerts are sent at once."""
    return await changes.make(channels.put, actor, channelid, draft, cipher, can_mail=settings.can_mail)


@router.delete(
    "/channels/{channelid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 422, 503, status=204),
)
async def remove_channel(channelid: ChannelId, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a channel, with its rules. Alerts that wait for it are given up."""
    await changes.make(channels.remove, actor, channelid)


@router.post(
    "/channels/{channelid}/test",
    status_code=202,
    response_class=Response,
    responses=answers(404, 422, 503, status=202) | back("the channels"),
)
async def test_channel(channelid: ChannelId, changes: ChangesDep) -> None:
    """Send a test alert. `GET /channels/{channelid}` shows what became of it."""
    await changes.make(channels.test, channelid)
