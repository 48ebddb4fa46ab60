"""The Postgres that is measured on: a fresh embedded one, or the one that the environment names."""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import URL, make_url

from benchmarks import statements
from scheduler_api.database import migrations
from scheduler_api.database.engine import Database
from scheduler_api.embedded.server import EmbeddedServer
from scheduler_api.pools import TICKER_POOL

GIVEN = "SCHEDULER_BENCH_DATABASE_URL"
#: Beside the defaults that every user gets: the database itself then says when a run was committed, and
#: how many statements it took.
SERVER_SETTINGS = {"track_commit_timestamp": "on"} | statements.SERVER_SETTINGS


@contextlib.asynccontextmanager
async def postgres(programs: Path | None = None) -> AsyncIterator[URL]:
    """The URL of a server that runs as long as this context; `programs`: of a third one."""
    given = os.environ.get(GIVEN)
    if given and programs is None:
        yield make_url(given).set(drivername="postgresql+asyncpg")
        return
    data_dir = Path(tempfile.mkdtemp(prefix="scheduler-bench-"))
    server = EmbeddedServer(data_dir, programs=programs, settings=SERVER_SETTINGS)
    try:
        yield await server.start()
    finally:
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, data_dir)


@contextlib.asynccontextmanager
async def fresh_database(server: URL) -> AsyncIterator[URL]:
    """A migrated database that is dropped afterwards."""
    name = f"bench_{secrets.token_hex(4)}"
    await _command(server, f'CREATE DATABASE "{name}"')
    url = server.set(database=name)
    try:
        async with service_database(url) as database:
            await migrations.migrate(database)
        yield url
    finally:
        await _command(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.asynccontextmanager
async def service_database(url: URL) -> AsyncIterator[Database]:
    """Connections as the ticker has them."""
    database = Database(url, name="benchmark", pool=TICKER_POOL)
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def bare_connection(url: URL, **settings: str) -> AsyncIterator[Any]:
    """A connection without any layer above the driver."""
    connection = await asyncpg.connect(dsn(url), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


def dsn(url: URL) -> str:
    """The URL as the driver and the service's configuration read it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def _command(server: URL, command: str) -> None:
    async with bare_connection(server) as connection:
        await connection.execute(command)
