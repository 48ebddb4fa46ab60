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
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.pool import QueuePool

from scheduler_api.database import installation
from scheduler_api.database.connections import (
    Connection,
    Endpoints,
    PoolOptions,
    pooled_engine,
    set_locally,
    unpooled_engine,
)
from scheduler_api.database.failures import (
    DATABASE_ERRORS,
    explain,
    is_of_old_schema,
    is_transient,
    leaves_doubt,
    translate,
)
from scheduler_api.database.statements import DRIVER, OutOfTime, Session, Statement, attach_driver, command
from scheduler_api.database.versions import VERSION, WRITERS_KEY
from scheduler_api.errors import (
    DatabaseBusy,
    DatabaseReadOnly,
    DatabaseUnavailable,
    OutcomeUnknown,
    ReplicaOutdated,
    SchedulerError,
    StorageFull,
)

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Session, datetime, P], Awaitable[T]]
Look = Callable[Concatenate[Session, P], Awaitable[T]]

#: Changes when the server recovers from a crash. Numbers of transactions that it lost are then given out
#: again, so that the status of such a number may be another's.
LIFE = "pg_stat_get_bgwriter_stat_reset_time()"
#: Opens each unit of work: its one instant, by the database's clock, and the name of its transaction.
OPENING = Statement(
    f"""
    SELECT clock_timestamp(), pg_current_xact_id()::text, {LIFE}, compatiblefrom, cells, {installation.ROW}
    FROM schemaversion
    """
)
#: The lock comes before the opening statement looks which code may write, so that what it sees still holds.
LOCK = f"SELECT pg_advisory_xact_lock_shared({WRITERS_KEY})"
BEGIN = f"BEGIN; {LOCK}"
#: What is read in one moment. No part of history goes from then on: to drop one takes this lock.
SNAPSHOT = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; LOCK TABLE ONLY joblog IN ACCESS SHARE MODE;"
    " SET LOCAL idle_in_transaction_session_timeout = '2min'"
)
OUTCOME = Statement(f"SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8)), {LIFE}")
#: The server itself ends the time-out of statements before it commits.
COMMIT = "COMMIT"
#: Once this is committed without a warning, all commits before it are as safe as the server makes them.
CONFIRM = "BEGIN; SELECT pg_logical_emit_message(true, 'scheduler', ''); COMMIT"

#: How much of the time that is left to a unit a commit may take; the rest is for asking what became of it.
COMMIT_SHARE = 0.5
#: Seconds between two questions after a commit that was not answered.
OUTCOME_PAUSE = 0.2
#: So many connections of a pool may know a schema that a migration, or a restore, has made another one.
MAX_OUTDATED = 20
UNKNOWN = (
    "The database did not confirm the change in time, so it may be there or not. Look before you repeat "
    "it, or repeat it with the same Idempotency-Key."
)


class _Opened(NamedTuple):
    """A transaction that has begun."""

    now: datetime
    """By the database's clock."""
    xid: str
    life: datetime
    compatiblefrom: int
    """The oldest version of the code that may write."""
    cells: int | None
    """Over how many cells the tables of jobs are distributed."""
    row: str | None
    """Which row it is that says where the database lives; None: it is missing."""

    @property
    def place(self) -> tuple[datetime, str | None]:
        """Another one after each crash of the server, failover, and restore."""
        return self.life, self.row


class Fence(NamedTuple):
    """Which schema this code is for, and who hears of it when the database is for newer code only."""

    version: int = VERSION
    outdated: Callable[[ReplicaOutdated], None] = lambda _: None


FENCE = Fence()


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
        self._outdated = fence.outdated
        self.version = fence.version
        self._name = name
        self.patience = patience or 2 * statement_timeout
        own = {"application_name": name, "statement_timeout": str(int(statement_timeout * 1000))}
        self.engine = pooled_engine(self._places, pool, self.patience, own)
        self._begin_with, self._read_with, self._snapshot_with = BEGIN, "", SNAPSHOT
        if self._places.direct is not None:
            settings = set_locally({**own, **pool.settings})
            self._read_with = f"BEGIN; {settings}"
            self._begin_with = f"{self._read_with}; {LOCK}"
            self._snapshot_with = SNAPSHOT.replace("; ", f"; {settings}; ", 1)
        self._sessions = async_sessionmaker(self.engine, class_=Session, expire_on_commit=False)
        self._ending: set[asyncio.Task[None]] = set()
        # Where the database was when it was last seen to live where it did.
        self._place: tuple[datetime, str | None] | None = None
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
            async with self._session(deadline) as session:
                try:
                    opened = await self._begin(session, fenced=True)
                    return await work(session, opened.now, *args, **kwargs)
                finally:
                    await _roll_back(session)

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
            async with self._session(deadline) as session:
                if not begin:
                    return await look(session, *args, **kwargs)
                try:
                    # Through a pooler each statement by itself might reach another connection, which asks
                    # other things.
                    await command(session, begin)
                    return await look(session, *args, **kwargs)
                finally:
                    await _roll_back(session)

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
        if self._ending:
            await asyncio.wait(self._ending)
        await self.engine.dispose()

    def _require_permission(self, opened: _Opened) -> None:
        if opened.compatiblefrom > self.version:
            error = ReplicaOutdated(
                f"The database is for code of schema version {opened.compatiblefrom} or newer; that of this "
                f"replica is of version {self.version}. Replace it."
            )
            self._outdated(error)
            raise error

    async def _unit(
        self, deadline: float, fenced: bool, work: Work[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async with self._session(deadline) as session:
            try:
                opened = await self._begin(session, fenced)
                result = await work(session, opened.now, *args, **kwargs)
                # What was done by SQLAlchemy's means, if anything was.
                if session.in_transaction():
                    await session.flush()
            except BaseException:
                await _roll_back(session)
                raise
            await self._commit(session, opened)
            session.committed()
            return result

    async def _begin(self, session: Session, fenced: bool) -> _Opened:
        """Begin a transaction, in a database that gives out no id that a lost life of it gave out before."""
        opened = await self._open(session, fenced)
        while opened.place != self._place:
            if await installation.settle_in(session, opened.now):
                await self._commit(session, opened)
                opened = await self._open(session, fenced)
            else:
                self._place = opened.place
        return opened

    async def _open(self, session: Session, fenced: bool) -> _Opened:
        await command(session, self._begin_with)
        opened = _Opened(*await session.one(OPENING))
        session.cells = opened.cells
        if fenced:
            self._require_permission(opened)
        return opened

    async def _commit(self, session: Session, opened: _Opened) -> None:
        driver: Connection = session.info[DRIVER]
        driver.warned = False
        try:
            tag = await command(session, COMMIT, share=COMMIT_SHARE)
        except OutOfTime:
            raise
        except DATABASE_ERRORS as error:
            if not leaves_doubt(error) or not await self._was_kept(opened, driver.deadline):
                raise
            return
        if tag != COMMIT:
            raise RuntimeError("The transaction had failed before it was committed, and nobody said so.")
        # It was kept here, but the server did not wait for the standbys that make it safe.
        if driver.warned and not await self._was_kept(opened, driver.deadline):
            raise OutcomeUnknown(UNKNOWN)

    @contextlib.asynccontextmanager
    async def _session(self, deadline: float) -> AsyncIterator[Session]:
        """A session with a connection from the pool, to which it goes back if it is as it was."""
        connection = await self.engine.connect()
        # A session that asks the pool itself begins a transaction in its books as well, which costs as much
        # as a statement.
        session = self._sessions(bind=connection)
        driver = attach_driver(session, connection, deadline)
        try:
            yield session
        finally:
            if driver.is_closed() or driver.is_idle:
                # Nothing of this waits for the server, so it needs no task of its own against cancellation.
                if session.in_transaction():
                    await session.close()
                await connection.close()
            else:
                self._end(connection)

    def _end(self, connection: AsyncConnection) -> None:
        """Close the connection, without waiting: the server is asked to stop what it still does."""
        task = asyncio.create_task(_invalidated(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _was_kept(self, opened: _Opened, deadline: float) -> bool:
        """Whether a transaction was committed, and is safe, although that was not answered.

        Raises OutcomeUnknown where that cannot be found out before `deadline`.
        """
        while monotonic() < deadline:
            with contextlib.suppress(*DATABASE_ERRORS):
                async with self._session(deadline) as session:
                    status, life = await session.one(OUTCOME, xid=opened.xid)
                    is_there = bool(status == "committed")
                    if is_there and (life != opened.life or not await _is_safe(session)):
                        break
                    if is_there or status == "aborted":
                        log.warning("a commit was not answered", transaction=opened.xid, outcome=status)
                        return is_there
            await asyncio.sleep(OUTCOME_PAUSE)
        raise OutcomeUnknown(UNKNOWN)


async def _invalidated(connection: AsyncConnection) -> None:
    await connection.invalidate()
    await connection.close()


def _call(call: Callable[[], None], *_: object) -> None:
    call()


async def _is_safe(session: Session) -> bool:
    """Whether all that is committed by now is as safe as the server was told to make it."""
    driver: Connection = session.info[DRIVER]
    driver.warned = False
    await command(session, CONFIRM)
    return not driver.warned


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


async def _roll_back(session: Session) -> None:
    """End a failed transaction; a connection that cannot is closed with its session."""
    driver: Connection = session.info[DRIVER]
    if driver.in_doubt or driver.is_closed():
        return
    with contextlib.suppress(*DATABASE_ERRORS):
        await command(session, "ROLLBACK")
