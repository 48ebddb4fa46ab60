"""What was acknowledged is there, whichever answer of the server comes later than the client waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import pytest
from sqlalchemy.engine import URL

from scheduler_api import errors
from scheduler_api.database.connections import Connection, Endpoints, PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import DRIVER, Session, Statement, savepoint
from scheduler_api.databases import requests_database
from scheduler_api.settings import Settings
from tests.factories import scalar
from tests.servers import undistributed

from .holding import Holding, holding

INSERT = Statement(
    """
    INSERT INTO job (jobname, startdate, starttime, repeat, active, createdat, validfrom)
    VALUES (:name, '2030-01-31', '12:00', false, false, now(), now())
    """
)
NAMES = Statement("SELECT jobname FROM job")
PID = Statement("SELECT pg_backend_pid()")
FAIL = Statement("SELECT 1 / (length(:name) - length(:name))")
#: Seconds that a client waits in vain. Where the answer is not held, nobody waits so long.
PATIENCE = 0.3


@pytest.fixture
async def way(worker_database: URL, database: Database) -> AsyncIterator[Holding]:
    async with holding(worker_database) as way:
        yield way


@pytest.fixture
async def behind(way: Holding) -> AsyncIterator[Database]:
    """A database with two connections behind the way, for whose answers nobody waits long."""
    behind = Database(way.url, name="behind", pool=PoolOptions(2, 0, 30.0), patience=PATIENCE)
    # A machine that is busy elsewhere takes its time to connect, and to prepare statements.
    behind.patience = 30.0
    for _ in range(2):
        await asyncio.gather(*(_warm_up(behind, name) for name in ("warm", "up")))
    behind.patience = PATIENCE
    yield behind
    way.let_go()
    await behind.close()


async def _warm_up(behind: Database, name: str) -> None:
    await behind.transact(create, f"{name} {id(asyncio.current_task())}")
    with contextlib.suppress(ZeroDivisionError):
        await behind.transact(give_up, name)


async def create(session: Session, _: datetime, name: str) -> None:
    await session.all(INSERT, name=name)


async def names(session: Session) -> list[str]:
    return [row["jobname"] for row in await session.all(NAMES)]


async def create_in_part(session: Session, now: datetime, name: str) -> None:
    async with savepoint(session):
        await create(session, now, name)


async def create_after_a_failed_part(session: Session, now: datetime, name: str) -> None:
    with contextlib.suppress(Exception):
        async with savepoint(session):
            await session.all(FAIL, name=name)
    await create(session, now, name)


async def give_up(session: Session, now: datetime, name: str) -> None:
    await create(session, now, f"{name} given up")
    raise ZeroDivisionError


Work = Callable[[Session, datetime, str], Awaitable[None]]


@pytest.mark.parametrize("work", [create, create_in_part, create_after_a_failed_part, give_up])
async def test_no_call_that_is_given_up_is_taken_for_what_it_was_not(
    database: Database, behind: Database, way: Holding, work: Work
) -> None:
    """Each call of a unit of work in turn is answered too late; then the same connections go on."""
    acknowledged, refused, number = set(), set(), 0
    while True:
        number += 1
        name = f"{number}: held"
        way.arm(number)
        try:
            await behind.transact(work, name)
            acknowledged.add(name)
        except errors.OutcomeUnknown:
            pass
        except (errors.SchedulerError, ZeroDivisionError):
            refused.add(name)
        was_held = way.has_held
        way.let_go()
        acknowledged |= await _use(behind, number)
        if not was_held:
            break
    # At least BEGIN, the opening statement, the work's own, and COMMIT or ROLLBACK were held.
    assert number > 4
    present = set(await database.read(names))
    assert acknowledged - present == set()
    assert present & refused == set()
    assert not any("given up" in name for name in present)


async def _use(behind: Database, number: int) -> set[str]:
    """Use all connections again, patiently; the names of what was acknowledged."""
    names = [f"{number}: use {use}" for use in range(4)]
    behind.patience = 30.0
    await asyncio.gather(*(behind.transact(create, name) for name in names))
    behind.patience = PATIENCE
    return set(names)


async def is_in_transaction(session: Session) -> bool:
    driver: Connection = session.info[DRIVER]
    return bool(driver.is_in_transaction())


async def test_a_connection_is_ended_after_a_call_that_was_given_up(behind: Database, way: Holding) -> None:
    """The server may do yet what it was asked."""

    async def pid(session: Session) -> int:
        (found,) = await session.one(PID)
        return int(found)

    behind.patience = 30.0
    before = set(await asyncio.gather(*(behind.read(pid) for _ in range(2))))
    behind.patience = PATIENCE
    way.arm(1)
    with pytest.raises(errors.DatabaseUnavailable):
        await behind.read(pid)
    way.let_go()
    behind.patience = 30.0
    # Two at once, so that both connections are used.
    barrier = asyncio.Barrier(2)

    async def pid_beside_another(session: Session) -> int:
        await barrier.wait()
        return await pid(session)

    after = set(await asyncio.gather(*(behind.read(pid_beside_another) for _ in range(2))))
    assert len(after) == 2
    assert len(after & before) < 2


async def test_no_connection_leaves_the_pool_in_a_transaction(database: Database, behind: Database) -> None:
    """Whoever put it back so."""
    async with behind.engine.connect() as connection:
        pooled = await connection.get_raw_connection()
        driver = pooled.driver_connection
        assert driver is not None
        await driver.execute("BEGIN")
    behind.patience = 30.0
    found = await asyncio.gather(*(behind.read(is_in_transaction) for _ in range(4)))
    assert not any(found)


@undistributed
async def test_a_commit_whose_answer_is_late_is_acknowledged_once_it_is_known(
    database: Database, behind: Database, way: Holding
) -> None:
    """The second connection tells."""
    behind.patience = 4.0
    way.arm(4)
    await behind.transact(create, "late")
    assert way.has_held
    assert await scalar(database, "SELECT count(*) FROM job WHERE jobname = 'late'") == 1


def test_a_request_is_answered_within_five_seconds(worker_database: URL) -> None:
    """Whatever the database does, by default."""
    assert requests_database(Settings(), Endpoints(worker_database)).patience < 5


async def test_a_database_that_cannot_be_reached_any_more_is_given_up_in_time(
    behind: Database, way: Holding
) -> None:
    way.darken()
    for unit in (behind.transact(create, "into the dark"), behind.read(names)):
        with pytest.raises(errors.DatabaseUnavailable):
            async with asyncio.timeout(20):
                await unit


async def test_a_commit_into_the_dark_is_never_acknowledged(
    database: Database, behind: Database, way: Holding
) -> None:
    async def create_and_lose(session: Session, now: datetime) -> None:
        await create(session, now, "maybe")
        way.darken()

    with pytest.raises(errors.OutcomeUnknown, match="may be there or not"):
        await behind.transact(create_and_lose)


async def test_a_commit_is_not_under_the_time_out_of_statements(
    worker_database: URL, database: Database
) -> None:
    """Ended by a time-out it may be half done: kept here, and not by the standbys that were to have it."""
    hurried = Database(worker_database, name="hurried", pool=PoolOptions(1, 0, 5.0), patience=30)

    async def work(session: Session, _: datetime) -> str:
        await session.all(
            Statement(
                """
            CREATE FUNCTION pg_temp.dawdle() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$
            """
            )
        )
        await session.all(Statement("CREATE TEMPORARY TABLE slow (x int)"))
        await session.all(
            Statement(
                """
            CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION pg_temp.dawdle()
            """
            )
        )
        await session.all(Statement("INSERT INTO slow VALUES (1)"))
        await session.all(Statement("SET LOCAL statement_timeout = '200ms'"))
        return "kept"

    try:
        assert await hurried.transact(work) == "kept"
    finally:
        await hurried.close()


async def test_a_transaction_that_has_failed_is_not_taken_for_committed(database: Database) -> None:
    async def work(session: Session, _: datetime) -> None:
        with contextlib.suppress(Exception):
            await session.all(FAIL, name="x")

    with pytest.raises(RuntimeError, match="had failed before it was committed"):
        await database.transact(work)
