"""A way to the server on which single answers can be held back, or everything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.engine import URL

CHUNK = 65536


class Holding:
    """Passes connections on to the server of a URL; `url` leads through it.

    Once armed, it counts what clients send; the answer to the piece of that number comes no more, on that
    connection, until all that is held is let go.
    """

    def __init__(self, url: URL) -> None:
        host = url.query.get("host", url.host)
        port = url.query.get("port", url.port or 5432)
        assert isinstance(host, str)
        self._target = (host, int(str(port)))
        self._countdown = 0
        self._is_dark = False
        self._held: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._base = url
        self.has_held = False

    @property
    def url(self) -> URL:
        """The way through."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._base.set(host="127.0.0.1", port=port, query={})

    def arm(self, number: int) -> None:
        """Hold the answer to what is sent as the `number`-th from now on."""
        self._countdown, self.has_held = number, False

    def darken(self) -> None:
        """Let nothing through any more, in either direction."""
        self._is_dark = True

    def let_go(self) -> None:
        """Let what is held pass."""
        self._countdown, self._is_dark = 0, False
        for released in self._held:
            released.set()
        self._held.clear()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.closing(writer):
            await self._pass_on(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        if host.startswith("/"):
            above = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            above = await asyncio.open_connection(host, port)
        passing = asyncio.Event()
        passing.set()
        pumps = [
            asyncio.create_task(self._up(reader, above[1], passing)),
            asyncio.create_task(self._down(above[0], writer, passing)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First: whoever waits for the pumps may be told to end once more.
            above[1].close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK):
            if self._countdown:
                self._countdown -= 1
                if not self._countdown:
                    self.has_held = True
                    self._hold(passing)
            if self._is_dark:
                self._hold(passing)
                await passing.wait()
            writer.write(data)
            await writer.drain()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self._is_dark:
                    self._hold(passing)
                await passing.wait()
                writer.write(data)
                await writer.drain()

    def _hold(self, passing: asyncio.Event) -> None:
        passing.clear()
        self._held.add(passing)


@contextlib.asynccontextmanager
async def holding(url: URL) -> AsyncIterator[Holding]:
    """The way to the server of `url`, open."""
    way = Holding(url)
    await way.start()
    try:
        yield way
    finally:
        await way.stop()
