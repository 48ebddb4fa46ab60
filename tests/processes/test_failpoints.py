"""A process that dies at each point of a run: afterwards nothing is lost, nothing is doubled."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from scheduler_api.services.history import checks
from tests.factories import add_job, scalar
from tests.processes import killed
from tests.processes.killed import KILLED, PLAIN, POINTS, TARGET
from tests.processes.service import PATIENCE, run
from tests.receiver import Receiver, receiving

#: Points after which the request has gone out, so that the next attempt is a second one.
SENT = {name for name in TARGET if name.startswith("call: ") and list(TARGET).index(name) >= 7}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def die_at(point: str, database: URL) -> int:
    """Start a service that dies at a point; its exit code."""
    program = await run(
        *(point, "serve", "--port", "0"), database=database, module=killed.__name__, SCHEDULER_LEASE="1"
    )
    async with asyncio.timeout(PATIENCE):
        code, _, _ = await program.ends()
    return code


async def settled(client: AsyncClient, database: Database) -> None:
    """Let another process do what is due, until all of it has a verdict."""
    due = "SELECT count(*) FROM joblog WHERE status = 'running' OR nextrun <= clock_timestamp()"
    async with asyncio.timeout(PATIENCE):
        while await scalar(database, due):
            assert (await client.post("/jobs/run")).status_code == 200
            await asyncio.sleep(0.05)


def test_there_are_enough_points() -> None:
    assert len(POINTS) >= 14
    assert PLAIN.keys().isdisjoint(TARGET)


@pytest.mark.parametrize("point", POINTS)
async def test_a_death_there_loses_and_doubles_nothing(
    point: str, client: AsyncClient, database: Database, worker_database: URL, receiver: Receiver
) -> None:
    target = {"target": {"url": receiver.url}} if point in TARGET else {}
    now = await scalar(database, "SELECT date_trunc('second', clock_timestamp())")
    start = {"startdate": now.date(), "starttime": now.time(), "validfrom": now - timedelta(seconds=1)}
    jobid = await add_job(database, due=now, interval=3600, **start, **target)
    assert await die_at(point, worker_database) == KILLED
    await settled(client, database)
    rows = (
        "SELECT string_agg(CAST(status AS text), ' ' ORDER BY scheduledfor) FROM joblog WHERE jobid = :jobid"
    )
    assert await scalar(database, rows, jobid=jobid) == "finished pending"
    assert (await database.snapshot(checks.check_job, jobid)).clean
    if point not in TARGET:
        return
    told = "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM logattempt"
    outcomes = str(await scalar(database, told)).split()
    assert outcomes[-1] == "finished"
    assert set(outcomes[:-1]) <= {"lost"}
    # No request that no attempt tells of, and all under one id.
    assert len(receiver.requests) <= len(outcomes)
    assert len({request.headers["webhook-id"] for request, _ in receiver.requests}) == 1
    assert len(receiver.requests) == (2 if point in SENT and point != "call: verdict committed" else 1)
