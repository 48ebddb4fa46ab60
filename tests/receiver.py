"""A target for tests: answers as it is told, and remembers what it was asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Receiver:
    """A running server, on a port of its own, or several."""

    url: str = ""
    urls: list[str] = field(default_factory=list)
    """One for each of its ports."""
    requests: list[tuple[web.BaseRequest, bytes]] = field(default_factory=list)
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
    """How it answers; None: 200."""
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _held: list[asyncio.Event] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request, body))
        async with self._arrived:
            self._arrived.notify_all()
        return web.Response(text="ok") if self.answer is None else await self.answer(request)

    def hold(self) -> asyncio.Event:
        """Answer only when the event is set; at the end it is."""
        go_on = asyncio.Event()
        self._held.append(go_on)

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            await go_on.wait()
            return web.Response()

        self.answer = answer
        return go_on

    def let_go(self) -> None:
        """Answer all that is held."""
        for go_on in self._held:
            go_on.set()

    async def arrived(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    def always(self, status: int, text: str = "", **headers: str) -> None:
        """Answer like this from now on."""

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=status, text=text, headers=headers)

        self.answer = answer


@contextlib.asynccontextmanager
async def receiving(ports: int = 1, encryption: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0)
    await runner.setup()
    for _ in range(ports):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=encryption).start()
    scheme = "http" if encryption is None else "https"
    receiver.urls = [f"{scheme}://{host}:{port}/hook" for host, port, *_ in runner.addresses]
    receiver.url = receiver.urls[0]
    try:
        yield receiver
    finally:
        receiver.let_go()
        await runner.cleanup()
