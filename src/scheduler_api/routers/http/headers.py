"""What goes with every answer: a request id, headers that tie the browser's hands, and compression."""

import re
from collections.abc import Iterable
from secrets import token_hex

import structlog
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def _raw(policy: str) -> list[tuple[bytes, bytes]]:
    headers = COMMON | {"content-security-policy": policy}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


PAGE_HEADERS, DATA_HEADERS = _raw(PAGE_POLICY), _raw(DATA_POLICY)
#: Where a request keeps what its answer tells of quotas (draft-ietf-httpapi-ratelimit-headers).
RATE_LIMIT = "ratelimit"
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class HeadAsGet:
    """Answers HEAD as it would GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "body": b""} if is_body else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class StandardHeaders:
    """Adds the headers, and binds the request id to the log lines of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else token_hex(16)
        own = (b"x-request-id", request_id.encode())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message.get("headers", ()))
                is_page = any(n == b"content-type" and v.startswith(b"text/html") for n, v in headers)
                headers += PAGE_HEADERS if is_page else DATA_HEADERS
                headers += scope.get(RATE_LIMIT, ())
                headers.append(own)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_headers)


VARY = (b"vary", b"Accept-Encoding")


class Compression(GZipMiddleware):
    """Compresses large answers for clients that take them so. Those of others pass, and say that it depends.

    The library would look at each of them twice, which takes a tenth of what a request costs but for the
    database.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")

        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                # Of those that it compresses, the library says so.
                if not takes_gzip or not _says_so(headers):
                    message = {**message, "headers": [*headers, VARY]}
            await send(message)

        await (super().__call__ if takes_gzip else self.app)(scope, receive, send_varying)


def _says_so(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"vary" and b"accept-encoding" in value.lower() for name, value in headers)
