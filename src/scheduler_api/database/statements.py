"""Statements as values, and the session that runs them.

The session is SQLAlchemy's: it owns the connection, its transaction and its way back to the pool. It runs
compiled statements on the driver's connection below, as SQLAlchemy's own way from a statement to its rows
costs more than all else in a request (decision 7). Every call of the driver passes through here: one that is
given up before the server has answered leaves the connection in doubt, and that ends it.
"""

import contextlib
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

import asyncpg
from sqlalchemy import ClauseElement, text
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from scheduler_api.database.connections import Connection
from scheduler_api.errors import Misconfigured

if TYPE_CHECKING:
    from scheduler_api.database.cells import Celled

T = TypeVar("T")
Row = TypeVar("Row")

#: What a statement is given beside its parameters: the cell, and the id of a new job.
CELL = "its cell"
#: Where a session keeps its driver's connection, what is to be done once its work is committed, and in which
#: cells logs are.
DRIVER, WHEN_COMMITTED, CELLS_OF_LOGS = "driver", "when committed", "cells of logs"


class OutOfTime(TimeoutError):
    """The unit of work has no time left, so that the server was not asked."""


#: All statements that there are.
_KNOWN: WeakSet["Statement[Any]"] = WeakSet()


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
    order; the last of a NamedTuple may be left out if they have a default. Without it rows are the driver's.
    A test prepares each statement and compares the columns.
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
        _KNOWN.add(self)

    @cached_property
    def celled(self) -> "Celled | None":
        """The same for distributed tables, if it locks or changes any: it names one cell.

        Raises Misconfigured where there is no parser of SQL.
        """
        try:
            # Those who do not distribute their tables need no parser of SQL.
            cells = importlib.import_module("scheduler_api.database.cells")
        except ImportError:
            raise Misconfigured(
                "The tables are distributed, and that needs sqlglot: pip install 'scheduler-api[cells]'."
            ) from None
        celled: Celled | None = cells.celled(self.sql, self.names)
        return celled

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order in which the driver wants them."""
        return [values[name] for name in self.names]


def prepare_for_cells() -> None:
    """Make of each statement what names a cell. It takes a second, for which no request should wait.

    Raises Misconfigured where there is no parser of SQL.
    """
    for statement in list(_KNOWN):
        _ = statement.celled


def _maker(row: Any) -> Callable[[asyncpg.Record], Any] | None:
    if row is None:
        return None
    # A NamedTuple makes itself of any sequence, if that gives all of it.
    if hasattr(row, "_make") and not row._field_defaults:
        make: Callable[[asyncpg.Record], Any] = row._make
        return make
    return lambda record: row(*record)


class Session(AsyncSession):
    """A unit of work with the database: `await session.all(CLAIM, due=due)`.

    Where tables are distributed, a statement that locks or changes rows of jobs is run for each cell that it
    is about, one after the other.
    """

    #: Over how many cells the tables are distributed; None: they are not, or nothing is changed.
    cells: int | None = None
    #: While it is set: the cell of all statements that name no job and no log.
    cell: int | None = None

    def know(self, cell: int, logids: Iterable[int]) -> None:
        """Logs are in a cell: so nobody has to ask where."""
        self.info.setdefault(CELLS_OF_LOGS, {}).update(dict.fromkeys(logids, cell))

    async def all(self, statement: Statement[Row], **values: Any) -> list[Row]:
        """Run a statement; all rows, those of one cell after those of another."""
        if self.cells is not None and (celled := statement.celled) is not None:
            rows: list[Any] = []
            for part in await self._in_cells(celled, values):
                # What goes around takes so many of all cells together.
                if celled.key is None and "limit" in values:
                    part["limit"] -= len(rows)
                    if part["limit"] <= 0:
                        break
                rows += await self._fetch(celled.sql, [*statement.arguments(part), *part[CELL]])
        else:
            rows = await self._fetch(statement.sql, statement.arguments(values))
        return rows if statement.make is None else list(map(statement.make, rows))

    async def one_or_none(self, statement: Statement[Row], **values: Any) -> Row | None:
        """Run a statement, where tables are distributed until a cell gives a row; its first row."""
        found: Any = None
        if self.cells is not None and (celled := statement.celled) is not None:
            for part in await self._in_cells(celled, values):
                arguments = [*statement.arguments(part), *part[CELL]]
                if (found := await self._fetch_row(celled.sql, arguments)) is not None:
                    break
        else:
            found = await self._fetch_row(statement.sql, statement.arguments(values))
        row: Row | None = found if found is None or statement.make is None else statement.make(found)
        return row

    async def _fetch(self, sql: str, arguments: list[Any]) -> list[Any]:
        driver: Connection = self.info[DRIVER]
        call = driver.fetch(sql, *arguments, timeout=_time_left(driver))
        rows: list[Any] = await _answered(driver, call)
        return rows

    async def _fetch_row(self, sql: str, arguments: list[Any]) -> Any:
        driver: Connection = self.info[DRIVER]
        return await _answered(driver, driver.fetchrow(sql, *arguments, timeout=_time_left(driver)))

    async def _in_cells(self, celled: "Celled", values: dict[str, Any]) -> list[dict[str, Any]]:
        """What the statement is given in each cell that it is about; under `CELL` what is added to it."""
        if celled.is_new:
            jobid = await self.value(NEW_JOBID)
            return [values | {CELL: [jobid % self._count, jobid]}]
        return [part | {CELL: [cell]} for cell, part in await self._routes(celled, values)]

    async def _routes(self, celled: "Celled", values: dict[str, Any]) -> Iterable[tuple[int, dict[str, Any]]]:
        key = celled.key
        if key == "jobid":
            return [(values["jobid"] % self._count, values)]
        if key == "jobids":
            return celled.split(values, [jobid % self._count for jobid in values["jobids"]])
        if key == "logid":
            cells = await self._cells_of([values["logid"]])
            return [(cells[values["logid"]], values)]
        if key == "logids":
            cells = await self._cells_of(values["logids"])
            return celled.split(values, [cells[logid] for logid in values["logids"]])
        if self.cell is not None:
            return [(self.cell, values)]
        return [(cell, values) for cell in range(self._count)]

    async def _cells_of(self, logids: Iterable[int]) -> dict[int, int]:
        """In which cells logs are, by logid: where they ever were. Those that are not there may be in any."""
        known: dict[int, int] = self.info.setdefault(CELLS_OF_LOGS, {})
        if unknown := [logid for logid in logids if logid not in known]:
            known |= dict(await self.all(CELLS_OF, logids=unknown))
        return dict.fromkeys(unknown, 0) | known

    @property
    def _count(self) -> int:
        assert self.cells is not None
        return self.cells

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


CELLS_OF = Statement("SELECT DISTINCT logid, cell FROM joblog WHERE logid = ANY(:logids)")
NEW_JOBID = Statement("SELECT nextval(pg_get_serial_sequence('job', 'jobid'))")


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
