"""A network between the replicas and their database that can be slow, silent, or break."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from functools import partial
from pathlib import Path

CHUNK = 65536
RESET_AT_ONCE = struct.pack("ii", 1, 0)


class Proxy:
    """Takes connections on two ports of this machine, and passes them on to the Unix sockets of two servers.

    The second one is a standby, or the first one's successor, or nobody is there.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._paths: list[Path | None] = [path, None]
        self._random = random.Random(f"{seed} proxy")
        self._restored = asyncio.Event()
        self._silent = 0.0
        self._late: deque[float] = deque()
        self._released = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._pairs: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.delay = (0.0, 0.0)
        """Seconds that each piece of data takes, from … to …."""
        self.ports: list[int] = []
        self.held = 0
        """How many answers are held back at the moment."""

    async def start(self) -> None:
        """Listen on free ports."""
        for place in range(len(self._paths)):
            serve = partial(self._serve, place)
            server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._pairs):
            task.cancel()
        if self._pairs:
            await asyncio.wait(list(self._pairs))

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._pairs)

    def silence(self, share: float) -> None:
        """Let nothing through on a share of the connections, not even their end."""
        self._silent = share
        self._restored.clear()

    def put(self, place: int, path: Path) -> None:
        """Pass the connections to one of the ports on to another socket from now on."""
        self._paths[place] = path

    def hold(self, seconds: float) -> None:
        """Let the next answer, on whatever connection, take so long; nothing overtakes it."""
        self._late.append(seconds)

    def release(self) -> None:
        """Let the answers go that are held, and hold no further ones."""
        self._late.clear()
        self._released.set()

    def restore(self) -> None:
        """Let everything through at once, what was held back first; but for a single answer that is late."""
        self.delay = (0.0, 0.0)
        self._silent = 0.0
        self._restored.set()

    def reset(self, share: float) -> None:
        """Break a share of the connections, without a word to either side about what arrived."""
        for task, client in list(self._pairs.items()):
            if self._random.random() < share:
                _break(client)
                task.cancel()

    async def _serve(self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = writer
        try:
            await self._pair(place, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            del self._pairs[task]

    async def _pair(self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self._random.random()
        await self._passable(fate)
        path = self._paths[place]
        if path is None:
            return
        server_reader, server_writer = await asyncio.open_unix_connection(str(path))
        pumps = [
            asyncio.create_task(self._pump(fate, reader, server_writer, answers=False)),
            asyncio.create_task(self._pump(fate, server_reader, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First: whoever waits for the pumps may be told to end once more.
            server_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _passable(self, fate: float) -> None:
        while fate < self._silent:
            await self._restored.wait()

    async def _keep_back(self, seconds: float) -> None:
        self.held += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._released.wait()
        finally:
            self.held -= 1

    async def _pump(
        self, fate: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await reader.read(CHUNK)
                if answers and data and self._late:
                    await self._keep_back(self._late.popleft())
                if self.delay[1]:
                    await asyncio.sleep(self._random.uniform(*self.delay))
                await self._passable(fate)
                if not data:
                    return
                writer.write(data)
                await writer.drain()


def _break(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
    writer.transport.abort()
