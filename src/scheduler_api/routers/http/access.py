"""From where requests may come: the one place that decides it; who asks is looked at afterwards.

Three rules hold always: a request asks for a host that this service answers to (or a page of another
site could reach it by a name that resolves to this machine), and a request that changes something does
not come from a page of another site; and no request comes from a job of this very service. With
`SCHEDULER_AUTH=local` the peer must be this machine, too.
"""

from functools import lru_cache
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_api.contracts.system.problems import Problem
from scheduler_api.routers.http.problems import answer
from scheduler_api.settings import Auth, Settings
from scheduler_api.targets.headers import INSTALLATION

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
#: For probes by address, which know no host name; these paths tell nothing and change nothing.
OPEN_PATHS = {"/healthz", "/readyz"}
#: By what others tell that they pass a request on, beside `x-forwarded-…`, or that it is one of a job.
PASSED_ON = {"forwarded", "via", "x-real-ip", "cf-connecting-ip", "true-client-ip", INSTALLATION}
#: What scrapers ask for, by whatever name they know a replica: with a key, or from this machine.
SCRAPED = {"/metrics", "/metrics/jobs"}
SELF_CALL = "A job does not call this service itself."


class Gate:
    """Lets a request through to the application, or answers 403."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._local = settings.auth is Auth.LOCAL
        self._self_calls = settings.self_calls
        self._hosts = _hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        await answer(Request(scope), problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        """Why the request is not let through; None: it is."""
        if len(Headers(scope=scope).getlist("host")) > 1:
            # Another program on the way may have gone by the other one.
            return Problem(
                title="Bad request.", status=400, detail="Send one Host header.", code="bad_request"
            )
        refusal = self._refusal(scope)
        if refusal is None:
            return None
        return Problem(title="Forbidden.", status=403, detail=refusal, code="forbidden")

    def _refusal(self, scope: Scope) -> str | None:
        """Why the request may not come in, as a sentence; None: it may."""
        headers = Headers(scope=scope)
        if self._local and not _is_this_machine(scope):
            return "This service answers to its own machine only; SCHEDULER_AUTH says who may come in."
        host = without_port(headers.get("host", ""))
        is_scrape = scope["path"] in SCRAPED and ("authorization" in headers or is_direct(scope))
        is_known = self._hosts is None or host in self._hosts or scope["path"] in OPEN_PATHS
        if not is_known and not is_scrape:
            return (
                "This service does not answer to that host name; SCHEDULER_ALLOWED_HOSTS lists those it does."
            )
        sender = headers.get(INSTALLATION)
        if sender is not None and not self._self_calls and sender == scope["state"].get("installation"):
            return f"{SELF_CALL} SCHEDULER_SELF_CALLS allows it."
        if scope["method"] not in SAFE_METHODS and _comes_from_elsewhere(headers):
            return "The request comes from a page of another site."
        return None


def _hosts(settings: Settings) -> frozenset[str] | None:
    """The host names to answer to; None: all."""
    if settings.allowed_hosts:
        return None if "*" in settings.allowed_hosts else frozenset(h.lower() for h in settings.allowed_hosts)
    return frozenset(LOCAL_HOSTS) if settings.auth is Auth.LOCAL else None


def _is_this_machine(scope: Scope) -> bool:
    # The socket's peer, not what a header claims. None: a unix socket, which is local.
    return scope.get("client") is None or _is_loopback(scope["client"][0])


def is_direct(scope: Scope) -> bool:
    """Whether a program on this machine asks, and no proxy on it that passes a request on."""
    headers = Headers(scope=scope)
    client = scope.get("client")
    is_here = client is not None and _is_loopback(client[0])
    return (
        is_here
        and without_port(headers.get("host", "")) in LOCAL_HOSTS
        and not any(name in PASSED_ON or name.startswith("x-forwarded-") for name in headers)
    )


# Each request asks, and few peers come.
@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def without_port(host: str) -> str:
    """The name in a Host header, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _comes_from_elsewhere(headers: Headers) -> bool:
    """Browsers say where a request comes from: by Sec-Fetch-Site, older ones by Origin."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
