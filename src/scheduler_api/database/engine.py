"""Connections and units of work: the only place that begins and commits."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import structlog
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from scheduler_api.database.connections import (
    Connection,
    Endpoints,
    PoolOptions,
    pooled_engine,
    set_locally,
    timeouts,
    unpooled_engine,
)
from scheduler_api.database.failures import (
    DATABASE_ERRORS,
    explain,
    is_of_old_schema,
    is_transient,
    translate,
)
from scheduler_api.database.statements import Session, command
from scheduler_api.database.transactions import BEGIN, FENCE, LOCK, Fence, Transactions, roll_back
from scheduler_api.errors import (
    DatabaseBusy,
    DatabaseReadOnly,
    DatabaseUnavailable,
    SchedulerError,
    StorageFull,
)

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Session, datetime, P], Awaitable[T]]
Look = Callable[Concatenate[Session, P], Awaitable[T]]

#: What is read in one moment. No part of history goes from then on: to drop one takes this lock.
SNAPSHOT = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; LOCK TABLE ONLY joblog IN ACCESS SHARE MODE;"
    " SET LOCAL idle_in_transaction_session_timeout = '2min'"
)
#: So many connections of a pool may know a schema that a migration, or a restore, has made another one.
MAX_OUTDATED = 20
#: What a server has trouble with that another one may not have.
AWAY = (DatabaseUnavailable, DatabaseBusy, DatabaseReadOnly, StorageFull)


class Elsewhere(NamedTuple):
    """Where else may be read what is written here."""

    database: "Database"
    failed: Callable[[SchedulerError], None]
    """Hears that it did not answer."""


class Database:
    """One pool of connections, and the ways to use it.

    `statement_timeout` is how many seconds the server gives a single statement; `patience`, how many a whole
    unit of work may wait for the server, its second try and its commit included.
    """

    def __init__(
        self,
        places: URL | Endpoints,
        *,
        name: str,
        pool: PoolOptions,
        statement_timeout: float = 5.0,
        patience: float | None = None,
        fence: Fence = FENCE,
    ) -> None:
        self._places = places if isinstance(places, Endpoints) else Endpoints(places)
        self.version = fence.version
        self._name = name
        self.patience = patience or 2 * statement_timeout
        own = {"application_name": name, **timeouts(statement_timeout)}
        self.engine = pooled_engine(self._places, pool, self.patience, own)
        begin_with, self._read_with, self._snapshot_with = BEGIN, "", SNAPSHOT
        if self._places.direct is not None:
            settings = set_locally({**own, **pool.settings})
            self._read_with = f"BEGIN; {settings}"
            begin_with = f"{self._read_with}; {LOCK}"
            self._snapshot_with = SNAPSHOT.replace("; ", f"; {settings}; ", 1)
        self._transactions = Transactions(self.engine, fence, begin_with)
        self._elsewhere: Elsewhere | None = None

    def reading(self, elsewhere: Elsewhere) -> "Database":
        """The same connections, but what is only read is read elsewhere, as long as that answers."""
        reading = copy.copy(self)
        reading._elsewhere = elsewhere  # noqa: SLF001 - its own
        return reading

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, now, …)` in one transaction and commit it, exactly once.

        `now` is the unit's one instant, read from the database's clock. Work that fails for a transient
        reason before the commit is tried once more. Where the answer to the commit does not come, the
        database is asked whether it was kept, and is safe: what this method answers is the truth. Raises
        the errors of `work`, and DatabaseUnavailable, DatabaseBusy, DatabaseReadOnly, StorageFull,
        OutcomeUnknown, ReplicaOutdated.
        """
        deadline = monotonic() + self.patience
        return await _twice(lambda: self._unit(deadline, True, work, *args, **kwargs))

    async def transact_unfenced(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, even if only newer code may write by now: to let go of what this replica holds."""
        deadline = monotonic() + self.patience
        return await _twice(lambda: self._unit(deadline, False, work, *args, **kwargs))

    async def rehearse(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `transact` would give, and none of it is kept; but ids that it would give out are used up.

        Raises the same errors but for those of the commit.
        """
        deadline = monotonic() + self.patience

        async def attempt() -> T:
            async with self._transactions.session(deadline) as session:
                try:
                    opened = await self._transactions.begin(session, fenced=True)
                    return await work(session, opened.now, *args, **kwargs)
                finally:
                    await roll_back(session)

        return await _twice(attempt)

    async def read(self, look: Look[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `look(session, …)`, which changes nothing, without a transaction around its statements.

        Each sees what is there by then: for what is listed, not for what is concluded from several of them.
        Tried once more, and the same errors, as `transact`.
        """
        if self._elsewhere is not None:
            database, failed = self._elsewhere
            try:
                return await database.read(look, *args, **kwargs)
            except AWAY as error:
                failed(error)
        return await self._look(monotonic() + self.patience, self._read_with, look, *args, **kwargs)

    async def snapshot(self, look: Look[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, but all of its statements see the same moment.

        They may take long together, and so may what is done between them: it is up to `look` to end in time.
        """
        return await self._look(inf, self._snapshot_with, look, *args, **kwargs)

    async def _look(
        self, deadline: float, begin: str, look: Look[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def attempt() -> T:
            async with self._transactions.session(deadline) as session:
                if not begin:
                    return await look(session, *args, **kwargs)
                try:
                    # Through a pooler each statement by itself might reach another connection, which asks
                    # other things.
                    await command(session, begin)
                    return await look(session, *args, **kwargs)
                finally:
                    await roll_back(session)

        return await _twice(attempt)

    @property
    def pool(self) -> QueuePool:
        """The connections."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return pool

    @property
    def transactional(self) -> AsyncEngine:
        """The same connections, for those who begin and commit by SQLAlchemy's means."""
        return self.engine.execution_options(isolation_level="READ COMMITTED")

    @contextlib.asynccontextmanager
    async def unhurried(self) -> AsyncIterator[AsyncConnection]:
        """A connection of its own without any time-out, to begin and commit on by SQLAlchemy's means."""
        engine = unpooled_engine(
            self._places.direct or self._places.url,
            {"application_name": self._name, "statement_timeout": "0"},
        )
        async with engine.connect() as connection:
            yield connection

    async def command_alone(self, sql: str, seconds: float = 60) -> None:
        """Run a command that may be in no transaction, on a connection of its own, for so long at most."""
        own = {"application_name": self._name, "statement_timeout": str(int(seconds * 1000))}
        engine = unpooled_engine(self._places.direct or self._places.url, own)
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.exec_driver_sql(sql)

    @contextlib.asynccontextmanager
    async def alone(self, key: int) -> AsyncIterator[Connection]:
        """A connection of its own without any time-out, by the driver's means; its texts are ISO's, in UTC.

        Raises DatabaseBusy while somebody else has one that is for the same key, any number.
        """
        own = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
        texts = {"timezone": "UTC", "datestyle": "ISO", "application_name": self._name}
        engine = unpooled_engine(self._places.direct or self._places.url, own | texts)
        async with engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            driver = pooled.driver_connection
            assert isinstance(driver, Connection)
            if not await driver.fetchval("SELECT pg_try_advisory_lock($1)", key):
                raise DatabaseBusy("Somebody else is doing this; wait until it is done.")
            yield driver

    async def listen(self, heard: Mapping[str, Callable[[], None]]) -> None:
        """Call what is named for a channel at each notification on it, until the connection ends."""
        async with self.engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            driver = pooled.driver_connection
            assert isinstance(driver, Connection)
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            try:
                for channel, call in heard.items():
                    await driver.add_listener(channel, partial(_call, call))
                await ended.wait()
            finally:
                # Never back to the pool: it would go on listening there.
                driver.in_doubt = True
                await connection.invalidate()

    async def close(self) -> None:
        """Close every connection."""
        await self._transactions.close()
        await self.engine.dispose()

    async def _unit(
        self, deadline: float, fenced: bool, work: Work[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async with self._transactions.session(deadline) as session:
            try:
                opened = await self._transactions.begin(session, fenced)
                result = await work(session, opened.now, *args, **kwargs)
                # What was done by SQLAlchemy's means, if anything was.
                if session.in_transaction():
                    await session.flush()
            except BaseException:
                await roll_back(session)
                raise
            await self._transactions.commit(session, opened)
            session.committed()
            return result


def _call(call: Callable[[], None], *_: object) -> None:
    call()


async def undisturbed(unit: Coroutine[Any, Any, T]) -> T:
    """Await a unit of work that runs to its end even if the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(unit)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _twice(attempt: Callable[[], Awaitable[T]]) -> T:
    try:
        for _ in range(MAX_OUTDATED):
            try:
                return await attempt()
            except DATABASE_ERRORS as error:
                if not is_transient(error):
                    raise
                log.info("unit of work tried again", because=explain(error))
                if not is_of_old_schema(error):
                    break
        return await attempt()
    except DATABASE_ERRORS as error:
        meaning = translate(error)
        if meaning is None:
            raise
        raise meaning from error
