"""A dry run answers as if it had been done, and changes nothing."""

from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import rows

JOB = {"jobname": "A call", "cron": "0 3 * * *", "target": {"url": "https://example.com/hook"}}
#: Everything that a client could change.
TABLES = (
    "job", "joblog", "auditevent", "jobsecret", "concurrencylimit", "idempotencykey", "logattempt",
    "calendar",
)  # fmt: skip
CHANGES: list[tuple[str, str, Any, int]] = [
    ("POST", "/jobs", JOB, 201),
    ("PATCH", "/jobs/1", {"cron": "0 4 * * *"}, 200),
    ("DELETE", "/jobs/1", None, 204),
    ("DELETE", "/jobs/1?history=remove", None, 204),
    ("POST", "/jobs/1/pause", {"reason": "Moving"}, 200),
    ("POST", "/jobs/2/resume", None, 200),
    ("POST", "/jobs/3/restore", None, 200),
    ("POST", "/jobs/1/run", None, 202),
    ("POST", "/jobs/1/skip", None, 200),
    ("POST", "/jobs/1/backfill", {"since": "2020-01-01T00:00:00Z", "until": "2020-01-03T00:00:00Z"}, 200),
    ("POST", "/jobs/1/secrets", None, 201),
    ("DELETE", "/jobs/2/secrets/1", None, 204),
    ("POST", "/jobs/bulk", {"action": "delete", "all": True}, 200),
    ("POST", "/logs/retry", {"all": True}, 200),
    ("POST", "/logs/3/cancel", None, 200),
    ("PUT", "/limits/tag/slow", {"limit": 1}, 200),
    ("PUT", "/calendars/more", {"days": ["2030-12-25"]}, 200),
    ("DELETE", "/calendars/days", None, 204),
    ("DELETE", "/limits/tag/fast", None, 204),
]


async def kept(database: Database) -> dict[str, list[Any]]:
    return {table: await rows(database, f"SELECT * FROM {table} AS t ORDER BY t") for table in TABLES}


@pytest.fixture
async def filled(client: AsyncClient) -> None:
    for path, body in [
        ("/jobs", JOB),
        ("/jobs", JOB),
        ("/jobs/2/pause", None),
        ("/jobs/2/secrets", None),
        ("/jobs/1/run", None),
        ("/jobs", JOB),
    ]:
        assert (await client.post(path, json=body)).is_success
    assert (await client.delete("/jobs/3")).is_success
    assert (await client.put("/limits/tag/fast", json={"limit": 9})).is_success
    assert (await client.put("/calendars/days", json={"days": ["2030-12-25"]})).is_success


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES)
async def test_a_dry_run_changes_nothing(
    client: AsyncClient, database: Database, method: str, path: str, body: Any, status: int
) -> None:
    before = await kept(database)
    asked = f"{path}{'&' if '?' in path else '?'}dryrun=true"
    answer = await client.request(method, asked, json=body)
    assert answer.status_code == status, answer.text
    assert await kept(database) == before
    # Or the run above would show nothing.
    done = await client.request(method, path, json=body)
    assert done.status_code == status, done.text
    unmoved = {"/logs/retry", "/jobs/1/backfill"}
    assert (await kept(database) == before) == (path in unmoved)


async def test_every_route_that_changes_something_can_be_tried(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    without = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "get" and "dryrun" not in {one["name"] for one in operation.get("parameters", ())}
    }
    assert without == {
        # These change nothing, or are what other programs and operators say.
        "POST /schedules/preview",
        "POST /rules/preview",
        "POST /jobs/{jobid}/test",
        "POST /runs/{logid}/{token}",
        "POST /monitors/{token}",
        "POST /monitors/{token}/start",
        "POST /monitors/{token}/fail",
        "POST /jobs/run",
        "POST /restore/confirm",
        # What these give would be a key, or a link, that lets nobody in.
        "POST /keys",
        "POST /users",
        "POST /users/{userid}/link",
    }
