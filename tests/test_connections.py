"""Connections of clients: none keeps others out by keeping still; and HTTP stays what it is."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from scheduler_api import connections as module
from scheduler_api import server
from scheduler_api.connections import MAX_HEAD, SPARE
from scheduler_api.descriptors import Shares
from scheduler_api.settings import Settings

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PATIENCE = 30
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was asked."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = f"{scope['method']} {scope['path']} ".encode() + body
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]}
    )
    await send({"type": "http.response.body", "body": said})


@contextlib.asynccontextmanager
async def serving(app: App = echo, limit: int = 200) -> AsyncIterator[int]:
    """A server with our connections; its port."""
    settings = Settings.model_validate({"port": 0})
    share = Shares(calls=1, connections=limit, streams=1, backlog=100)
    with server.listening(settings, share.backlog) as listener:
        running = uvicorn.Server(server.configuration(app, settings, share))
        running.config.load()
        running.lifespan = running.config.lifespan_class(running.config)
        await running.startup(sockets=[listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await running.shutdown(sockets=[listener])


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def ask(port: int, path: str = "/a") -> tuple[int, dict[str, str], bytes]:
    async with connected(port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return await answer(reader)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without patience."""
    monkeypatch.setattr(module, "LOOK", 0.02)
    monkeypatch.setattr(module, "HEAD_DEADLINE", 0.5)
    monkeypatch.setattr(module, "STALL_DEADLINE", 0.5)


@pytest.mark.usefixtures("hasty")
async def test_who_says_nothing_is_left() -> None:
    async with serving() as port, connected(port) as (reader, _):
        assert await reader.read() == b""


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("sent", [b"G", b"GET /a HTTP/1.1\r\n", GET[:-2] + b"X-A: b"])
async def test_half_a_head_is_answered_and_left(sent: bytes) -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(sent)
        status, headers, body = await answer(reader)
        assert (status, headers["content-type"]) == (408, "application/problem+json")
        assert json.loads(body)["code"] == "request_timeout"
        assert await reader.read() == b""


@pytest.mark.usefixtures("hasty")
async def test_a_head_that_drips_has_no_more_time() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(b"GET /a HTTP/1.1\r\nX-Drip: ")
        answered = asyncio.ensure_future(answer(reader))
        while not answered.done():
            writer.write(b"a")
            await asyncio.sleep(0.01)
        assert answered.result()[0] == 408


@pytest.mark.usefixtures("hasty")
async def test_a_second_request_has_as_little_time() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(GET)
        assert (await answer(reader))[0] == 200
        writer.write(GET[:20])
        assert (await answer(reader))[0] == 408


@pytest.mark.usefixtures("hasty")
async def test_the_rest_of_a_body_that_nobody_wanted_is_not_waited_for() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with serving(hasty) as port, connected(port) as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        assert (await answer(reader))[0] == 200
        # The timer for idle connections ended with the first byte that came after the answer.
        writer.write(b"more")
        assert await reader.read() == b""


@pytest.mark.usefixtures("hasty")
async def test_who_takes_nothing_of_the_answer_is_left() -> None:
    ended = asyncio.Event()

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(100):
                await send({"type": "http.response.body", "body": b"a" * 1_000_000, "more_body": True})
        finally:
            ended.set()

    async with serving(flood) as port, connected(port) as (_, writer):
        writer.write(GET)
        await ended.wait()


@pytest.mark.usefixtures("hasty")
async def test_a_busy_connection_has_all_the_time_it_needs() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await echo(scope, receive, send)

    async with serving(slow) as port:
        assert (await ask(port))[0] == 200


@pytest.mark.parametrize("size", [MAX_HEAD + 2000, 300_000])
@pytest.mark.parametrize("ending", [b"", b"\r\n\r\n"])
@pytest.mark.parametrize("name", [b"X-A: ", b"GET /"])
async def test_a_head_that_is_too_large_is_refused(size: int, ending: bytes, name: bytes) -> None:
    start = name if name.startswith(b"GET") else GET[:-2] + name
    # What is incomplete is counted by slices.
    size += 0 if ending else 2 * module.SLICE
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(start + b"a" * (size - len(start)) + ending)
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == (431, "close")
        assert json.loads(body)["code"] == "request_header_fields_too_large"


async def test_many_small_headers_are_as_much_too_large() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(GET[:-2] + b"X-A: b\r\n" * 5000 + b"\r\n")
        assert (await answer(reader))[0] == 431


async def test_a_head_may_be_nearly_that_large_however_large_the_body_before_it() -> None:
    large = GET[:-2] + b"X-A: " + b"a" * (MAX_HEAD - 1000) + b"\r\n\r\n"
    body = b"b" * 200_000
    post = b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(large + post + large + post + large)
        for said in (b"GET /a ", b"POST /b " + body) * 2 + (b"GET /a ",):
            assert (await answer(reader))[::2] == (200, said)


async def test_a_head_that_is_too_large_waits_for_the_answer_before_it() -> None:
    go = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serving(slow) as port, connected(port) as (reader, writer):
        writer.write(GET + GET[:-2] + b"X-A: " + b"a" * 50_000)
        await writer.drain()
        await asyncio.sleep(0.05)
        go.set()
        assert (await answer(reader))[::2] == (200, b"GET /a ")
        assert await reader.read() == b""


async def test_what_is_no_http_is_a_problem() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(b"\x16\x03\x01what?\r\n\r\n")
        status, headers, body = await answer(reader)
        assert (status, json.loads(body)["code"]) == (400, "bad_request")
        assert headers["content-type"] == "application/problem+json"


def requests(draw: random.Random) -> tuple[bytes, list[bytes]]:
    """Some requests, and what is answered to them."""
    asked, said = b"", []
    for number in range(draw.randint(1, 6)):
        body = bytes(draw.choices(b"abc", k=draw.choice([0, 1, 50, 9000])))
        kind = draw.choice(["get", "length", "chunked"])
        head = b"Host: localhost\r\n" + b"X-A: b\r\n" * draw.randint(0, 30)
        if kind == "get":
            body = b""
            asked += b"GET /%d HTTP/1.1\r\n" % number + head + b"\r\n"
        elif kind == "length":
            asked += (
                b"POST /%d HTTP/1.1\r\n" % number + head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
        else:
            chunk = b"%x\r\n" % len(body) + body + b"\r\n" if body else b""
            asked += b"POST /%d HTTP/1.1\r\n" % number + head
            asked += b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
        said.append((b"GET" if kind == "get" else b"POST") + b" /%d " % number + body)
    return asked, said


@pytest.mark.parametrize("seed", range(20))
async def test_however_requests_are_cut_they_are_answered_in_order(seed: int) -> None:
    draw = random.Random(seed)
    asked, said = requests(draw)
    cuts = sorted({0, len(asked), *(draw.randrange(len(asked)) for _ in range(draw.choice([0, 3, 300])))})
    async with serving() as port, connected(port) as (reader, writer):
        for start, end in pairwise(cuts):
            writer.write(asked[start:end])
            await asyncio.sleep(0)
        for expected in said:
            assert (await answer(reader))[::2] == (200, expected)


async def test_a_head_may_come_byte_by_byte() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        for byte in GET + GET:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]


async def test_more_requests_ahead_than_are_kept_end_the_connection_after_those_that_are() -> None:
    async with serving() as port, connected(port) as (reader, writer):
        writer.write(GET * 2000)
        said = await reader.read()
        assert module.PIPELINE_LIMIT <= said.count(b"HTTP/1.1 200") < 2000
        assert said.endswith(b"GET /a ")


async def test_idle_connections_make_room() -> None:
    async with serving(limit=SPARE + 4) as port, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(connected(port))]
        streams[0][1].write(GET[:10])
        assert (await ask(port))[0] == 200
        streams += [await stack.enter_async_context(connected(port)) for _ in range(SPARE + 30)]
        assert (await ask(port))[0] == 200
        # The oldest went; who had begun to ask was told.
        assert (await streams[0][0].read()).startswith(b"HTTP/1.1 503")
        assert await streams[1][0].read() == b""
        streams[-1][1].write(GET)
        assert (await answer(streams[-1][0]))[0] == 200


async def test_when_all_are_busy_probes_are_answered_and_others_told() -> None:
    go, busy = asyncio.Event(), 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal busy
        if scope["path"] == "/slow":
            busy += 1
            await go.wait()
        await echo(scope, receive, send)

    async with serving(slow, limit=SPARE + 4) as port, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(connected(port)) for _ in range(4)]
        for _, writer in streams:
            writer.write(GET.replace(b"/a", b"/slow"))
        while busy < 4:
            await asyncio.sleep(0.001)
        idle = [await stack.enter_async_context(connected(port)) for _ in range(40)]
        status, headers, body = await ask(port)
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["code"] == "service_unavailable"
        for probe in module.PROBES:
            assert (await ask(port, probe))[0] == 200
        go.set()
        for reader, _ in streams:
            assert (await answer(reader))[0] == 200
        assert (await ask(port))[0] == 200
        assert await idle[0][0].read() == b""


@pytest.mark.parametrize(("method", "ends"), [("GET", "cancelled"), ("HEAD", "cancelled"), ("POST", "done")])
async def test_only_work_that_changes_something_goes_on_without_its_client(
    method: str, ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
            await asyncio.sleep(0.05)
            ended.set_result("done")
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise
        await echo(scope, receive, send)

    async with serving(work) as port:
        async with connected(port) as (_, writer):
            writer.write(GET.replace(b"GET", method.encode()))
            await began.wait()
        async with asyncio.timeout(PATIENCE):
            assert await ended == ends
    assert not caplog.records


async def test_what_was_asked_behind_a_client_that_has_gone_never_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(work) as port:
        async with connected(port) as (_, writer):
            writer.write(GET + GET.replace(b"/a", b"/b"))
            await began.wait()
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
        await asyncio.sleep(0.05)
    assert asked == ["/a"]
    assert not caplog.records
