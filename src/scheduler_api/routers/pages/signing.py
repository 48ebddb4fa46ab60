"""Signing in and out, and the page of who has signed in."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.actors import Principal
from scheduler_api.computing import aside
from scheduler_api.contracts.access.users import MAX_PASSWORD, MIN_PASSWORD
from scheduler_api.database.engine import Database
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    LinkNotFound,
    NotSignedIn,
    SchedulerError,
    TooManyTries,
)
from scheduler_api.routers.http.authentication import (
    can_keep,
    comer_of,
    drop_session,
    keep_session,
    session_of,
)
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    DatabaseDep,
    DoorkeeperDep,
    PagesDep,
    PasswordsDep,
    PrincipalDep,
)
from scheduler_api.routers.http.redirects import HOME, back_to
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.access import signing, users
from scheduler_api.services.access.signing import Comer, Try
from scheduler_api.services.system import health
from scheduler_api.workers.passwords import Passwords

router = BrowserRouter()
own_router = form_router()

Token = Annotated[str, Path(max_length=100)]


@router.page("/sign-in")
async def sign_in_page(request: Request, pages: PagesDep, back: str | None = None) -> Response:
    """The form to sign in; who need not goes on."""
    if request.scope["principal"] is not None:
        return RedirectResponse(back_to(back, HOME), 303)
    return HTMLResponse(await aside(pages.sign_in, {"back": back or ""}, (), can_keep=can_keep(request)))


@own_router.post("/sign-in", response_model=None)
async def sign_in(
    request: Request, fields: FormFields, database: DatabaseDep, pages: PagesDep, passwords: PasswordsDep
) -> Response:
    """Sign in with a name and a password."""
    comer = comer_of(request, fields.get("name", "").strip().lower())
    try:
        tried = await _tried(database, passwords, comer, fields.get("password", ""))
        token = await database.transact(signing.sign_in, comer, tried, session_of(request))
    except (TooManyTries, NotSignedIn) as error:
        wrong = [FieldError((), str(error))]
        shown = await aside(pages.sign_in, fields, wrong, can_keep=can_keep(request))
        return HTMLResponse(shown, 429 if isinstance(error, TooManyTries) else 401)
    return _signed_in(request, token, back_to(fields.get("back"), HOME))


async def _tried(database: Database, passwords: Passwords, comer: Comer, password: str) -> Try:
    """A try with the right password. Raises NotSignedIn for a wrong one, TooManyTries, and ServiceBusy."""
    # Before the database is asked: a flood of tries costs it nothing.
    await passwords.require_turn()
    tried = await database.transact(signing.attempt, comer)
    try:
        is_right = await passwords.is_right(tried.passwordhash, password[:MAX_PASSWORD])
    except SchedulerError:
        await database.transact(signing.withdraw, tried.tryid)
        raise
    if not is_right:
        await database.transact(signing.refuse, comer, tried)
        raise NotSignedIn("The name or the password is wrong.")
    return tried


@router.page("/sign-in/{token}")
async def link_page(request: Request, token: Token, database: DatabaseDep, pages: PagesDep) -> str:
    """The form to set a password; opening it does not use up the link."""
    name = await _whom(database, token)
    return await aside(pages.set_password, name, token, (), can_keep=can_keep(request))


async def _whom(database: Database, token: str) -> str:
    """The name of the user that a link lets in. Raises LinkNotFound."""
    name, expiresat = await database.read(signing.whom, token)
    if expiresat <= await database.read(health.clock):
        raise LinkNotFound(signing.GONE)
    return name


@own_router.post("/sign-in/{token}", response_model=None)
async def sign_in_by_link(
    request: Request,
    token: Token,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    passwords: PasswordsDep,
) -> Response:
    """Set a password, and sign in."""
    name = await _whom(database, token)
    try:
        password = _new_password(fields)
    except InvalidInput as error:
        page = await aside(pages.set_password, name, token, error.field_errors, can_keep=can_keep(request))
        return HTMLResponse(page, 422)
    kept = await passwords.hash(password)
    session = await database.transact(signing.sign_in_by_link, comer_of(request, name), token, kept)
    return _signed_in(request, session, HOME)


@own_router.post("/sign-out")
async def sign_out(request: Request, database: DatabaseDep, doorkeeper: DoorkeeperDep) -> RedirectResponse:
    """Sign out."""
    answer = RedirectResponse("/sign-in", 303)
    token = session_of(request)
    if token is not None:
        await database.transact(signing.sign_out, comer_of(request, ""), token)
        doorkeeper.forget(token)
        drop_session(request, answer)
    return answer


@router.page("/account")
async def account_page(database: DatabaseDep, principal: PrincipalDep, pages: PagesDep) -> str:
    """Who has signed in, and where."""
    return await _account(database, principal, pages, ())


@own_router.post("/account/password", response_model=None)
async def change_password(
    request: Request,
    fields: FormFields,
    database: DatabaseDep,
    principal: PrincipalDep,
    pages: PagesDep,
    passwords: PasswordsDep,
) -> Response:
    """Set another password; all other sessions end."""
    comer = comer_of(request, _user(principal))
    try:
        password = _new_password(fields)
        tried = await database.transact(signing.attempt, comer)
        if not await passwords.is_right(tried.passwordhash, fields.get("current", "")[:MAX_PASSWORD]):
            raise InvalidInput(FieldError(("current",), "This is not your password."))
    except (InvalidInput, TooManyTries) as error:
        wrong = error.field_errors if isinstance(error, InvalidInput) else (FieldError((), str(error)),)
        return HTMLResponse(await _account(database, principal, pages, wrong), 422)
    kept = await passwords.hash(password)
    return _signed_in(
        request, await database.transact(signing.change_password, comer, tried, kept), "/account"
    )


@own_router.post("/account/sign-out")
async def sign_out_elsewhere(
    database: DatabaseDep, principal: PrincipalDep, actor: ActorDep
) -> RedirectResponse:
    """End all sessions but this one."""
    _user(principal)
    await database.transact(signing.sign_out_elsewhere, actor, principal.id, principal.sessionid)
    return RedirectResponse("/account", 303)


async def _account(
    database: DatabaseDep, principal: Principal, pages: PagesDep, wrong: Sequence[FieldError]
) -> str:
    now = await database.read(health.clock)
    if not principal.sessionid:
        return await aside(pages.account, now, principal, [], None, ())
    sessions = await database.read(signing.sessions_of, principal.id)
    issuer = (await database.read(users.get, principal.id)).issuer
    return await aside(pages.account, now, principal, sessions, issuer, wrong)


def _user(principal: Principal) -> str:
    """The name of who has signed in. Raises NotSignedIn for everybody else."""
    if not principal.sessionid or principal.name is None:
        raise NotSignedIn("Only users who have signed in here have a password and sessions.")
    return principal.name


def _new_password(fields: dict[str, str]) -> str:
    """The new password, which was typed twice. Raises InvalidInput."""
    password = fields.get("password", "")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        said = f"Must have {MIN_PASSWORD} to {MAX_PASSWORD} characters."
        raise InvalidInput(FieldError(("password",), said))
    if password != fields.get("again"):
        raise InvalidInput(FieldError(("again",), "Must be the same password."))
    return password


def _signed_in(request: Request, token: str, where: str) -> RedirectResponse:
    answer = RedirectResponse(where, 303)
    keep_session(request, answer, token)
    return answer
