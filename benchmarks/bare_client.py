"""The yardstick of the deliveries: the service's HTTP client by itself, without ledger, guard or deadline.

A program of its own: it reads what to send from its standard input and writes what it saw to its standard
output, both as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from time import perf_counter
from typing import Any

import aiohttp
import uvloop


async def deliver(order: dict[str, Any]) -> dict[str, float]:
    """As many calls as ordered, so many at a time; calls per second."""
    urls = islice(cycle(order["urls"]), order["calls"])
    body = order["body"].encode()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=order["headers"]) as session:
        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(order["concurrency"]):
                group.create_task(_call_each(session, urls, body))
        seconds = perf_counter() - began
    return {"rate": order["calls"] / seconds}


async def _call_each(session: aiohttp.ClientSession, urls: Iterator[str], body: bytes) -> None:
    for url in urls:
        async with session.post(url, data=body) as response:
            await response.read()
            response.raise_for_status()


def main() -> None:
    order = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(deliver(order)), sys.stdout)


if __name__ == "__main__":
    main()
