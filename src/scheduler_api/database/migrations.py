"""Bringing the schema to the version that this code needs, and refusing any other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import cache
from time import monotonic

import alembic.command
import alembic.config
import structlog
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, LOCK_TIMEOUT, sqlstate
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.system import schemaversion
from scheduler_api.database.upgrading import TABLE_LOCK_SECONDS
from scheduler_api.database.versions import directory
from scheduler_api.errors import DatabaseBusy, ReplicasInTheWay, SchemaMismatch

log = structlog.get_logger(__name__)

#: Any number that no other user of the same database takes; spells "joblog".
ADVISORY_KEY = 0x6A6F626C6F67
#: Seconds that a replica waits for another one's migration.
PATIENCE = 60
#: Seconds between two looks whether it is done.
TURN_PAUSE = 0.2
#: How often a migration asks for a table that is in use, and the seconds between that.
TRIES, PAUSE = 10, 1.0

HAS_VERSION = Statement("SELECT to_regclass('alembic_version') IS NOT NULL")
REVISION = Statement("SELECT version_num FROM alembic_version")
COMPATIBLE_FROM = Statement(select(schemaversion.c.compatiblefrom))


def configuration(connection: Connection | None = None) -> alembic.config.Config:
    """Alembic's configuration for the migrations, to be run on `connection`."""
    config = alembic.config.Config(attributes={"connection": connection})
    # Alembic expands % in option values.
    config.set_main_option("script_location", str(directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def needed() -> str:
    """The schema version that this code needs."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


async def found(session: Session) -> str | None:
    """The schema version of the database; None: it has no schema yet."""
    revision: str | None = await session.value(REVISION) if await session.value(HAS_VERSION) else None
    return revision


async def compatible_from(session: Session) -> int:
    """The oldest version of the code that may write."""
    return int(await session.value(COMPATIBLE_FROM))


async def require_current(database: Database) -> None:
    """Raise SchemaMismatch unless this code can work with the schema of the database.

    It can with the one that it needs, even while that still has what only older code uses; and with newer
    ones whose own code says so.
    """
    have, need = await database.read(found), needed()
    if have == need or have in _sufficient():
        return
    if have is not None and have > need and await database.read(compatible_from) <= database.version:
        return
    if have is None:
        what = f"The database has no schema yet; this version needs {need}."
    else:
        what = f"The database schema is at {have}; this version needs {need}."
    known = {script.revision for script in _scripts().walk_revisions()}
    if have is None or have in known:
        raise SchemaMismatch(f"{what} Run `scheduler-api migrate`, or set SCHEDULER_AUTO_MIGRATE=true.")
    if have < min(known):
        raise SchemaMismatch(f"{what} It is from before the first release: begin with an empty database.")
    raise SchemaMismatch(f"{what} A newer version of the service has been here: run that one.")


async def migrate(database: Database) -> bool:
    """Bring the schema up to date; False: there was nothing to do, or nothing that can be done now.

    Any number of replicas may call this at once: one migrates, the others wait for it. Each migration is a
    transaction of its own, but for what it does step by step as it must hold no lock for long; one that is
    broken off is begun again by the next call. What only older code uses stays as long as that is there.
    Raises ReplicasInTheWay where this code could not work without the migration.
    """
    changed = False
    async with _turn(database) as connection:
        pending = await connection.run_sync(_pending)
        for number, script in enumerate(pending):
            try:
                await _apply(connection, script)
            except ReplicasInTheWay as error:
                if not all(map(_is_contracting, pending[number:])):
                    raise
                log.warning("a migration waits until older replicas go", to=script.revision, error=error)
                break
            changed = True
    return changed


async def under_lock(database: Database, step: Callable[[Connection], None]) -> None:
    """Run a step while no other migrates."""
    async with _turn(database) as connection:
        await connection.run_sync(step)


@contextlib.asynccontextmanager
async def _turn(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection, while no other migrates. Raises DatabaseBusy when others have for too long."""
    async with database.unhurried() as connection:
        give_up = monotonic() + PATIENCE
        # A session that waits inside of a statement holds a snapshot, and CREATE INDEX CONCURRENTLY waits for
        # all older snapshots: the two would wait for each other.
        while not await _try_turn(connection):
            if monotonic() > give_up:
                raise DatabaseBusy(f"Another migration has been running for more than {PATIENCE} s.")
            await asyncio.sleep(TURN_PAUSE)
        await connection.execute(text(f"SET lock_timeout = '{TABLE_LOCK_SECONDS}s'"))
        # What follows is in transactions of its own; the turn is this connection's until it ends.
        await connection.commit()
        yield connection


async def _try_turn(connection: AsyncConnection) -> bool:
    question = text("SELECT pg_try_advisory_lock(:key)")
    is_ours = (await connection.execute(question, {"key": ADVISORY_KEY})).scalar_one()
    await connection.commit()
    return bool(is_ours)


async def _apply(connection: AsyncConnection, script: Script) -> None:
    """Run one migration, however often a table that it needs is in use."""
    log.info("migrating", to=script.revision, what=script.doc)
    since = monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            await connection.run_sync(_upgrade, script.revision)
            break
        except DATABASE_ERRORS as error:
            await connection.rollback()
            if sqlstate(error) != LOCK_TIMEOUT or attempt == TRIES:
                raise
            log.warning("migration waits for a table that is in use", attempt=attempt, of=TRIES)
            await asyncio.sleep(PAUSE)
    log.info("migrated", to=script.revision, seconds=round(monotonic() - since, 1))


def _upgrade(connection: Connection, revision: str) -> None:
    alembic.command.upgrade(configuration(connection), revision)


def _pending(connection: Connection) -> list[Script]:
    """What is to be run, in order."""
    before = MigrationContext.configure(connection).get_current_revision()
    # Alembic begins, and commits, only what nobody else has begun.
    connection.commit()
    newest_first = list(_scripts().walk_revisions())
    known = [script.revision for script in newest_first]
    if before is None:
        return newest_first[::-1]
    # Of a newer version than this code is nothing is left to do.
    return newest_first[: known.index(before)][::-1] if before in known else []


@cache
def _sufficient() -> frozenset[str]:
    """The versions of the schema that lack nothing but migrations which take away what older code uses."""
    enough = set()
    for script in _scripts().walk_revisions():
        enough.add(script.revision)
        if not _is_contracting(script):
            break
    return frozenset(enough)


def _is_contracting(script: Script) -> bool:
    """Whether a migration only takes away what older code uses: it says so by CONTRACTING = True."""
    return bool(getattr(script.module, "CONTRACTING", False))


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration())
