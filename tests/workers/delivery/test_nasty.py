"""Targets that behave badly: each call ends, is one request, and harms none that follows."""

import asyncio
import re
import socket
import struct

import pytest

from scheduler_api.targets import Failure
from scheduler_api.workers.delivery.client import Call
from tests.workers.delivery.conftest import Run
from tests.workers.delivery.servers import (
    HEAD,
    Behaviour,
    Reader,
    Writer,
    get,
    never_answer,
    opened,
    says,
    target,
)


async def drip_head(reader: Reader, writer: Writer) -> None:
    writer.write(HEAD + b"X-Drip: ")
    await drip(writer, b"a")


async def drip_body(reader: Reader, writer: Writer) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    await drip(writer, b"a")


async def flood_of_interim_answers(reader: Reader, writer: Writer) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def drip(writer: Writer, drop: bytes) -> None:
    while not writer.is_closing():
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(reader: Reader, writer: Writer) -> None:
    kept: socket.socket = writer.get_extra_info("socket")
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


#: What each nasty target leads to. A good call to the same server follows.
NASTY: dict[str, tuple[Behaviour, Failure, float]] = {
    "never answers": (never_answer, Failure.TIMEOUT, 0.2),
    "drips its head": (drip_head, Failure.TIMEOUT, 0.2),
    "drips its body": (drip_body, Failure.TIMEOUT, 0.2),
    "floods with interim answers": (flood_of_interim_answers, Failure.PROTOCOL, 20),
    "resets the connection": (reset, Failure.CONNECT, 20),
    "closes the connection": (says(b""), Failure.CONNECT, 20),
    "closes within the head": (says(HEAD + b"X-Half"), Failure.CONNECT, 20),
    **{
        name: (says(data), Failure.PROTOCOL, 20)
        for name, data in {
            "no HTTP": b"\x16\x03\x01 what?\r\n\r\n",
            "an SSH banner": b"SSH-2.0-OpenSSH_9.2\r\n",
            "odd status": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
            "NUL in a value": HEAD + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
            "NUL in a name": HEAD + b"X\0A: ab\r\nContent-Length: 2\r\n\r\nok",
            "long line": HEAD + b"X-A: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nok",
            "many headers": HEAD + b"X-A: a\r\n" * 10_000 + b"Content-Length: 2\r\n\r\nok",
            "endless status line": b"HTTP/1.1 200 " + b"a" * 100_000,
            "chunked with a length": HEAD
            + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "length, then chunked": HEAD
            + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "negative length": HEAD + b"Content-Length: -2\r\n\r\nok",
            "length too long": HEAD + b"Content-Length: 20\r\n\r\nok",
            "no chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
            "chunk cut off": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nok",
        }.items()
    },
}


#: What comes before an answer breaks off is kept.
KEPT = {"length too long": "ok", "chunk cut off": "ok", "drips its body": "a+"}
#: A library may send again what it regards as harmless to send twice.
LOSING = ("never answers", "resets the connection", "closes the connection", "closes within the head")


@pytest.mark.parametrize(
    ("method", "name"), [*(("POST", name) for name in NASTY), *(("GET", name) for name in LOSING)]
)
def test_nasty_targets(run: Run, method: str, name: str) -> None:
    behaviour, failure, timeout = NASTY[name]

    async def scenario() -> None:
        async with target(behaviour) as server, opened() as client:
            body = b"body" if method == "POST" else None
            answer = await client.call(Call(method, server.url, {}, body, timeout))
            assert answer.failure == failure
            assert re.fullmatch(KEPT.get(name, ""), answer.excerpt or "")
            assert answer.error is not None
            assert answer.error.endswith(".")
            assert answer.timing["total"] > 0
            # One call is one request, and nothing of it is left to harm the next one.
            assert len(server.requests) == 1
            server.behaviour = None
            assert (await get(client, server.url)).body == "fine"
            assert (await get(client, server.url)).body == "fine"
            assert server.connected == 2

    run(scenario())
