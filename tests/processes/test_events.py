"""Events across real replicas: what one changes, the pages of another hear; and a stop ends all streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from httpx import AsyncClient, Timeout
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.factories import add_job, scalar
from tests.processes.service import PATIENCE, Service, services
from tests.servers import Server


@contextlib.asynccontextmanager
async def following(service: Service) -> AsyncIterator[AsyncIterator[str]]:
    """The lines that a replica tells, once it has begun."""
    async with (
        AsyncClient(timeout=Timeout(PATIENCE)) as client,
        client.stream("GET", f"{service.url}/events") as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        yield lines


async def comes(lines: AsyncIterator[str], wanted: str) -> None:
    """Read on until there is such a line."""
    async with asyncio.timeout(PATIENCE):
        async for line in lines:
            if line == wanted:
                return
    raise AssertionError("the stream ended")


async def change(lines: AsyncIterator[str]) -> None:
    await comes(lines, "event: change")


async def test_a_replica_tells_of_what_another_changes(database: Database, worker_database: URL) -> None:
    async with (
        services(2, worker_database, SCHEDULER_TICKER="off") as (one, other),
        following(one) as lines,
        AsyncClient() as client,
    ):
        job = {"jobname": "Daily", "cron": "@daily"}
        assert (await client.post(f"{other.url}/jobs", json=job)).status_code == 201
        await change(lines)
        found = (await client.get(f"{one.url}/overview")).json()
        assert len(found["replicas"]) >= 2


async def test_a_replica_tells_of_what_a_ticker_runs(database: Database, worker_database: URL) -> None:
    settings = {"SCHEDULER_TICKER_INTERVAL": "0.2"}
    async with services(2, worker_database, **settings) as (one, _), following(one) as lines:
        now = await scalar(database, "SELECT clock_timestamp()")
        await add_job(database, due=now + timedelta(seconds=0.2), interval=1)
        await change(lines)
        await change(lines)


async def test_a_stop_waits_for_no_reader(database: Database, worker_database: URL) -> None:
    async with (
        services(1, worker_database, SCHEDULER_TICKER="off") as (service,),
        following(service) as lines,
    ):
        stopped = asyncio.ensure_future(service.stop())
        async with asyncio.timeout(PATIENCE):
            async for _ in lines:
                pass
            assert await stopped == 0
    # Uvicorn would have cut it off in the end, and said so.
    assert b"timeout_graceful_shutdown" not in service.said
    assert b"Cancel" not in service.said


async def test_a_stream_beats_only_while_the_database_is_there(
    server: Server, database: Database, worker_database: URL
) -> None:
    name = worker_database.database
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND application_name LIKE 'scheduler-api at %'"
    )
    async with services(1, worker_database, SCHEDULER_TICKER="off") as (one,), following(one) as lines:
        await comes(lines, "event: beat")
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            await server.execute(cut)
            await comes(lines, ": the database does not answer")
        finally:
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await comes(lines, "event: beat")
