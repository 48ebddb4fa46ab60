"""Pages are read from a standby while it is hardly behind, and nobody misses there what he has just done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient
from pydantic import ValidationError
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session, Statement
from scheduler_api.embedded.server import EmbeddedServer
from scheduler_api.settings import Settings
from scheduler_api.workers import standby
from tests.factories import execute, scalar
from tests.servers import dsn

from .conftest import PATIENCE, Embed, User, ask
from .test_restore import backed_up

IS_STANDBY, SLOW = Statement("SELECT pg_is_in_recovery()"), Statement("SELECT pg_sleep(3)")
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
        assert "Standby for pages" in (await reader.get("/overview")).text
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


def is_fit(pages: standby.Standby) -> bool:
    return pages.lag is not None


async def until_fit(pages: standby.Standby) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_fit(pages):
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
        await until_fit(pages)
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
        # Then pages do not go back to it before it has what they were told of.
        monkeypatch.setattr(standby, "MAX_LAG", 600.0)
        assert not is_fit(pages)
        await until_fit(pages)
    finally:
        await pages.stop()
        await primary.close()
        await copy.close()


async def test_a_page_that_is_slow_there_is_read_from_the_primary(servers: tuple[Any, URL, Any, URL]) -> None:
    """The others go on being read there."""
    pool = PoolOptions(2, 0, 5.0)
    primary = Database(servers[1], name="tests", pool=pool)
    copy = Database(servers[3], name="tests", pool=pool, statement_timeout=0.1, patience=5.0)
    await migrations.migrate(primary)
    pages = standby.Standby(primary, copy)
    pages.loop.start()

    async def look(session: Session) -> bool:
        is_standby = bool(await session.value(IS_STANDBY))
        if is_standby:
            await session.value(SLOW)
        return is_standby

    try:
        await until_fit(pages)
        assert await pages.reading.read(is_standby)
        assert not await pages.reading.read(look)
        assert await pages.reading.read(is_standby)
        assert is_fit(pages)
    finally:
        await pages.stop()
        await primary.close()
        await copy.close()


async def is_standby(session: Session) -> bool:
    return bool(await session.value(IS_STANDBY))


@pytest.mark.parametrize("hosts", ["one,two", "one:5432,one:5433"])
def test_it_is_one_server(hosts: str) -> None:
    with pytest.raises(ValidationError, match="must name one server"):
        Settings.model_validate({"database_read_url": f"postgresql://scheduler@{hosts}/scheduler"})


async def test_who_signs_out_or_is_refused_has_written_too(app: Any) -> None:
    async with browser(app) as client:
        refused = await client.post("/jobs", data=FORM | {"interval": "none"})
        assert refused.status_code == 422
        assert "wrote" in client.cookies


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
