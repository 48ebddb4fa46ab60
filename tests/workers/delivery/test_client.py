"""One call in, one answer out."""

import asyncio
import gzip

import pytest

from scheduler_api.targets import Failure, Guard
from scheduler_api.workers.delivery.answers import MAX_KEPT, MAX_READ
from scheduler_api.workers.delivery.client import Call, Client
from tests.workers.delivery.conftest import Run
from tests.workers.delivery.servers import (
    HEAD,
    OK,
    Reader,
    Writer,
    get,
    never_answer,
    opened,
    post,
    says,
    target,
)


async def endless_body(reader: Reader, writer: Writer) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + b"a" * 4096 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


def test_the_connection_is_used_again(run: Run) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            for _ in range(5):
                answer = await post(client, server.url)
                assert answer[:6] == (200, None, None, None, "fine", False)
            assert server.connected == 1
            assert answer.timing.keys() == {"firstbyte", "total"}

    run(scenario())


def test_the_phases_of_a_new_connection(run: Run) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            answer = await get(client, server.url.replace("127.0.0.1", "localhost"))
            assert answer.status == 200
            assert list(answer.timing) == ["dns", "connect", "firstbyte", "total"]
            assert all(phase > 0 for phase in answer.timing.values())
            assert sum(answer.timing.values()) <= 2 * answer.timing["total"]

    run(scenario())


def test_an_endless_body_is_cut(run: Run) -> None:
    async def scenario() -> None:
        async with target(endless_body) as server, opened() as client:
            answer = await get(client, server.url)
            assert (answer.status, answer.failure, answer.truncated) == (200, None, True)
            assert answer.excerpt == "a" * MAX_KEPT
            assert answer.body == "a" * MAX_READ
            # The server sees the end of the connection while the client lives on.
            await server.quiet()

    run(scenario())


def test_what_comes_packed_all_the_same_is_unpacked_as_far_as_it_is_looked_at(run: Run) -> None:
    bomb = gzip.compress(b"a" * 10_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def scenario() -> None:
        async with target(says(head + bomb)) as server, opened() as client:
            answer = await get(client, server.url)
            assert (answer.status, answer.failure) == (200, None)
            assert answer.body == "a" * MAX_READ
            assert b"Accept-Encoding: identity\r\n" in server.requests[0]

    run(scenario())


def test_what_breaks_off_keeps_what_came(run: Run) -> None:
    async def scenario() -> None:
        broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOut of disk sp"
        async with target(says(broken)) as server, opened() as client:
            answer = await get(client, server.url)
            assert (answer.status, answer.failure) == (200, Failure.PROTOCOL)
            assert answer.excerpt == "Out of disk sp"

    run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(run: Run, status: int) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            head = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
            server.behaviour = says(head % (status, server.url.encode()))
            answer = await get(client, server.url)
            assert (answer.status, answer.failure) == (status, None)
            assert len(server.requests) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("body", "excerpt", "truncated"),
    [
        (b"", "", False),
        (b"a\r\nb\tc\n", "a\nb\tc\n", False),
        (b"a\0b\x1b[31m\x7f", "a\ufffdb\ufffd[31m\ufffd", False),
        (b"\xff\xfe", "\ufffd\ufffd", False),
        (b"a" * 4096, "a" * 4096, False),
        (b"a" * 4095 + "é".encode(), "a" * 4095, True),
        (b"a" * 65536, "a" * 4096, True),
    ],
    ids=range(7),
)
def test_the_excerpt_is_fit_to_be_stored(run: Run, body: bytes, excerpt: str, truncated: bool) -> None:
    async def scenario() -> None:
        head = HEAD + b"Retry-After: 7\r\nContent-Length: %d\r\n\r\n"
        async with target(says(head % len(body) + body)) as server, opened() as client:
            answer = await get(client, server.url)
            assert (answer.excerpt, answer.truncated) == (excerpt, truncated)
            assert answer.body == body.decode(errors="replace")
            assert answer.retryafter == "7"

    run(scenario())


def test_what_is_sent(run: Run) -> None:
    async def scenario() -> None:
        async with target(
            says(HEAD + b"Set-Cookie: a=b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        ) as server:
            async with opened() as client:
                await client.call(Call("PUT", server.url + "?a=b%2Fc&d=%2De", {"X-Mine": "é"}, b"\0body", 20))
                server.behaviour = None
                await client.call(Call("GET", server.url, {"user-agent": "me"}, None, 20))
            first, second = (request.lower() for request in server.requests)
            assert first.startswith(b"put /hook?a=b%2fc&d=%2de http/1.1\r\nhost: 127.0.0.1:")
            assert first.endswith(b"\r\n\r\n\0body")
            assert b"user-agent: scheduler-api/" in first
            # What the body is, only the target knows.
            assert b"content-type" not in first
            assert b"user-agent: me\r\n" in second
            assert b"cookie" not in second

    run(scenario())


def test_no_proxy_of_the_surroundings_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def scenario() -> None:
        async with target() as server, opened() as client:
            assert (await get(client, server.url)).status == 200

    run(scenario())


def test_what_a_server_says_unasked_answers_nothing(run: Run) -> None:
    async def says_more(reader: Reader, writer: Writer) -> None:
        writer.write(OK)
        await asked.wait()
        writer.write(OK.replace(b"fine", b"evil"))
        await reader.read()

    async def scenario() -> None:
        async with target(says_more) as server, opened() as client:
            assert (await get(client, server.url)).body == "fine"
            asked.set()
            assert client._session is not None
            assert client._session.connector is not None
            [[(idle, _)]] = client._session.connector._conns.values()
            async with asyncio.timeout(10):
                while not idle.should_close:
                    await asyncio.sleep(0)
            server.behaviour = None
            assert (await post(client, server.url)).body == "fine"
            assert len(server.requests) == 2

    asked = asyncio.Event()
    run(scenario())


def test_a_refused_connection(run: Run) -> None:
    async def scenario() -> None:
        async with target() as server:
            pass
        async with opened() as client:
            answer = await get(client, server.url)
            assert answer.failure is Failure.CONNECT
            assert answer.error == "No connection to the target: Connection refused."
            assert answer.timing.keys() == {"total"}

    run(scenario())


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "ftp://example.com/", {}),
        ("GET", "http://127.1/", {}),
        ("GET", "http://", {}),
        ("GET", "http://example.com:99999/", {}),
        ("BAD METHOD", "http://127.0.0.1:1/", {}),
    ],
)
def test_requests_that_cannot_be_made(run: Run, method: str, url: str, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with opened() as client:
            answer = await client.call(Call(method, url, headers, None, 20))
            assert answer.failure is Failure.BLOCKED

    run(scenario())


def test_a_header_cannot_be_smuggled_in(run: Run) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            answer = await client.call(Call("GET", server.url, {"X": "a\r\nHost: evil"}, None, 20))
            assert answer.failure is Failure.BLOCKED
            assert server.requests == []

    run(scenario())


def test_cancelling_a_call(run: Run) -> None:
    async def scenario() -> None:
        async with target(never_answer) as server, opened() as client:
            calling = asyncio.create_task(get(client, server.url))
            while not server.requests:
                await asyncio.sleep(0)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await server.quiet()

    run(scenario())


def test_closing_under_a_call(run: Run) -> None:
    async def scenario() -> None:
        async with target(never_answer) as server:
            client = Client(Guard(loopback=True))
            await client.open()
            calling = asyncio.create_task(get(client, server.url))
            while not server.requests:
                await asyncio.sleep(0)
            await client.close()
            assert (await calling).failure is Failure.LOST
            assert (await get(client, server.url)).failure is Failure.LOST

    run(scenario())


def test_a_server_that_answers_before_it_has_read_all(run: Run) -> None:
    async def early(reader: Reader, writer: Writer) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            await reader.readexactly(1_000_000)

    async def scenario() -> None:
        async with target(early, reads=False) as server, opened() as client:
            for _ in range(3):
                answer = await client.call(Call("POST", server.url, {}, b"a" * 1_000_000, 20))
                assert answer.body == "fine"

    run(scenario())


def test_many_at_a_time(run: Run) -> None:
    async def scenario() -> None:
        async with target(never_answer) as silent, target() as good, opened() as client:
            answers = await asyncio.gather(
                *(get(client, silent.url, 0.3) for _ in range(50)),
                *(get(client, good.url) for _ in range(50)),
            )
            assert [answer.failure for answer in answers] == [Failure.TIMEOUT] * 50 + [None] * 50

    run(scenario())
