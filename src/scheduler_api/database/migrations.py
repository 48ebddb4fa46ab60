"""Bringing the schema to the version that this code needs, and refusing any other."""

import asyncio
from collections.abc import Callable
from functools import cache

import alembic.command
import alembic.config
import structlog
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, LOCK_TIMEOUT, sqlstate
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import schemaversion
from scheduler_api.database.versions import WRITERS_KEY, directory
from scheduler_api.errors import DatabaseBusy, SchemaMismatch

log = structlog.get_logger(__name__)

#: Any number that no other user of the same database takes; spells "joblog".
ADVISORY_KEY = 0x6A6F626C6F67
#: Seconds that a replica waits for another one's migration.
PATIENCE = 60
#: A migration that waits for a table blocks all who come after it: give up soon, and try again.
TABLE_LOCK_TIMEOUT, TRIES, PAUSE = 2, 10, 1.0

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
    head = ScriptDirectory.from_config(configuration()).get_current_head()
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

    It can with the one that it needs, and with newer ones whose own code says so.
    """
    have, need = await database.read(found), needed()
    if have == need:
        return
    if have is not None and have > need and await database.read(compatible_from) <= database.version:
        return
    if have is None:
        what = f"The database has no schema yet; this version needs {need}."
    else:
        what = f"The database schema is at {have}; this version needs {need}."
    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    if have is None or have in known:
        raise SchemaMismatch(f"{what} Run `scheduler-api migrate`, or set SCHEDULER_AUTO_MIGRATE=true.")
    raise SchemaMismatch(f"{what} A newer version of the service has been here: run that one.")


async def migrate(database: Database) -> bool:
    """Bring the schema up to date; False: it was already.

    Any number of replicas may call this at once: one migrates, the others wait for it. All steps are one
    transaction, so that a migration that is killed half-way leaves nothing behind.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return await under_lock(database, _upgrade)
        except DATABASE_ERRORS as error:
            if sqlstate(error) != LOCK_TIMEOUT or attempt == TRIES:
                raise
            log.warning("migration waits for a table that is in use", attempt=attempt, of=TRIES)
            await asyncio.sleep(PAUSE)
    raise AssertionError("unreachable")


async def under_lock(database: Database, step: Callable[[Connection], bool]) -> bool:
    """Run a step while no other migrates, and no code writes that may not afterwards; in one transaction."""
    async with database.unhurried() as connection:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
        try:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_KEY})
        except DATABASE_ERRORS as error:
            if sqlstate(error) != LOCK_TIMEOUT:
                raise
            raise DatabaseBusy(f"Another migration has been running for more than {PATIENCE} s.") from None
        await connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}s'"))
        # What old code has begun to write is written; what it begins from now on, it has to know of.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_KEY})
        return await connection.run_sync(step)


def _upgrade(connection: Connection) -> bool:
    before = _revision(connection)
    if before == needed():
        return False
    log.info("migrating", schema=before, to=needed())
    alembic.command.upgrade(configuration(connection), "head")
    return True


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
