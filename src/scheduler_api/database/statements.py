"""Statements as values, and the session that runs them.

The session is SQLAlchemy's: it owns the connection, its transaction and its way back to the pool. It runs
compiled statements on the driver's connection below, as SQLAlchemy's own way from a statement to its rows
costs more than all else in a request (decision 7). Every call of the driver passes through here: one that is
given up before the server has answered leaves the connection in doubt, and that ends it.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any, Generic, TypeVar, overload

import asyncpg
from sqlalchemy import ClauseElement, text
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from scheduler_api.database.connections import Connection

T = TypeVar("T")
Row = TypeVar("Row")

#: Where a session keeps its driver's connection, and what is to be done once its work is committed.
DRIVER, WHEN_COMMITTED = "driver", "when committed"


class OutOfTime(TimeoutError):
    """The unit of work has no time left, so that the server was not asked."""


class _Compiler(PGCompiler_asyncpg):
    """Writes constants into the SQL, as the planner sees by them which partial index holds all rows.

    A `bindparam` without a value, which is `required`, is a parameter; everything else is a constant.
    """

    def visit_bindparam(self, bindparam: Any, *args: Any, **kwargs: Any) -> Any:
        if not bindparam.required:
            kwargs["literal_binds"] = True
        return super().visit_bindparam(bindparam, *args, **kwargs)  # type: ignore[no-untyped-call]  # untyped


class _Dialect(PGDialect_asyncpg):
    statement_compiler = _Compiler
    supports_statement_cache = True


class Statement(Generic[Row]):
    """A statement on the tables, compiled once, and the type of its rows.

    It is one of SQLAlchemy's constructs with a `bindparam` for each parameter, or SQL with parameters such as
    `:jobid`; decision 7 says when which. `row` is a NamedTuple or a dataclass, one field a column, in their
    order; without it rows are the driver's. A test prepares each statement and compares the columns.
    """

    @overload
    def __init__(self: "Statement[asyncpg.Record]", statement: str | ClauseElement) -> None: ...

    @overload
    def __init__(self, statement: str | ClauseElement, row: type[Row]) -> None: ...

    def __init__(self, statement: str | ClauseElement, row: Any = None) -> None:
        construct = text(statement) if isinstance(statement, str) else statement
        compiled = construct.compile(dialect=_Dialect())  # type: ignore[no-untyped-call]  # untyped
        self.row = row
        self.make: Callable[[asyncpg.Record], Any] | None = _maker(row)
        self.sql = str(compiled)
        self.names: list[str] = getattr(compiled, "positiontup", None) or []

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order in which the driver wants them."""
        return [values[name] for name in self.names]


def _maker(row: Any) -> Callable[[asyncpg.Record], Any] | None:
    if row is None:
        return None
    # A NamedTuple makes itself of any sequence.
    make: Callable[[asyncpg.Record], Any] | None = getattr(row, "_make", None)
    return make or (lambda record: row(*record))


class Session(AsyncSession):
    """A unit of work with the database: `await session.all(CLAIM, due=due)`."""

    async def all(self, statement: Statement[Row], **values: Any) -> list[Row]:
        """Run a statement; all rows."""
        driver: Connection = self.info[DRIVER]
        call = driver.fetch(statement.sql, *statement.arguments(values), timeout=_time_left(driver))
        rows: list[Any] = await _answered(driver, call)
        return rows if statement.make is None else list(map(statement.make, rows))

    async def one_or_none(self, statement: Statement[Row], **values: Any) -> Row | None:
        """Run a statement; its first row."""
        driver: Connection = self.info[DRIVER]
        call = driver.fetchrow(statement.sql, *statement.arguments(values), timeout=_time_left(driver))
        found: Any = await _answered(driver, call)
        row: Row | None = found if found is None or statement.make is None else statement.make(found)
        return row

    async def values(self, statement: Statement[asyncpg.Record], **values: Any) -> list[Any]:
        """Run a statement that gives one column; what is in it."""
        return [record[0] for record in await self.all(statement, **values)]

    async def value(self, statement: Statement[asyncpg.Record], **values: Any) -> Any:
        """Run a statement that gives one column; what is in its first row, None without any."""
        record = await self.one_or_none(statement, **values)
        return None if record is None else record[0]

    def when_committed(self, call: Callable[[], None]) -> None:
        """Have something done once the unit of work is committed, and only then: it must not fail."""
        self.info.setdefault(WHEN_COMMITTED, []).append(call)

    def committed(self) -> None:
        """The unit of work is committed."""
        for call in self.info.pop(WHEN_COMMITTED, ()):
            call()

    async def one(self, statement: Statement[Row], **values: Any) -> Row:
        """Run a statement; the row that it always has."""
        row = await self.one_or_none(statement, **values)
        assert row is not None
        return row


async def command(session: AsyncSession, sql: str, share: float = 1.0) -> str:
    """Run statements without parameters or rows, in one round trip; what the server calls the last of them.

    `share` is how much of the time that is left to the unit of work they may take.
    """
    driver: Connection = session.info[DRIVER]
    call = driver.execute(sql, timeout=share * _time_left(driver))
    tag: str = await _answered(driver, call)
    return tag


@contextlib.asynccontextmanager
async def savepoint(session: AsyncSession) -> AsyncIterator[None]:
    """A part of a unit of work that may fail without the rest: `async with savepoint(session)`."""
    await command(session, "SAVEPOINT part")
    before = len(session.info.get(WHEN_COMMITTED, ()))
    try:
        yield
    except BaseException:
        # What was to follow from this part has not happened.
        del session.info.get(WHEN_COMMITTED, [])[before:]
        driver: Connection = session.info[DRIVER]
        if not driver.in_doubt and not driver.is_closed():
            await command(session, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        raise
    await command(session, "RELEASE SAVEPOINT part")


def attach_driver(session: AsyncSession, connection: AsyncConnection, deadline: float) -> Connection:
    """Let the session's statements find its connection's driver, for use until `deadline`."""
    driver = connection.sync_connection.connection.driver_connection if connection.sync_connection else None
    assert isinstance(driver, Connection)
    driver.deadline = deadline
    session.info[DRIVER] = driver
    return driver


def _time_left(driver: Connection) -> float:
    """Seconds; raises OutOfTime where there are none."""
    left = driver.deadline - monotonic()
    if left <= 0:
        raise OutOfTime
    return left


async def _answered(driver: Connection, call: Awaitable[T]) -> T:
    try:
        return await call
    except BaseException as error:
        # A time-out, a cancellation, or the driver's own trouble: the server may yet do what it was asked. Or
        # an internal error: the connection may know types that are gone, as the database was restored.
        if not isinstance(error, asyncpg.PostgresError) or isinstance(error, asyncpg.InternalServerError):
            driver.in_doubt = True
        raise
