"""Requests over keep-alive connections, as fast as the answers come.

A program of its own, so that it takes no time from the server's process: it reads what to send from its
standard input and writes what it saw to its standard output, both as JSON.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import Any, cast

import uvloop

#: Seconds for the last answers to come.
PATIENCE = 10.0
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"


@dataclass
class Tally:
    """What all connections saw together."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    stop_at: float = 0.0


class Client(asyncio.Protocol):
    """One connection with one request in flight."""

    def __init__(self, requests: list[bytes], start: int, status: bytes, tally: Tally) -> None:
        self._requests = cycle(requests[start:] + requests[:start])
        self._status = status
        self._tally = tally
        self._received = bytearray()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(HEAD_END)
        if head < 0 or len(self._received) < head + len(HEAD_END) + self._length(head):
            return
        if not self._received.startswith(self._status, len(b"HTTP/1.1 ")):
            self._tally.wrong.append(self._received.decode(errors="replace"))
            self._transport.close()
            return
        self._received.clear()
        self._tally.answers += 1
        if perf_counter() < self._tally.stop_at:
            self._transport.write(next(self._requests))
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or self._received:
            self._tally.wrong.append(f"connection lost: {exc}")
        self.closed.set_result(None)

    def _length(self, head: int) -> int:
        lowered = bytes(self._received[:head]).lower()
        start = lowered.index(LENGTH) + len(LENGTH)
        return int(lowered[start:].partition(b"\r\n")[0])


async def load(order: dict[str, Any]) -> dict[str, Any]:
    """Keep the connections busy for the ordered time; answers per second, and the first wrong one."""
    requests = [request.encode() for request in order["requests"]]
    tally = Tally(stop_at=perf_counter() + order["seconds"])
    began = perf_counter()
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(order["connections"]):
        start = number * len(requests) // order["connections"]
        _, client = await loop.create_connection(
            lambda start=start: Client(requests, start, order["status"].encode(), tally),  # type: ignore[misc]  # its default is not inferred
            "127.0.0.1",
            order["port"],
        )
        clients.append(client)
    async with asyncio.timeout(order["seconds"] + PATIENCE):
        await asyncio.gather(*(client.closed for client in clients))
    rate = tally.answers / (perf_counter() - began)
    return {"rate": rate, "answers": tally.answers, "wrong": tally.wrong[:1]}


def main() -> None:
    order = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(load(order)), sys.stdout)


if __name__ == "__main__":
    main()
