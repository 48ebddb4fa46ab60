"""A real service among many clients that want nothing, or too much."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from time import perf_counter
from urllib.parse import urlsplit

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.factories import add_job, logs, scalar
from tests.processes.service import PATIENCE, Service, services
from tests.workers.delivery.servers import OK, Reader, Writer, target

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def crowd(service: Service) -> AsyncIterator[list[Stream]]:
    """Connections to the service, to be added to; all are closed at the end."""
    streams: list[Stream] = []
    try:
        yield streams
    finally:
        for _, writer in streams:
            writer.close()


async def connect(service: Service, streams: list[Stream], sent: bytes, address: str = "127.0.0.1") -> Stream:
    port = urlsplit(service.url).port
    stream = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    streams.append(stream)
    stream[1].write(sent)
    return stream


EVENTS = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def quickest(client: AsyncClient) -> float:
    """Seconds that the quickest of some answers took."""
    times = []
    for _ in range(20):
        began = perf_counter()
        # A connection of its own, each time.
        assert (await client.get("/healthz", headers={"connection": "close"})).status_code == 200
        times.append(perf_counter() - began)
    return min(times)


async def test_health_is_told_among_idle_clients_and_readers(
    database: Database, worker_database: URL
) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        services(1, worker_database, SCHEDULER_TICKER="off") as (service,),
        crowd(service) as streams,
        AsyncClient(base_url=service.url) as client,
    ):
        alone = await quickest(client)
        for number in range(200):
            reader, _ = await connect(service, streams, EVENTS, f"127.0.0.{2 + number % 10}")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        for number in range(600):
            await connect(service, streams, b"GET /healthz HTTP/1.1\r\nHo" if number % 2 else b"")
        assert await quickest(client) < 10 * alone
        # The two hundred are all there may be, and those of one address had their share.
        assert (await client.get("/events")).status_code == 503
        assert (await client.get("/jobs")).status_code == 200


async def test_one_address_cannot_take_all_streams(database: Database, worker_database: URL) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        services(1, worker_database, SCHEDULER_TICKER="off") as (service,),
        crowd(service) as streams,
        AsyncClient(base_url=service.url) as client,
    ):
        for _ in range(20):
            reader, _ = await connect(service, streams, EVENTS)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        refused = await client.get("/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        assert refused.headers["retry-after"] == "5"
        other, _ = await connect(service, streams, EVENTS, "127.0.0.2")
        assert b"200 OK" in await other.readuntil(b"\r\n\r\n")
        # One goes, and there is a place again.
        streams[0][1].close()
        again = refused
        while again.status_code == 503:
            async with client.stream("GET", "/events") as again:
                pass


async def test_so_many_calls_are_made_as_there_are_descriptors_for(
    database: Database, worker_database: URL
) -> None:
    busy = peak = 0

    async def slow(reader: Reader, writer: Writer) -> None:
        nonlocal busy, peak
        busy += 1
        peak = max(peak, busy)
        await asyncio.sleep(0.2)
        busy -= 1
        # Or the next call could be sent just as the server closes the connection.
        writer.write(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    async with (
        asyncio.timeout(PATIENCE),
        target(slow) as server,
        services(
            1,
            worker_database,
            files="256",
            SCHEDULER_HOST_CONCURRENCY="1000",
            SCHEDULER_CONCURRENCY="1000",
            SCHEDULER_TICKER_INTERVAL="0.2",
            SCHEDULER_LOG_FORMAT="json",
        ) as (service,),
        crowd(service) as streams,
    ):
        for _ in range(300):
            await connect(service, streams, b"")
        now = await scalar(database, "SELECT clock_timestamp()")
        jobids = [
            await add_job(database, due=now + timedelta(seconds=1), target={"url": server.url})
            for _ in range(80)
        ]
        waiting = "SELECT count(*) FROM joblog WHERE status IN ('pending', 'running')"
        while await scalar(database, waiting):
            await asyncio.sleep(0.05)
        assert {(await logs(database, jobid))[0].status for jobid in jobids} == {"finished"}
        # Under way to the end of each there may be one descriptor too few: such a call is handed back.
        others = "SELECT count(*) FROM logattempt WHERE outcome NOT IN ('finished', 'released')"
        assert await scalar(database, others) == 0
        assert await scalar(database, "SELECT count(*) FROM hostfailure") == 0
        assert 1 < peak < 60
        await service.stop()
        told = service.said.decode()
        assert "fewer calls at once than asked for" in told
        assert "Too many open files" not in told


async def test_too_few_descriptors_for_anything_end_the_start(
    database: Database, worker_database: URL
) -> None:
    with pytest.raises(AssertionError, match="raise the limit"):
        await Service.start(worker_database, files="100")


async def test_no_token_reaches_the_log(database: Database, worker_database: URL) -> None:
    token = "0123456789abcdef0123456789abcdef"
    async with (
        asyncio.timeout(PATIENCE),
        services(1, worker_database, SCHEDULER_TICKER="off", SCHEDULER_LOG_LEVEL="debug") as (service,),
        AsyncClient(base_url=service.url) as client,
    ):
        for path, status in (("", 404), (f"%30{token[1:]}", 404), (f"{token}?a=b", 422)):
            assert (await client.post(f"/runs/1/{path or token}")).status_code == status
            assert (await client.post(f"/monitors/{path or token}/start")).status_code == status
        await service.stop()
        assert service.said.count(b"/runs/1/") == service.said.count(b"/monitors/") == 3
        assert token[1:].encode() not in service.said


@contextlib.asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Nobody reads or writes a job as long as this lasts."""
    # The first service on a database looks at all jobs, as their next runs may rest on other rules of zones.
    while await scalar(database, "SELECT zonerules IS NULL FROM installation"):
        await asyncio.sleep(0.01)
    async with database.transactional.begin() as connection:
        await connection.execute(text("LOCK TABLE job IN ACCESS EXCLUSIVE MODE"))
        yield


async def until_waiting(database: Database, wanted: int) -> None:
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while await scalar(database, waits) != wanted:
        await asyncio.sleep(0.01)


PATIENT = {"SCHEDULER_TICKER": "off", "SCHEDULER_STATEMENT_TIMEOUT": "60"}


async def test_the_database_works_for_no_reader_that_has_gone(
    database: Database, worker_database: URL
) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        services(1, worker_database, **PATIENT) as (service,),
        crowd(service) as streams,
    ):
        async with locked(database):
            for path in (b"/jobs", b"/jobs/1", b"/overview"):
                _, writer = await connect(service, streams, EVENTS.replace(b"/events", path))
                await until_waiting(database, 1)
                writer.close()
                await until_waiting(database, 0)
        reader, _ = await connect(service, streams, EVENTS.replace(b"/events", b"/jobs"))
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await service.stop()
        # Nobody waited until the database gave up by itself, either.
        assert b"request failed" not in service.said
        assert b"Exception" not in service.said


async def test_what_was_ordered_is_done_though_the_client_has_gone(
    database: Database, worker_database: URL
) -> None:
    body = b'{"jobname": "A job", "cron": "@daily"}'
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with (
        asyncio.timeout(PATIENCE),
        services(1, worker_database, **PATIENT) as (service,),
        crowd(service) as streams,
    ):
        async with locked(database):
            _, writer = await connect(
                service, streams, head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            await until_waiting(database, 1)
            writer.close()
            await writer.wait_closed()
        while not await scalar(database, "SELECT count(*) FROM job"):
            await asyncio.sleep(0.01)
