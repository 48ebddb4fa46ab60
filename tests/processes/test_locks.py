"""A row that a stranger holds delays itself, and nothing else; a table that is locked loses nothing."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from scheduler_api.services.history import checks
from scheduler_api.targets.urls import host_of
from scheduler_api.workers.delivery.leases import CONFIRM, LOOKS_A_LEASE
from tests.factories import add_job, execute, scalar
from tests.processes.service import PATIENCE, services
from tests.receiver import Receiver, receiving
from tests.servers import dsn

#: Half of them call a target, half are plain.
JOBS = 100
#: Seconds. A replica that a busy machine leaves waiting must not lose one: others take it over when they have
#: seen for 0.4 leases that it has run out.
LEASE = 6
#: Leases after which others have taken it over if they would: a look, that time, and one more look.
TAKEN_OVER = 1 / LOOKS_A_LEASE + CONFIRM / LOOKS_A_LEASE + 1 / LOOKS_A_LEASE
RUNS = """
    SELECT min(number) FROM (
        SELECT count(logid) FILTER (WHERE status = 'finished') AS number
        FROM job LEFT JOIN joblog USING (jobid) WHERE jobid = ANY(:jobids) GROUP BY jobid
    ) AS runs
"""
EVERYONE = range(1, JOBS + 1)
#: How late the latest run began of those that were due since an instant.
LATEST = "SELECT max(startedat - scheduledfor) FROM joblog WHERE scheduledfor > :since"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@contextlib.asynccontextmanager
async def locked(url: URL, statement: str) -> AsyncIterator[None]:
    """A stranger's transaction, which lasts until the end of the context."""
    stranger = await asyncpg.connect(dsn(url))
    try:
        async with stranger.transaction():
            await stranger.execute(statement)
            yield
    finally:
        await stranger.close()


async def add_jobs(database: Database, receiver: Receiver, count: int = JOBS, **values: Any) -> None:
    """Jobs that run each second; every second one calls the receiver."""
    now = await scalar(database, "SELECT date_trunc('second', clock_timestamp())")
    before = now - timedelta(seconds=1)
    every: dict[str, Any] = {"interval": 1, "startdate": now.date(), "starttime": now.time(), "due": now}
    every |= {"createdat": before, "validfrom": before} | values
    for number in range(count):
        target = {"target": {"url": receiver.url, "method": "POST"}} if number % 2 else {}
        await add_job(database, **every | target)
    host = host_of(receiver.url)
    await execute(
        database,
        "INSERT INTO concurrencylimit (scope, name, \"limit\") VALUES ('host', :host, 200)",
        host=host,
    )


async def until_they_have_run(database: Database, jobids: Iterable[int], times: int) -> None:
    wanted = list(jobids)
    async with asyncio.timeout(PATIENCE):
        while await scalar(database, RUNS, jobids=wanted) < times:
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def replicas(url: URL) -> AsyncIterator[None]:
    """Two; at the end their calls may end."""
    async with services(2, url, SCHEDULER_LEASE=str(LEASE)) as started:
        yield
        await asyncio.gather(*(service.stop() for service in started))


async def assert_nothing_is_lost_or_repeated(database: Database, receiver: Receiver) -> None:
    # Of those that were released no request went out: a replica that stops hands them back.
    others = "SELECT count(*) FROM logattempt WHERE outcome NOT IN ('finished', 'released')"
    assert await scalar(database, others) == 0
    requests = Counter(request.headers["webhook-id"] for request, _ in receiver.requests)
    assert max(requests.values()) == 1
    finished = "SELECT count(*) FROM joblog WHERE status = 'finished' AND host IS NOT NULL"
    assert await scalar(database, finished) == len(requests)
    for jobid in await database.read(checks.jobids, 0):
        report = await database.snapshot(checks.check_job, jobid)
        assert report.clean, report.findings


#: Jobs of which a stranger holds the pending log, and the row itself: of each kind a plain one and a call.
LOG_HELD, JOB_HELD = [1, 2], [3, 4]
HELD = {*LOG_HELD, *JOB_HELD}


async def test_a_locked_row_delays_itself_only(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    await add_jobs(database, receiver)
    logs = f"SELECT FROM joblog WHERE jobid = ANY(ARRAY{LOG_HELD}) AND status = 'pending' FOR UPDATE"
    jobs = f"SELECT FROM job WHERE jobid = ANY(ARRAY{JOB_HELD}) FOR UPDATE"
    async with contextlib.AsyncExitStack() as stack:
        async with locked(worker_database, f"{logs}; {jobs}"):
            await stack.enter_async_context(replicas(worker_database))
            since = await scalar(database, "SELECT clock_timestamp()")
            await until_they_have_run(database, set(EVERYONE) - HELD, 5)
            assert {await scalar(database, RUNS, jobids=[jobid]) for jobid in HELD} == {0}
            assert await scalar(database, LATEST, since=since) < timedelta(seconds=2)
        await until_they_have_run(database, HELD, 1)
    await assert_nothing_is_lost_or_repeated(database, receiver)


async def test_a_pause_whose_job_is_locked_keeps_no_other_from_ending(
    database: Database, worker_database: URL, receiver: Receiver
) -> None:
    await add_jobs(database, receiver)
    await execute(database, "DELETE FROM joblog")
    await execute(
        database,
        "UPDATE job SET active = false, pausedat = now(), pauseduntil = now() + jobid * interval '1 ms',"
        " resumefrom = createdat",
    )
    async with contextlib.AsyncExitStack() as stack:
        async with locked(worker_database, "SELECT FROM job WHERE jobid = 1 FOR UPDATE"):
            await stack.enter_async_context(replicas(worker_database))
            await until_they_have_run(database, set(EVERYONE) - {1}, 1)
            assert await scalar(database, RUNS, jobids=[1]) == 0
        await until_they_have_run(database, [1], 1)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM joblog WHERE jobid = 2 FOR UPDATE; SELECT FROM job WHERE jobid = 4 FOR UPDATE;"
        " SELECT FROM logattempt WHERE logid = 6 FOR UPDATE",
        "LOCK TABLE joblog IN SHARE MODE",
        "LOCK TABLE job, joblog, logattempt IN ACCESS EXCLUSIVE MODE",
    ],
    ids=["rows", "table", "all tables"],
)
async def test_a_call_whose_rows_are_locked_for_longer_than_its_lease_is_neither_lost_nor_repeated(
    database: Database, worker_database: URL, receiver: Receiver, statement: str
) -> None:
    """Not even where it ends meanwhile, and others look for leases that have run out."""
    go_on = receiver.hold()
    await add_jobs(database, receiver, count=6)
    async with replicas(worker_database):
        await receiver.arrived(3)
        until = await scalar(database, "SELECT leaseuntil FROM joblog WHERE status = 'running'")
        async with locked(worker_database, statement):
            go_on.set()
            long_ago = "SELECT clock_timestamp() > CAST(:until AS timestamptz)"
            async with asyncio.timeout(PATIENCE):
                while not await scalar(
                    database, long_ago, until=until + TAKEN_OVER * timedelta(seconds=LEASE)
                ):
                    await asyncio.sleep(0.05)
        receiver.answer = None
        await until_they_have_run(database, range(1, 7), 2)
    await assert_nothing_is_lost_or_repeated(database, receiver)
