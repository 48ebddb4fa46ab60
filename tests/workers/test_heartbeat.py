"""Signs of life: one for each minute in which all work was done, none otherwise."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.settings import Settings
from scheduler_api.workers import heartbeat, loops
from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.heartbeat import Heartbeat
from scheduler_api.workers.loops import Loop
from tests.receiver import Receiver, receiving

PATIENCE = 30.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_one_is_sent_when_all_progresses_and_none_when_anything_does_not(receiver: Receiver) -> None:
    stuck: list[str] = []
    beating = Heartbeat(f"{receiver.url}/secret-path", lambda: stuck)
    await beating._client.open()
    try:
        assert await beating._beat() == heartbeat.EVERY
        (request, _) = receiver.requests[0]
        assert (request.method, request.path) == ("GET", "/hook/secret-path")
        stuck.append("The ticker does not run.")
        with capture_logs() as said:
            assert [await beating._beat() for _ in range(3)] == [heartbeat.AGAIN] * 3
        assert [line["because"] for line in said] == ["The ticker does not run."]
        stuck.clear()
        with capture_logs() as said:
            assert await beating._beat() == heartbeat.EVERY
        assert [line["event"] for line in said] == ["heartbeats are sent again"]
        assert len(receiver.requests) == 2
    finally:
        await beating.stop()


async def test_one_that_is_not_taken_is_sent_again_soon_and_its_address_is_in_no_log(
    receiver: Receiver,
) -> None:
    for url, status, because in (
        (receiver.url, 404, "status 404"),
        ("http://127.0.0.1:1", 200, "connect"),
    ):
        receiver.always(status)
        beating = Heartbeat(f"{url}/secret-path", list)
        await beating._client.open()
        with capture_logs() as said:
            assert await beating._beat() == heartbeat.AGAIN
        await beating.stop()
        assert [line["because"] for line in said] == [because]
        assert "secret-path" not in str(said)


async def test_they_begin_and_end_with_the_service(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.001)
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    async with heartbeat.sent(f"{receiver.url}/{{hostname}}", list), asyncio.timeout(PATIENCE):
        await receiver.arrived(3)
    assert "heartbeat" not in {task.get_name() for task in asyncio.all_tasks()}
    assert {request.path for request, _ in receiver.requests} == {"/hook/here"}
    async with heartbeat.sent(None, list):
        assert "heartbeat" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_replica_that_sends_no_alerts_sends_no_heartbeat(
    application: FastAPI, database: Database, settings: Settings, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("EVERY", "AGAIN"):
        monkeypatch.setattr(heartbeat, name, 0.01)
    is_broken = False
    step = Sender._step

    async def broken(sender: Sender) -> float:
        if is_broken:
            raise RuntimeError("It does not send.")
        return await step(sender)

    monkeypatch.setattr(Sender, "_step", broken)
    monkeypatch.setattr("scheduler_api.workers.alerting.sender.EVERY", 0.01)
    own = {"ticker": True, "heartbeat_url": SecretStr(receiver.url)}
    app = create_app(settings.model_copy(update=own))
    async with LifespanManager(app), asyncio.timeout(PATIENCE):
        await receiver.arrived(1)
        with capture_logs() as said:
            is_broken = True
            while not any(line["event"] == "no heartbeat is sent" for line in said):
                await asyncio.sleep(0.01)
        (why,) = {line["because"] for line in said if line["event"] == "no heartbeat is sent"}
        assert "sending of alerts" in why
        count = len(receiver.requests)
        is_broken = False
        await receiver.arrived(count + 1)


async def test_a_loop_that_failed_once_or_is_silent_or_has_ended_is_at_a_standstill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stepped = asyncio.Event()
    fails = False

    async def step() -> float:
        stepped.set()
        if fails:
            raise RuntimeError("It fails.")
        return 0.001

    loop = Loop("worker", step, longest=1.0, max_backoff=0.01)

    def standstill() -> str | None:
        return loop.standstill

    assert standstill() == "The worker does not run."
    loop.start()
    async with asyncio.timeout(PATIENCE):
        await stepped.wait()
        assert standstill() is None
        fails = True
        while standstill() is None:
            await asyncio.sleep(0.001)
        assert standstill() == "The last step of the worker failed."
        fails = False
        while standstill() is not None:
            await asyncio.sleep(0.001)
    later = monotonic() + 100
    monkeypatch.setattr(loops, "monotonic", lambda: later)
    assert "has done nothing for" in (standstill() or "")
    monkeypatch.undo()
    await loop.stop()
    assert standstill() == "The worker does not run."
