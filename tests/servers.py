"""A Postgres server for tests, and databases on it that come and go."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator

import asyncpg
from sqlalchemy.engine import URL

from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database


def dsn(url: URL) -> str:
    """The URL as asyncpg itself takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Server:
    """A running server, known by the URL of one of its databases."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @contextlib.contextmanager
    def scratch_database(self) -> Iterator[URL]:
        """An empty database, dropped afterwards."""
        name = f"scheduler_test_{uuid.uuid4().hex}"
        asyncio.run(self.execute(f"CREATE DATABASE {name} TEMPLATE template0"))
        try:
            yield self.url.set(database=name)
        finally:
            asyncio.run(self.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    @contextlib.contextmanager
    def migrated_database(self) -> Iterator[URL]:
        """A database with the schema and no service, dropped afterwards."""
        with self.scratch_database() as url:
            asyncio.run(_migrate(url))
            yield url

    @contextlib.contextmanager
    def copy_of(self, url: URL) -> Iterator[URL]:
        """A copy of a database that nobody is connected to, dropped afterwards: soon made."""
        name = f"{url.database}_1"
        asyncio.run(self.execute(f"CREATE DATABASE {name} TEMPLATE {url.database}"))
        try:
            yield url.set(database=name)
        finally:
            asyncio.run(self.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(dsn(self.url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _migrate(url: URL) -> None:
    database = Database(url, name="tests", pool=PoolOptions(1, 0, 5.0))
    await migrations.migrate(database)
    await database.close()
