"""A database that was restored, or is a copy: noticed before any id is given out, and told to somebody."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database import installation
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session, Statement
from scheduler_api.embedded.server import installed_programs
from scheduler_api.errors import RestoreNotHandled
from scheduler_api.services.runs import passes
from tests.conftest import PROGRAMS
from tests.factories import add_job, connected, execute, scalar
from tests.processes.service import PATIENCE, Service, run, services
from tests.receiver import Receiver, receiving
from tests.servers import Server, dsn

FIRST_NEW = 10**13
RESTORED = "SELECT restoredat FROM installation"
MARK = "SELECT mark FROM installation"
#: The greatest integer up to which JavaScript reads all of them as they are.
MAX_SAFE = 2**53 - 1

Open = Callable[..., Database]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Connections as replicas have them."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(url: URL) -> Database:
            database = connected(url)
            stack.push_async_callback(database.close)
            return database

        yield opened


def program(name: str) -> str:
    given = os.environ.get(PROGRAMS)
    return str((Path(given) if given else installed_programs()) / name)


def dump(url: URL, *options: str) -> str:
    command = [program("pg_dump"), *options, dsn(url)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


#: As a dump is to be loaded into an empty database; connections to it stay.
EMPTIED = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
TABLES = (
    "alertrule, alertmute, jobissue, job, jobsecret, auditevent, jobtally, jobopen, jobthinned, joblog, "
    "logattempt, logline, history"
)


def load(url: URL, dumped: str, emptied: str = EMPTIED) -> None:
    command = [program("psql"), "-qXv", "ON_ERROR_STOP=1", "-o", os.devnull, dsn(url)]
    subprocess.run(command, input=emptied + dumped, text=True, check=True)


async def run_once(database: Database) -> None:
    """Run what is due, as a replica without targets does."""
    now = await scalar(database, "SELECT clock_timestamp()")
    await database.transact(passes.run_pass, 100, now)


async def logids(database: Database) -> dict[int, datetime]:
    """Each log, with what it is of."""

    async def look(session: Session) -> list[Any]:
        return await session.all(Statement("SELECT logid, scheduledfor FROM joblog"))

    return {row["logid"]: row["scheduledfor"] for row in await database.read(look)}


async def add_minutely(database: Database, minutes: int = 3) -> int:
    """A job that is due since some minutes ago, each of which it makes up for."""
    now = await scalar(database, "SELECT clock_timestamp()")
    return await add_job(database, due=now - timedelta(minutes=minutes), interval=60, misfire="all")


async def lose_and_restore(database: Database, how: Callable[[], None]) -> tuple[dict[int, datetime], ...]:
    """Run something that the backup does not know of, restore, run again: the logs of both lives."""
    await run_once(database)
    lost = await logids(database)
    how()
    await run_once(database)
    return lost, await logids(database)


@pytest.mark.parametrize("way", ["--no-owner", "--data-only"])
async def test_after_a_restore_no_logid_stands_for_two_runs(scratch: URL, opened: Open, way: str) -> None:
    """Also while the service runs, and with the same tables: nothing but who wrote the row tells then."""
    database = opened(scratch)
    await add_minutely(database)
    kept, dumped = await logids(database), dump(scratch, way)

    def restore() -> None:
        with_projects = (
            "alembic_version, schemaversion, installation, project, projectrole, projectsecret, apikey"
        )
        emptied = f"TRUNCATE {with_projects}, {TABLES};"
        load(scratch, dumped, emptied if way == "--data-only" else EMPTIED)

    lost, found = await lose_and_restore(database, restore)
    made_again = found.keys() - kept.keys()
    assert made_again
    assert not made_again & (lost.keys() - kept.keys())
    assert {found[logid] for logid in made_again} & set(lost.values()), "nothing was made again"
    assert FIRST_NEW < min(made_again) <= max(made_again) < MAX_SAFE


async def test_restored_twice_from_one_dump_no_life_repeats_the_ids_of_another(
    scratch: URL, opened: Open
) -> None:
    database = opened(scratch)
    await add_minutely(database)
    kept, dumped = await logids(database), dump(scratch)
    given: list[set[int]] = []
    for _ in range(3):
        await run_once(database)
        given.append(set(await logids(database)) - set(kept))
        load(scratch, dumped)
    await database.close()
    assert all(given)
    assert sum(map(len, given)) == len(set.union(*given))


async def test_every_identity_goes_on_from_a_new_number(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    before = await add_minutely(database)
    load(scratch, dump(scratch))
    await run_once(database)
    after = await add_minutely(database)
    assert (before, after > FIRST_NEW) == (1, True)
    for table, key in installation.IDENTITIES:
        nextone = f"SELECT nextval(pg_get_serial_sequence('{table}', '{key}'))"
        assert FIRST_NEW < await scalar(database, nextone) < MAX_SAFE, table


async def test_many_replicas_at_once_move_on_once(scratch: URL, opened: Open) -> None:
    replicas = [opened(scratch) for _ in range(6)]
    await add_minutely(replicas[0])
    load(scratch, dump(scratch))
    await replicas[0].engine.dispose()
    given = await asyncio.gather(*(add_minutely(replica) for replica in replicas for _ in range(3)))
    noticed = [await scalar(replica, RESTORED) for replica in replicas]
    assert len(set(noticed)) == 1
    # One jump: what came after it, came one by one.
    assert sorted(given) == list(range(min(given), min(given) + len(given)))
    assert min(given) > FIRST_NEW


async def test_connections_from_before_a_restore_are_replaced(scratch: URL, opened: Open) -> None:
    """They know types that are gone; nobody notices."""
    database = opened(scratch)
    await add_minutely(database)
    await asyncio.gather(*(logids(database) for _ in range(4)))
    load(scratch, dump(scratch))
    found = await asyncio.gather(*(logids(database) for _ in range(8)))
    assert all(one == found[0] and one for one in found)
    await asyncio.gather(*(run_once(database) for _ in range(4)))


async def test_a_copy_of_the_database_is_noticed(scratch: URL, server: Server, opened: Open) -> None:
    """The copy has the same rows and the same tables, and is another database."""
    original = opened(scratch)
    await add_minutely(original)
    await original.close()
    copy = f"{scratch.database}_copy"
    await server.execute(f"CREATE DATABASE {copy} TEMPLATE {scratch.database}")
    try:
        database = opened(scratch.set(database=copy))
        await run_once(database)
        assert await scalar(database, RESTORED) is not None
        await database.close()
    finally:
        await server.execute(f"DROP DATABASE {copy} WITH (FORCE)")
    again = opened(scratch)
    await run_once(again)
    assert await scalar(again, RESTORED) is None


async def test_a_row_that_is_missing_is_a_restore(scratch: URL, opened: Open) -> None:
    """As in a database that was put together from some of the tables."""
    database = opened(scratch)
    await add_minutely(database)
    await execute(database, "DELETE FROM installation")
    assert await add_minutely(database) > FIRST_NEW
    assert await scalar(database, RESTORED) is not None


async def test_nothing_else_is_a_restore(scratch: URL, opened: Open) -> None:
    """Rewritten tables, frozen rows, other names, other connections, a confirmation."""
    database = opened(scratch)
    await add_minutely(database)
    mark = await scalar(database, MARK)
    assert mark.count(" ") == 3
    async with database.engine.connect() as connection:
        for statement in ("VACUUM FULL installation", "VACUUM FULL joblog", "VACUUM FREEZE installation"):
            await connection.exec_driver_sql(statement)
    await database.transact(installation_confirmed)
    for _ in range(2):
        await run_once(database)
        await run_once(opened(scratch))
    assert (await scalar(database, RESTORED), await scalar(database, MARK)) == (None, mark)
    assert max(await logids(database)) < FIRST_NEW


async def installation_confirmed(session: Any, now: datetime) -> None:
    await installation.confirm(session, now)


async def test_a_confirmed_restore_is_not_noticed_again(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    await add_minutely(database)
    load(scratch, dump(scratch))
    await run_once(database)
    noticed = await scalar(database, RESTORED)
    assert noticed is not None
    await database.transact(installation_confirmed)
    await run_once(opened(scratch))
    assert await scalar(database, RESTORED) == noticed
    assert await scalar(database, "SELECT confirmedat FROM installation") is not None


async def test_an_ordinary_role_sees_all_of_the_mark_and_says_what_it_may_not_do(
    scratch: URL, server: Server, opened: Open
) -> None:
    role = f"r{scratch.database}"
    owner = opened(scratch)
    await server.execute(f"CREATE ROLE {role} LOGIN")
    try:
        await execute(owner, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        database = opened(scratch.set(username=role))
        await add_minutely(database)
        assert "?" not in await scalar(owner, MARK)
        await execute(owner, "UPDATE installation SET writer = '1'")
        with pytest.raises(RestoreNotHandled, match="GRANT UPDATE ON ALL SEQUENCES"):
            await add_minutely(database)
        assert await scalar(owner, RESTORED) is None
        await execute(owner, f"GRANT UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role}")
        assert await add_minutely(database) > FIRST_NEW
        await database.close()
    finally:
        await execute(owner, f"DROP OWNED BY {role}")
        await server.execute(f"DROP ROLE {role}")


async def test_what_a_role_may_not_see_is_no_restore(scratch: URL, server: Server, opened: Open) -> None:
    """Functions of the server are granted anew, or no longer, without any restore."""
    role = f"r{scratch.database}"
    owner = opened(scratch)
    await add_minutely(owner)
    mark = await scalar(owner, MARK)
    await server.execute(f"CREATE ROLE {role} LOGIN")
    functions = "pg_control_system(), pg_current_wal_insert_lsn()"
    try:
        await execute(owner, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        await execute(owner, f"REVOKE EXECUTE ON FUNCTION {functions} FROM public")
        database = opened(scratch.set(username=role))
        await run_once(database)
        await database.close()
        assert (await scalar(owner, RESTORED), await scalar(owner, MARK)) == (None, mark)
    finally:
        await execute(owner, f"DROP OWNED BY {role}")
        await server.execute(f"DROP ROLE {role}")


async def test_deliveries_that_are_made_again_have_the_same_id(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    async with receiving() as receiver:
        now = await scalar(database, "SELECT clock_timestamp()")
        due = now - timedelta(seconds=1)
        await add_job(database, due=due, interval=3600, target={"url": receiver.url})
        dumped = dump(scratch)
        for number in (1, 2):
            async with services(1, scratch):
                await receiver.arrived(number)
            load(scratch, dumped)
        first, second = (request.headers for request, _ in receiver.requests)
    assert first["webhook-id"] == second["webhook-id"]


async def runs_of(service: Service, database: Database) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'"):
            await asyncio.sleep(0.05)


async def test_it_starts_paused_until_somebody_confirms(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    async with receiving() as receiver:
        await paused_service(scratch, database, receiver)


async def paused_service(scratch: URL, database: Database, receiver: Receiver) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    due = now - timedelta(minutes=2)
    await add_job(database, due=due)
    await add_job(database, due=due, target={"url": receiver.url})
    # Of a replica that is gone: its lease has run out.
    left = await add_job(database, due=due, target={"url": receiver.url})
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, startedat = scheduledfor,"
        " leasetoken = gen_random_uuid(), leaseuntil = scheduledfor WHERE jobid = :left",
        left=left,
    )
    load(scratch, dump(scratch))
    statuses = "SELECT string_agg(CAST(status AS text), ' ' ORDER BY jobid) FROM joblog"
    settings = {"SCHEDULER_START_PAUSED": "true", "SCHEDULER_LEASE": "0.5", "SCHEDULER_READY_LAG": "0.1"}
    async with services(1, scratch, **settings) as (service,), AsyncClient(base_url=service.url) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert "/restore/confirm" in ready.json()["checks"]["paused"]
        answer = await client.post("/jobs/run")
        assert (answer.status_code, answer.json()["code"]) == (409, "restore_not_confirmed")
        # Longer than leases, looks, and the pause between two questions take.
        await asyncio.sleep(2)
        assert await scalar(database, statuses) == "pending pending running"
        (issue,) = [
            one for one in (await client.get("/overview")).json()["issues"] if one["kind"] == "restored"
        ]
        assert issue["action"].endswith("This replica runs nothing until then.")
        confirmed = (await client.post("/restore/confirm")).json()
        assert confirmed["confirmedat"] is not None
        async with asyncio.timeout(PATIENCE):
            while await scalar(database, statuses) != "finished finished finished":
                await asyncio.sleep(0.05)
        assert "paused" not in (await client.get("/readyz")).json()["checks"]
        assert (await client.post("/jobs/run")).status_code == 200
        assert (await client.post("/restore/confirm")).json() == confirmed
    assert service.said.count(b"the database was restored, or is a copy") == 1


async def test_without_a_restore_it_starts_at_once(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now - timedelta(seconds=1))
    async with services(1, scratch, SCHEDULER_START_PAUSED="true") as (service,):
        await runs_of(service, database)


async def test_the_command_line_confirms(scratch: URL, opened: Open) -> None:
    database = opened(scratch)
    await add_minutely(database)
    load(scratch, dump(scratch))
    code, out, _ = await (await run("confirm-restore", database=scratch)).ends()
    assert (code, out.endswith(b" is confirmed.\n")) == (0, True)
    assert await scalar(database, "SELECT confirmedat FROM installation") is not None
