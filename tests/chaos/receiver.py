"""The target of the jobs: a process of its own that writes each request down before it answers.

    python -m tests.chaos.receiver FILE PORTS

It says its ports in one line of JSON, and ends when its input does.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import time
from pathlib import Path
from typing import IO

from aiohttp import web

#: Seconds that a call of it may take; what is not answered then counts as not answered.
TIMEOUT = 2
#: How many of all answers take their time: somebody always waits for one when a replica dies.
SLOW_SHARE = 0.2
CONTROL, ALERTS = "/control", "/alerts"
BAD_WAYS = ("error", "hang", "drip", "reset", "redirect", "busy")
#: The status of an answer that arrives whole and in time.
STATUSES = {"good": 200, "error": 500, "redirect": 302, "busy": 429}


class Receiver:
    """Answers as it was told last."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._random = random.Random()
        self._share = 0.0
        self._ways: list[str] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == CONTROL:
            told = json.loads(body)
            self._share, self._ways = told["share"], told["ways"]
            self._random.seed(told["seed"])
            return web.Response()
        if request.path == ALERTS:
            return await self._alert(request)
        way = self._random.choice(self._ways) if self._random.random() < self._share else "good"
        line = json.loads(body) | {
            "id": request.headers.get("webhook-id"),
            "answer": STATUSES.get(way),
            "way": way,
            "at": time.time(),
        }
        self._write(line)
        if self._random.random() < SLOW_SHARE:
            await asyncio.sleep(self._random.uniform(0.1, 0.6 * TIMEOUT))
        return await self._answer(request, way)

    async def _alert(self, request: web.BaseRequest) -> web.Response:
        """Take an alert: who sends it may die before it is answered."""
        self._write({"message": request.headers["webhook-id"], "at": time.time()})
        await asyncio.sleep(self._random.uniform(0, 2))
        return web.Response()

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    async def _answer(self, request: web.BaseRequest, way: str) -> web.StreamResponse:
        match way:
            case "hang":
                await asyncio.sleep(TIMEOUT * 2)
            case "drip":
                return await _drip(request)
            case "reset":
                _reset(request)
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})
            case "busy":
                return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(status=STATUSES.get(way, 200), text="ok")


async def _drip(request: web.BaseRequest) -> web.StreamResponse:
    """An answer that begins at once, and does not end in time."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    with contextlib.suppress(OSError):
        await response.prepare(request)
        for _ in range(TIMEOUT * 4):
            await response.write(b".")
            await asyncio.sleep(0.5)
    _reset(request)
    return response


def _reset(request: web.BaseRequest) -> None:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()


async def main(path: str, count: str) -> None:
    """Serve until nobody is there any more."""
    with Path(path).open("a", encoding="utf-8") as file:
        runner = web.ServerRunner(web.Server(Receiver(file).handle))
        await runner.setup()
        for _ in range(int(count)):
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=512, shutdown_timeout=0).start()
        print(json.dumps([address[1] for address in runner.addresses]), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
