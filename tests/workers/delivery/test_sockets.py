"""Names, addresses and encryption on the way to a target."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from scheduler_api.targets import HOST_FAILURES, Failure, Guard
from scheduler_api.workers.delivery import sockets
from tests.certificates import certificate
from tests.workers.delivery.conftest import Run
from tests.workers.delivery.servers import get, opened, post, target


class Names:
    """Answers lookups in place of the system."""

    def __init__(self) -> None:
        self.addresses: list[list[str]] = []
        """Those for each lookup; the last ones stay."""
        self.lookups = 0
        self.held = threading.Event()
        self.held.set()

    def look_up(self, host: str, port: Any, **_: Any) -> list[tuple[Any, ...]]:
        self.lookups += 1
        self.held.wait(20)
        found = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in found
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names()
    monkeypatch.setattr(sockets, "getaddrinfo", made.look_up)
    return made


def named(url: str) -> str:
    return url.replace("127.0.0.1", "target.example")


def test_a_name_that_turns_to_a_private_address(run: Run, names: Names) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            names.addresses = [["127.0.0.1"], ["10.0.0.1"]]
            assert (await get(client, named(server.url))).status == 200
            # A connection to the address that was checked is used again without asking anew.
            assert (await get(client, named(server.url))).status == 200
            assert names.lookups == 1
            answer = await get(client, "http://target.example:1/")
            assert (answer.failure, answer.status) == (Failure.BLOCKED, None)
            assert answer.error == "The address 10.0.0.1 is not called: it is private."

    run(scenario())


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1", "10.0.0.1"],
        ["169.254.169.254"],
        ["127.0.0.1", "::ffff:10.0.0.1"],
        ["64:ff9b::7f00:1", "127.0.0.1"],
    ],
)
def test_any_refused_address_of_a_name_is_enough(run: Run, names: Names, addresses: list[str]) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            names.addresses = [addresses]
            assert (await post(client, named(server.url))).failure is Failure.BLOCKED
            assert server.connected == 0

    run(scenario())


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[fe80::1]", "0.0.0.0"]
)
def test_refused_addresses_without_a_name(run: Run, host: str) -> None:
    async def scenario() -> None:
        async with opened() as client:
            answer = await get(client, f"http://{host}/")
            assert answer.failure is Failure.BLOCKED
            assert answer.error is not None
            assert "is not called" in answer.error

    run(scenario())


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.1", "0x7f.1", "127.1", "①②⑦.⓪.⓪.①"])
def test_no_dress_of_an_address_gets_through(run: Run, host: str) -> None:
    async def scenario() -> None:
        async with target() as server, opened(Guard()) as client:
            answer = await get(client, server.url.replace("127.0.0.1", host))
            assert answer.failure in {Failure.BLOCKED, Failure.DNS}
            assert server.connected == 0

    run(scenario())


def test_this_machine_is_closed_unless_it_is_opened(run: Run) -> None:
    async def scenario() -> None:
        async with target() as server, opened(Guard()) as client:
            for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
                assert (await get(client, url)).failure is Failure.BLOCKED
            assert server.connected == 0

    run(scenario())


class Turncoat(Guard):
    """Changes its mind after the lookup."""

    asked = 0

    def refusal(self, address: str) -> str | None:
        self.asked += 1
        return None if self.asked == 1 else "No more."


def test_the_address_is_judged_again_as_it_is_connected_to(run: Run, names: Names) -> None:
    async def scenario() -> None:
        async with target() as server, opened(Turncoat()) as client:
            names.addresses = [["127.0.0.1"]]
            answer = await get(client, named(server.url))
            assert (answer.failure, answer.error) == (Failure.BLOCKED, "No more.")
            assert server.connected == 0

    run(scenario())


def test_the_next_address_where_one_does_not_answer(run: Run, names: Names) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            names.addresses = [["127.0.0.9", "127.0.0.1"]]
            answer = await get(client, named(server.url))
            assert answer.status == 200
            assert list(answer.timing) == ["dns", "connect", "firstbyte", "total"]

    run(scenario())


@pytest.mark.parametrize("host", ["target.example", "a" * 64 + ".example"])
def test_names_that_do_not_exist(run: Run, names: Names, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    async def scenario() -> None:
        async with opened() as client:
            names.addresses = [[]]
            if host != "target.example":
                monkeypatch.undo()
            answer = await get(client, f"http://{host}/")
            assert answer.failure is Failure.DNS
            assert answer.timing.keys() == {"total"}

    run(scenario())


def test_a_lookup_that_hangs(run: Run, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LOOKUP_TIMEOUT", 0.1)

    async def scenario() -> None:
        async with target() as server, opened() as client:
            names.addresses = [["127.0.0.1"]]
            names.held.clear()
            answers = await asyncio.gather(*(get(client, named(server.url)) for _ in range(10)))
            assert {answer.failure for answer in answers} == {Failure.DNS}
            assert (await get(client, named(server.url))).failure is Failure.DNS
            # However many ask, and ask again, it holds one thread.
            assert names.lookups == 1
            assert (await get(client, server.url)).status == 200
            names.held.set()
            monkeypatch.undo()
            monkeypatch.setattr(sockets, "getaddrinfo", names.look_up)
            assert (await get(client, named(server.url))).status == 200

    run(scenario())


@pytest.fixture
def dead(names: Names, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names that begin with "dead" hang until `held` is set; there is little room for lookups."""

    def look_up(host: str, port: Any, **options: Any) -> list[tuple[Any, ...]]:
        if not host.startswith("dead"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
        return names.look_up(host, port, **options)

    names.addresses = [[]]
    names.held.clear()
    monkeypatch.setattr(sockets, "getaddrinfo", look_up)
    for name, value in (("TIMEOUT", 0.1), ("THREADS", 2)):
        monkeypatch.setattr(sockets, f"LOOKUP_{name}", value)
    monkeypatch.setattr(sockets, "HANGING_THREADS", 2, raising=False)
    monkeypatch.setattr(sockets, "MAX_SUSPECTS", 1, raising=False)
    return names


def test_names_that_hang_do_not_keep_others_from_being_found(run: Run, dead: Names) -> None:
    async def scenario() -> None:
        async with target() as server, opened() as client:
            hanging = [asyncio.create_task(get(client, f"http://dead{n}.example/")) for n in range(2)]
            while dead.lookups < 2:
                await asyncio.sleep(0)
            assert (await get(client, named(server.url))).status == 200
            assert {answer.failure for answer in await asyncio.gather(*hanging)} == {Failure.DNS}
            dead.held.set()

    run(scenario())


def test_it_is_no_failure_of_a_host_that_its_lookup_has_to_wait(run: Run, dead: Names) -> None:
    async def scenario() -> None:
        async with opened() as client:
            await asyncio.gather(*(get(client, f"http://dead{n}.example/") for n in range(4)))
            assert dead.lookups == 4
            answer = await get(client, "http://target.example/", 0.2)
            assert answer.failure is Failure.BUSY
            assert Failure.BUSY not in HOST_FAILURES
            dead.held.set()

    run(scenario())


def test_names_that_hung_take_few_places_the_next_time(run: Run, dead: Names) -> None:
    async def scenario() -> None:
        async with opened() as client:
            urls = [f"http://dead{n}.example/" for n in range(2)]
            await asyncio.gather(*(get(client, url) for url in urls))
            dead.held.set()
            while client._resolver is None or client._resolver._running:
                await asyncio.sleep(0.001)
            dead.held.clear()
            answers = await asyncio.gather(*(get(client, url) for url in urls))
            assert [answer.failure for answer in answers] == [Failure.DNS] * 2
            assert "the last time" in (answers[1].error or "")
            assert dead.lookups == 3
            dead.held.set()

    run(scenario())


def test_closing_while_a_lookup_hangs(run: Run, names: Names) -> None:
    async def scenario() -> None:
        names.addresses = [[]]
        names.held.clear()
        async with opened() as client:
            assert (await get(client, "http://target.example/", 0.1)).failure is Failure.TIMEOUT

    run(scenario())
    names.held.set()


def test_encryption_with_a_trusted_certificate(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encryption = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.pem"))

    async def scenario() -> None:
        async with target(encryption=encryption) as server, opened() as client:
            answer = await post(client, server.url)
            assert answer[:3] == (200, None, None)
            assert list(answer.timing) == ["connect", "tls", "firstbyte", "total"]
            assert all(phase > 0 for phase in answer.timing.values())
            assert list((await post(client, server.url)).timing) == ["firstbyte", "total"]

    run(scenario())


@pytest.mark.parametrize(
    ("trusted", "name", "reason"),
    [
        (False, "127.0.0.1", "self-signed certificate"),
        (True, "other.example", "is not valid for '127.0.0.1'"),
    ],
)
def test_certificates_that_are_not_accepted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, name: str, reason: str
) -> None:
    encryption = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{name}.pem"))

    async def scenario() -> None:
        async with target(encryption=encryption) as server, opened() as client:
            answer = await post(client, server.url)
            assert answer.failure is Failure.TLS
            assert answer.error is not None
            assert reason in answer.error.replace("self signed", "self-signed")
            assert server.requests == []
            assert (await get(client, server.url.replace("https", "http"))).failure in {
                Failure.PROTOCOL,
                Failure.CONNECT,
            }

    run(scenario())


def test_encryption_with_a_server_that_knows_none(run: Run) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def scenario() -> None:
        async with target(plain, reads=False) as server, opened() as client:
            answer = await get(client, server.url.replace("http", "https"))
            assert answer.failure is Failure.TLS

    run(scenario())
