"""The example receiver does what it says, beside a real service."""

import asyncio
import sys
from pathlib import Path

from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.factories import add_job, scalar
from tests.processes.service import PATIENCE, services

RECEIVER = Path(__file__).parents[1] / "examples" / "receiver.py"


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def test_a_long_run_over_plain_http(database: Database, worker_database: URL) -> None:
    port = await free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(RECEIVER), str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE), services(1, worker_database) as (service,):
            now = await scalar(database, "SELECT clock_timestamp()")
            # Its first attempts may come before the receiver listens.
            target = {"url": f"http://localhost:{port}/", "retries": 50, "backoff": 1, "maxbackoff": 1}
            await add_job(database, due=now, target=target)
            async with AsyncClient(base_url=service.url) as client:
                while (found := (await client.get("/logs/1")).json())["log"]["status"] != "finished":
                    await asyncio.sleep(0.05)
            assert found["attempts"][-1]["progress"] == 75
            assert [line["line"] for line in found["lines"]] == ["All done."]
    finally:
        process.kill()
        await process.wait()
