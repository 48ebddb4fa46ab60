"""A service on its own embedded server, which dies under it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import AsyncClient, HTTPError

from tests.processes.service import PATIENCE, Service


@pytest.fixture
async def service(open_folder: Path) -> AsyncIterator[Service]:
    started = await Service.start(None, SCHEDULER_DATA_DIR=str(open_folder / "data"))
    yield started
    await started.stop()


async def test_a_killed_server_comes_back_with_all_data(service: Service, open_folder: Path) -> None:
    start = datetime.now(UTC) + timedelta(seconds=3)
    draft = {
        "jobname": "Heartbeat",
        "startdate": f"{start:%Y-%m-%d}",
        "starttime": f"{start:%H:%M:%S}",
        "repeat": True,
        "interval": 1,
    }
    async with AsyncClient(base_url=service.url, timeout=PATIENCE) as client:
        created = await client.post("/jobs", json=draft)
        assert created.status_code == 201
        first = server_of(open_folder)
        os.kill(first, signal.SIGKILL)
        # The service answers all the while; it runs jobs again as soon as the server has recovered.
        async with asyncio.timeout(PATIENCE):
            while not await has_run(client, created.headers["location"]):
                assert (await client.get("/healthz")).status_code == 200
                await asyncio.sleep(0.1)
        # Its parts come back one by one, each after its own pause.
        async with asyncio.timeout(PATIENCE):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.1)
    assert server_of(open_folder) != first
    assert await service.stop() == 0
    assert b"the embedded server ended; starting it again" in service.said


def server_of(folder: Path) -> int:
    return int((folder / "data" / "cluster" / "postmaster.pid").read_text().split("\n")[0])


async def has_run(client: AsyncClient, job: str) -> bool:
    with contextlib.suppress(HTTPError, KeyError):
        logs = (await client.get(job)).json()["logs"]
        return any(log["status"] == "finished" for log in logs)
    return False
