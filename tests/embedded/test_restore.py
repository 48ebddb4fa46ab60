"""Which lives of a server are a restore: a crash is none, a standby that takes over is one."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.transactions import LIFE
from scheduler_api.embedded.server import PORT, EmbeddedServer, installed_programs
from scheduler_api.services.runs import passes
from tests.factories import add_job, scalar

from .conftest import Embed, User, ask

RESTORED = "SELECT restoredat FROM installation"
MARK = "SELECT mark FROM installation"
LOGIDS = "SELECT array_agg(logid ORDER BY logid) FROM joblog"

Open = Callable[[URL], Database]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    databases: list[Database] = []

    def opened(url: URL) -> Database:
        databases.append(Database(url, name="tests", pool=PoolOptions(2, 0, 5.0)))
        return databases[-1]

    yield opened
    for database in databases:
        await database.close()


async def run_once(database: Database) -> set[int]:
    """Run what is due; the logs that are there then."""
    now = await scalar(database, "SELECT clock_timestamp()")
    await database.transact(passes.run_pass, 100, now)
    return set(await scalar(database, LOGIDS))


async def prepared(database: Database) -> None:
    await migrations.migrate(database)
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now - timedelta(minutes=3), interval=60, misfire="all")


def backed_up(server: EmbeddedServer, to: Path, user: User) -> None:
    """A physical copy that becomes a standby."""
    to.mkdir(mode=0o700)
    os.chown(to, user.uid, user.gid)
    host = ["-h", str(server.socket_dir), "-p", PORT, "-U", str(server.url.username)]
    programs = installed_programs()
    copy = [str(programs / "pg_basebackup"), *host, "-D", str(to / "cluster"), "-R", "-c", "fast"]
    subprocess.run([*user.switch, *copy], check=True, cwd="/", capture_output=True)


async def test_a_crash_is_no_restore(embed: Embed, data_dir: Path, opened: Open) -> None:
    url = await embed(data_dir).start()
    database = opened(url)
    await prepared(database)
    await run_once(database)
    life, mark = await scalar(database, f"SELECT {LIFE}"), await scalar(database, MARK)
    async with database.engine.connect() as connection:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        os.kill(pid, signal.SIGKILL)
        await connection.invalidate()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                if await ask(url, f"SELECT {LIFE}") != life:
                    break
            await asyncio.sleep(0.05)
    found = await run_once(opened(url))
    assert (await scalar(opened(url), RESTORED), await scalar(opened(url), MARK)) == (None, mark)
    assert max(found) < 100


async def test_a_standby_that_takes_over_is_noticed(
    embed: Embed, data_dir: Path, folder: Path, opened: Open, ordinary_user: User
) -> None:
    """What the old primary did last never came to it, and its numbers are not given out again."""
    server = embed(data_dir)
    database = opened(await server.start())
    await prepared(database)
    await database.transact(passes.run_pass, 1, await scalar(database, "SELECT now()"))
    kept = set(await scalar(database, LOGIDS))
    await asyncio.to_thread(backed_up, server, folder / "standby", ordinary_user)
    lost = await run_once(database) - kept
    await database.close()
    await server.stop()
    standby = embed(folder / "standby")
    url = await standby.start()
    assert await ask(url, "SELECT pg_promote()")
    database = opened(url)
    made_again = await run_once(database) - kept
    assert lost
    assert made_again
    assert not lost & made_again
    assert await scalar(database, RESTORED) is not None


async def test_a_restore_to_a_point_in_time_is_noticed(
    embed: Embed, data_dir: Path, folder: Path, opened: Open, ordinary_user: User
) -> None:
    """From a base backup and the WAL: what ran up to that time stays, what ran later is due again."""
    archive, backup = folder / "archive", folder / "backup"
    archive.mkdir()
    archive.chmod(0o777)
    archiving = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    server = embed(data_dir, **archiving)
    database = opened(await server.start())
    await prepared(database)
    await asyncio.to_thread(backed_up, server, backup, ordinary_user)
    kept = await run_once(database)
    since = await scalar(database, "SELECT clock_timestamp()")
    lost = await run_once(database) - kept
    assert lost
    await database.close()
    await server.stop()
    (backup / "cluster" / "standby.signal").rename(backup / "cluster" / "recovery.signal")
    recovery = {"restore_command": f"cp {archive}/%f %p", "recovery_target_time": str(since)}
    server = embed(backup, recovery_target_action="promote", **recovery)
    url = await server.start()
    async with asyncio.timeout(20):
        while await ask(url, "SELECT pg_is_in_recovery()"):
            await asyncio.sleep(0.05)
    database = opened(url)
    assert set(await scalar(database, LOGIDS)) == kept
    made_again = await run_once(database) - kept
    assert made_again
    assert not lost & made_again
    assert await scalar(database, RESTORED) is not None
