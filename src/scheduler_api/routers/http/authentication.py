"""Who asks, and whether they may: every route begins here."""

import contextlib
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from scheduler_api.actors import ANYBODY, RANKS, ActorKind, Principal, Role, Roles, roles_of
from scheduler_api.contracts.access.users import USER_NAME
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.access import projects
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    IssueNotFound,
    JobNotFound,
    LogNotFound,
    NotPermitted,
    NotSignedIn,
    ProjectNotFound,
    QuotaExceeded,
    SchedulerError,
)
from scheduler_api.routers.http.access import LOCAL_HOSTS, is_direct, without_port
from scheduler_api.routers.http.headers import RATE_LIMIT
from scheduler_api.routers.http.permissions import Need
from scheduler_api.services.access.signing import Comer
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers.addresses import network_of, place_of
from scheduler_api.workers.doorkeeper import Doorkeeper
from scheduler_api.workers.quotas import WINDOW, RequestQuotas

#: How a session is kept by a browser: where it is on this machine it may not speak HTTPS.
COOKIE, COOKIE_HERE = "__Host-session", "session"
#: Seconds; the session itself ends no later.
MAX_AGE = 86_400
#: How a browser is known until it comes back from an identity provider; and for how many seconds.
TRY_COOKIE, TRY_COOKIE_HERE = "__Host-sign-in", "sign-in"
TRY_MAX_AGE = 600
#: What jobs and runs are known by, in addresses.
NUMBER = TypeAdapter(Annotated[int, Field(ge=1, le=MAX_ID)])
HOW = "Sign in, or send an API key as `Authorization: Bearer …`."
#: A program on this machine that reads metrics.
SCRAPER = Principal(ActorKind.LOCAL, Roles(Role.METRICS))


async def admit(request: Request, need: Need) -> None:
    """Note who asks as the scope's `principal`, None for strangers. Raises NotSignedIn, NotPermitted.

    What belongs to a project that somebody may not see is not there: raises JobNotFound, LogNotFound.
    """
    request.scope["principal"], request.scope["need"] = None, need
    if need.role is None:
        # What is open is so for those, too, who show what lets nobody in. Who shows nothing waits for
        # no database.
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            request.scope["principal"] = await _principal(request)
        return
    principal = request.scope["principal"] = await _comer(request, need)
    if principal is None:
        raise NotSignedIn(HOW)
    await _count(request, principal)
    if principal.roles.may_everywhere(need.role):
        return
    if need.is_whole:
        raise NotPermitted(_refusal(principal, need.role, None, is_whole=True))
    # First, so that who may do it nowhere is told the same of what is there and of what is not.
    require(principal, need.role)
    await _look_at_object(request, principal, need.role)


async def _comer(request: Request, need: Need) -> Principal | None:
    """Who asks; for metrics also whom a key let in before the database went away, and this machine."""
    if need.role is not Role.METRICS:
        return await _principal(request)
    try:
        return await _principal(request) or _scraper(request, need)
    except (DatabaseBusy, DatabaseUnavailable):
        key = _key(request)
        doorkeeper: Doorkeeper = request.state.doorkeeper
        known = None if key is None else doorkeeper.last_known(key)
        if known is None:
            raise
        return known


def _scraper(request: Request, need: Need) -> Principal | None:
    """A program on this machine. Behind a proxy that is known, none is; single jobs are not for it."""
    settings: Settings = request.state.settings
    is_proxied = bool(settings.trusted_proxies or settings.proxy_user_header)
    return SCRAPER if need.is_whole and not is_proxied and is_direct(request.scope) else None


async def _count(request: Request, principal: Principal) -> None:
    """Count a request once against the quotas of who asks, and tell what is left. Raises QuotaExceeded."""
    if RATE_LIMIT in request.scope:
        return
    quotas: RequestQuotas = request.state.quotas
    request.scope[RATE_LIMIT] = []
    try:
        allowance = await quotas.take(principal)
    except QuotaExceeded as error:
        request.scope[RATE_LIMIT] = [(b"ratelimit", f'"project";r=0;t={error.seconds}'.encode())]
        raise
    if allowance is not None:
        quota, left, seconds = allowance
        request.scope[RATE_LIMIT] = [
            (b"ratelimit-policy", f'"project";q={quota};w={WINDOW}'.encode()),
            (b"ratelimit", f'"project";r={left};t={seconds}'.encode()),
        ]


async def admit_again(request: Request) -> None:
    """The same, of a request that took a while to come in: what let it in may have been taken back."""
    need: Need = request.scope["need"]
    if need.role is not None:
        await admit(request, need)


async def _look_at_object(request: Request, principal: Principal, needed: Role) -> None:
    """Judge by the project that an address names, or by that of the job or the run that it is about."""
    database: Database = request.state.database
    named = request.path_params.get("project")
    if named is not None:
        if not principal.roles.may(Role.VIEWER, named):
            raise ProjectNotFound(f"There is no project {named[:50]}.")
        require(principal, needed, named)
    for name, find, not_there in (
        ("jobid", projects.project_of_job, JobNotFound),
        ("logid", projects.project_of_log, LogNotFound),
        ("issueid", projects.project_of_issue, IssueNotFound),
    ):
        try:
            # As the handler will read it; what is no number is refused there.
            number = NUMBER.validate_python(request.path_params[name])
        except (KeyError, ValidationError):
            continue
        project = await database.read(find, number)
        if project is None:
            # The handler says so.
            continue
        if not principal.roles.may(Role.VIEWER, project):
            raise not_there(number)
        require(principal, needed, project)


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


def require(principal: Principal, needed: Role, project: str | None = None) -> None:
    """Raise NotPermitted where somebody may not do what needs that role: in a project, or in any."""
    if not principal.roles.may(needed, project):
        raise NotPermitted(_refusal(principal, needed, project))


def _refusal(principal: Principal, needed: Role, project: str | None, *, is_whole: bool = False) -> str:
    """What somebody lacks, as a sentence."""
    name, roles = principal.name, principal.roles
    if is_whole and roles.projects:
        return f"This needs the role {needed} everywhere, and {name} has roles in projects only."
    if project is not None:
        held = roles.projects.get(project) or roles.everywhere
        return f"This needs the role {needed} in the project {project}, and {name} {_has(held)} there."
    held = max(roles.held, key=RANKS.__getitem__, default=None)
    return f"This needs the role {needed}, and {name} {_has(held)}."


def _has(role: Role | None) -> str:
    return "has none" if role is None else f"has the role {role}"


async def _principal(request: Request) -> Principal | None:
    """Who asks; None: somebody who does not say so. Raises NotSignedIn for what lets nobody in."""
    if request.state.settings.auth is not Auth.REQUIRED:
        return ANYBODY
    proxied = _proxied(request)
    doorkeeper: Doorkeeper = request.state.doorkeeper
    key = _key(request)
    if key is not None:
        if (principal := await doorkeeper.by_key(key)) is None:
            raise NotSignedIn("This API key is unknown, revoked or expired.")
        return principal
    if proxied is not None:
        return proxied
    token = session_of(request)
    if token is None:
        return None
    # A page that follows the changes by itself is no sign of somebody who looks at it.
    is_used = request.url.path != "/events" and "x-live" not in request.headers
    return await doorkeeper.by_session(token, is_used=is_used)


def _key(request: Request) -> str | None:
    """The API key that a request shows; None: none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    # What else a proxy asked for, and passes on, is no business of this service.
    return key.strip() if scheme.lower() == "bearer" else None


def _proxied(request: Request) -> Principal | None:
    """Whom a trusted proxy has signed in; None: nobody. Raises NotSignedIn, NotPermitted."""
    settings: Settings = request.state.settings
    if settings.proxy_user_header is None:
        return None
    given = request.headers.getlist(settings.proxy_user_header)
    groups = request.headers.getlist(settings.proxy_groups_header) if settings.proxy_groups_header else []
    if not given and not groups:
        return None
    if not _is_trusted(settings, _peer(request)):
        raise NotPermitted(
            f"Only proxies in SCHEDULER_TRUSTED_PROXIES may send the header {settings.proxy_user_header}."
        )
    name = given[0].lower() if len(given) == 1 else ""
    if not USER_NAME.fullmatch(name):
        raise NotSignedIn(f"The proxy's header {settings.proxy_user_header} holds no name of a user.")
    named = {group for text in groups for group in map(str.strip, text.split(",")) if group}
    roles = roles_of(name, named, settings.roles)
    if not roles.is_any:
        raise NotPermitted(f"{name} has no group that SCHEDULER_ROLES gives a role.")
    return Principal(ActorKind.USER, roles, name)


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


def try_of(request: Request) -> str | None:
    """How a browser is known that began to sign in elsewhere; None: it did not, or too long ago."""
    return request.cookies.get(TRY_COOKIE_HERE if _is_bare(request) else TRY_COOKIE)


def keep_try(request: Request, response: Response, token: str) -> None:
    """Let the browser be known when it comes back."""
    bare = _is_bare(request)
    name = TRY_COOKIE_HERE if bare else TRY_COOKIE
    response.set_cookie(name, token, TRY_MAX_AGE, path="/", secure=not bare, httponly=True, samesite="lax")


def _cookie(request: Request) -> str:
    return COOKIE_HERE if _is_bare(request) else COOKIE


def _is_bare(request: Request) -> bool:
    """Whether it is a matter of this machine alone, without HTTPS."""
    is_here = without_port(request.headers.get("host", "")) in LOCAL_HOSTS
    is_encrypted = "https" in {request.url.scheme, request.state.settings.base_url.partition(":")[0]}
    return is_here and not is_encrypted


def address_of(request: Request) -> str:
    """From where the request comes: behind proxies that are trusted, the first that is none of them.

    Of IPv6 it is the network that one customer gets.
    """
    found = _peer(request)
    passed_on = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while passed_on and _is_trusted(request.state.settings, found):
        before = place_of(passed_on.pop())
        if before is None:
            break
        found = before
    return "this machine" if found is None else network_of(found)


def comer_of(request: Request, name: str) -> Comer:
    """Who tries to sign in by that name, empty where it is not known yet."""
    program = request.headers.get("user-agent", "unknown program")[:200]
    address = address_of(request)
    return Comer(name[:100], address, f"{program}, {address}")


def _peer(request: Request) -> IPv4Address | IPv6Address | None:
    return place_of(request.client.host if request.client else "")


def _is_trusted(settings: Settings, place: IPv4Address | IPv6Address | None) -> bool:
    return place is not None and any(place in network for network in settings.trusted_proxies)


def can_keep(request: Request) -> bool:
    """Whether the browser will keep a session: it does so over HTTPS, or on this machine."""
    is_encrypted = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
    return is_encrypted or _cookie(request) == COOKIE_HERE
