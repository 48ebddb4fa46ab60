"""Many processes and many callers on one backlog: each occurrence gets exactly one verdict."""

import asyncio
import json
import signal
from collections import Counter

from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.factories import add_due_jobs, execute, scalar
from tests.processes.service import PATIENCE, Service, services

DUE = 20_000
#: Nothing here is about how fast a statement is.
SLOW_MACHINE = {"SCHEDULER_STATEMENT_TIMEOUT": "120"}
COUNTS = "SELECT count(*) FROM joblog WHERE status = :status"
#: Occurrences with more or less than one row, among all that were due.
WRONG = (
    "SELECT count(*) FROM (SELECT jobid FROM joblog GROUP BY jobid"
    " HAVING count(*) FILTER (WHERE status = 'finished') <> 1"
    " OR count(*) FILTER (WHERE status = 'pending') <> 1) AS wrong"
)


async def add_backlog(database: Database) -> None:
    await add_due_jobs(database, DUE)
    # As the server does within a minute: it may have counted the tables last while they were empty.
    await execute(database, "ANALYZE job, joblog")


async def finished(database: Database) -> int:
    return int(await scalar(database, COUNTS, status="finished"))


async def assert_each_ran_once(database: Database) -> None:
    assert await finished(database) == DUE
    assert await scalar(database, COUNTS, status="pending") == DUE
    assert await scalar(database, WRONG) == 0


def told(service: Service) -> int:
    """How many runs the service's own log speaks of."""
    lines = [json.loads(line) for line in service.said.splitlines()]
    return sum(line["finished"] for line in lines if line["event"] == "ran due jobs")


async def test_four_processes_and_four_callers(database: Database, worker_database: URL) -> None:
    await add_backlog(database)
    statuses: Counter[int] = Counter()
    reported = 0

    async def call(client: AsyncClient) -> int:
        total = 0
        for _ in range(3):
            response = await client.post("/jobs/run")
            statuses[response.status_code] += 1
            total += response.json()["finished"]
        return total

    # Two processes tick while they serve; four callers ask all of them at once.
    async with (
        services(2, worker_database, SCHEDULER_TICKER="off", **SLOW_MACHINE) as silent,
        services(2, worker_database, SCHEDULER_TICKER="on", **SLOW_MACHINE) as ticking,
    ):
        clients = [AsyncClient(base_url=s.url, timeout=PATIENCE) for s in (*silent, *ticking)]
        reported += sum(await asyncio.gather(*(call(client) for client in clients)))
        for client in clients:
            await client.aclose()
        # Each call gives up after a while; those that tick go on.
        async with asyncio.timeout(PATIENCE):
            while await finished(database) < DUE:
                await asyncio.sleep(0.1)
        codes = await asyncio.gather(*(service.stop() for service in (*silent, *ticking)))
    assert codes == [0, 0, 0, 0]
    assert statuses == {200: 12}
    assert reported + sum(told(service) for service in ticking) == DUE
    await assert_each_ran_once(database)


async def test_a_process_killed_at_any_moment_loses_and_doubles_nothing(
    database: Database, worker_database: URL
) -> None:
    await add_backlog(database)
    for share in (0.1, 0.4, 0.7):
        async with services(1, worker_database, SCHEDULER_BATCH_SIZE="200") as (service,):
            async with asyncio.timeout(PATIENCE):
                while await finished(database) < share * DUE:
                    await asyncio.sleep(0.005)
            await service.stop(signal.SIGKILL)
    assert await finished(database) < DUE, "killed too late to prove anything"
    async with services(1, worker_database), asyncio.timeout(PATIENCE):
        while await finished(database) < DUE:
            await asyncio.sleep(0.02)
    await assert_each_ran_once(database)


async def test_a_process_killed_in_the_middle_of_a_pass_leaves_no_trace_of_it(
    database: Database, direct: Database, worker_database: URL
) -> None:
    """The pass is held after its verdicts, before its commit, by a trigger that waits for a lock of ours."""
    await add_due_jobs(database, 50)
    await execute(
        database,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$",
    )
    await execute(
        database, "CREATE TRIGGER hold AFTER INSERT ON joblog FOR EACH STATEMENT EXECUTE FUNCTION hold()"
    )
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    )
    try:
        async with direct.transactional.connect() as holder:
            await holder.exec_driver_sql("SELECT pg_advisory_lock(42)")
            async with services(1, worker_database) as (service,), asyncio.timeout(PATIENCE):
                while not await scalar(database, waiting):
                    await asyncio.sleep(0.01)
                await service.stop(signal.SIGKILL)
            await holder.exec_driver_sql("SELECT pg_advisory_unlock(42)")
        async with asyncio.timeout(PATIENCE):
            while await scalar(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):
                await asyncio.sleep(0.01)
    finally:
        await execute(database, "DROP TRIGGER hold ON joblog")
        await execute(database, "DROP FUNCTION hold")
    assert await finished(database) == 0
    assert await scalar(database, COUNTS, status="pending") == 50
    async with services(1, worker_database), asyncio.timeout(PATIENCE):
        while await finished(database) < 50:
            await asyncio.sleep(0.01)
    assert await scalar(database, WRONG) == 0
