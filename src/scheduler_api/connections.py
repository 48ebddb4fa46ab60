"""The connections of clients: none keeps others out by keeping still.

uvicorn waits for the head of a request as long as a client likes, and takes one of any size. Here a
connection is either busy, from the end of a head to the end of its answer, or it waits for a head: for ten
seconds at most, and only as long as nobody else needs its place.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from scheduler_api.contracts.system.problems import OF_HTTP, Problem

#: Bytes of a request's head, and seconds that a client has for it, from the end of the answer before.
MAX_HEAD, HEAD_DEADLINE = 32 * 1024, 10.0
#: Seconds for which a client may take nothing of an answer that waits for it.
STALL_DEADLINE = 60.0
#: Seconds between two looks at who is late.
LOOK = 0.5
#: Places that only those take who wait for a head, or ask for these paths, which tell how we are.
SPARE, PROBES = 16, frozenset({"/healthz", "/readyz"})
#: Bytes that are parsed at once: by so many more than allowed may a head grow before it is noticed.
SLICE = 4096
#: Requests that may wait behind another one on the same connection.
PIPELINE_LIMIT = 64
#: Work for these ends when their client has gone: it changes nothing.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Connections:
    """All connections of one server."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._all: set[ClientConnection] = set()
        # Since when each waits for a head, or takes nothing of its answer, the longest first.
        self._waiting: dict[ClientConnection, float] = {}
        self._stalled: dict[ClientConnection, float] = {}
        self._look: asyncio.TimerHandle | None = None

    @property
    def are_full(self) -> bool:
        """Whether so many are busy that only probes are answered."""
        return len(self._all) - len(self._waiting) > self.limit - SPARE

    def opened(self, connection: "ClientConnection") -> None:
        """There is a new one. If that is one too many, the one that has waited longest goes."""
        self._all.add(connection)
        self.waits(connection)
        if len(self._all) > self.limit:
            # There is always one that waits, if only the new one itself.
            self._drop(next(iter(self._waiting)), HTTPStatus.SERVICE_UNAVAILABLE)
        if self._look is None:
            self._look_later(connection.loop)

    def closed(self, connection: "ClientConnection") -> None:
        """It has ended."""
        for kept in (self._waiting, self._stalled):
            kept.pop(connection, None)
        self._all.discard(connection)

    def waits(self, connection: "ClientConnection") -> None:
        """It waits for a head."""
        self._waiting[connection] = connection.loop.time()

    def works(self, connection: "ClientConnection") -> None:
        """Its head has come."""
        self._waiting.pop(connection, None)

    def stalls(self, connection: "ClientConnection") -> None:
        """Its client takes nothing of what is sent."""
        self._stalled.setdefault(connection, connection.loop.time())

    def flows(self, connection: "ClientConnection") -> None:
        """Its client takes it again."""
        self._stalled.pop(connection, None)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(LOOK, self._look_around, loop)

    def _look_around(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        for connection in _before(loop.time() - HEAD_DEADLINE, self._waiting.items()):
            self._drop(connection, HTTPStatus.REQUEST_TIMEOUT)
        for connection in _before(loop.time() - STALL_DEADLINE, self._stalled.items()):
            connection.transport.abort()
        if self._all:
            self._look_later(loop)

    def _drop(self, connection: "ClientConnection", status: HTTPStatus) -> None:
        self.works(connection)
        # It is closed as soon as the client has taken what is still on the way to it.
        self.stalls(connection)
        connection.drop(status)


def _before(instant: float, since: Iterable[tuple["ClientConnection", float]]) -> list["ClientConnection"]:
    """Those whose time lies before an instant, of many in the order of their times."""
    found = []
    for connection, at in since:
        if at > instant:
            break
        found.append(connection)
    return found


SENTENCES = {
    HTTPStatus.BAD_REQUEST: "This is not valid HTTP.",
    HTTPStatus.REQUEST_TIMEOUT: f"The head of the request did not come within {HEAD_DEADLINE:g} s.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"The head of a request has at most {MAX_HEAD:,} bytes.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too many requests in progress; try again in a moment.",
}


def _headers_and_body(status: HTTPStatus) -> tuple[list[tuple[bytes, bytes]], bytes]:
    code, title = OF_HTTP[status]
    problem = Problem(title=title, status=status, detail=SENTENCES[status], code=code)
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "connection": "close",
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "5"
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer that there is no room."""
    headers, body = _headers_and_body(HTTPStatus.SERVICE_UNAVAILABLE)
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _HeadTooLarge(Exception):
    """The head of a request is larger than it may be."""


class ClientConnection(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._whole, self.app = self.app, self._answer
        self._connections = connections
        # Whether a head has begun and not ended; its bytes, but for those that came in one slice with the
        # end of what was before it.
        self._has_begun = False
        self._received = 0
        self._is_too_large = self._is_gone = False
        # What is being answered, and by whom, where that may be ended.
        self._answered: RequestResponseCycle | None = None
        self._task: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin."""
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and with it the work that nobody else needs."""
        self._connections.closed(self)
        self._is_gone = True
        super().connection_lost(exc)
        if self._answered is not None:
            # The server tells only the request that came last.
            self._answered.disconnected = True
            self._answered.message_event.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came, slice by slice."""
        if len(data) <= SLICE:
            self._parse(data)
            return
        for start in range(0, len(data), SLICE):
            self._parse(data[start : start + SLICE])

    def _parse(self, data: bytes) -> None:
        if self._is_too_large or self.transport.is_closing():
            return
        if self._has_begun:
            self._received += len(data)
        super().data_received(data)
        if self._has_begun and self._received > MAX_HEAD:
            self._is_too_large = True
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._has_begun, self._received = True, 0

    def on_headers_complete(self) -> None:
        """A head has come: answer, or do so once the requests before it are answered."""
        if self._received > MAX_HEAD - SLICE or len(self.pipeline) >= PIPELINE_LIMIT:
            self._check_size()
        self._has_begun = False
        self._connections.works(self)
        super().on_headers_complete()
        if self.pipeline:
            # The server reads no more until it comes to this one, and would not notice that the client goes.
            self.flow.resume_reading()

    def _check_size(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if size > MAX_HEAD or len(self.pipeline) >= PIPELINE_LIMIT:
            self._is_too_large = True
            # The parser stops, and has send_400_response called.
            raise _HeadTooLarge

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - as the server calls it
        """Answer what is no request, or none that is taken."""
        too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._end(too_large if self._is_too_large else HTTPStatus.BAD_REQUEST)

    def on_response_complete(self) -> None:
        """An answer is sent: go on with the next request, or wait for one."""
        self._answered = self._task = None
        if not self.pipeline:
            self._connections.waits(self)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client takes less than is sent."""
        self._connections.stalls(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has taken most of it."""
        self._connections.flows(self)
        super().resume_writing()

    def drop(self, status: HTTPStatus) -> None:
        """Close the connection, which waits for a head; whoever has begun one is told why."""
        if self.transport.is_closing():
            self.transport.abort()
        elif self._has_begun:
            self._end(status)
        else:
            self.transport.close()

    def _end(self, status: HTTPStatus) -> None:
        """Answer so, and close; or close once those are answered who asked before."""
        if self.transport.is_closing():
            return
        if self._answered is not None:
            self.cycle.keep_alive = False
            return
        headers, body = _headers_and_body(status)
        lines = [
            name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers + headers
        ]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer; where that changes nothing, only as long as the client is there."""
        # Work for clients that have gone counts, too.
        are_full = self._connections.are_full or len(self.tasks) > self._connections.limit
        app = _refuse if are_full and scope["path"] not in PROBES else self._whole
        if scope["method"] not in SAFE_METHODS:
            await app(scope, receive, send)
            return
        if self._is_gone:
            return
        self._task = asyncio.current_task()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn, too, cancels, and has a word for it; here nobody is left to tell.
            if not self._is_gone:
                raise
