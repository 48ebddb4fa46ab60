"""Users and API keys, in a browser."""

from fastapi import Depends, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.contracts.access.users import UserDraft
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.errors import InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    DatabaseDep,
    PagesDep,
    SettingsDep,
    where_signing_in_is_required,
)
from scheduler_api.routers.http.forms import model_of, user_of
from scheduler_api.routers.http.instants import with_offset
from scheduler_api.routers.http.paging import ChangeFilterDep, link_next
from scheduler_api.routers.http.parameters import Cursor, KeyId, PageSize, UserId
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.access import audit, keys, users
from scheduler_api.services.system import health

router = BrowserRouter(dependencies=[Depends(where_signing_in_is_required)])
own_router = form_router(dependencies=[Depends(where_signing_in_is_required)])


@router.page("/audit")
async def audit_page(
    request: Request,
    response: Response,
    database: DatabaseDep,
    pages: PagesDep,
    wanted: ChangeFilterDep,
    size: PageSize,
    cursor: Cursor = None,
) -> str:
    """What everybody did."""
    found = await database.read(audit.events, wanted, cursor or MAX_ID, size + 1)
    now = await database.read(health.clock)
    further = link_next(request, response, cursor=found[size - 1].changeid) if found[size:] else None
    return await aside(pages.audit, now, found[:size], further, request.query_params)


@router.page("/keys")
async def keys_page(database: DatabaseDep, pages: PagesDep) -> str:
    """API keys, and a form for a new one."""
    found, now = await database.read(keys.listing), await database.read(health.clock)
    return await aside(pages.keys, now, found, {}, ())


@router.form("/keys", KeyDraft)
async def add_key_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep
) -> Response:
    """Add a key, and show it this once."""
    try:
        given = {name: with_offset(text) if name == "expiresat" else text for name, text in fields.items()}
        added = await database.transact(keys.add, actor, model_of(given, KeyDraft))
    except InvalidInput as error:
        found, now = await database.read(keys.listing), await database.read(health.clock)
        return HTMLResponse(await aside(pages.keys, now, found, fields, error.field_errors), 422)
    return HTMLResponse(await aside(pages.new_key, added), 201)


@own_router.post("/keys/{keyid}/delete")
async def revoke_by_form(keyid: KeyId, database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Revoke a key; for browsers, whose forms cannot send DELETE."""
    await database.transact(keys.revoke, actor, keyid)
    return RedirectResponse("/keys", 303)


@router.page("/users")
async def users_page(database: DatabaseDep, pages: PagesDep) -> str:
    """Users, and a form for a new one."""
    found, now = await database.read(users.listing), await database.read(health.clock)
    return await aside(pages.users, now, found, {}, ())


@router.form("/users", UserDraft)
async def add_user_by_form(
    fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep, settings: SettingsDep
) -> Response:
    """Add a user, and show the link this once."""
    try:
        draft = user_of(fields)
        invitation = await database.transact(users.add, actor, draft, settings.base_url)
    except InvalidInput as error:
        found, now = await database.read(users.listing), await database.read(health.clock)
        return HTMLResponse(await aside(pages.users, now, found, fields, error.field_errors), 422)
    return HTMLResponse(await aside(pages.invitation, invitation), 201)


@router.form("/users/{userid}/link")
async def add_link_by_form(
    userid: UserId, database: DatabaseDep, pages: PagesDep, actor: ActorDep, settings: SettingsDep
) -> HTMLResponse:
    """Make a link, and show it this once."""
    invitation = await database.transact(users.invite, actor, userid, settings.base_url)
    return HTMLResponse(await aside(pages.invitation, invitation), 201)


@own_router.post("/users/{userid}/edit")
async def edit_user_by_form(
    userid: UserId, fields: FormFields, database: DatabaseDep, actor: ActorDep
) -> RedirectResponse:
    """Change a role; for browsers, whose forms cannot send PATCH."""
    project, role = fields.get("project") or None, fields.get("role") or None
    await database.transact(users.give, actor, userid, project, role)
    return RedirectResponse("/users", 303)


@own_router.post("/users/{userid}/delete")
async def remove_user_by_form(
    userid: UserId, fields: FormFields, database: DatabaseDep, actor: ActorDep
) -> RedirectResponse:
    """Remove a user; for browsers, whose forms cannot send DELETE."""
    await database.transact(users.remove, actor, userid, erase=fields.get("erase") == "true")
    return RedirectResponse("/users", 303)
