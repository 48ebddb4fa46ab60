"""The ticker: on time, woken early, and alive through whatever happens to the database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.runs.pending import CHANNEL
from scheduler_api.embedded.server import EmbeddedServer
from scheduler_api.workers import floor, loops
from scheduler_api.workers import ticker as ticker_module
from scheduler_api.workers.listener import listener
from scheduler_api.workers.runner import Runner
from scheduler_api.workers.ticker import Ticker
from scheduler_api.workers.upkeep import Upkeep
from tests.factories import NOON, add_due_jobs, add_job, execute, is_active, logs, scalar
from tests.processes.service import PATIENCE, Service
from tests.receiver import receiving

LONG = 3600.0


@contextlib.asynccontextmanager
async def ticking(database: Database, interval: float) -> AsyncIterator[Ticker]:
    ticker = Ticker(database, Runner(database, 100), Upkeep(database), interval)
    listening = listener(database, {CHANNEL: ticker.wake})
    listening.start()
    ticker.start()
    try:
        yield ticker
    finally:
        await listening.cancel()
        await ticker.stop()


async def until_status(database: Database, jobid: int, status: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while status not in [log.status for log in await logs(database, jobid)]:
            await asyncio.sleep(0.01)


async def test_it_wakes_for_the_next_due_run_and_not_only_at_its_interval(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(database, due=now + timedelta(seconds=0.5))
    async with ticking(database, LONG):
        await until_status(database, jobid, "finished")
    (log,) = await logs(database, jobid)
    assert log.startedat >= log.scheduledfor


async def test_a_notification_wakes_it(database: Database) -> None:
    async with ticking(database, LONG):
        listening = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
        async with asyncio.timeout(PATIENCE):
            while not await scalar(database, listening):
                await asyncio.sleep(0.01)
        await add_due_jobs(database, 1)
        await execute(database, "NOTIFY scheduler_scheduled")
        await until_status(database, 1, "finished")


async def test_without_notifications_it_looks_by_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(Database, "listen", deaf)
    async with ticking(database, 0.05):
        await add_due_jobs(database, 1)
        await until_status(database, 1, "finished")


@pytest.mark.parametrize("told", [True, False])
async def test_what_others_ask_for_that_was_due_long_ago_is_found(
    database: Database, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Although looks rely on earlier ones for what is older: at once if it is told, else some looks later."""
    monkeypatch.setattr(floor, "FLOOR_SECONDS", LONG if told else 0.2)
    async with ticking(database, 0.05) as ticker:
        async with asyncio.timeout(PATIENCE):
            while ticker._floor.at == BEGINNING:
                await asyncio.sleep(0.01)
        await add_job(database, due=NOON.replace(year=2020))
        if told:
            await execute(database, "NOTIFY scheduler_scheduled")
        await until_status(database, 1, "finished")


async def test_it_heals_what_lost_its_promise(database: Database) -> None:
    jobid = await add_job(database, due=None)
    async with ticking(database, LONG):
        await until_status(database, jobid, "pending")


async def test_a_pause_ends_at_its_time(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    start = now + timedelta(days=1)
    jobid = await add_job(
        database,
        due=None,
        active=False,
        interval=60,
        startdate=start.date(),
        starttime=start.time(),
        pausedat=now,
        pauseduntil=now + timedelta(seconds=0.5),
    )
    async with ticking(database, LONG):
        await until_status(database, jobid, "pending")
    assert await is_active(database, jobid)


async def test_a_backlog_is_done_before_it_sleeps(database: Database) -> None:
    await add_due_jobs(database, 450)
    async with ticking(database, LONG), asyncio.timeout(PATIENCE):
        while await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'") < 450:
            await asyncio.sleep(0.01)


async def test_failures_neither_end_it_nor_stay_hidden(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "FIRST_BACKOFF", 0.001)
    await execute(database, "ALTER TABLE joblog RENAME TO gone")
    try:
        async with ticking(database, 0.05) as ticker:
            async with asyncio.timeout(PATIENCE):
                while ticker.issue is None:
                    await asyncio.sleep(0.01)
            assert "failed" in ticker.issue
            await execute(database, "ALTER TABLE gone RENAME TO joblog")
            async with asyncio.timeout(PATIENCE):
                while ticker.issue is not None:
                    await asyncio.sleep(0.01)
    finally:
        await execute(database, "ALTER TABLE IF EXISTS gone RENAME TO joblog")


async def test_a_ticker_that_hangs_is_an_issue(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ticker = Ticker(database, Runner(database, 100), Upkeep(database), 1.0)
    before = ticker.issue
    assert before is None
    blocked = asyncio.Event()
    monkeypatch.setattr(Database, "read", lambda *_: blocked.wait())
    ticker.start()
    now = monotonic()
    monkeypatch.setattr(loops, "monotonic", lambda: now + 100)
    assert "has done nothing for" in str(ticker.issue)
    blocked.set()
    await ticker.stop()


async def test_what_another_holds_does_not_make_it_spin(
    database: Database, worker_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    pauses = []
    tick = Ticker._tick

    async def record(self: Ticker) -> float:
        pauses.append(await tick(self))
        return pauses[-1]

    monkeypatch.setattr(Ticker, "_tick", record)
    async with database.transactional.connect() as holder:
        await holder.exec_driver_sql("SELECT FROM joblog FOR UPDATE")
        async with ticking(database, LONG), asyncio.timeout(PATIENCE):
            while len(pauses) < 3:
                await asyncio.sleep(0.01)
            await holder.rollback()
            await until_status(database, 1, "finished")
    assert pauses[:3] == [ticker_module.CONTENDED_PAUSE] * 3


async def test_the_service_lives_through_a_restart_of_the_database(open_folder: Path) -> None:
    """Down: 503 with Retry-After, and not ready. Up again: it runs what became due meanwhile, by itself."""
    server = EmbeddedServer(open_folder / "data")
    url = await server.start()
    service = await Service.start(url, SCHEDULER_AUTO_MIGRATE="true", SCHEDULER_TICKER_INTERVAL="0.2")
    database = Database(url, name="tests", pool=PoolOptions(2, 0, 5.0))
    try:
        async with AsyncClient(base_url=service.url, timeout=PATIENCE) as client:
            start = datetime.now(UTC) + timedelta(seconds=3)
            body = {"startdate": f"{start:%Y-%m-%d}", "starttime": f"{start:%H:%M:%S}"}
            created = await client.post("/jobs", json={"jobname": "Survivor"} | body)
            assert created.status_code == 201
            await server.stop()
            response = await client.get("/jobs")
            assert response.status_code == 503
            assert response.json()["code"] == "database_unavailable"
            assert "retry-after" in response.headers
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
            assert await server.start() == url
            await until_status(database, 1, "finished")
            assert not await is_active(database, 1)
            async with asyncio.timeout(PATIENCE):
                while (await client.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
        assert await service.stop() == 0
    finally:
        await database.close()
        await service.stop()
        await server.stop()


async def test_a_service_that_works_sends_a_sign_of_life(worker_database: URL, database: Database) -> None:
    async with receiving() as receiver:
        service = await Service.start(worker_database, SCHEDULER_HEARTBEAT_URL=receiver.url)
        async with asyncio.timeout(PATIENCE):
            await receiver.arrived(1)
        assert await service.stop() == 0
