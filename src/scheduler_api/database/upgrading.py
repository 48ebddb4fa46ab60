"""What migrations do beside Alembic's own operations: see docs/explanation/schema-changes.md."""

from collections.abc import Sequence
from datetime import timedelta

from alembic import op
from sqlalchemy import text

from scheduler_api.database.versions import WRITERS_KEY
from scheduler_api.errors import ReplicasInTheWay

#: For how long a replica that was seen may still be there, and only be cut off. It says every thirty seconds
#: that it is there, and when it goes.
PRESENCE = timedelta(minutes=3)
#: Seconds that a migration waits for a table: it blocks all who come after it meanwhile.
TABLE_LOCK_SECONDS = 2


def outdate(version: int) -> None:
    """Let no code of a schema version before that one write any more, from this migration on.

    What it has begun to write is written. Raises ReplicasInTheWay while a replica of such code is there.
    """
    op.execute(f"SELECT pg_advisory_xact_lock({WRITERS_KEY})")
    if not op.get_context().as_sql:
        _require_that_none_is_there(version)
    op.execute(f"UPDATE schemaversion SET compatiblefrom = {version}")


def build_index(name: str, definition: str, *, is_unique: bool = False) -> None:
    """Build an index without blocking writes: `build_index("job_owner", "ON job (owner)")`.

    It waits for transactions in progress, however long they take. An index that was left unfinished is
    dropped and built again. Nothing may come before it in a migration: that would be committed, and run again
    with it.
    """
    context = op.get_context()
    begun = text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
    if not context.as_sql and op.get_bind().execute(begun).scalar_one():
        raise RuntimeError("An index is built by a migration of its own, or at its beginning.")
    with context.autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        unique = "UNIQUE " if is_unique else ""
        op.execute(f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {name} {definition}")
        op.execute(f"SET lock_timeout = '{TABLE_LOCK_SECONDS}s'")


def build_index_of_parts(name: str, table: str, definition: str) -> None:
    """The same on a partitioned table: `build_index_of_parts("ix_joblog_host", "joblog", "(host)")`.

    Each part gets an index; that of the table is complete when all have.
    """
    context = op.get_context()
    with context.autocommit_block():
        # Of no rows: it is done at once.
        ignored = "-- squawk-ignore require-concurrent-index-creation, prefer-robust-stmts"
        op.execute(f"{ignored}\nCREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {definition}")
    # Parts that are added from here on have theirs; so have those that were done before it was broken off.
    for part in [f"{table}_live"] if context.as_sql else _parts_without(name, table):
        own = f"{part}_{name.removeprefix(f'ix_{table}_')}_idx"
        build_index(own, f"ON {part} {definition}")
        with context.autocommit_block():
            op.execute(f"ALTER INDEX {name} ATTACH PARTITION {own}")


def _parts_without(name: str, table: str) -> Sequence[str]:
    """The parts of a table that have no part of its index."""
    found = text(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = to_regclass(:table) AND NOT inhdetachpending AND NOT EXISTS ("
        "SELECT FROM pg_index JOIN pg_inherits AS attached ON attached.inhrelid = indexrelid"
        " WHERE indrelid = pg_class.oid AND attached.inhparent = to_regclass(:name)) ORDER BY relname"
    )
    return op.get_bind().execute(found, {"table": table, "name": name}).scalars().all()


def _require_that_none_is_there(version: int) -> None:
    connection = op.get_bind()
    if connection.execute(text("SELECT to_regclass('replica')")).scalar_one() is None:
        return
    seen = text(
        "SELECT name FROM replica"
        " WHERE version < :version AND seenat > now() - CAST(:presence AS interval) ORDER BY name"
    )
    older = connection.execute(seen, {"version": version, "presence": PRESENCE}).scalars().all()
    if older:
        raise ReplicasInTheWay(version, older)
