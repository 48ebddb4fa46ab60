"""One order to many jobs, and creating a job once."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from httpx import AsyncClient
from sqlalchemy import text

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.errors import KeyInFlight
from scheduler_api.services.jobs import bulk, idempotency
from scheduler_api.settings import Settings
from tests.factories import ACTOR, CIPHER, add_job, execute, logs, scalar, until_it_waits_or_ends

DAILY = {"jobname": "Daily", "cron": "@daily"}


async def order(client: AsyncClient, *, dryrun: bool = False, **body: Any) -> Any:
    response = await client.post(f"/jobs/bulk?dryrun={dryrun}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def states(client: AsyncClient) -> list[str]:
    return [job["state"] for job in (await client.get("/jobs?limit=1000")).json()]


@pytest.fixture
async def many(client: AsyncClient) -> None:
    for number in range(5):
        tags = ["even"] if number % 2 == 0 else []
        await client.post("/jobs", json=DAILY | {"jobname": f"Job {number}", "tags": tags})


@pytest.mark.usefixtures("many")
async def test_the_count_comes_first(client: AsyncClient) -> None:
    report = await order(client, action="pause", filter={"tag": "even"}, dryrun=True)
    assert (report["count"], report["done"], report["dryrun"]) == (3, 0, True)
    assert await states(client) == ["active"] * 5


@pytest.mark.usefixtures("many")
async def test_many_are_paused_resumed_run_and_deleted(client: AsyncClient, database: Database) -> None:
    report = await order(client, action="pause", filter={"tag": "even"}, reason="Moving")
    assert (report["count"], report["done"], report["failed"]) == (3, 3, [])
    assert await states(client) == ["paused", "active", "paused", "active", "paused"]
    report = await order(client, action="resume", filter={"state": "paused"}, missed="skip")
    assert (report["done"], await states(client)) == (3, ["active"] * 5)
    report = await order(client, action="run", filter={"name": "job"})
    assert report["done"] == 5
    assert (await client.post("/jobs/run")).json()["finished"] == 5
    report = await order(client, action="delete", filter={"name": "Job 1"})
    assert (report["done"], len(await states(client))) == (1, 4)
    report = await order(client, action="delete", all=True, history="remove")
    assert (report["done"], await states(client)) == (4, [])
    assert await scalar(database, "SELECT count(*) FROM job") == 1


@pytest.mark.usefixtures("many")
async def test_a_pause_has_an_id_by_which_just_that_is_resumed(
    client: AsyncClient, database: Database
) -> None:
    await client.post("/jobs/1/pause", json={"reason": "Before it"})
    report = await order(client, action="pause", filter={"tag": "even"}, reason="Moving")
    assert (report["jobids"], report["unchanged"]) == ([3, 5], 1)
    pauseid = report["pauseid"]
    other = await order(client, action="pause", filter={"name": "Job 1"})
    assert other["pauseid"] not in {None, pauseid}
    listed = (await client.get(f"/jobs?pauseid={pauseid}")).json()
    assert [(job["jobid"], job["pauseid"]) for job in listed] == [(3, pauseid), (5, pauseid)]
    (change,) = (await client.get("/jobs/3/changes?limit=1")).json()
    assert (change["action"], change["after"]["pauseid"]) == ("paused", pauseid)
    # Resumed, and paused anew by hand: that is a pause of its own.
    await client.post("/jobs/5/resume")
    await client.post("/jobs/5/pause")
    assert (await order(client, action="resume", pauseid=pauseid, dryrun=True))["count"] == 1
    report = await order(client, action="resume", pauseid=pauseid)
    assert (report["count"], report["jobids"], report["pauseid"]) == (1, [3], None)
    assert await states(client) == ["paused", "paused", "active", "active", "paused"]
    assert (await client.get("/jobs/3")).json()["job"]["pauseid"] is None
    assert (await order(client, action="resume", pauseid=pauseid))["count"] == 0
    assert await scalar(database, "SELECT count(*) FROM job WHERE pauseid IS NOT NULL") == 1


@pytest.mark.usefixtures("many")
async def test_a_pause_by_hand_takes_the_place_of_one_of_many(client: AsyncClient) -> None:
    pauseid = (await order(client, action="pause", all=True, until="2031-01-01T00:00:00Z"))["pauseid"]
    await client.post("/jobs/2/pause", json={"reason": "Its own"})
    await client.delete("/jobs/3")
    assert (await order(client, action="resume", pauseid=pauseid))["jobids"] == [1, 4, 5]
    assert await states(client) == ["active", "paused", "active", "active"]


async def test_more_than_one_batch(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LOOK", 150)
    monkeypatch.setattr(bulk, "BATCH", 100)
    await execute(
        database,
        "INSERT INTO job (jobname, cron, repeat, active, createdat, validfrom)"
        " SELECT 'Job ' || n, '@daily', true, true, now(), now() FROM generate_series(1, 250) AS n",
    )
    report = await order(client, action="pause", all=True)
    assert (report["count"], report["done"], report["lastjobid"]) == (250, 250, None)


async def test_what_was_not_done_is_named(client: AsyncClient, database: Database) -> None:
    await client.post("/jobs", json=DAILY)
    await add_job(database, active=False, due=None, jobname="Over")
    report = await order(client, action="pause", all=True)
    assert (report["count"], report["done"]) == (2, 1)
    (failure,) = report["failed"]
    assert (failure["jobid"], failure["code"]) == (2, "job_has_no_future")


async def test_it_stops_when_a_call_takes_too_long(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.workers.runner.CALL_SECONDS", 0.0)
    await client.post("/jobs", json=DAILY)
    report = await order(client, action="pause", all=True)
    assert (report["done"], report["lastjobid"]) == (1, 1)


async def test_what_is_left_of_a_batch_is_done_when_the_order_is_repeated(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.workers.runner.CALL_SECONDS", 0.0)
    # One whose runs are counted is paused by itself.
    for more in ({}, {"maxruns": 5}, {}, {"maxruns": 5}):
        await client.post("/jobs", json=DAILY | more)
    report = await order(client, action="pause", all=True)
    assert (report["jobids"], report["lastjobid"]) == ([1, 3], 1)
    fields = {"action": "pause", "scope": "matching", "confirmed": "true"}
    page = await client.post("/jobs/bulk", data=fields, headers={"accept": "text/html"})
    assert "Do it again for the rest." in page.text
    monkeypatch.setattr("scheduler_api.workers.runner.CALL_SECONDS", 20.0)
    report = await order(client, action="pause", all=True)
    assert (report["jobids"], report["unchanged"], report["lastjobid"]) == ([2, 4], 2, None)


async def test_runs_are_not_asked_for_twice_when_a_call_takes_too_long(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.workers.runner.CALL_SECONDS", 0.0)
    for _ in range(3):
        await client.post("/jobs", json=DAILY)

    async def meanwhile(session: Session, _: datetime) -> Any:
        await session.execute(text("SELECT FROM job WHERE jobid = 2 FOR UPDATE"))
        ordered = asyncio.create_task(order(client, action="run", all=True))
        await until_it_waits_or_ends(database, ordered)
        return ordered

    report = await (await database.transact(meanwhile))
    assert (report["jobids"], report["lastjobid"]) == ([1, 2, 3], 3)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "explode", "all": True}, "/action"),
        ({"action": "delete"}, "/filter"),
        ({"action": "delete", "filter": {}}, "/filter"),
        ({"action": "delete", "filter": {"name": ""}}, "/filter/name"),
        ({"action": "delete", "filter": {"owner": "me"}}, "/filter/owner"),
        ({"filter": {"name": "x"}}, "/action"),
        ({"action": "resume", "pauseid": "the last one"}, "/pauseid"),
    ],
)
async def test_invalid_orders(client: AsyncClient, body: Any, pointer: str) -> None:
    response = await client.post("/jobs/bulk", json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert (await client.post("/jobs/bulk", content="x")).status_code == 415


async def test_a_repeated_request_creates_one_job(client: AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-66"}
    first = await client.post("/jobs", json=DAILY, headers=key)
    again = await client.post("/jobs", json=DAILY, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert [r.headers["idempotency-replayed"] for r in (first, again)] == ["false", "true"]
    assert again.headers["location"] == first.headers["location"]
    assert len(await logs(database, 1)) == 1
    assert await scalar(database, "SELECT count(*) FROM job") == 1


async def test_a_key_is_for_one_body(client: AsyncClient) -> None:
    key = {"Idempotency-Key": "order-66"}
    await client.post("/jobs", json=DAILY, headers=key)
    other = await client.post("/jobs", json=DAILY | {"jobname": "Other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_outlives_an_upgrade_that_adds_a_field(
    client: AsyncClient, database: Database, settings: Settings
) -> None:
    class Later(JobDraft):
        colour: str = "red"

    first = await client.post("/jobs", json=DAILY, headers={"Idempotency-Key": "order-66"})
    # What an earlier version has answered lacks a field.
    without = "UPDATE idempotencykey SET answer = CAST(CAST(answer AS jsonb) - 'tags' AS text)"
    await execute(database, without)
    again = await client.post("/jobs", json=DAILY, headers={"Idempotency-Key": "order-66"})
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert "tags" in first.json()
    assert again.json() == {name: value for name, value in first.json().items() if name != "tags"}
    assert (again.headers["location"], again.headers["etag"]) == (
        first.headers["location"],
        first.headers["etag"],
    )
    # And its requests are the same to a later one, also while the key of secrets is replaced.
    for keys in (settings.secret_keys(), [Fernet.generate_key().decode(), *settings.secret_keys()]):
        found = await database.transact(
            idempotency.create_once, ACTOR, Cipher(keys), "order-66", Later.model_validate(DAILY)
        )
        assert (found.jobid, found.is_replayed) == (1, True)


async def test_a_failed_request_does_not_use_up_its_key(client: AsyncClient) -> None:
    key = {"Idempotency-Key": "order-66"}
    refused = await client.post("/jobs", json=DAILY | {"until": "2020-01-01T00:00:00Z"}, headers=key)
    assert refused.status_code == 422
    assert (await client.post("/jobs", json=DAILY, headers=key)).status_code == 201


async def test_a_key_is_forgotten_after_a_day(client: AsyncClient, database: Database) -> None:
    key = {"Idempotency-Key": "order-66"}
    await client.post("/jobs", json=DAILY, headers=key)
    await execute(database, "UPDATE idempotencykey SET at = at - interval '24 hours'")
    second = await client.post("/jobs", json=DAILY, headers=key)
    assert second.json()["jobid"] == 2
    assert await scalar(database, "SELECT count(*) FROM idempotencykey") == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e4"])
async def test_keys_that_are_none(client: AsyncClient, key: str) -> None:
    response = await client.post("/jobs", json=DAILY, headers={b"Idempotency-Key": key.encode()})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/Idempotency-Key"


async def test_while_a_request_is_under_way_its_repetition_is_told_so(database: Database) -> None:
    draft = JobDraft.model_validate(DAILY)
    working, go_on = asyncio.Event(), asyncio.Event()

    async def slow(session: Session, now: Any) -> None:
        await idempotency.create_once(session, now, ACTOR, CIPHER, "order-66", draft)
        working.set()
        await go_on.wait()

    first = asyncio.create_task(database.transact(slow))
    await working.wait()
    with pytest.raises(KeyInFlight):
        await database.transact(idempotency.create_once, ACTOR, CIPHER, "order-66", draft)
    go_on.set()
    await first
    assert (await database.transact(idempotency.create_once, ACTOR, CIPHER, "order-66", draft)).is_replayed
