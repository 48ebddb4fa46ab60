"""A Postgres server for tests, and databases on it that come and go."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database import distribution, migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database

#: Hands the name of the migrated database from the process that makes it to the workers.
TEMPLATE = "SCHEDULER_TEST_TEMPLATE"
#: Over how many cells the tables of all tests are distributed; unset: they are not.
CELLS = "SCHEDULER_TEST_CELLS"
#: What counts statements counts those of one cell.
undistributed = pytest.mark.skipif(CELLS in os.environ, reason="the tables are distributed")


def dsn(url: URL) -> str:
    """The URL as asyncpg itself takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Server:
    """A running server, known by the URL of one of its databases."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @contextlib.contextmanager
    def scratch_database(self, template: str = "template0") -> Iterator[URL]:
        """An empty database, or a copy of one that nobody is connected to; dropped afterwards."""
        name = f"scheduler_test_{uuid.uuid4().hex}"
        # To log each page of it takes five times as long.
        asyncio.run(self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
        try:
            yield self.url.set(database=name)
        finally:
            asyncio.run(self.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def migrated_database(self) -> contextlib.AbstractContextManager[URL]:
        """A database with the schema and no service, dropped afterwards."""
        return self.scratch_database(os.environ[TEMPLATE])

    @contextlib.contextmanager
    def template(self) -> Iterator[None]:
        """Let there be a migrated database to copy: to migrate one takes twenty times as long."""
        with self.scratch_database() as url:
            asyncio.run(_migrate(url))
            assert url.database is not None
            os.environ[TEMPLATE] = url.database
            yield
            del os.environ[TEMPLATE]

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(dsn(self.url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _migrate(url: URL) -> None:
    database = Database(url, name="tests", pool=PoolOptions(1, 0, 5.0))
    await migrations.migrate(database)
    if CELLS in os.environ:
        steps = distribution.steps(int(os.environ[CELLS]), engine=False)
        await distribution.distribute(database, steps, lambda _: None)
    await database.close()
