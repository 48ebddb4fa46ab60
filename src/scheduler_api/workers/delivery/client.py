"""The client for targets: one call in, one answer out, whatever the other side does."""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, NamedTuple

import aiohttp
from aiohttp import hdrs
from yarl import URL

from scheduler_api import __version__
from scheduler_api.errors import OutOfDescriptors
from scheduler_api.targets import Answer, Failure, Guard
from scheduler_api.workers.delivery.answers import MAX_READ, beginning, decoded
from scheduler_api.workers.delivery.connector import Connector
from scheduler_api.workers.delivery.deadlines import Deadlines
from scheduler_api.workers.delivery.sockets import MARKS, Encryption, Marks, Resolver, socket_factory

#: Shorter than the five seconds after which common servers close an idle connection: a request sent
#: at that very moment would be lost.
KEEP_ALIVE = 4.0
#: A line of an answer's head, and the number of its headers.
MAX_LINE = 8190
MAX_HEADERS = 100

_MAX_RETRY_AFTER = 100
_MAX_REASON = 200
_CONTENT_TYPE = "Content-Type"
_USER_AGENT = f"scheduler-api/{__version__}"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Call(NamedTuple):
    """A request to make."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    """Seconds for everything, from the lookup of the name to the end of the body."""
    encryption: Encryption | None = None
    """None: as for most, with the authorities of this machine."""
    secrets: tuple[str, ...] = ()
    """What else than its headers tell must not be kept of the answer."""


class _Stale(aiohttp.ClientConnectionError):
    """There is an answer on the connection already, to nothing that was asked."""


class _Request(aiohttp.ClientRequest):
    DEFAULT_HEADERS = {  # noqa: RUF012 - as declared by the library
        hdrs.ACCEPT: "*/*",
        hdrs.ACCEPT_ENCODING: "identity",
    }

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        # Defaults of the session would be merged anew for every call.
        if hdrs.USER_AGENT not in self.headers:
            self.headers[hdrs.USER_AGENT] = _USER_AGENT
        super().update_auto_headers(skip_auto_headers)

    def send(self, conn: aiohttp.connector.Connection) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        # A server that talks on an idle connection must not have that taken for the next answer.
        if conn.protocol is None or conn.protocol.should_close:
            raise _Stale
        return super().send(conn)


class Client:
    """Makes calls, many at a time."""

    def __init__(self, guard: Guard, idle: int = 200) -> None:
        self._guard = guard
        # How many connections are kept for calls to come.
        self._idle = idle
        self._resolver: Resolver | None = None
        self._deadlines: Deadlines | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready, in the event loop that the calls are made in."""
        self._resolver = Resolver(self._guard)
        self._deadlines = Deadlines(asyncio.get_running_loop())
        connector = Connector(
            self._idle,
            limit=0,
            resolver=self._resolver,
            use_dns_cache=False,
            socket_factory=socket_factory(self._guard),
            ssl=Encryption(),
            keepalive_timeout=KEEP_ALIVE,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        # One call is one request: whoever counts attempts must know of each. There is no public switch.
        self._session._retry_connection = False  # noqa: SLF001 - no option says so

    async def close(self) -> None:
        """Drop all connections. Calls in progress fail."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def call(self, call: Call) -> Answer:
        """Make the request, and tell what came of it.

        Raises nothing but CancelledError, and OutOfDescriptors where it could not be made for want of one.
        """
        session, deadlines = self._session, self._deadlines
        assert session is not None
        assert deadlines is not None
        marks = Marks()
        MARKS.set(marks)
        response, data = None, bytearray()
        try:
            with deadlines.within(call.timeout):
                try:
                    response = await _request(session, call)
                except _Stale:
                    response = await _request_again(session, call, marks)
                marks.answered = marks.now()
                try:
                    await _read(response, data)
                finally:
                    if not response.closed:
                        response.close()
        except Exception as error:
            if marks.is_starved:
                raise OutOfDescriptors from error
            failure, sentence = _STOPPED if session.closed else _explain(error, marks, call)
            if response is None:
                return Answer(None, failure, sentence, None, None, truncated=False, timing=marks.timing())
            # What came before it broke off may tell why.
            return _answer(response, bytes(data), marks)._replace(failure=failure, error=sentence)
        return _answer(response, bytes(data), marks)


def _request(session: aiohttp.ClientSession, call: Call) -> Awaitable[aiohttp.ClientResponse]:
    method, url, headers, body, *_ = call
    encryption = True if call.encryption is None else call.encryption
    # The type of the content is for the target to say, not for the library.
    skipped = None if _CONTENT_TYPE in headers else (_CONTENT_TYPE,)
    return session.request(
        method,
        _url(url),
        headers=headers,
        data=body,
        allow_redirects=False,
        skip_auto_headers=skipped,
        ssl=encryption,
    )


def _url(text: str) -> URL:
    # What is encoded already stays letter for letter: it may be part of a signature.
    return URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)


async def _request_again(session: aiohttp.ClientSession, call: Call, marks: Marks) -> aiohttp.ClientResponse:
    """Try the next connection: nothing was sent on the one before, which is closed."""
    while True:
        try:
            return await _request(session, call)
        except _Stale:
            if marks.connecting:
                raise


async def _read(response: aiohttp.ClientResponse, data: bytearray) -> None:
    """Read the body into `data`, or a byte more than is looked at."""
    content = response.content
    while len(data) <= MAX_READ:
        chunk = await content.read(MAX_READ + 1 - len(data))
        if not chunk:
            return
        data += chunk


def _answer(response: aiohttp.ClientResponse, data: bytes, marks: Marks) -> Answer:
    headers = response.headers
    text = decoded(data, headers.get(hdrs.CONTENT_TYPE, ""), headers.get(hdrs.CONTENT_ENCODING, ""))
    excerpt, truncated = beginning(text)
    status, retryafter = response.status, _retry_after(response)
    return Answer(status, None, None, retryafter, _clean(excerpt), truncated, marks.timing(), text)


def _retry_after(response: aiohttp.ClientResponse) -> str | None:
    text = response.headers.get(hdrs.RETRY_AFTER)
    return text if text is not None and len(text) <= _MAX_RETRY_AFTER and text.isascii() else None


def _clean(text: str) -> str:
    """The text without what cannot be stored or would garble a terminal."""
    return text if text.isprintable() else _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def _explain(error: Exception, marks: Marks, call: Call) -> tuple[Failure, str]:
    """What kind of failure an error is, and a sentence on it for people."""
    if marks.refusal is not None:
        return Failure.BLOCKED, marks.refusal
    if isinstance(error, TimeoutError):
        return _late(marks, call)
    reason = _reason(error)
    if isinstance(error, aiohttp.ClientConnectorError) and marks.is_securing:
        return Failure.TLS, f"No encrypted connection to the target: {reason}."
    if isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, ssl.SSLError):
        return Failure.TLS, f"The target ended the encrypted connection: {reason}."
    for kinds, failure, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return failure, sentence.format(reason)
    return Failure.BLOCKED, f"The request could not be made: {reason}."


def _late(marks: Marks, call: Call) -> tuple[Failure, str]:
    within = f"within {call.timeout:g} s"
    if marks.queued:
        return (
            Failure.BUSY,
            f"Too many other names were being looked up; this one's turn did not come {within}.",
        )
    return Failure.TIMEOUT, f"The target did not answer in full {within}."


_STOPPED = (Failure.LOST, "The service stopped while it made the call.")

#: The first that fits counts.
_SENTENCES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure, str], ...] = (
    (aiohttp.ClientConnectorDNSError, Failure.DNS, "The target's name could not be looked up: {}."),
    (aiohttp.ClientSSLError, Failure.TLS, "No encrypted connection to the target: {}."),
    (aiohttp.ClientConnectorError, Failure.CONNECT, "No connection to the target: {}."),
    (_Stale, Failure.PROTOCOL, "The target spoke before it was asked."),
    (
        (aiohttp.ClientResponseError, aiohttp.ClientPayloadError),
        Failure.PROTOCOL,
        "The target's answer is no valid HTTP: {}.",
    ),
    (
        (aiohttp.ClientConnectionError, OSError),
        Failure.CONNECT,
        "The target closed the connection before it had answered.",
    ),
)


def _reason(error: Exception) -> str:
    """The core of an error's message."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            inner = error.certificate_error
            text = getattr(inner, "verify_message", "") or str(inner)
        case aiohttp.ClientConnectorError():
            text = _system_reason(error.os_error)
        case aiohttp.ClientResponseError():
            text = error.message
        case aiohttp.ClientPayloadError():
            text = getattr(error.__cause__, "message", "") or str(error)
        case _:
            text = str(error)
    line = _clean(text.strip().partition("\n")[0])[:_MAX_REASON].rstrip(" .:")
    return line or type(error).__name__


def _system_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    # The loops have words of their own for what the system says.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
