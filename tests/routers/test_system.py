"""Health, the way in, the headers and the documentation."""

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from scheduler_api.database import migrations
from scheduler_api.database.engine import Database
from scheduler_api.workers.delivery.deliverer import Deliverer
from tests.factories import add_due_jobs, add_job, execute, scalar


async def test_the_root_leads_to_the_jobs(client: AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/jobs")


async def test_the_process_is_healthy(client: AsyncClient) -> None:
    response = await client.get("/healthz")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


async def test_readiness_tells_database_schema_ticker_and_lag(
    client: AsyncClient, database: Database
) -> None:
    response = await client.get("/readyz")
    assert response.status_code == 200
    checks = response.json()["checks"]
    assert checks == {
        "version": migrations.needed(),
        "database": "ok",
        "schema": "ok",
        "lag": 0.0,
        "downhosts": 0,
        "secrets": "ok",
        "ticker": "off",
        "claims": "ok",
        "settling": "ok",
        "leases": "ok",
        "work": "ok",
    }
    await add_due_jobs(database, 1)
    assert (await client.get("/readyz")).json()["checks"]["lag"] >= 1


async def test_another_schema_is_not_ready(client: AsyncClient, database: Database) -> None:
    await execute(database, "UPDATE alembic_version SET version_num = '0001'")
    try:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "0001" in response.json()["checks"]["schema"]
    finally:
        await execute(database, "UPDATE alembic_version SET version_num = :v", v=migrations.needed())


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("a b", False), ("x" * 65, False), ("é", False)]
)
async def test_each_answer_has_a_request_id(client: AsyncClient, given: str, kept: bool) -> None:
    response = await client.get("/healthz", headers={b"x-request-id": given.encode()})
    shown = response.headers["x-request-id"]
    assert (shown == given) is kept
    assert re.fullmatch(r"[\w.-]{1,64}", shown)


async def test_data_may_not_be_framed_or_run(client: AsyncClient) -> None:
    response = await client.get("/jobs")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_every_operation_is_documented_with_its_errors(app: FastAPI, client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    found = operations(document)
    assert {name for name, _ in found} == {
        "GET /events",
        "GET /forecast",
        "GET /calendars",
        "GET /calendars/{name}",
        "PUT /calendars/{name}",
        "DELETE /calendars/{name}",
        "GET /issues",
        "GET /issues/{issueid}",
        "POST /issues/{issueid}/acknowledge",
        "POST /issues/{issueid}/close",
        "GET /alerts",
        "POST /alerts/{alertid}/retry",
        "GET /channels",
        "POST /channels",
        "GET /channels/{channelid}",
        "PUT /channels/{channelid}",
        "DELETE /channels/{channelid}",
        "POST /channels/{channelid}/test",
        "GET /rules",
        "GET /rules/{ruleid}/preview",
        "POST /rules/preview",
        "POST /rules",
        "DELETE /rules/{ruleid}",
        "GET /mutes",
        "POST /mutes",
        "DELETE /mutes/{muteid}",
        "GET /metrics",
        "GET /metrics/jobs",
        "GET /overview",
        "GET /performance",
        "POST /restore/confirm",
        "GET /jobs",
        "POST /jobs",
        "GET /jobs/{jobid}",
        "PATCH /jobs/{jobid}",
        "DELETE /jobs/{jobid}",
        "POST /jobs/{jobid}/pause",
        "POST /jobs/{jobid}/restore",
        "POST /jobs/{jobid}/resume",
        "POST /jobs/{jobid}/run",
        "POST /jobs/{jobid}/skip",
        "POST /jobs/{jobid}/backfill",
        "GET /jobs/{jobid}/logs",
        "GET /jobs/{jobid}/changes",
        "GET /jobs/{jobid}/days",
        "GET /jobs/{jobid}/explain",
        "GET /jobs/{jobid}/check",
        "GET /jobs/{jobid}/upcoming",
        "POST /schedules/preview",
        "POST /jobs/bulk",
        "GET /upcoming",
        "GET /logs",
        "POST /jobs/run",
        "POST /jobs/{jobid}/test",
        "GET /jobs/{jobid}/secrets",
        "POST /jobs/{jobid}/secrets",
        "DELETE /jobs/{jobid}/secrets/{secretid}",
        "GET /account",
        "GET /audit",
        "GET /projects",
        "POST /projects",
        "PATCH /projects/{project}",
        "DELETE /projects/{project}",
        "GET /projects/{project}/secrets",
        "PUT /projects/{project}/secrets/{secret}",
        "DELETE /projects/{project}/secrets/{secret}",
        "GET /keys",
        "POST /keys",
        "DELETE /keys/{keyid}",
        "GET /users",
        "POST /users",
        "PATCH /users/{userid}",
        "DELETE /users/{userid}",
        "POST /users/{userid}/link",
        "GET /limits",
        "PUT /limits/{scope}/{name}",
        "DELETE /limits/{scope}/{name}",
        "GET /logs/{logid}",
        "POST /logs/{logid}/retry",
        "POST /logs/{logid}/cancel",
        "POST /logs/retry",
        "POST /runs/{logid}/{token}",
        "POST /monitors/{token}",
        "POST /monitors/{token}/start",
        "POST /monitors/{token}/fail",
        "GET /jobs/{jobid}/monitor",
        "POST /jobs/{jobid}/monitor",
        "GET /healthz",
        "GET /readyz",
        "GET /problems",
        "GET /problems/{code}",
    }
    for name, operation in found:
        assert operation["summary"], name
        assert operation["description"], name
        for status, given in operation["responses"].items():
            shared = document["components"]["responses"].get(given.get("$ref", "").rpartition("/")[2])
            answer = shared or given
            assert answer["description"], (name, status)
            if status >= "400" and name != "GET /readyz":
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
            if status == "204":
                assert "content" not in answer, name
    create = dict(found)["POST /jobs"]
    draft = document["components"]["schemas"]["JobDraft"]
    assert draft["required"] == ["jobname"]
    assert len(draft["examples"]) == 6
    assert [one["name"] for one in create["parameters"] if one["in"] == "header"] == ["Idempotency-Key"]


@pytest.mark.parametrize(("silence", "status"), [(59.0, 200), (61.0, 503)])
async def test_a_replica_is_unready_for_late_runs_only_if_it_does_not_look(
    client: AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    silence: float,
    status: int,
) -> None:
    """A run that is locked, or waits for a host, takes no replica away."""
    monkeypatch.setattr(Deliverer, "silence", silence)
    assert (await client.get("/readyz")).status_code == 200
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now - timedelta(minutes=2))
    response = await client.get("/readyz")
    assert response.status_code == status
    assert ("has not looked" in response.json()["checks"]["work"]) is (status == 503)


@pytest.mark.parametrize("part", ["claims", "settling", "leases"])
async def test_a_replica_is_unready_whatever_part_of_its_work_fails(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    issues = dict.fromkeys(("claims", "settling", "leases")) | {part: "It fails."}
    monkeypatch.setattr(Deliverer, "issues", issues)
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["checks"][part]) == (503, "It fails.")


async def test_readiness_tells_of_calls_that_wait_and_of_hosts_that_do_not_answer(
    client: AsyncClient, database: Database
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now - timedelta(minutes=2), target={"url": "http://a.example/"})
    await execute(
        database,
        "INSERT INTO hostfailure VALUES ('a.example', 5, now(), now() + interval '1 minute', 'refused')",
    )
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"]["lag"] >= 120
    assert response.json()["checks"]["downhosts"] == 1
    assert "a.example" not in response.text
