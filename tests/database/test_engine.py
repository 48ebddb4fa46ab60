"""Units of work: committed once, tried again where that helps, and true where the answer got lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, ProgrammingError

from scheduler_api import errors
from scheduler_api.database import statements, transactions, versions
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.database.statements import DRIVER, Session, Statement
from scheduler_api.database.transactions import Fence
from tests.factories import add_job, execute, scalar, until_it_waits_or_ends

INSERT = text(
    "INSERT INTO job (jobname, startdate, starttime, repeat, active, createdat, validfrom)"
    " VALUES ('A job', '2030-01-31', '12:00', false, false, now(), now())"
)
COUNT = "SELECT count(*) FROM job"


async def insert_job(session: Session, _: datetime) -> str:
    await session.execute(INSERT)
    return "done"


async def test_a_unit_is_committed_and_knows_the_time(database: Database) -> None:
    async def work(session: Session, now: datetime, word: str) -> tuple[datetime, str]:
        await session.execute(INSERT)
        return now, word

    now, word = await database.transact(work, "done")
    assert word == "done"
    assert abs(now - await scalar(database, "SELECT clock_timestamp()")) < timedelta(minutes=1)
    assert await scalar(database, COUNT) == 1


async def test_a_unit_that_fails_leaves_nothing(database: Database) -> None:
    async def work(session: Session, _: datetime) -> None:
        await session.execute(INSERT)
        raise errors.JobNotFound(7)

    with pytest.raises(errors.JobNotFound):
        await database.transact(work)
    assert await scalar(database, COUNT) == 0


async def test_what_follows_a_commit_happens_once_and_only_then(database: Database) -> None:
    told: list[str] = []

    async def work(session: Session, _: datetime, *, fails: bool) -> None:
        session.when_committed(lambda: told.append("whole"))
        for name in ("kept", "lost"):
            with contextlib.suppress(errors.JobNotFound):
                async with statements.savepoint(session):
                    session.when_committed(partial(told.append, name))
                    if name == "lost":
                        raise errors.JobNotFound(7)
        assert told == []
        if fails:
            raise errors.JobNotFound(7)

    with pytest.raises(errors.JobNotFound):
        await database.transact(work, fails=True)
    await database.rehearse(work, fails=False)
    assert told == []
    await database.transact(work, fails=False)
    assert told == ["whole", "kept"]


class Failing:
    """Work that inserts a job, and fails the first `times` times by what `sabotage` does to its session."""

    def __init__(self, times: int, sabotage: Callable[[Session], Any]) -> None:
        self.times = times
        self.calls = 0
        self._sabotage = sabotage

    async def __call__(self, session: Session, _: datetime) -> None:
        self.calls += 1
        await session.execute(INSERT)
        if self.calls <= self.times:
            await self._sabotage(session)


async def nothing(session: Session, _: datetime) -> None:
    """A unit that does nothing."""


async def terminated(session: Session) -> None:
    await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def raising(sqlstate: str) -> Callable[[Session], Any]:
    async def sabotage(session: Session) -> None:
        await session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"))

    return sabotage


@pytest.mark.parametrize(
    "sabotage",
    [terminated, raising("40001"), raising("40P01")],
    ids=["terminated", "serialization", "deadlock"],
)
async def test_a_passing_failure_is_tried_once_more(database: Database, sabotage: Any) -> None:
    work = Failing(1, sabotage)
    await database.transact(work)
    assert work.calls == 2
    assert await scalar(database, COUNT) == 1


async def test_it_is_tried_no_more_than_twice(database: Database) -> None:
    work = Failing(2, terminated)
    with pytest.raises(errors.DatabaseUnavailable):
        await database.transact(work)
    assert work.calls == 2
    assert await scalar(database, COUNT) == 0


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        ("25006", errors.DatabaseReadOnly),
        ("53100", errors.StorageFull),
        ("53300", errors.DatabaseUnavailable),
        ("55P03", errors.DatabaseBusy),
        ("57014", errors.DatabaseBusy),
    ],
)
async def test_what_does_not_pass_is_told_at_once(
    database: Database, sqlstate: str, meaning: type[errors.SchedulerError]
) -> None:
    work = Failing(2, raising(sqlstate))
    with pytest.raises(meaning):
        await database.transact(work)
    assert work.calls == 1


async def test_a_bug_stays_what_it_is(database: Database) -> None:
    async def work(session: Session, _: datetime) -> None:
        await session.execute(text("SELEKT 1"))

    with pytest.raises(ProgrammingError):
        await database.transact(work)


async def test_plans_that_a_migration_made_stale_are_made_anew(database: Database) -> None:
    """On however many connections."""
    everything = Statement("SELECT * FROM job")
    await add_job(database)
    together = asyncio.Barrier(6)

    async def look(session: Session) -> int:
        found = len((await session.all(everything))[0])
        await together.wait()
        return found

    async def work(session: Session, _: datetime) -> int:
        return await look(session)

    async def by_all() -> list[int]:
        """On six connections at once."""
        return await asyncio.gather(*(database.transact(work) for _ in range(6)))

    (before,) = set(await by_all())
    await execute(database, "ALTER TABLE job ADD COLUMN later integer")
    try:
        assert set(await by_all()) == {before + 1}
    finally:
        await execute(database, "ALTER TABLE job DROP COLUMN later")
    assert set(await asyncio.gather(*(database.read(look) for _ in range(6)))) == {before}


@pytest.fixture
async def lost_commit(monkeypatch: pytest.MonkeyPatch, database: Database) -> Callable[[bool], None]:
    """Let the next commit lose its connection: after it was kept, or before it arrived."""
    # The first unit of all commits where the database is.
    await database.transact(nothing)

    def arrange(kept: bool) -> None:
        command = statements.command

        async def lose(session: Session, sql: str, share: float = 1.0) -> str:
            if sql == transactions.COMMIT:
                monkeypatch.setattr(transactions, "command", command)
                if kept:
                    await command(session, sql)
                session.info[DRIVER].terminate()
            return await command(session, sql, share)

        monkeypatch.setattr(transactions, "command", lose)

    return arrange


@pytest.mark.parametrize("kept", [True, False])
async def test_a_commit_without_an_answer_is_looked_up(
    database: Database, lost_commit: Callable[[bool], None], kept: bool
) -> None:
    """Kept: not done again. Not kept: done again. Either way there is one job, and the caller knows."""
    work = Failing(0, terminated)
    lost_commit(kept)
    await database.transact(work)
    assert work.calls == (1 if kept else 2)
    assert await scalar(database, COUNT) == 1


async def test_a_commit_that_cannot_be_looked_up_is_not_repeated(
    database: Database, lost_commit: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "patience", 2.0)
    monkeypatch.setattr(transactions, "OUTCOME", Statement("SELECT 'in progress' || left(:xid, 0), now()"))
    work = Failing(0, terminated)
    lost_commit(True)
    with pytest.raises(errors.OutcomeUnknown):
        await database.transact(work)
    assert work.calls == 1


async def test_a_crash_of_the_server_makes_the_number_of_a_transaction_worthless(
    database: Database, lost_commit: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash the server gives lost numbers out again: `committed` may be another transaction's."""
    another_life = Statement("SELECT 'committed' || left(:xid, 0), timestamptz 'epoch'")
    monkeypatch.setattr(transactions, "OUTCOME", another_life)
    work = Failing(0, terminated)
    lost_commit(False)
    with pytest.raises(errors.OutcomeUnknown):
        await database.transact(work)
    assert work.calls == 1


@pytest.fixture
async def narrow(worker_database: URL) -> AsyncIterator[Database]:
    """A database with a single connection, for which nobody waits long."""
    database = Database(worker_database, name="narrow", pool=PoolOptions(1, 0, 0.1), statement_timeout=0.2)
    yield database
    await database.close()


async def test_no_connection_left_is_busy_and_passes(database: Database, narrow: Database) -> None:
    async def outer(session: Session, _: datetime) -> None:
        await narrow.transact(insert_job)

    with pytest.raises(errors.DatabaseBusy):
        await narrow.transact(outer)
    assert await narrow.transact(insert_job) == "done"


async def test_a_statement_may_not_take_forever(database: Database, narrow: Database) -> None:
    async def look(session: Session) -> None:
        await session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(errors.DatabaseBusy):
        await narrow.read(look)


async def test_a_server_that_is_not_there_is_unavailable(worker_database: URL) -> None:
    nobody = Database(
        worker_database.set(host="127.0.0.1", port=1, query={}), name="nobody", pool=PoolOptions(1, 0, 1.0)
    )
    with pytest.raises(errors.DatabaseUnavailable):
        await nobody.transact(insert_job)
    await nobody.close()


async def test_notifications_are_heard_until_the_connection_ends(
    database: Database, direct: Database
) -> None:
    heard = asyncio.Event()
    listening = asyncio.create_task(direct.listen({"somewhere": heard.set}))
    # Whoever listened before may be listed still, and who begins to listen hears nothing yet: so all are
    # ended, and told more than once.
    end = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    async with asyncio.timeout(60):
        while not heard.is_set():
            await execute(database, "NOTIFY somewhere")
            await asyncio.sleep(0.01)
        await scalar(database, end)
        await listening


async def test_no_connection_is_left_behind_by_cancelled_requests(database: Database) -> None:
    async def look(session: Session) -> None:
        await session.execute(text("SELECT pg_sleep(10)"))

    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    for _ in range(20):
        task = asyncio.create_task(database.read(look))
        async with asyncio.timeout(60):
            while not await scalar(database, sleeping):
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await add_job(database)
    assert database.pool.checkedout() == 0


def test_errors_of_the_driver_are_database_errors() -> None:
    assert issubclass(asyncpg.PostgresError, DATABASE_ERRORS)
    assert issubclass(DBAPIError, DATABASE_ERRORS)


async def test_code_that_may_write_no_more_changes_nothing_and_says_so(
    database: Database, worker_database: URL
) -> None:
    told: list[errors.ReplicaOutdated] = []
    pool = PoolOptions(1, 0, 5.0)
    oldest = await scalar(database, "SELECT compatiblefrom FROM schemaversion")
    old = Database(worker_database, name="old", pool=pool, fence=Fence(oldest - 1, told.append))
    try:
        with pytest.raises(errors.ReplicaOutdated, match="Replace it"):
            await old.transact(insert_job)
        assert len(told) == 1
        assert await scalar(database, COUNT) == 0
        # To let go of what it holds, it may.
        await old.transact_unfenced(insert_job)
        assert await scalar(database, COUNT) == 1
    finally:
        await old.close()


async def test_a_migration_waits_for_what_old_code_has_begun_to_write(database: Database) -> None:
    """And what begins after it knows of it."""
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def work(session: Session, _: datetime) -> None:
        writing.set()
        await go_on.wait()

    async def shut_out() -> None:
        async with database.unhurried() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({versions.WRITERS_KEY})"))
            await connection.execute(text("UPDATE schemaversion SET compatiblefrom = 9999"))
            await connection.commit()

    begun = asyncio.create_task(database.transact(work))
    await writing.wait()
    migrating = asyncio.create_task(shut_out())
    await until_it_waits_or_ends(database, migrating)
    assert not migrating.done()
    try:
        late = asyncio.create_task(database.transact(insert_job))
        go_on.set()
        await begun
        await migrating
        with pytest.raises(errors.ReplicaOutdated):
            await late
    finally:
        await execute(database, "UPDATE schemaversion SET compatiblefrom = :now", now=versions.VERSION)
