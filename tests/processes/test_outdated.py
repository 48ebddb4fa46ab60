"""A replica of old code, once a newer version has taken over the database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database import versions
from scheduler_api.database.engine import Database
from tests.factories import add_job, execute, scalar
from tests.processes.service import PATIENCE, services
from tests.receiver import Receiver, receiving

COMPATIBLE = "UPDATE schemaversion SET compatiblefrom = :version"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def compatible(database: Database) -> AsyncIterator[None]:
    """As it was, afterwards."""
    yield
    await execute(database, COMPATIBLE, version=versions.VERSION)


@pytest.mark.usefixtures("compatible")
async def test_an_outdated_replica_stops_and_says_so_once(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    go_on = receiver.hold()
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now, target={"url": receiver.url})
    later = now + timedelta(hours=1)
    await add_job(database, due=later)
    await add_job(database, due=later, target={"url": receiver.url})
    async with services(1, worker_database) as (service,), AsyncClient(base_url=service.url) as client:
        await receiver.arrived(1)
        await execute(database, COMPATIBLE, version=versions.VERSION + 1)
        await execute(database, "UPDATE joblog SET nextrun = now() WHERE status = 'pending'")
        await execute(database, "NOTIFY scheduler_scheduled")
        async with asyncio.timeout(PATIENCE):
            while (ready := await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        assert "Replace it" in ready.text
        go_on.set()
        assert (await client.post("/jobs/run")).json()["code"] == "replica_outdated"
        # What changes nothing still works.
        assert (await client.get("/jobs")).status_code == 200
        statuses = "SELECT string_agg(CAST(status AS text), ' ' ORDER BY logid) FROM joblog"
        assert await scalar(database, statuses) == "running pending pending"
    assert len(receiver.requests) == 1
    assert service.said.count(b"this replica is outdated") == 1, service.said.decode()
    assert b"ticker failed" not in service.said


@pytest.mark.usefixtures("compatible")
async def test_an_outdated_replica_hands_back_what_it_has_not_begun(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    """Calls that were claimed ahead, while there was no place for them."""
    now = await scalar(database, "SELECT clock_timestamp()")
    for _ in range(300):
        await add_job(database, due=now, target={"url": receiver.url, "retries": 0})
    async with services(1, worker_database, SCHEDULER_CONCURRENCY="1", SCHEDULER_LEASE="600"):
        await receiver.arrived(20)
        await execute(database, COMPATIBLE, version=versions.VERSION + 1)
        # Those that were begun are for others to find out about, however many those are until the replica
        # sees that it is outdated; none that was not begun is held any more.
        taken = "SELECT count(*) FROM joblog WHERE status IN ('running', 'finished')"
        async with asyncio.timeout(PATIENCE):
            while await scalar(database, taken) > len(receiver.requests) + 1:
                await asyncio.sleep(0.05)
        assert await scalar(database, taken) < 300
    others = "SELECT count(*) FROM logattempt WHERE outcome NOT IN ('finished', 'released', 'running')"
    assert await scalar(database, others) == 0
