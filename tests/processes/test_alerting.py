"""Alerts of real processes: when much fails at once, a sender dies, or a channel is away."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from cryptography.fernet import Fernet
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.factories import execute, scalar
from tests.processes.service import PATIENCE, run, services
from tests.receiver import Receiver, receiving

KEY = Fernet.generate_key().decode()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where alerts go."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    """What jobs call, and fail at."""
    async with receiving() as target:
        target.always(500)
        yield target


async def add_jobs(client: AsyncClient, count: int, target: Receiver, receiver: Receiver) -> None:
    made = await client.post("/channels", json={"name": "hook", "kind": "webhook", "url": receiver.url})
    assert made.status_code == 201, made.text
    for number in range(count):
        job = {"jobname": f"Job {number}", "interval": 86400, "startdate": "2099-01-01", "starttime": "00:00"}
        job |= {"target": {"url": target.url, "retries": 0}}
        assert (await client.post("/jobs", json=job)).status_code == 201


async def run_all(client: AsyncClient) -> None:
    report = await client.post("/jobs/bulk", json={"action": "run", "all": True})
    assert report.status_code == 200, report.text


async def until(database: Database, query: str) -> None:
    """Wait until a query gives true."""
    async with asyncio.timeout(PATIENCE):
        while not await scalar(database, query):
            await asyncio.sleep(0.05)


def alerts_in(receiver: Receiver) -> list[int]:
    """How many alerts each message told of."""
    messages = [json.loads(body) for _, body in receiver.requests]
    return [len(message["alerts"]) for message in messages]


async def test_hundreds_that_fail_at_once_are_two_messages_at_most(
    database: Database, worker_database: URL, target: Receiver, receiver: Receiver
) -> None:
    async with (
        services(2, worker_database, SCHEDULER_SECRET_KEY=KEY) as (service, _),
        AsyncClient(base_url=service.url, timeout=PATIENCE) as client,
    ):
        await add_jobs(client, 300, target, receiver)
        await run_all(client)
        await until(database, "SELECT count(*) = 300 FROM alert")
        await until(database, "SELECT count(*) > 5 FROM alert WHERE sentat IS NOT NULL")
        # A minute later.
        await execute(database, "UPDATE alertchannel SET openfrom = now()")
        await until(database, "SELECT count(*) = 300 FROM alert WHERE sentat IS NOT NULL")
    assert len(receiver.requests) <= 2
    assert sum(alerts_in(receiver)) == 300
    title = json.loads(receiver.requests[0][1])["title"]
    assert f"jobs are failing on {urlsplit(target.url).netloc}: " in title


async def test_a_sender_that_is_killed_loses_no_alert(
    database: Database, worker_database: URL, target: Receiver, receiver: Receiver
) -> None:
    """It dies when the message has arrived, and before anything of that is written."""
    go_on = receiver.hold()
    async with services(1, worker_database, SCHEDULER_SECRET_KEY=KEY) as (service,):
        async with AsyncClient(base_url=service.url, timeout=PATIENCE) as client:
            await add_jobs(client, 3, target, receiver)
            await run_all(client)
        async with asyncio.timeout(PATIENCE):
            await receiver.arrived(1)
        await service.stop(signal.SIGKILL)
    go_on.set()
    assert await scalar(database, "SELECT count(*) > 0 FROM alert WHERE sentat IS NULL")
    # It would hold the channel for a minute, if it lived.
    assert await scalar(database, "SELECT leaseuntil > now() + interval '20 s' FROM alertchannel")
    async with services(1, worker_database, SCHEDULER_SECRET_KEY=KEY):
        await until(database, "SELECT count(*) = 3 AND bool_and(sentat IS NOT NULL) FROM alert")
    told: dict[str, set[int]] = {}
    for _, body in receiver.requests:
        message = json.loads(body)
        jobids = {one["jobid"] for one in message["alerts"]}
        assert told.setdefault(message["messageid"], jobids) == jobids
    assert sorted(jobid for jobids in told.values() for jobid in jobids) == [1, 2, 3]


async def test_a_channel_that_is_away_gets_everything_when_it_is_back(
    database: Database, worker_database: URL, target: Receiver, receiver: Receiver
) -> None:
    async def away(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=503)

    receiver.answer = away
    async with (
        services(1, worker_database, SCHEDULER_SECRET_KEY=KEY) as (service,),
        AsyncClient(base_url=service.url, timeout=PATIENCE) as client,
    ):
        await add_jobs(client, 4, target, receiver)
        await client.post("/jobs/1/run")
        await until(database, "SELECT failures > 0 FROM alertchannel")
        for jobid in (2, 3, 4):
            await client.post(f"/jobs/{jobid}/run")
        await until(database, "SELECT count(*) = 4 FROM alert")
        await execute(database, "UPDATE alertchannel SET failingsince = now() - interval '2 minutes'")
        tried = await run("alerts", "test", "--wait", "0.5", database=worker_database)
        code, out, _ = await tried.ends()
        assert (code, out) == (1, b"hook: not sent yet; is a process running with SCHEDULER_TICKER on?\n")
        overview = (await client.get("/overview")).json()
        assert "Alerts do not reach hook" in [issue["what"] for issue in overview["issues"]]
        receiver.answer = None
        await execute(database, "UPDATE alertchannel SET openfrom = now()")
        await until(database, "SELECT bool_and(sentat IS NOT NULL) FROM alert")
        tried = await run("alerts", "test", "hook", database=worker_database)
        assert await tried.ends() == (0, b"hook: sent\n", b"")
        await execute(database, "DELETE FROM alert WHERE event = 'test'")
        metrics = (await client.get("/metrics")).text
    assert 'scheduler_alerts_total{channel="webhook",outcome="sent"} 6.0' in metrics
    last = {message["messageid"]: message for _, body in receiver.requests if (message := json.loads(body))}
    told = [one["jobid"] for message in last.values() for one in message["alerts"]]
    assert sorted(jobid for jobid in told if jobid is not None) == [1, 2, 3, 4]


async def test_a_target_that_hangs_and_a_monitor_without_a_report_are_told(
    database: Database, worker_database: URL, target: Receiver, receiver: Receiver
) -> None:
    """From the schedule to the message, with nothing pushed on."""
    go_on = target.hold()
    async with (
        services(1, worker_database, SCHEDULER_SECRET_KEY=KEY) as (service,),
        AsyncClient(base_url=service.url, timeout=PATIENCE) as client,
    ):
        await client.post("/channels", json={"name": "hook", "kind": "webhook", "url": receiver.url})
        hanging = {"url": target.url, "retries": 0, "timeout": 1}
        assert (
            await client.post("/jobs", json={"jobname": "Hangs", "delay": 1, "target": hanging})
        ).status_code == 201
        expected = {"jobname": "Backup", "delay": 1, "grace": 1, "monitor": {}}
        assert (await client.post("/jobs", json=expected)).status_code == 201
        await until(database, "SELECT count(*) = 2 AND bool_and(sentat IS NOT NULL) FROM alert")
    go_on.set()
    entries = [one for _, body in receiver.requests for one in json.loads(body)["alerts"]]
    told = [one["facts"] | {"event": one["event"]} for one in entries]
    assert sorted((one["jobname"], one["kind"], one["event"]) for one in told) == [
        ("Backup", "missed", "opened"),
        ("Hangs", "failed", "opened"),
    ]
    (error,) = [one["error"] for one in told if one["kind"] == "failed"]
    assert error.startswith("The target did not answer in full within 1 s.")
