"""Statements as values: SQL with named parameters, run on the driver's connection below a session.

SQLAlchemy's own way from a statement to its rows costs more than all else in a request; the session still
owns the connection, its transaction and its way back to the pool.
"""

from typing import Any

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

#: Where a session keeps its driver's connection.
DRIVER = "driver"


class Statement:
    """One SQL statement with parameters such as `:jobid`."""

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]
        self.text = sql
        self.sql = str(compiled)
        self._names: list[str] = compiled.positiontup or []

    async def all(self, session: AsyncSession, **values: Any) -> list[asyncpg.Record]:
        """Run it; all rows."""
        driver: asyncpg.Connection = session.info[DRIVER]
        rows: list[asyncpg.Record] = await driver.fetch(self.sql, *self.arguments(values))
        return rows

    async def one_or_none(self, session: AsyncSession, **values: Any) -> asyncpg.Record | None:
        """Run it; the first row."""
        driver: asyncpg.Connection = session.info[DRIVER]
        return await driver.fetchrow(self.sql, *self.arguments(values))

    async def one(self, session: AsyncSession, **values: Any) -> asyncpg.Record:
        """Run it; the row that it always has."""
        row = await self.one_or_none(session, **values)
        assert row is not None
        return row

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order in which the driver wants them."""
        return [values[name] for name in self._names]


def savepoint(session: AsyncSession) -> Transaction:
    """A part of a unit of work that may fail without the rest: `async with savepoint(session)`."""
    driver: asyncpg.Connection = session.info[DRIVER]
    return driver.transaction()


async def attach_driver(session: AsyncSession) -> asyncpg.Connection:
    """Take the session's connection from the pool, and let statements find it."""
    driver = await session.run_sync(_driver_below)
    session.info[DRIVER] = driver
    return driver


def _driver_below(session: Session) -> asyncpg.Connection:
    return session.connection().connection.driver_connection
