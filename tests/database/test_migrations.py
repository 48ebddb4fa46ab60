"""Migrations: in step with the models, safe to run together, and the only way to another version."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from scheduler_api.database import migrations, versions
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import lists
from scheduler_api.database.jobs.lists import JobFilter
from scheduler_api.database.statements import Session
from scheduler_api.database.tables import metadata
from scheduler_api.errors import ReplicasInTheWay, SchemaMismatch
from tests.factories import add_job, connected, until_it_waits_or_ends
from tests.servers import Server

#: A part of history: those that there are depend on the day.
PART = re.compile(r"(joblog|logattempt|logline)_\d{8}$")
#: What the server itself calls the index of a part; it numbers them in the order in which they are made.
NUMBERED = re.compile(r"\w+_idx\d*\b")


@pytest.fixture
async def fresh(unmigrated: URL) -> AsyncIterator[Database]:
    """A database without a schema."""
    database = connected(unmigrated, 12)
    yield database
    await database.close()


async def alembic_runs(database: Database, command: str, *arguments: str) -> None:
    def run(connection: Connection) -> None:
        getattr(alembic.command, command)(migrations.configuration(connection), *arguments)

    await migrations.under_lock(database, run)


async def schema(database: Database) -> list[tuple[str, ...]]:
    """Every column, constraint and index, as the server describes them."""
    query = text(
        "SELECT 'column', table_name, column_name, data_type || is_nullable || coalesce(column_default, '')"
        "  FROM information_schema.columns WHERE table_schema = 'public'"
        "  AND table_name NOT IN (SELECT viewname FROM pg_views WHERE schemaname = 'public')"
        " UNION SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        "  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
        " UNION SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " ORDER BY 1, 2, 3"
    )
    async with database.transactional.connect() as connection:
        found = [tuple(row) for row in await connection.execute(query)]
    return sorted(
        tuple(NUMBERED.sub("one of the whole table's", said) for said in row)
        for row in found
        if not PART.match(row[1])
    )


async def test_the_models_are_what_the_migrations_build(fresh: Database) -> None:
    await migrations.migrate(fresh)
    await alembic_runs(fresh, "check")


async def test_the_constraints_of_the_models_are_those_of_the_migrations(
    fresh: Database, server: Server
) -> None:
    """Alembic's check does not compare CHECK constraints and the conditions of indexes."""
    await migrations.migrate(fresh)
    migrated = [row for row in await schema(fresh) if "alembic" not in row[1]]
    async with fresh.transactional.begin() as connection:
        await connection.execute(text(f"DROP TABLE {', '.join(metadata.tables)} CASCADE"))
        await connection.execute(text("DROP TYPE logstatus, logcause, runkind"))
        await connection.run_sync(metadata.create_all)
    assert [row for row in await schema(fresh) if "alembic" not in row[1]] == migrated


async def test_up_down_and_up_again(fresh: Database) -> None:
    await migrations.migrate(fresh)
    once = await schema(fresh)
    await alembic_runs(fresh, "downgrade", "base")
    assert [row for row in await schema(fresh) if "alembic" not in row[1]] == []
    assert await migrations.migrate(fresh)
    assert await schema(fresh) == once


async def test_ten_at_once_migrate_exactly_once(fresh: Database) -> None:
    did = await asyncio.gather(*(migrations.migrate(fresh) for _ in range(10)))
    assert sorted(did) == [False] * 9 + [True]
    await migrations.require_current(fresh)


async def test_an_empty_database_is_refused_with_the_way_out(fresh: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"no schema yet; this version needs .*scheduler-api migrate"):
        await migrations.require_current(fresh)


def test_the_code_knows_its_version() -> None:
    assert int(migrations.needed()) == versions.VERSION


async def test_a_newer_schema_is_refused_if_it_is_for_newer_code_only(fresh: Database) -> None:
    await migrations.migrate(fresh)
    async with fresh.transactional.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await migrations.require_current(fresh)
    async with fresh.transactional.begin() as connection:
        await connection.execute(text("UPDATE schemaversion SET compatiblefrom = 9999"))
    with pytest.raises(SchemaMismatch, match=rf"is at 9999; this version needs {migrations.needed()}.*newer"):
        await migrations.require_current(fresh)


async def test_a_schema_of_before_the_first_release_is_refused(fresh: Database) -> None:
    await migrations.migrate(fresh)
    async with fresh.transactional.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0045'"))
    assert not await migrations.migrate(fresh)
    with pytest.raises(SchemaMismatch, match=r"is at 0045; .* before the first release"):
        await migrations.require_current(fresh)


async def test_a_migration_gives_way_to_a_table_in_use_and_tries_again(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "TABLE_LOCK_SECONDS", "0.1")
    monkeypatch.setattr(migrations, "PAUSE", 0.05)
    monkeypatch.setattr(migrations, "TRIES", 1000)
    await migrations.migrate(fresh)
    await alembic_runs(fresh, "downgrade", "base")
    async with fresh.transactional.connect() as reader:
        await reader.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        migrating = asyncio.create_task(migrations.migrate(fresh))
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        async with asyncio.timeout(20), fresh.transactional.connect() as watcher:
            while not (await watcher.execute(waiting)).scalar_one():
                await asyncio.sleep(0.01)
                await watcher.rollback()
        assert not migrating.done()
        await reader.rollback()
    assert await migrating


@pytest.fixture
def versions_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the migrations to which others can be added."""
    folder = tmp_path / "alembic"
    shutil.copytree(versions.directory(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "directory", lambda: folder)
    forget_migrations()
    yield folder / "versions"
    monkeypatch.undo()
    forget_migrations()


def forget_migrations() -> None:
    """Let what is known of them be read again."""
    for cached in (migrations._scripts, migrations._sufficient, migrations.needed):
        cached.cache_clear()


def add_migration(folder: Path, ahead: int, upgrade: str, **constants: Any) -> str:
    """A migration, the so many-th after the newest one that there is; its revision."""
    revision, before = f"{versions.VERSION + ahead:04}", f"{versions.VERSION + ahead - 1:04}"
    lines = [
        "from alembic import op",
        "from scheduler_api.database.upgrading import build_index, build_index_of_parts, outdate",
        f"revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None",
        *(f"{name} = {value!r}" for name, value in constants.items()),
        "def upgrade():",
        *(f"    {line}" for line in upgrade.splitlines()),
        "def downgrade():",
        "    pass",
    ]
    (folder / f"{revision}_more.py").write_text("\n".join(lines))
    forget_migrations()
    return revision


async def see(database: Database, version: int, seconds_ago: int) -> None:
    async with database.transactional.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO replica VALUES ('old:1', :version, now() - :ago * interval '1 second')"
                " ON CONFLICT (name) DO UPDATE SET version = excluded.version, seenat = excluded.seenat"
            ),
            {"version": version, "ago": seconds_ago},
        )


async def test_what_older_code_uses_stays_as_long_as_that_is_there(
    fresh: Database, versions_folder: Path
) -> None:
    await migrations.migrate(fresh)
    expanded = add_migration(versions_folder, 1, "op.execute('ALTER TABLE job ADD COLUMN more text')")
    contract = f"outdate({int(expanded)})\nop.execute('ALTER TABLE job DROP COLUMN description')"
    contracted = add_migration(versions_folder, 2, contract, CONTRACTING=True)
    await see(fresh, versions.VERSION, 100)
    assert await migrations.migrate(fresh)
    assert await fresh.read(migrations.found) == expanded
    # New code works with that, and so does old code.
    await migrations.require_current(fresh)
    assert await fresh.read(migrations.compatible_from) <= versions.VERSION
    assert not await migrations.migrate(fresh)
    # It was there four minutes ago; or its code is new enough by now.
    await see(fresh, versions.VERSION, 240)
    assert await migrations.migrate(fresh)
    assert await fresh.read(migrations.found) == contracted
    assert await fresh.read(migrations.compatible_from) == int(expanded)


async def test_what_new_code_needs_is_refused_as_long_as_older_code_is_there(
    fresh: Database, versions_folder: Path
) -> None:
    """A migration that does both at once: nobody who lives with it may write one, and it is told."""
    await migrations.migrate(fresh)
    both = add_migration(versions_folder, 1, f"outdate({versions.VERSION + 1})")
    await see(fresh, versions.VERSION, 5)
    with pytest.raises(ReplicasInTheWay, match=r"older replicas are still there.*old:1"):
        await migrations.migrate(fresh)
    with pytest.raises(SchemaMismatch):
        await migrations.require_current(fresh)
    await see(fresh, int(both), 5)
    assert await migrations.migrate(fresh)


async def test_a_migration_step_by_step_goes_on_where_it_was_broken_off(
    fresh: Database, versions_folder: Path
) -> None:
    """An index that is built beside all that runs is no part of a transaction."""
    await migrations.migrate(fresh)
    steps = (
        "build_index('job_more', 'ON job (owner)')\nop.execute('SELECT 1 / (SELECT count(*) FROM calendar)')"
    )
    made = add_migration(versions_folder, 1, steps)
    with pytest.raises(DBAPIError, match="division by zero"):
        await migrations.migrate(fresh)
    assert await fresh.read(migrations.found) != made
    async with fresh.transactional.begin() as connection:
        await connection.execute(text("INSERT INTO calendar (name, days, version) VALUES ('a', '{}', 1)"))
    assert await migrations.migrate(fresh)
    assert await fresh.read(migrations.found) == made


async def test_nobody_waits_for_a_migration_that_expands(fresh: Database, versions_folder: Path) -> None:
    """While an index is built, work goes on: what is under way when it begins holds up that alone."""
    await migrations.migrate(fresh)
    steps = "build_index('more', 'ON calendar (version)')"
    add_migration(versions_folder, 1, steps)
    insert = text("INSERT INTO calendar (name, days, version) VALUES (gen_random_uuid(), '{}', 1)")
    async with fresh.transactional.connect() as under_way:
        await under_way.execute(insert)
        migrating = asyncio.create_task(migrations.migrate(fresh))
        await until_it_waits_or_ends(fresh, migrating)
        assert not migrating.done()

        async def work(session: Session, _: datetime) -> None:
            await session.execute(insert)

        async with asyncio.timeout(20):
            await fresh.transact(work)
        assert not migrating.done()
        await under_way.commit()
    assert await migrating


async def test_several_build_an_index_once(fresh: Database, versions_folder: Path) -> None:
    """Whoever waits for its turn must not be waited for."""
    await migrations.migrate(fresh)
    made = add_migration(versions_folder, 1, "build_index('job_more', 'ON job (owner)')")
    did = await asyncio.gather(*(migrations.migrate(fresh) for _ in range(4)))
    assert sorted(did) == [False, False, False, True]
    assert await fresh.read(migrations.found) == made


async def test_nothing_comes_before_an_index(fresh: Database, versions_folder: Path) -> None:
    """It would be done when the index fails, and be done again."""
    await migrations.migrate(fresh)
    steps = "op.execute('ALTER TABLE job ADD COLUMN more text')\nbuild_index('job_more', 'ON job (more)')"
    add_migration(versions_folder, 1, steps)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at its beginning"):
            await migrations.migrate(fresh)


async def test_what_new_code_needs_does_not_wait_unsaid(fresh: Database, versions_folder: Path) -> None:
    """Who leaves out a release may have to take away before something is added."""
    await migrations.migrate(fresh)
    add_migration(versions_folder, 1, f"outdate({versions.VERSION + 1})", CONTRACTING=True)
    add_migration(versions_folder, 2, "op.execute('ALTER TABLE job ADD COLUMN more text')")
    await see(fresh, versions.VERSION, 5)
    with pytest.raises(ReplicasInTheWay):
        await migrations.migrate(fresh)


async def test_what_older_code_has_begun_to_write_is_written_first(
    fresh: Database, versions_folder: Path
) -> None:
    await migrations.migrate(fresh)
    add_migration(versions_folder, 1, f"outdate({versions.VERSION + 1})")
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def work(session: Session, _: datetime) -> None:
        writing.set()
        await go_on.wait()

    begun = asyncio.create_task(fresh.transact(work))
    await writing.wait()
    migrating = asyncio.create_task(migrations.migrate(fresh))
    await until_it_waits_or_ends(fresh, migrating)
    assert not migrating.done()
    go_on.set()
    await begun
    assert await migrating


async def test_an_index_of_a_table_in_parts_is_complete(fresh: Database, versions_folder: Path) -> None:
    await migrations.migrate(fresh)
    async with fresh.transactional.begin() as connection:
        for statement in (
            "CREATE TABLE joblog_20300131 PARTITION OF joblog"
            " FOR VALUES FROM ('2030-01-31') TO ('2030-02-01')",
            # Left behind by one that was broken off.
            "CREATE INDEX joblog_live_more_idx ON joblog_live (host)",
            "CREATE INDEX ix_joblog_more ON ONLY joblog (logid) WHERE cause <> 'schedule'",
            "CREATE INDEX joblog_20300131_own ON joblog_20300131 (logid) WHERE cause <> 'schedule'",
            "ALTER INDEX ix_joblog_more ATTACH PARTITION joblog_20300131_own",
        ):
            await connection.execute(text(statement))
    steps = """build_index_of_parts("ix_joblog_more", "joblog", "(logid) WHERE cause <> 'schedule'")"""
    add_migration(versions_folder, 1, steps)
    assert await migrations.migrate(fresh)
    async with fresh.transactional.begin() as connection:
        broken = await connection.scalars(
            text("SELECT CAST(indexrelid AS regclass)::text FROM pg_index WHERE NOT indisvalid")
        )
        assert list(broken) == []
        children = text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(:name)")
        names = ("joblog", "ix_joblog_more")
        counts = [(await connection.scalars(children, {"name": name})).one() for name in names]
        assert len({*counts}) == 1, counts


@pytest.fixture
async def unprivileged(fresh: Database, unmigrated: URL) -> AsyncIterator[Database]:
    """The same database for somebody who may add tables to it, and no extension."""
    name = unmigrated.database

    async def order(*statements: str) -> None:
        async with fresh.transactional.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    await order(
        f"CREATE ROLE {name}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {name}",
        f"ALTER DATABASE {name} SET role = '{name}'",
    )
    database = connected(unmigrated, 2)
    yield database
    await database.close()
    await order(f"ALTER DATABASE {name} RESET role", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def test_without_the_extension_a_search_finds_the_same(unprivileged: Database) -> None:
    assert await migrations.migrate(unprivileged)
    async with unprivileged.transactional.connect() as connection:
        there = text("SELECT count(*) FROM pg_class WHERE relname = 'ix_job_words'")
        assert (await connection.execute(there)).scalar_one() == 0
    await add_job(unprivileged, jobname="Nightly report", tags=["finance"])
    asked = await unprivileged.read(lists.lookup, JobFilter(search="nanc", name="REPORT"))
    assert await unprivileged.read(lists.count, asked) == 1
