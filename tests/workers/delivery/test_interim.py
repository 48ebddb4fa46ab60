"""Informational answers (1xx): some are fine, too many end the call, and none holds up all others."""

import asyncio
import contextlib
from typing import Any

import pytest

from scheduler_api.targets import Failure
from scheduler_api.workers.delivery.connector import INFORMATIONAL_LIMIT, Answers
from tests.workers.delivery.conftest import Run
from tests.workers.delivery.servers import OK, Reader, Writer, get, opened, post, says, target

INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
    "mixed": b"HTTP/1.1 100\r\n\r\nHTTP/1.1 199 X\r\n\r\n",
}


@pytest.mark.parametrize("kind", ["100", "102", "103"])
def test_so_many_are_left_out(run: Run, kind: str) -> None:
    async def scenario() -> None:
        async with target(says(INTERIM[kind] * INFORMATIONAL_LIMIT + OK)) as server, opened() as client:
            answer = await post(client, server.url)
            assert (answer.status, answer.body, answer.failure) == (200, "fine", None)

    run(scenario())


@pytest.mark.parametrize("kind", ["100", "102", "103"])
def test_one_more_ends_the_call(run: Run, kind: str) -> None:
    async def scenario() -> None:
        behaviour = says(INTERIM[kind] * (INFORMATIONAL_LIMIT + 1) + OK)
        async with target(behaviour) as server, opened() as client:
            answer = await post(client, server.url)
            assert (answer.status, answer.failure) == (None, Failure.PROTOCOL)
            assert answer.error == "The target's answer is no valid HTTP: more than 20 informational answers."

    run(scenario())


def test_each_call_on_a_connection_has_as_many(run: Run) -> None:
    async def behaviour(reader: Reader, writer: Writer) -> None:
        for _ in range(3):
            writer.write(INTERIM["102"] * INFORMATIONAL_LIMIT + OK)
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")

    async def scenario() -> None:
        async with target(behaviour) as server, opened() as client:
            assert [(await get(client, server.url)).body for _ in range(3)] == ["fine"] * 3
            assert server.connected == 1

    run(scenario())


async def endlessly(data: bytes, pause: float, writer: Writer) -> None:
    while not writer.is_closing():
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


@pytest.mark.parametrize("kind", INTERIM)
@pytest.mark.parametrize(("times", "pause"), [(1, 0.001), (20_000, 0)])
def test_endless_ones_end_the_call_and_hold_nobody_up(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: str, times: int, pause: float
) -> None:
    heads = 0
    feed = Answers.feed_data

    def count(self: Answers, *args: Any) -> None:
        nonlocal heads
        heads += 1
        feed(self, *args)

    monkeypatch.setattr(Answers, "feed_data", count)

    async def behaviour(_: Reader, writer: Writer) -> None:
        await endlessly(INTERIM[kind] * times, pause, writer)

    async def scenario() -> None:
        async with target(behaviour) as server, opened() as client:
            answer = await post(client, server.url)
            assert answer.failure is Failure.PROTOCOL

    run(scenario())
    # Thousands come with one read.
    assert INFORMATIONAL_LIMIT < heads < 100


def test_what_is_large_is_no_slower_for_it(run: Run) -> None:
    async def scenario() -> None:
        head = b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * (3000) + b"\r\nContent-Length: 60000\r\n\r\n"
        async with target(says(INTERIM["103"] + head + b"b" * 60_000)) as server, opened() as client:
            answer = await get(client, server.url)
            assert (answer.status, answer.body) == (200, "b" * 60_000)

    run(scenario())


def test_no_more_connections_are_kept_than_there_is_room_for(run: Run) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(target()) for _ in range(4)]
            client = await stack.enter_async_context(opened(idle=2))
            for server in servers * 2:
                assert (await get(client, server.url)).body == "fine"
            # The first two are kept; the others connect anew.
            assert [server.connected for server in servers] == [1, 1, 2, 2]

    run(scenario())
