"""Metrics: they count what happened, tell of the installation, and are for those who may read them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from scheduler_api import metrics
from scheduler_api.contracts.runs.logs import LogCause
from scheduler_api.database.engine import Database
from scheduler_api.database.system.gauges import JobCounts
from scheduler_api.errors import DatabaseUnavailable
from scheduler_api.schedule import Reason
from scheduler_api.services.jobs import actions
from scheduler_api.services.system import gauges
from scheduler_api.workers import loop_lag, scrapes
from tests.factories import ACTOR, add_due_jobs, add_job, execute
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import MARKUP
from tests.routers.test_targets import create, run_due, run_now

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


async def samples(client: AsyncClient, address: str = "/metrics") -> dict[str, float]:
    """What a scrape gives, by name and labels: `scheduler_runs_total{cause="schedule"}`."""
    answer = await client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in read_text(answer.text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


class Change:
    """By how much metrics change in the meantime."""

    def __init__(self, client: AsyncClient, before: dict[str, float]) -> None:
        self._client, self._before = client, before

    async def of(self, *names: str) -> list[float]:
        now = await samples(self._client)
        return [now.get(name, 0.0) - self._before.get(name, 0.0) for name in names]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def change(client: AsyncClient) -> Change:
    return Change(client, await samples(client))


@pytest.fixture
def fresh_gauges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "GOOD_FOR", 0.0)


async def test_runs_are_counted_and_how_late_they_began(
    client: AsyncClient, database: Database, change: Change
) -> None:
    await add_due_jobs(database, 3)
    await run_due(client, finished=3)
    assert await change.of(
        'scheduler_runs_total{cause="schedule",status="finished"}',
        "scheduler_start_delay_seconds_count",
        'scheduler_start_delay_seconds_bucket{le="0.5"}',
    ) == [3, 3, 0]
    (passes,) = await change.of("scheduler_pass_seconds_count")
    assert passes >= 1


async def test_calls_are_counted_when_they_end(
    client: AsyncClient, receiver: Receiver, change: Change
) -> None:
    jobid = await create(client, {"url": receiver.url, "retries": 0})
    for status in (200, 500):
        receiver.always(status)
        await run_now(client, jobid)
        await run_due(client)
    assert await change.of(
        'scheduler_call_seconds_count{outcome="finished"}',
        'scheduler_call_seconds_count{outcome="failed"}',
        'scheduler_runs_total{cause="manual",status="finished"}',
        'scheduler_runs_total{cause="manual",status="failed"}',
        "scheduler_start_delay_seconds_count",
    ) == [1, 1, 1, 1, 2]


async def test_another_attempt_begins_no_run_anew(
    client: AsyncClient, database: Database, receiver: Receiver, change: Change
) -> None:
    receiver.always(500)
    await run_now(client, await create(client, {"url": receiver.url, "retries": 1}))
    await run_due(client, retried=1)
    ended = 'scheduler_runs_total{cause="manual",status="failed"}'
    assert await change.of(ended, "scheduler_start_delay_seconds_count") == [0, 1]
    await execute(database, "UPDATE joblog SET nextrun = now() WHERE attempt = 2")
    await run_due(client, failed=1)
    assert await change.of(ended, "scheduler_start_delay_seconds_count") == [1, 1]


@pytest.mark.parametrize(
    ("misfire", "reason", "expected"), [("skip", "misfire", 59), ("once", "coalesced", 59), ("all", "", 0)]
)
async def test_what_did_not_run_is_counted_by_its_reason(
    client: AsyncClient, database: Database, change: Change, misfire: str, reason: str, expected: int
) -> None:
    await add_job(database, due=None, interval=60, misfire=misfire)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun)"
        " SELECT jobid, now() - interval '1 hour' + interval '30 s', now() - interval '1 hour' FROM job",
    )
    await client.post("/jobs/run")
    reasons = [f'scheduler_missed_total{{reason="{one}"}}' for one in ("misfire", "coalesced")]
    assert await change.of(*reasons) == [expected if one == reason else 0 for one in ("misfire", "coalesced")]


async def test_what_is_not_kept_is_not_counted(
    client: AsyncClient, database: Database, change: Change
) -> None:
    jobid = await add_job(database, interval=60)
    await database.rehearse(actions.skip_next, ACTOR, jobid)
    assert await change.of('scheduler_missed_total{reason="request"}') == [0]
    await database.transact(actions.skip_next, ACTOR, jobid)
    assert await change.of('scheduler_missed_total{reason="request"}') == [1]


@pytest.mark.usefixtures("fresh_gauges")
async def test_the_installation_is_told_of(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 2)
    await add_job(database)
    await add_job(database, due=None, active=False)
    await execute(database, "UPDATE job SET active = false, pausedat = now() WHERE jobid = 1")
    found = await samples(client)
    assert {name: found[f"scheduler_cluster_{name}"] for name in ("up", "due_runs", "running_runs")} == {
        "up": 1,
        "due_runs": 2,
        "running_runs": 0,
    }
    states = {state: found[f'scheduler_cluster_jobs{{state="{state}"}}'] for state in JobCounts._fields}
    assert states == {"active": 2, "paused": 1, "completed": 1, "deleted": 0}
    assert 1 <= found["scheduler_cluster_lag_seconds"] < 60
    assert found["scheduler_cluster_replicas"] >= 1
    assert found["scheduler_cluster_database_bytes"] > found["scheduler_cluster_history_bytes"] >= 0
    assert found['scheduler_pool_connections{pool="requests",state="in use"}'] >= 0


async def test_however_many_scrape_the_database_is_read_once_in_ten_seconds(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    measure = gauges.measure

    async def counted(*arguments: Any) -> Any:
        looks.append(1)
        return await measure(*arguments)

    monkeypatch.setattr(gauges, "measure", counted)
    monkeypatch.setattr(scrapes, "monotonic", lambda: 1000.0)
    await asyncio.gather(*(samples(client) for _ in range(5)))
    assert len(looks) == 1
    monkeypatch.setattr(scrapes, "monotonic", lambda: 1010.0)
    await samples(client)
    assert len(looks) == 2


@pytest.mark.usefixtures("fresh_gauges")
async def test_the_process_is_told_of_while_the_database_is_away(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise DatabaseUnavailable("It is away.")

    monkeypatch.setattr(gauges, "measure", away)
    found = await samples(client)
    assert found["scheduler_cluster_up"] == 0
    assert "scheduler_cluster_due_runs" not in found
    assert "scheduler_pass_seconds_count" in found


async def test_a_job_has_series_of_its_own(client: AsyncClient, database: Database) -> None:
    name = f'{MARKUP} "x"\\ \n'
    jobid = await add_job(database, jobname=name, tags=["billing"])
    paused = await add_job(database, due=None, active=False)
    await add_job(database, due=None, active=False, jobname="Completed")
    await execute(database, "UPDATE job SET pausedat = now() WHERE jobid = :jobid", jobid=paused)
    await execute(
        database,
        "UPDATE joblog SET lastsuccess = '2030-01-01T00:00:00Z', failures = 2, laststatus = 'failed'",
    )
    answer = await client.get("/metrics/jobs")
    families = {family.name: family.samples for family in read_text(answer.text)}
    (success,) = families["scheduler_job_last_success_timestamp_seconds"]
    assert success.labels == {"jobid": str(jobid), "jobname": name, "project": "default"}
    assert success.value == 1893456000
    (following,) = families["scheduler_job_next_run_timestamp_seconds"]
    assert following.value == 1896091200
    assert [one.value for one in families["scheduler_job_consecutive_failures"]] == [2, 0]
    found = await samples(client, "/metrics/jobs?tag=billing")
    assert sum(name.startswith("scheduler_job_consecutive") for name in found) == 1
    assert found["scheduler_jobs_left_out"] == 0
    assert (await samples(client, "/metrics/jobs?limit=1"))["scheduler_jobs_left_out"] == 1


async def test_open_metrics_are_given_to_who_asks_for_them(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    for address in ("/metrics", "/metrics/jobs"):
        answer = await client.get(address, headers={"accept": f"{OPEN_METRICS},text/plain;q=0.5"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        read: Any = read_open_metrics
        assert {family.name for family in read(answer.text)}


async def test_what_has_not_happened_is_there_as_0(client: AsyncClient) -> None:
    """Prometheus takes a counter that is first seen with 5 for one that has not increased."""
    found = await samples(client)
    for reason in (*Reason, metrics.COALESCED):
        assert f'scheduler_missed_total{{reason="{reason}"}}' in found
    for cause in LogCause:
        for status in ("finished", "failed"):
            assert f'scheduler_runs_total{{cause="{cause}",status="{status}"}}' in found


@pytest.mark.parametrize("accept", ["text/plain;version=x", "application/openmetrics-text; version=abc"])
async def test_a_version_that_is_none_gets_the_plain_format(client: AsyncClient, accept: str) -> None:
    answer = await client.get("/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    assert list(read_text(answer.text))


async def test_how_late_the_loop_is(client: AsyncClient, change: Change, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_lag, "EVERY", 0.0)
    async with loop_lag.measured(), asyncio.timeout(60):
        while await change.of("scheduler_loop_lag_seconds_count") == [0]:
            await asyncio.sleep(0)
