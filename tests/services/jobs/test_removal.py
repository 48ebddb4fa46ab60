"""A job is removed with its history: out of sight at once, however long that is."""

import asyncio
import io

import pytest
from httpx import AsyncClient

from scheduler_api import checking
from scheduler_api.database.engine import Database
from scheduler_api.services.jobs import removal
from scheduler_api.services.runs import passes
from scheduler_api.workers.upkeep import Upkeep
from tests.factories import add_job, execute, scalar

TARGET = {"url": "http://127.0.0.1:9/"}
ROWS = "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM joblog) + (SELECT count(*) FROM logattempt)"
PAST = (
    "INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat, kind, host)"
    " SELECT (SELECT firstday FROM history), :jobid, at, 'finished', at, at, 'http', '127.0.0.1:9'"
    " FROM generate_series(now() - interval '1 hour', now() - interval '1 minute', interval '1 minute') AS at"
)
ATTEMPTS = (
    "INSERT INTO logattempt (day, logid, jobid, attempt, startedat, finishedat, outcome, replica)"
    " SELECT day, logid, jobid, 1, startedat, finishedat, 'finished', 'here' FROM joblog"
    " WHERE status = 'finished'"
)


@pytest.fixture
async def large(database: Database, monkeypatch: pytest.MonkeyPatch) -> int:
    """A job with more runs than are removed at once."""
    monkeypatch.setattr(removal, "BATCH", 25)
    jobid = await add_job(database, interval=60, target=TARGET, tags=["large"])
    await execute(database, PAST, jobid=jobid)
    await execute(database, ATTEMPTS)
    return jobid


async def test_a_large_job_is_out_of_sight_at_once_and_goes_by_and_by(
    client: AsyncClient, database: Database, large: int
) -> None:
    assert await scalar(database, "SELECT count(*) FROM joblog") == 61
    assert (await client.delete(f"/jobs/{large}?history=remove")).status_code == 204
    assert await scalar(database, "SELECT count(*) FROM joblog") == 35
    for path in (f"/jobs/{large}", f"/jobs/{large}/explain?at=2030-01-31T12:00:00Z"):
        assert (await client.get(path)).status_code == 404
    for verb in ("run", "pause", "resume", "skip"):
        assert (await client.post(f"/jobs/{large}/{verb}")).status_code == 404
    assert (await client.delete(f"/jobs/{large}")).status_code == 404
    for state in ("", "?state=deleted", "?tag=large"):
        assert (await client.get(f"/jobs{state}")).json() == []
    assert [report async for report in checking.check(database, (), checking.Progress(io.StringIO()))] == []
    await Upkeep(database).repair(60)
    assert await scalar(database, ROWS) == 0
    assert await scalar(database, "SELECT count(*) FROM auditevent WHERE action = 'deleted'") == 1


async def test_nothing_of_it_runs_any_more(client: AsyncClient, database: Database, large: int) -> None:
    await client.post(f"/jobs/{large}/run")
    assert (await client.delete(f"/jobs/{large}?history=remove")).status_code == 204
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE day = 'infinity'") == 0
    report = await database.transact(lambda session, now: passes.run_pass(session, now, 100, now))
    assert report.claimed == 0


async def test_many_replicas_remove_it_once(client: AsyncClient, database: Database, large: int) -> None:
    other = await add_job(database, interval=60)
    assert (await client.delete(f"/jobs/{large}?history=remove")).status_code == 204
    await asyncio.gather(*(Upkeep(database).repair(60) for _ in range(4)))
    assert await scalar(database, "SELECT min(jobid) FROM job") == other
    assert await scalar(database, "SELECT count(*) FROM joblog") == 1


async def test_a_small_job_is_gone_at_once(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await client.post(f"/jobs/{jobid}/run")
    await client.post("/jobs/run")
    assert (await client.delete(f"/jobs/{jobid}?history=remove")).status_code == 204
    assert await scalar(database, ROWS) == 0
