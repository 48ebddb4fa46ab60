"""A target that costs next to nothing: it answers every request with 200, as fast as it can be asked.

Run as a program, `python -m benchmarks.receiver`, it writes its port and serves until it is stopped. A GET
tells what came before it: how many other requests, and the last of them.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d" % (status, len(body))
    return head + HEAD_END + body


TAKEN = _answer(b"200 OK", b'{"ok":true}')
#: The clients that are measured know how long their bodies are.
REFUSED = _answer(b"501 Not Implemented", b"{}")


@dataclass
class Tally:
    """What came over all connections."""

    requests: int = 0
    head: bytes = b""
    body: bytes = b""

    def told(self) -> bytes:
        last = {"head": self.head.decode("latin-1"), "body": self.body.decode()}
        return json.dumps({"requests": self.requests} | last).encode()


class Receiver(asyncio.Protocol):
    """One connection, kept open: whole requests are answered in order, however they were cut or joined."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        start = 0
        answers: list[bytes] = []
        while (head_end := received.find(HEAD_END, start)) >= 0:
            head, body_start = received[start:head_end], head_end + len(HEAD_END)
            lowered = head.lower()
            if b"\r\ntransfer-encoding:" in lowered:
                self._transport.write(b"".join([*answers, REFUSED]))
                self._transport.close()
                return
            end = body_start + length_in(lowered)
            if len(received) < end:
                break
            answers.append(self._answer(head, received[body_start:end]))
            start = end
        self._received = received[start:]
        if answers:
            self._transport.write(b"".join(answers))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        tally = self._tally
        if head.startswith(b"GET "):
            return _answer(b"200 OK", tally.told())
        tally.requests += 1
        tally.head, tally.body = head, body
        return TAKEN


def length_in(lowered: bytes) -> int:
    """How long the body is, by a head in small letters."""
    found = lowered.find(LENGTH)
    return 0 if found < 0 else int(lowered[found + len(LENGTH) :].partition(b"\r\n")[0])


async def told_by(port: int) -> dict[str, Any]:
    """What the receiver on this port has seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1" + HEAD_END)
        head = await reader.readuntil(HEAD_END)
        told: dict[str, Any] = json.loads(await reader.readexactly(length_in(head.lower())))
    finally:
        writer.close()
    return told


async def _serve() -> None:
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(
        lambda: Receiver(tally), "127.0.0.1", backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
