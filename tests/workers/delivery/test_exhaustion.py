"""Without file descriptors no call is made: nobody is blamed, the run is handed back, and goes on later."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from scheduler_api import descriptors
from scheduler_api.ciphers import Cipher
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Terms
from scheduler_api.descriptors import CONNECTIONS_LIMIT, OWN, STREAMS_LIMIT, Shares
from scheduler_api.errors import Misconfigured, OutOfDescriptors
from scheduler_api.targets import Failure, Guard
from scheduler_api.workers.delivery import thrift as module
from scheduler_api.workers.delivery.caller import Caller
from scheduler_api.workers.delivery.client import Client
from scheduler_api.workers.delivery.deliverer import Capacity, Deliverer
from tests.factories import add_job, logs, scalar
from tests.workers.delivery.conftest import Run
from tests.workers.delivery.exhaustion import exhausted
from tests.workers.delivery.servers import get, opened, target


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_call_without_a_descriptor_is_not_made(run: Run, host: str) -> None:
    async def scenario() -> None:
        async with target() as server:
            url = server.url.replace("127.0.0.1", host)
            async with opened() as client:
                # What the lookup itself loads and keeps is there.
                assert (await get(client, url)).body == "fine"
            await server.quiet()
            async with opened() as client:
                with exhausted(), pytest.raises(OutOfDescriptors):
                    await get(client, url)
                assert (await get(client, url)).body == "fine"

    run(scenario())


def test_a_lookup_without_a_descriptor_is_no_fault_of_the_name(run: Run) -> None:
    async def scenario() -> None:
        async with opened() as client:
            with exhausted(), pytest.raises(OutOfDescriptors):
                await get(client, "http://nowhere.invalid/")
            assert (await get(client, "http://nowhere.invalid/")).failure is Failure.DNS

    run(scenario())


async def test_a_run_without_a_descriptor_is_handed_back(database: Database) -> None:
    client = Client(Guard(loopback=True))
    caller = Caller(client, Cipher([]), "http://localhost/runs", "tests")
    deliverer = Deliverer(
        database, client, caller, Terms("one", timedelta(seconds=60), 1000), Capacity(50, 0.5)
    )
    async with target() as server:
        due = await scalar(database, "SELECT clock_timestamp()")
        jobids = [
            await add_job(database, due=due, target={"url": server.url, "retries": 0}) for _ in range(20)
        ]
        # So many connections to the database as are needed are open.
        await asyncio.gather(*(scalar(database, "SELECT pg_sleep(0.1)") for _ in range(6)))
        with capture_logs() as told:
            with exhausted():
                await deliverer.start(claiming=True)
                while not any("ran out" in line["event"] for line in told):
                    await asyncio.sleep(0.01)
            while await scalar(database, "SELECT count(*) FROM joblog WHERE status <> 'finished'"):
                await asyncio.sleep(0.01)
        await deliverer.stop(10)
        assert {(await logs(database, jobid))[0].status for jobid in jobids} == {"finished"}
        assert len(server.requests) == 20
    assert await scalar(database, "SELECT count(*) FROM hostfailure") == 0
    outcomes = await scalar(database, "SELECT array_agg(DISTINCT outcome ORDER BY outcome) FROM logattempt")
    assert outcomes == ["finished", "released"]
    # One line, however many there were.
    assert len([line for line in told if "ran out" in line["event"]]) == 1


def test_fewer_places_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    places = module.Thrift(50)
    assert places.limit == 50
    assert places.ran_out(30)
    assert not places.ran_out(29)
    assert places.limit == 0
    now += module.PAUSE
    assert places.limit == 15
    assert places.ran_out(1)
    now += module.PAUSE
    assert places.limit == 1
    now += module.THRIFT
    assert places.limit == 50


@pytest.mark.parametrize(
    ("limit", "asked", "expected"),
    [
        (1024, 200, Shares(200, 402, STREAMS_LIMIT, 100)),
        (1_000_000, 200, Shares(200, CONNECTIONS_LIMIT, STREAMS_LIMIT, 100)),
        (1_000_000, 10_000, Shares(10_000, CONNECTIONS_LIMIT, STREAMS_LIMIT, 100)),
        (1024, 10_000, Shares(200, 402, STREAMS_LIMIT, 100)),
        (256, 200, Shares(29, 60, 30, 16)),
        (256, 5, Shares(5, 108, 54, 16)),
        (162, 200, Shares(1, 33, 16, 5)),
    ],
)
def test_descriptors_are_shared_out(limit: int, asked: int, expected: Shares) -> None:
    shares = descriptors.shares(limit, 82, asked)
    assert shares == expected
    assert 82 + OWN + 2 * shares.calls + shares.connections + shares.backlog <= limit


def test_too_few_descriptors_are_said_so() -> None:
    with pytest.raises(Misconfigured, match="may open 100 files, and needs at least 162"):
        descriptors.shares(100, 82, 200)
    with pytest.raises(Misconfigured):
        descriptors.shares(161, 82, 200)
