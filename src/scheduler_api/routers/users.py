"""Users: people who sign in."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from scheduler_api.contracts.access.users import Invitation, User, UserDraft, UserPatch
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    DatabaseDep,
    SettingsDep,
    where_signing_in_is_required,
)
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import UserId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.access import users

router = APIRouter(
    tags=["access"], route_class=StrictRoute, dependencies=[Depends(where_signing_in_is_required)]
)


@router.get("/users", responses=answers(503, page=True))
async def list_users(database: DatabaseDep) -> list[User]:
    """List the users."""
    return await database.read(users.listing)


@router.post(
    "/users",
    status_code=201,
    responses=answers(400, 408, 409, 413, 415, 422, 503, status=201, page=True),
)
async def add_user(
    draft: UserDraft, database: DatabaseDep, actor: ActorDep, settings: SettingsDep
) -> Invitation:
    """Add a user. The link in the answer lets them set a password; it works once, within 24 hours."""
    return await database.transact(users.add, actor, draft, settings.base_url)


@router.patch("/users/{userid}", responses=answers(400, 404, 408, 409, 413, 415, 422, 503))
async def edit_user(userid: UserId, patch: UserPatch, changes: ChangesDep, actor: ActorDep) -> User:
    """Change what a user may do, a second later everywhere. The only admin stays one."""
    return await changes.make(users.edit, actor, userid, patch)


@router.delete(
    "/users/{userid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204),
)
async def remove_user(
    userid: UserId,
    changes: ChangesDep,
    actor: ActorDep,
    erase: Annotated[
        bool, Query(description="Take the name out of the audit log, too; what was done stays there.")
    ] = False,
) -> None:
    """Remove a user, who is signed out everywhere a second later. The only admin stays."""
    await changes.make(users.remove, actor, userid, erase=erase)


@router.post(
    "/users/{userid}/link",
    status_code=201,
    responses=answers(404, 409, 422, 503, status=201, page=True),
)
async def add_link(
    userid: UserId, database: DatabaseDep, actor: ActorDep, settings: SettingsDep
) -> Invitation:
    """Let a user in once to set a password, such as one who has lost it. Earlier links stop working."""
    return await database.transact(users.invite, actor, userid, settings.base_url)
