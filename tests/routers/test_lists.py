"""Lists: how many there are, how they go on, and what narrows them down."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from scheduler_api.routers.http import paging
from scheduler_api.services.jobs import reading
from tests.factories import NOON, add_job, execute

RAN = (
    "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, kind, host)"
    " VALUES (:jobid, :at, 'finished', :at, :end, :at, 'http', :host)"
)


async def add_run(database: Database, jobid: int, hour: int, seconds: float, host: str) -> None:
    at = NOON + timedelta(hours=hour)
    await execute(database, RAN, jobid=jobid, at=at, end=at + timedelta(seconds=seconds), host=host)


async def test_the_first_page_says_how_many_there_are(client: AsyncClient, database: Database) -> None:
    for number in range(5):
        await add_job(database, tags=["even"] if number % 2 == 0 else [])
    for query, count in (("", 5), ("?limit=2", 5), ("?tag=even&limit=1", 3), ("?tag=none", 0)):
        response = await client.get(f"/jobs{query}")
        assert response.headers["total-count"] == str(count), query
        assert response.headers["total-count-complete"] == "true"
    further = (await client.get("/jobs?limit=2")).headers["link"].partition(">")[0][1:]
    assert "total-count" not in (await client.get(further)).headers
    for path, count in (("/logs?limit=2", 5), ("/logs?jobid=1", 1), ("/jobs/1/logs", 1)):
        assert (await client.get(path)).headers["total-count"] == str(count), path


async def test_counting_stops_and_says_so(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_COUNTED", 3)
    monkeypatch.setattr(paging, "MAX_COUNTED", 3)
    for _ in range(4):
        await add_job(database)
    for path in ("/jobs?limit=1", "/logs?limit=1"):
        response = await client.get(path)
        assert response.headers["total-count"] == "3"
        assert response.headers["total-count-complete"] == "false"


async def test_a_list_without_a_limit_holds_a_thousand(client: AsyncClient, database: Database) -> None:
    await execute(
        database,
        "INSERT INTO job (jobname, startdate, starttime) SELECT 'Job ' || n, '2030-01-31', '02:00'"
        " FROM generate_series(1, 1002) AS n",
    )
    response = await client.get("/jobs")
    assert len(response.json()) == 1000
    assert response.headers["total-count"] == "1000"
    assert response.headers["total-count-complete"] == "false"
    rest = await client.get(response.headers["link"].partition(">")[0][1:])
    assert [job["jobid"] for job in rest.json()] == [1001, 1002]
    assert "link" not in rest.headers


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ({"jobid": 1}, [1, 0]),
        ({"tag": "slow"}, [2]),
        ({"host": "a.example"}, [2, 0]),
        ({"minduration": 5}, [2, 1]),
        ({"maxduration": 5}, [0]),
        ({"minduration": 5, "maxduration": 60.5}, [2, 1]),
        ({"minduration": 60, "host": "a.example"}, [2]),
        ({"tag": "none"}, []),
    ],
)
async def test_logs_by_job_tag_host_and_duration(
    client: AsyncClient, database: Database, query: dict[str, Any], hours: list[int]
) -> None:
    await add_job(database, due=None)
    await add_job(database, due=None, tags=["slow"])
    await add_run(database, 1, 0, 0.5, "a.example")
    await add_run(database, 1, 1, 5, "b.example")
    await add_run(database, 2, 2, 60, "a.example")
    response = await client.get("/logs", params={"status": "finished"} | query)
    assert response.status_code == 200, response.text
    found = [log["scheduledfor"] for log in response.json()]
    assert found == [f"{NOON + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in hours]
    assert response.headers["total-count"] == str(len(hours))


@pytest.mark.parametrize("query", ["jobid=0", "host=%00", "minduration=-1", "maxduration=soon", "tag=%00"])
async def test_what_logs_cannot_be_asked_for(client: AsyncClient, query: str) -> None:
    assert (await client.get(f"/logs?{query}")).status_code == 422


async def test_a_deleted_job_is_shown_to_who_asks_for_it(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    assert (await client.delete("/jobs/1")).status_code == 204
    response = await client.get("/jobs/1")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    assert "deleted=true" in response.json()["detail"]
    assert (await client.get("/jobs/1?deleted=true")).json()["job"]["state"] == "deleted"
    assert (await client.get("/jobs/1/logs")).status_code == 200


async def test_deleting_again_is_no_error(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    tag = (await client.get("/jobs/1")).headers["etag"]
    for _ in range(2):
        assert (await client.delete("/jobs/1", headers={"if-match": tag})).status_code == 204
    assert len((await client.get("/jobs/1/changes")).json()) == 1
    assert (await client.delete("/jobs/1?history=remove")).status_code == 204
    assert (await client.delete("/jobs/1")).status_code == 404


async def test_an_empty_filter_never_means_all(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    for path, order in (("/jobs/bulk", {"action": "pause"}), ("/logs/retry", {})):
        refused = await client.post(path, json=order)
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/filter"], path
        assert (await client.post(path, json=order | {"all": True})).status_code == 200, path
