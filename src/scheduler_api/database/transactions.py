"""Transactions: how they begin, and how their end is known although an answer was lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

from scheduler_api.database import installation
from scheduler_api.database.connections import Connection
from scheduler_api.database.failures import DATABASE_ERRORS, leaves_doubt
from scheduler_api.database.statements import DRIVER, OutOfTime, Session, Statement, attach_driver, command
from scheduler_api.database.versions import VERSION, WRITERS_KEY
from scheduler_api.errors import OutcomeUnknown, ReplicaOutdated

log = structlog.get_logger(__name__)

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
OUTCOME = Statement(f"SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8)), {LIFE}")
#: The server itself ends the time-out of statements before it commits.
COMMIT = "COMMIT"
#: Once this is committed without a warning, all commits before it are as safe as the server makes them.
CONFIRM = "BEGIN; SELECT pg_logical_emit_message(true, 'scheduler', ''); COMMIT"

#: How much of the time that is left to a unit a commit may take; the rest is for asking what became of it.
COMMIT_SHARE = 0.5
#: Seconds between two questions after a commit that was not answered.
OUTCOME_PAUSE = 0.2
UNKNOWN = (
    "The database did not confirm the change in time, so it may be there or not. Look before you repeat "
    "it, or repeat it with the same Idempotency-Key."
)


class Opened(NamedTuple):
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


class Transactions:
    """The sessions of a pool's connections: their transactions begin, and come to an end that is known.

    `begin_with` is the SQL by which one begins.
    """

    def __init__(self, engine: AsyncEngine, fence: Fence, begin_with: str) -> None:
        self.engine = engine
        self._fence = fence
        self._begin_with = begin_with
        self._sessions = async_sessionmaker(class_=Session, expire_on_commit=False)
        self._ending: set[asyncio.Task[None]] = set()
        # Where the database was when it was last seen to live where it did.
        self._place: tuple[datetime, str | None] | None = None

    @contextlib.asynccontextmanager
    async def session(self, deadline: float) -> AsyncIterator[Session]:
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

    async def begin(self, session: Session, fenced: bool) -> Opened:
        """Begin a transaction, in a database that gives out no id that a lost life of it gave out before."""
        opened = await self._open(session, fenced)
        while opened.place != self._place:
            if await installation.settle_in(session, opened.now):
                await self.commit(session, opened)
                opened = await self._open(session, fenced)
            else:
                self._place = opened.place
        return opened

    async def commit(self, session: Session, opened: Opened) -> None:
        """Commit a transaction, or raise because it was not kept; OutcomeUnknown: nobody can tell by now."""
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

    async def close(self) -> None:
        """Wait for connections that are being closed."""
        if self._ending:
            await asyncio.wait(self._ending)

    async def _open(self, session: Session, fenced: bool) -> Opened:
        await command(session, self._begin_with)
        opened = Opened(*await session.one(OPENING))
        session.cells = opened.cells
        if fenced:
            self._require_permission(opened)
        return opened

    def _require_permission(self, opened: Opened) -> None:
        if opened.compatiblefrom > self._fence.version:
            error = ReplicaOutdated(
                f"The database is for code of schema version {opened.compatiblefrom} or newer; that of this "
                f"replica is of version {self._fence.version}. Replace it."
            )
            self._fence.outdated(error)
            raise error

    async def _was_kept(self, opened: Opened, deadline: float) -> bool:
        """Whether a transaction was committed, and is safe, although that was not answered.

        Raises OutcomeUnknown where that cannot be found out before `deadline`.
        """
        while monotonic() < deadline:
            with contextlib.suppress(*DATABASE_ERRORS):
                async with self.session(deadline) as session:
                    status, life = await session.one(OUTCOME, xid=opened.xid)
                    is_there = bool(status == "committed")
                    if is_there and (life != opened.life or not await _is_safe(session)):
                        break
                    if is_there or status == "aborted":
                        log.warning("a commit was not answered", transaction=opened.xid, outcome=status)
                        return is_there
            await asyncio.sleep(OUTCOME_PAUSE)
        raise OutcomeUnknown(UNKNOWN)

    def _end(self, connection: AsyncConnection) -> None:
        """Close the connection, without waiting: the server is asked to stop what it still does."""
        task = asyncio.create_task(_invalidated(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _invalidated(connection: AsyncConnection) -> None:
    await connection.invalidate()
    await connection.close()


async def _is_safe(session: Session) -> bool:
    """Whether all that is committed by now is as safe as the server was told to make it."""
    driver: Connection = session.info[DRIVER]
    driver.warned = False
    await command(session, CONFIRM)
    return not driver.warned


async def roll_back(session: Session) -> None:
    """End a failed transaction; a connection that cannot is closed with its session."""
    driver: Connection = session.info[DRIVER]
    if driver.in_doubt or driver.is_closed():
        return
    with contextlib.suppress(*DATABASE_ERRORS):
        await command(session, "ROLLBACK")
