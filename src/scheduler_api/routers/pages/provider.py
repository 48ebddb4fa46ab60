"""Signing in at an identity provider: the way there, and the way back."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from fastapi import Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api import tokens
from scheduler_api.actors import roles_of
from scheduler_api.computing import aside
from scheduler_api.database.engine import Database
from scheduler_api.errors import (
    FieldError,
    ProviderUnavailable,
    SchedulerError,
    ServiceBusy,
    SignInRefused,
    TooManyTries,
)
from scheduler_api.routers.http.authentication import (
    address_of,
    can_keep,
    comer_of,
    keep_session,
    keep_try,
    session_of,
    try_of,
)
from scheduler_api.routers.http.dependencies import DatabaseDep, IdentityDep, PagesDep, SettingsDep
from scheduler_api.routers.http.redirects import HOME, back_to
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.access import identities, signing
from scheduler_api.services.access.identities import Vouched
from scheduler_api.settings import Settings
from scheduler_api.web.pages import Pages
from scheduler_api.workers.identity import IdentityProvider, SignInAttempt

log = structlog.get_logger(__name__)

router = BrowserRouter()

#: Characters of what a browser may be known by, and of what the address may show.
MAX_TOKEN = 100
_STATUSES: dict[type[SchedulerError], int] = {
    SignInRefused: 401,
    TooManyTries: 429,
    ProviderUnavailable: 503,
    ServiceBusy: 503,
}


@router.page("/sign-in/oidc")
async def go(
    request: Request, database: DatabaseDep, identity: IdentityDep, pages: PagesDep, back: str | None = None
) -> Response:
    """Go to the provider."""
    known = try_of(request)
    # Another tab may be on its way.
    browser = known if known is not None and len(known) <= MAX_TOKEN else tokens.new_token()
    attempt = SignInAttempt(tokens.new_token(), browser)
    try:
        where = await identity.address(attempt)
    except (ProviderUnavailable, SignInRefused) as error:
        return await _refused(request, pages, error)
    page = back_to(back, HOME)
    await database.transact(identities.begin_attempt, _digest(attempt), address_of(request), page)
    answer = RedirectResponse(where, 303)
    keep_try(request, answer, browser)
    return answer


@router.way_back("/sign-in/oidc/callback")
async def come_back(
    request: Request, database: DatabaseDep, identity: IdentityDep, pages: PagesDep, settings: SettingsDep
) -> Response:
    """Come back from the provider, signed in or not."""
    returned = request.query_params
    attempt = SignInAttempt(returned.get("state", "")[:MAX_TOKEN], (try_of(request) or "")[:MAX_TOKEN])
    try:
        if any(len(returned.getlist(name)) > 1 for name in ("code", "state", "iss", "error")):
            raise SignInRefused("The provider's answer can be read in two ways.")
        # Here all those are stopped who began nothing.
        page = await database.transact(identities.end_attempt, _digest(attempt))
        token = await _counted(
            request, database, partial(_signed_in, request, database, identity, settings, attempt)
        )
    except tuple(_STATUSES) as error:
        return await _refused(request, pages, error)
    answer = RedirectResponse(page, 303)
    keep_session(request, answer, token)
    return answer


async def _counted(request: Request, database: Database, sign_in: Callable[[], Awaitable[str]]) -> str:
    """What a try to sign in leads to; failures count by address, and are recorded. Raises TooManyTries."""
    comer = comer_of(request, "")
    tryid = await database.transact(signing.attempt_elsewhere, comer)
    has_failed = False
    try:
        return await sign_in()
    except SignInRefused as error:
        has_failed = True
        await database.transact(identities.refuse, comer, str(error))
        raise
    finally:
        if not has_failed:
            await database.transact(signing.withdraw, tryid)


async def _signed_in(
    request: Request,
    database: Database,
    identity: IdentityProvider,
    settings: Settings,
    attempt: SignInAttempt,
) -> str:
    """A session for whom the provider vouches. Raises SignInRefused, ProviderUnavailable, ServiceBusy."""
    found = await identity.identify(attempt, request.query_params)
    roles = roles_of(found.name, found.groups, settings.roles)
    if not roles.is_any:
        await database.transact(
            identities.shut_out, comer_of(request, found.name), found.issuer, found.subject
        )
        raise SignInRefused(f"{found.name} has no group that SCHEDULER_ROLES gives a role.")
    vouched = Vouched(found.issuer, found.subject, roles)
    comer = comer_of(request, found.name)
    return await database.transact(identities.sign_in_by_provider, comer, vouched, session_of(request))


async def _refused(request: Request, pages: Pages, error: SchedulerError) -> HTMLResponse:
    log.warning("a sign-in by the identity provider failed", reason=str(error), address=address_of(request))
    wrong = [FieldError((), str(error))]
    shown = await aside(pages.sign_in, {}, wrong, can_keep=can_keep(request))
    return HTMLResponse(shown, _STATUSES[type(error)])


def _digest(attempt: SignInAttempt) -> bytes:
    return tokens.digest_of(tokens.derived("attempt", attempt.state, attempt.browser))
