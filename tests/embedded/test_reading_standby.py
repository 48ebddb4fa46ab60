"""Pages are read from a standby while it is hardly behind, and nobody misses there what he has just done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.embedded.server import EmbeddedServer
from scheduler_api.settings import Settings
from scheduler_api.workers import standby
from tests.factories import execute, scalar
from tests.servers import dsn

from .conftest import PATIENCE, Embed, User, ask
from .test_restore import backed_up

ROOM = {"max_connections": "60"}
HTML = {"accept": "text/html", "origin": "http://localhost"}
FORM = {"jobname": "Nightly backup", "startdate": "2099-01-31", "starttime": "02:00", "interval": "3600"}


@pytest.fixture
async def servers(
    embed: Embed, data_dir: Path, folder: Path, ordinary_user: User
) -> tuple[EmbeddedServer, URL, EmbeddedServer, URL]:
    """A primary, and a standby that follows it."""
    primary = embed(data_dir, **ROOM)
    url = await primary.start()
    await asyncio.to_thread(backed_up, primary, folder / "standby", ordinary_user)
    follower = embed(folder / "standby", **ROOM)
    return primary, url, follower, await follower.start()


@pytest.fixture
async def app(servers: tuple[Any, URL, Any, URL]) -> AsyncIterator[Any]:
    settings = Settings.model_validate(
        {
            "database_url": dsn(servers[1]),
            "database_read_url": dsn(servers[3]),
            "auto_migrate": True,
            "ticker": False,
        }
    )
    async with LifespanManager(create_app(settings)) as manager:
        yield manager.app


@contextlib.asynccontextmanager
async def browser(app: Any) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, client=("127.0.0.1", 50000))
    async with AsyncClient(transport=transport, base_url="http://localhost", headers=HTML) as client:
        yield client


async def lag(client: AsyncClient) -> float | None:
    found = (await client.get("/overview", headers={"accept": "application/json"})).json()["standby"]
    behind: float | None = found["lag"]
    return behind


async def until_it_is_read(client: AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while await lag(client) is None:
            await asyncio.sleep(0.05)


async def sees(client: AsyncClient, name: str = "Nightly backup") -> bool:
    page = await client.get("/jobs")
    assert page.status_code == 200
    return name in page.text


async def test_pages_are_read_from_it_but_by_those_who_have_just_changed_something(
    app: Any, servers: tuple[Any, URL, Any, URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is held back here for as long as the test takes.
    monkeypatch.setattr(standby, "MAX_LAG", 600.0)
    async with browser(app) as writer, browser(app) as reader:
        await until_it_is_read(reader)
        await ask(servers[3], "SELECT pg_wal_replay_pause()")
        made = await writer.post("/jobs", data=FORM)
        assert made.status_code == 303, made.text
        assert await sees(writer)
        assert not await sees(reader)
        listed = await reader.get("/jobs", headers={"accept": "application/json"})
        assert [job["jobname"] for job in listed.json()] == ["Nightly backup"]
        await ask(servers[3], "SELECT pg_wal_replay_resume()")
        async with asyncio.timeout(PATIENCE):
            while not await sees(reader):
                await asyncio.sleep(0.05)


async def test_pages_are_told_of_a_change_when_it_can_be_read(
    servers: tuple[Any, URL, Any, URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "MAX_LAG", 600.0)
    pool = PoolOptions(2, 0, 5.0)
    primary, copy = (Database(url, name="tests", pool=pool) for url in (servers[1], servers[3]))
    await migrations.migrate(primary)
    pages, told = standby.Standby(primary, copy), asyncio.Event()
    pages.loop.start()
    try:
        async with asyncio.timeout(PATIENCE):
            while pages.lag is None:
                await asyncio.sleep(0.05)
        await ask(servers[3], "SELECT pg_wal_replay_pause()")
        await execute(primary, "INSERT INTO project (name, createdat) VALUES ('new', now())")
        pages.when_caught_up(told.set)
        # Long enough for many looks.
        await asyncio.sleep(10 * standby.HASTE)
        assert not told.is_set()
        await ask(servers[3], "SELECT pg_wal_replay_resume()")
        async with asyncio.timeout(PATIENCE):
            await told.wait()
        assert await scalar(copy, "SELECT count(*) FROM project WHERE name = 'new'") == 1
        monkeypatch.setattr(standby, "MAX_LAG", 0.0)
        told.clear()
        pages.when_caught_up(told.set)
        assert told.is_set()
    finally:
        await pages.stop()
        await primary.close()
        await copy.close()


async def test_what_is_too_far_behind_is_not_read(
    app: Any, servers: tuple[Any, URL, Any, URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(app) as client:
        await until_it_is_read(client)
        monkeypatch.setattr(standby, "MAX_LAG", 0.0)
        assert await lag(client) is None
        await ask(servers[3], "SELECT pg_wal_replay_pause()")
        assert (await client.post("/jobs", data=FORM)).status_code == 303
        client.cookies.clear()
        assert await sees(client)
        monkeypatch.undo()
        await ask(servers[3], "SELECT pg_wal_replay_resume()")
        await until_it_is_read(client)


async def test_pages_are_there_when_it_is_not(app: Any, servers: tuple[Any, URL, Any, URL]) -> None:
    async with browser(app) as client:
        await until_it_is_read(client)
        assert (await client.post("/jobs", data=FORM)).status_code == 303
        client.cookies.clear()
        await servers[2].stop()
        assert await sees(client)
        assert await lag(client) is None
