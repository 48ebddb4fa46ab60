"""Who asks, and whether they may: every route begins here."""

import contextlib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from starlette.requests import Request
from starlette.responses import Response

from scheduler_api.actors import ANYBODY, Principal, Role
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import NotPermitted, NotSignedIn, SchedulerError
from scheduler_api.routers.http.access import LOCAL_HOSTS, without_port
from scheduler_api.settings import Auth
from scheduler_api.workers.addresses import network_of, place_of
from scheduler_api.workers.doorkeeper import Doorkeeper

#: How a session is kept by a browser: where it is on this machine it may not speak HTTPS.
COOKIE, COOKIE_HERE = "__Host-session", "session"
#: Seconds; the session itself ends no later.
MAX_AGE = 86_400
HOW = "Sign in, or send an API key as `Authorization: Bearer …`."


async def admit(request: Request, needed: Role | None) -> None:
    """Note who asks as the scope's `principal`, None for strangers. Raises NotSignedIn, NotPermitted."""
    request.scope["principal"] = None
    if needed is None:
        # What is open is so for those, too, who show what lets nobody in. Who shows nothing waits for
        # no database.
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            request.scope["principal"] = await _principal(request)
        return
    principal = request.scope["principal"] = await _principal(request)
    if principal is None:
        raise NotSignedIn(HOW)
    require(principal, needed)


async def is_still_in(request: Request) -> bool:
    """Whether who asked may still have what is being sent; that the database is away takes nothing back."""
    known: Principal | None = request.scope["principal"]
    try:
        found = await _principal(request)
    except NotSignedIn:
        return False
    except (SchedulerError, *DATABASE_ERRORS):
        return True
    return found == known


def require(principal: Principal, needed: Role) -> None:
    """Raise NotPermitted where somebody has another role."""
    if not principal.may(needed):
        raise NotPermitted(f"This needs the role {needed}, and {principal.name} is {_an(principal.role)}.")


def _an(role: Role) -> str:
    return f"a {role}" if role is Role.VIEWER else f"an {role}"


async def _principal(request: Request) -> Principal | None:
    """Who asks; None: somebody who does not say so. Raises NotSignedIn for what lets nobody in."""
    if request.state.settings.auth is not Auth.REQUIRED:
        return ANYBODY
    doorkeeper: Doorkeeper = request.state.doorkeeper
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    # What else a proxy asked for, and passes on, is no business of this service.
    if scheme.lower() == "bearer":
        if (principal := await doorkeeper.by_key(key.strip())) is None:
            raise NotSignedIn("This API key is unknown, revoked or expired.")
        return principal
    token = session_of(request)
    if token is None:
        return None
    # A page that follows the changes by itself is no sign of somebody who looks at it.
    is_used = request.url.path != "/events" and "x-live" not in request.headers
    return await doorkeeper.by_session(token, is_used=is_used)


def session_of(request: Request) -> str | None:
    """The token of the session that a browser keeps; None: it keeps none."""
    return request.cookies.get(_cookie(request))


def keep_session(request: Request, response: Response, token: str) -> None:
    """Let the browser keep a session."""
    name = _cookie(request)
    secure = name == COOKIE
    response.set_cookie(name, token, MAX_AGE, path="/", secure=secure, httponly=True, samesite="lax")


def drop_session(request: Request, response: Response) -> None:
    """Let the browser forget its session."""
    name = _cookie(request)
    response.delete_cookie(name, path="/", secure=name == COOKIE, httponly=True, samesite="lax")


def _cookie(request: Request) -> str:
    is_here = without_port(request.headers.get("host", "")) in LOCAL_HOSTS
    is_encrypted = "https" in {request.url.scheme, request.state.settings.base_url.partition(":")[0]}
    return COOKIE_HERE if is_here and not is_encrypted else COOKIE


def address_of(request: Request) -> str:
    """From where the request comes: behind proxies that are trusted, the first that is none of them.

    Of IPv6 it is the network that one customer gets.
    """
    found = place_of(request.client.host if request.client else "")
    passed_on = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    trusted: Sequence[IPv4Network | IPv6Network] = request.state.settings.trusted_proxies
    while found is not None and passed_on and any(found in network for network in trusted):
        before = place_of(passed_on.pop())
        if before is None:
            break
        found = before
    return "this machine" if found is None else network_of(found)


def can_keep(request: Request) -> bool:
    """Whether the browser will keep a session: it does so over HTTPS, or on this machine."""
    is_encrypted = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
    return is_encrypted or _cookie(request) == COOKIE_HERE
