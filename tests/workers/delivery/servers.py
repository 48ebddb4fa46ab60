"""Targets on this machine that behave as a test tells them to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from scheduler_api.targets import Answer, Guard
from scheduler_api.workers.delivery.client import Call, Client

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Behaviour = Callable[[Reader, Writer], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class Target:
    """What the server at `url` was asked, and how it answers."""

    def __init__(self, behaviour: Behaviour | None, *, reads: bool = True) -> None:
        self.behaviour = behaviour
        """None: it answers well."""
        self.reads = reads
        """Whether a request is read before the behaviour begins."""
        self.url = ""
        self.requests: list[bytes] = []
        self.connections: set[asyncio.Task[None]] = set()
        self.connected = 0

    async def serve(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        self.connected += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self.connections.discard(task)

    async def _answer(self, reader: Reader, writer: Writer) -> bool:
        if not self.reads:
            assert self.behaviour is not None
            await self.behaviour(reader, writer)
            return False
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
        )
        self.requests.append(head + await reader.readexactly(int(length.partition(b":")[2])))
        if self.behaviour is not None:
            await self.behaviour(reader, writer)
            return False
        writer.write(OK)
        await writer.drain()
        return True

    async def quiet(self) -> None:
        """Wait until every connection has ended."""
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.wait(self.connections)


@asynccontextmanager
async def target(
    behaviour: Behaviour | None = None, encryption: ssl.SSLContext | None = None, *, reads: bool = True
) -> AsyncIterator[Target]:
    """A server; at the end no connection to it may be left."""
    made = Target(behaviour, reads=reads)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=encryption)
    made.url = f"{'https' if encryption else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield made
        await made.quiet()
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def opened(guard: Guard | None = None, idle: int = 200) -> AsyncIterator[Client]:
    client = Client(Guard(loopback=True) if guard is None else guard, idle)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


async def get(client: Client, url: str, timeout: float = 20) -> Answer:
    return await client.call(Call("GET", url, {}, None, timeout))


async def post(client: Client, url: str, timeout: float = 20) -> Answer:
    return await client.call(Call("POST", url, {"Content-Type": "text/plain"}, b"body", timeout))


def says(data: bytes) -> Behaviour:
    """Answer with these bytes, then close."""

    async def behaviour(_: Reader, writer: Writer) -> None:
        writer.write(data)
        await writer.drain()

    return behaviour


async def never_answer(reader: Reader, writer: Writer) -> None:
    await reader.read()
