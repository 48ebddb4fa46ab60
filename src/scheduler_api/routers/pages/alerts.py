"""Issues, alerts, channels and rules, in a browser."""

from typing import Annotated

from fastapi import Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.alerts.alerts import AlertState
from scheduler_api.contracts.alerts.channels import ChannelDraft, RuleDraft, RulePreview
from scheduler_api.contracts.alerts.issues import Acknowledgement, IssueState
from scheduler_api.contracts.alerts.mutes import MuteDraft
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.alerts.told import AlertFilter
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, CipherDep, DatabaseDep, PagesDep, SettingsDep
from scheduler_api.routers.http.forms import channel_of, model_of, mute_of, rule_of
from scheduler_api.routers.http.instants import with_offset
from scheduler_api.routers.http.paging import IssueFilterDep, link_next
from scheduler_api.routers.http.parameters import (
    AlertId,
    ChannelId,
    Cursor,
    IssueId,
    MuteId,
    PageSize,
    RuleId,
)
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.alerts import channels, issues, mutes
from scheduler_api.services.system import health
from scheduler_api.web.pages import ChannelsView

router, own_router = BrowserRouter(), form_router()


@router.page("/issues")
async def issues_page(
    request: Request,
    response: Response,
    database: DatabaseDep,
    pages: PagesDep,
    wanted: IssueFilterDep,
    size: PageSize,
    state: IssueState = IssueState.OPEN,
    cursor: Cursor = None,
) -> str:
    """Issues of jobs, newest first."""
    found = await database.read(issues.listing, state, wanted, cursor or MAX_ID, size + 1)
    now = await database.read(health.clock)
    further = link_next(request, response, cursor=found[size - 1].issueid) if found[size:] else None
    return await aside(pages.issues, now, found[:size], further, request.query_params)


@router.page("/issues/{issueid}")
async def issue_page(issueid: IssueId, database: DatabaseDep, pages: PagesDep) -> str:
    """An issue, and who was told of it."""
    found = await database.read(issues.get, issueid)
    told = await database.read(issues.alerts, AlertFilter(issueid=issueid), MAX_ID, 100)
    return await aside(pages.issue, await database.read(health.clock), found, told)


@router.form("/issues/{issueid}/acknowledge", Acknowledgement)
async def acknowledge_by_form(
    issueid: IssueId, fields: FormFields, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Acknowledge an issue."""
    given = {name: with_offset(text) if name == "until" and text else text for name, text in fields.items()}
    await database.transact(issues.acknowledge, actor, issueid, model_of(given, Acknowledgement))
    return back.to(f"/issues/{issueid}")


@router.form("/issues/{issueid}/close")
async def close_by_form(
    issueid: IssueId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Close an issue."""
    await database.transact(issues.close, actor, issueid)
    return back.to(f"/issues/{issueid}")


@router.page("/alerts")
async def alerts_page(
    request: Request,
    response: Response,
    database: DatabaseDep,
    pages: PagesDep,
    size: PageSize,
    state: AlertState | None = None,
    channelid: int | None = None,
    jobid: int | None = None,
    cursor: Cursor = None,
) -> str:
    """What channels were told, newest first."""
    wanted = AlertFilter(channelid, jobid, state)
    found = await database.read(issues.alerts, wanted, cursor or MAX_ID, size + 1)
    now = await database.read(health.clock)
    further = link_next(request, response, cursor=found[size - 1].alertid) if found[size:] else None
    return await aside(pages.alerts, now, found[:size], further, request.query_params)


@router.form("/alerts/{alertid}/retry")
async def retry_alert_by_form(
    alertid: AlertId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Send an alert again."""
    await database.transact(issues.redrive, actor, alertid)
    return back.to("/alerts")


@router.page("/channels")
async def channels_page(
    database: DatabaseDep,
    pages: PagesDep,
    settings: SettingsDep,
    tested: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> str:
    """Channels and rules, with forms for new ones; `tested` is a channel that was just sent a test."""
    return await _channels(database, pages, settings, {}, (), tested)


@router.form("/channels", ChannelDraft)
async def add_channel_by_form(
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    cipher: CipherDep,
    settings: SettingsDep,
) -> Response:
    """Add a channel; the secret of a webhook is shown this once."""
    try:
        draft = channel_of(fields)
        added = await database.transact(channels.add, actor, draft, cipher, can_mail=settings.can_mail)
    except InvalidInput as error:
        return HTMLResponse(await _channels(database, pages, settings, fields, error.field_errors), 422)
    if added.secret is not None:
        return HTMLResponse(await aside(pages.new_channel, added), 201)
    return RedirectResponse("/channels", 303)


@router.form("/channels/{channelid}/test")
async def test_channel_by_form(channelid: ChannelId, database: DatabaseDep) -> RedirectResponse:
    """Send a test alert."""
    await database.transact(channels.test, channelid)
    return RedirectResponse(f"/channels?tested={channelid}", 303)


@router.page("/channels/{channelid}")
async def channel_page(channelid: ChannelId, database: DatabaseDep, pages: PagesDep) -> str:
    """A channel, with the form that changes it."""
    return await aside(pages.channel, await database.read(channels.get, channelid), {}, ())


@own_router.post("/channels/{channelid}/edit")
async def edit_channel_by_form(
    channelid: ChannelId,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    cipher: CipherDep,
    settings: SettingsDep,
) -> Response:
    """Change a channel; for browsers, whose forms cannot send PUT. What is secret and left empty stays."""
    channel = await database.read(channels.get, channelid)
    try:
        kept = await database.read(channels.secrets_of, channelid, cipher)
        draft = channel_of(fields | {"kind": channel.kind}, kept)
        await database.transact(channels.put, actor, channelid, draft, cipher, can_mail=settings.can_mail)
    except InvalidInput as error:
        return HTMLResponse(await aside(pages.channel, channel, fields, error.field_errors), 422)
    return RedirectResponse(f"/channels#channel-{channelid}", 303)


@own_router.post("/channels/{channelid}/delete")
async def remove_channel_by_form(
    channelid: ChannelId, database: DatabaseDep, actor: ActorDep
) -> RedirectResponse:
    """Remove a channel; for browsers, whose forms cannot send DELETE."""
    await database.transact(channels.remove, actor, channelid)
    return RedirectResponse("/channels", 303)


@router.form("/rules", RuleDraft)
async def add_rule_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep, settings: SettingsDep
) -> Response:
    """Add a rule."""
    try:
        await database.transact(channels.add_rule, actor, rule_of(fields))
    except InvalidInput as error:
        return HTMLResponse(await _channels(database, pages, settings, fields, error.field_errors), 422)
    return RedirectResponse("/channels", 303)


@router.form("/rules/preview", RuleDraft)
async def preview_rule_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, settings: SettingsDep
) -> Response:
    """Show what the rule that was typed would do; it stays typed."""
    try:
        found = await database.read(channels.preview, rule_of(fields))
    except InvalidInput as error:
        return HTMLResponse(await _channels(database, pages, settings, fields, error.field_errors), 422)
    return HTMLResponse(await _channels(database, pages, settings, fields, (), preview=found))


@router.page("/rules/{ruleid:int}/preview")
async def rule_page(ruleid: RuleId, database: DatabaseDep, pages: PagesDep) -> str:
    """What a rule is about, and what it would have sent."""
    found = await database.read(channels.preview_rule, ruleid)
    return await aside(pages.rule, await database.read(health.clock), found)


@own_router.post("/rules/{ruleid}/delete")
async def remove_rule_by_form(ruleid: RuleId, database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Remove a rule; for browsers, whose forms cannot send DELETE."""
    await database.transact(channels.remove_rule, actor, ruleid)
    return RedirectResponse("/channels", 303)


@router.form("/mutes", MuteDraft)
async def add_mute_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep, settings: SettingsDep
) -> Response:
    """Hold alerts back."""
    try:
        await database.transact(mutes.add, actor, mute_of(fields))
    except InvalidInput as error:
        return HTMLResponse(await _channels(database, pages, settings, fields, error.field_errors), 422)
    return RedirectResponse("/channels", 303)


@own_router.post("/mutes/{muteid}/delete")
async def remove_mute_by_form(muteid: MuteId, database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Remove a mute; for browsers, whose forms cannot send DELETE."""
    await database.transact(mutes.remove, actor, muteid)
    return RedirectResponse("/channels", 303)


async def _channels(
    database: DatabaseDep,
    pages: PagesDep,
    settings: SettingsDep,
    fields: dict[str, str],
    field_errors: tuple[FieldError, ...],
    tested: int | None = None,
    preview: RulePreview | None = None,
) -> str:
    found, rules = await database.read(channels.listing), await database.read(channels.rules)
    muted, now = await database.read(mutes.listing), await database.read(health.clock)
    shown = ChannelsView(found, rules, muted, settings.can_mail, tested, preview)
    return await aside(pages.channels, now, shown, fields, field_errors)
