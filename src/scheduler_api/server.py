"""The HTTP server: uvicorn, with our own connections."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_api import __version__
from scheduler_api.connections import ClientConnection, Connections
from scheduler_api.descriptors import Shares
from scheduler_api.errors import Misconfigured
from scheduler_api.settings import Settings

log = structlog.get_logger(__name__)

#: Seconds that requests in progress have after SIGTERM, and that a connection is kept for the next request.
GRACE_PERIOD, KEEP_ALIVE = 20, 5
#: New objects between two collections of the youngest; Python's default of 700 is a few requests.
GARBAGE = 20_000


class WithState:
    """Hands the lifespan's state to each request, as an ASGI server does."""

    def __init__(self, app: ASGIApp, state: Mapping[str, Any]) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        scope["state"] = dict(self._state)
        await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM, but does not raise them anew: the database is still to be closed."""

    def __init__(self, config: uvicorn.Config, asked_to_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._asked_to_stop = asked_to_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        if not self.should_exit:
            log.info("stopping: what is in progress may end", signal=signal.Signals(sig).name)
        self._asked_to_stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear signals from here on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = "localhost" if host in {"127.0.0.1", "::1"} else host
            log.info(f"serving on http://{shown}:{port}/jobs", version=__version__)  # noqa: G004 - read by people


def spare_the_collector() -> None:
    """What is loaded by now stays for good: the garbage collector need not walk over it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def listening(settings: Settings, backlog: int) -> socket.socket:
    """The port, taken before anything else is started. Raises Misconfigured if it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=backlog)
    except OSError as error:
        raise Misconfigured(
            f"The port {settings.port} on {settings.host} cannot be listened on ({error.strerror}); "
            "name another with --port or SCHEDULER_PORT."
        ) from None


def configuration(app: ASGIApp, settings: Settings, share: Shares) -> uvicorn.Config:
    """uvicorn's, for a server that has its share of connections."""
    protocol = partial(ClientConnection, connections=Connections(share.connections))
    return uvicorn.Config(
        app,
        lifespan="off",
        # The library asks for a class, and calls it.
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        # What a header says of the peer is not believed: the gate judges the socket.
        proxy_headers=False,
        backlog=share.backlog,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE_PERIOD,
    )
