"""Calls of real processes: given up at SIGTERM, taken over from the killed."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from scheduler_api.settings import Settings
from scheduler_api.workers.delivery.leases import CONFIRM, LOOKS_A_LEASE
from tests.factories import add_job, scalar
from tests.processes.service import PATIENCE, Service, services
from tests.receiver import Receiver, receiving

OUTCOMES = "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM logattempt"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def until_finished(database: Database) -> None:
    async with asyncio.timeout(PATIENCE):
        while await scalar(database, "SELECT status FROM joblog WHERE logid = 1") != "finished":
            await asyncio.sleep(0.02)


async def test_at_sigterm_a_call_that_takes_too_long_is_lost_and_made_again(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    receiver.hold()
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now, target={"url": receiver.url})
    service = await Service.start(worker_database, SCHEDULER_SHUTDOWN_GRACE="0.2")
    await receiver.arrived(1)
    assert await service.stop(signal.SIGTERM) == 0
    assert await scalar(database, OUTCOMES) == "lost"
    assert await scalar(database, "SELECT nextrun <= clock_timestamp() FROM joblog") is True
    receiver.always(200)
    async with services(1, worker_database):
        await until_finished(database)
    assert await scalar(database, OUTCOMES) == "lost finished"


async def test_at_sigterm_a_call_without_retries_is_not_made_again(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    receiver.hold()
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now, target={"url": receiver.url, "retries": 0})
    service = await Service.start(worker_database, SCHEDULER_SHUTDOWN_GRACE="0.2")
    await receiver.arrived(1)
    assert await service.stop(signal.SIGTERM) == 0
    assert await scalar(database, "SELECT status FROM joblog") == "failed"
    assert "The service was stopped" in await scalar(database, "SELECT error FROM joblog")


async def test_at_sigterm_a_call_under_way_may_end(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    go_on = receiver.hold()
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now, target={"url": receiver.url})
    service = await Service.start(worker_database)
    await receiver.arrived(1)
    stopping = asyncio.create_task(service.stop(signal.SIGTERM))
    go_on.set()
    assert await stopping == 0
    assert await scalar(database, OUTCOMES) == "finished"


async def test_a_killed_process_loses_its_calls_to_another(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    receiver.hold()
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now, target={"url": receiver.url})
    service = await Service.start(worker_database, SCHEDULER_LEASE="1")
    await receiver.arrived(1)
    async with services(1, worker_database, SCHEDULER_LEASE="1"):
        await service.stop(signal.SIGKILL)
        receiver.always(200)
        await until_finished(database)
    assert await scalar(database, OUTCOMES) == "lost finished"
    first, second = (request.headers["webhook-id"] for request, _ in receiver.requests)
    assert first == second


def test_by_default_others_take_over_soon() -> None:
    # Leases are looked at three times in the time that they last; one that has run out is left to whoever
    # holds it a little longer than that, and then until the next look.
    looks = 1 + 1 / LOOKS_A_LEASE + CONFIRM / LOOKS_A_LEASE + 1 / LOOKS_A_LEASE
    assert Settings.model_fields["lease"].default * looks <= 35
