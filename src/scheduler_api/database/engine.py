"""Connections and units of work: the only place that begins and commits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import asyncpg
import structlog
from asyncpg.transaction import Transaction
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from scheduler_api.database.failures import (
    DATABASE_ERRORS,
    is_disconnect,
    is_transient,
    leaves_doubt,
    translate,
)
from scheduler_api.database.statements import DRIVER, Statement, attach_driver
from scheduler_api.errors import OutcomeUnknown

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[AsyncSession, datetime, P], Awaitable[T]]
Look = Callable[Concatenate[AsyncSession, P], Awaitable[T]]

#: Changes when the server recovers from a crash. Numbers of transactions that it lost are then given out
#: again, so that the status of such a number may be another's.
LIFE = "pg_stat_get_bgwriter_stat_reset_time()"
#: Opens each unit of work: its one instant, by the database's clock, and the name of its transaction.
OPENING = Statement(f"SELECT clock_timestamp(), pg_current_xact_id()::text, {LIFE}")
OUTCOME = Statement(f"SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8)), {LIFE}")

#: How often, and how many seconds apart, to ask after a lost commit: a crashed server has to recover.
OUTCOME_TRIES, OUTCOME_PAUSE = 20, 0.5


class PoolSize(NamedTuple):
    """How many connections a pool keeps, how many more it may open, how long (seconds) to wait for one."""

    kept: int
    overflow: int
    timeout: float


class Database:
    """One pool of connections, and the two ways to use it."""

    def __init__(
        self,
        url: URL,
        *,
        name: str,
        pool: PoolSize,
        statement_timeout: float = 5.0,
        server_settings: dict[str, str] | None = None,
    ) -> None:
        self.url = url
        self.engine = _engine(url, name, pool, statement_timeout, server_settings or {})
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, now, …)` in one transaction and commit it, exactly once.

        `now` is the unit's one instant, read from the database's clock. Work that fails for a passing
        reason before the commit is tried once more. Where the connection breaks during the commit, the
        database is asked whether it was kept: what this method answers is the truth. Raises the errors
        of `work`, and DatabaseUnavailable, DatabaseBusy, DatabaseReadOnly, StorageFull, OutcomeUnknown.
        """
        return await _twice(lambda: self._unit(work, *args, **kwargs))

    async def read(self, look: Look[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `look(session, …)`, which changes nothing, without a transaction around its statements.

        Tried once more, and the same errors, as `transact`.
        """

        async def attempt() -> T:
            async with self._session() as session:
                return await look(session, *args, **kwargs)

        return await _twice(attempt)

    @property
    def transactional(self) -> AsyncEngine:
        """The same connections, for those who begin and commit by SQLAlchemy's means: migrations."""
        return self.engine.execution_options(isolation_level="READ COMMITTED")

    async def listen(self, heard: Mapping[str, Callable[[], None]]) -> None:
        """Call what is named for a channel at each notification on it, until the connection ends."""
        async with self.engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            driver = pooled.driver_connection
            assert isinstance(driver, asyncpg.Connection)
            ended = asyncio.Event()
            driver.add_termination_listener(lambda _: ended.set())
            for channel, call in heard.items():
                await driver.add_listener(channel, partial(_call, call))
            try:
                await ended.wait()
            finally:
                # Never back to the pool: it would go on listening there.
                await connection.invalidate()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    async def _unit(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._session() as session:
            driver = session.info[DRIVER]
            transaction = driver.transaction()
            await transaction.start()
            try:
                now, xid, life = await OPENING.one(session)
                result = await work(session, now, *args, **kwargs)
                await session.flush()
            except BaseException:
                await _roll_back(driver, transaction)
                raise
            try:
                await transaction.commit()
            except DATABASE_ERRORS as error:
                if not leaves_doubt(error) or not await self._was_kept(xid, life):
                    raise
            return result

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncSession]:
        """A session with a connection from the pool, to which it goes back."""
        session = self._sessions()
        try:
            await attach_driver(session)
            yield session
        except DATABASE_ERRORS as error:
            # Such a connection may not know yet that it is closed: never back to the pool.
            if is_disconnect(error) and DRIVER in session.info:
                session.info[DRIVER].terminate()
            raise
        finally:
            # Nothing of this waits for the server, so it needs no task of its own against cancellation.
            await session.close()

    async def _was_kept(self, xid: str, life: datetime) -> bool:
        """Whether the transaction was committed although its connection broke on the way."""
        for _ in range(OUTCOME_TRIES):
            try:
                async with self._session() as session:
                    status, life_now = await OUTCOME.one(session, xid=xid)
            except DATABASE_ERRORS:
                status, life_now = "unreachable", life
            if status == "committed" and life_now != life:
                break
            if status in {"committed", "aborted"}:
                log.warning("commit lost its connection", transaction=xid, outcome=status)
                return bool(status == "committed")
            await asyncio.sleep(OUTCOME_PAUSE)
        raise OutcomeUnknown(
            "The database went away before it said whether the change was kept; look before you repeat it."
        )


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
        try:
            return await attempt()
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise
            log.info("unit of work tried again", because=type(error).__name__)
        return await attempt()
    except DATABASE_ERRORS as error:
        meaning = translate(error)
        if meaning is None:
            raise
        raise meaning from error


def _engine(
    url: URL, name: str, pool: PoolSize, statement_timeout: float, server_settings: dict[str, str]
) -> AsyncEngine:
    milliseconds = str(int(statement_timeout * 1000))
    engine = create_async_engine(
        url,
        # Transactions are begun and committed by `Database`, on the driver.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=pool.kept,
        max_overflow=pool.overflow,
        pool_timeout=pool.timeout,
        connect_args={
            "timeout": 5,
            # The server ends a statement itself; this bounds the wait where its answer never comes.
            "command_timeout": 2 * statement_timeout,
            "server_settings": {
                "application_name": name,
                "timezone": "UTC",
                "statement_timeout": milliseconds,
                "lock_timeout": "2s",
                "idle_in_transaction_session_timeout": "15s",
            }
            | server_settings,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(dbapi_connection: DBAPIConnection, *_: object) -> None:
    """Let no connection leave the pool that is known to be dead; the pool opens another in its place."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError


async def _roll_back(driver: asyncpg.Connection, transaction: Transaction) -> None:
    """End a failed transaction. A connection that can not is closed: never back to the pool half-way."""
    try:
        await transaction.rollback()
    except BaseException as error:
        driver.terminate()
        if not isinstance(error, DATABASE_ERRORS):
            raise
