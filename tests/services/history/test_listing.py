"""Runs in the order in which they ended, whenever they were planned; the slowest; and those to come."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import lists, ordered
from scheduler_api.services.history import listing
from scheduler_api.services.jobs import reading
from tests import plans
from tests.factories import add_job, execute, scalar

#: A run that ended so many seconds ago took so many, and was planned in another order.
RUNS = """
    INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, error, day)
    SELECT :jobid, ended - took - make_interval(days => CAST(n % 3 AS int)),
           CAST(CASE WHEN n % 5 = 0 THEN 'failed' ELSE 'finished' END AS logstatus), ended - took, ended,
           CASE WHEN n % 5 = 0 THEN 'Broken' END, (SELECT firstday FROM history)
    FROM unnest(CAST(:ago AS float8[])) WITH ORDINALITY AS past (ago, n),
    LATERAL (SELECT CAST(:now AS timestamptz) - make_interval(secs => ago) AS ended,
                    make_interval(secs => n * 7 % 11) AS took) AS run
    ORDER BY n * 5 % 7
"""
#: Some at the same instant, some far apart.
AGO = [0.5, 1, 1, 1, 30, 59, 60, 61, 600, 4000, 4000, 90_000, 90_001, 300_000, 5_000_000]


async def fill(database: Database, ago: list[float] = AGO) -> datetime:
    """Runs of one job; when they were added."""
    now: datetime = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(database, jobname="Of the past", interval=60, tags=["past"])
    await execute(database, RUNS, jobid=jobid, now=now, ago=ago)
    return now


async def all_of(client: AsyncClient, path: str) -> list[dict[str, Any]]:
    """What all pages hold."""
    found: list[dict[str, Any]] = []
    while path:
        response = await client.get(path)
        assert response.status_code == 200, response.text
        found += response.json()
        path = response.headers.get("link", "").partition(">")[0][1:]
    return found


def ended(runs: list[dict[str, Any]]) -> list[tuple[datetime, int]]:
    return [(datetime.fromisoformat(run["finishedat"]), run["logid"]) for run in runs]


@pytest.mark.parametrize("dense", [20_000, 3])
@pytest.mark.parametrize("limit", [1, 2, 4, 100])
@pytest.mark.parametrize("asked", ["", "&status=failed", "&tag=past", "&name=THE+past"])
async def test_what_ended_last_comes_first(
    client: AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    limit: int,
    dense: int,
) -> None:
    monkeypatch.setattr(listing, "DENSE", dense)
    await fill(database)
    found = ended(await all_of(client, f"/logs?sort=ended&limit={limit}{asked}"))
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) == (3 if "failed" in asked else len(AGO))


async def test_what_is_in_progress_comes_before_and_what_is_to_come_is_left_out(
    client: AsyncClient, database: Database
) -> None:
    now = await fill(database, [1, 2])
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, startedat = :now, leaseuntil = :now,"
        " leasetoken = gen_random_uuid() WHERE status = 'pending'",
        now=now,
    )
    await add_job(database, jobname="To come", interval=60)
    response = await client.get("/logs?sort=ended&limit=2")
    assert [run["status"] for run in response.json()] == ["running", "finished"]
    assert (response.headers["total-count"], response.headers["total-count-complete"]) == ("3", "true")
    assert [run["status"] for run in await all_of(client, "/logs?sort=ended&limit=1")] == [
        "running",
        "finished",
        "finished",
    ]


async def test_a_run_by_a_clock_that_was_ahead_is_there(client: AsyncClient, database: Database) -> None:
    await fill(database, [-3600, 5])
    assert len(await all_of(client, "/logs?sort=ended&limit=1")) == 2


@pytest.mark.parametrize(
    "ago",
    [
        # By a clock that was ahead, one by one and all at once; and a burst after which nothing came.
        [-3600 * n for n in range(1, 10)],
        [-3600] * 9,
        [3000 + n / 100 for n in range(60)],
    ],
)
async def test_very_many_runs_are_found_in_a_few_looks_wherever_they_are(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, ago: list[float]
) -> None:
    looks, original = 0, ordered.ended

    async def look(*args: Any, **kwargs: Any) -> ordered.Found:
        nonlocal looks
        looks += 1
        return await original(*args, **kwargs)

    monkeypatch.setattr(ordered, "ended", look)
    monkeypatch.setattr(listing, "DENSE", 3)
    await fill(database, [*ago, 5, 600])
    found = ended((await client.get("/logs?sort=ended&limit=9")).json())
    assert found == sorted(found, reverse=True)
    assert len(found) == 9
    assert looks < 50


async def test_what_was_skipped_ahead_of_its_time_is_there(client: AsyncClient, database: Database) -> None:
    await add_job(database, interval=60, due=datetime.now(UTC) + timedelta(hours=1))
    assert (await client.post("/jobs/1/skip")).status_code == 200
    response = await client.get("/logs?sort=ended&limit=1")
    assert [run["status"] for run in response.json()] == ["skipped"]
    assert response.headers["total-count"] == "1"


async def test_a_search_that_takes_long_goes_on_from_where_it_came(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SEARCH_SECONDS", -1.0)
    await fill(database)
    first = await client.get("/logs?sort=ended&limit=100")
    assert len(first.json()) < len(AGO)
    assert "link" in first.headers
    found = ended(await all_of(client, "/logs?sort=ended&limit=100"))
    assert (len(found), found) == (len(AGO), sorted(found, reverse=True))
    page = await client.get("/logs?host=nowhere", headers={"accept": "text/html"})
    assert "No matching runs so far" in page.text


@pytest.mark.parametrize("sort", ["", "&sort=ended", "&sort=duration", "&sort=nextrun"])
@pytest.mark.parametrize("asked", ["tag=none", "tag=past&project=empty", "tag=none&project=default"])
async def test_of_a_tag_that_no_job_has_no_run_is_looked_at(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, asked: str, sort: str
) -> None:
    await fill(database)
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('empty', now())")
    # There is no time to look at more than one.
    monkeypatch.setattr(reading, "SEARCH_SECONDS", -1.0)
    monkeypatch.setattr(reading, "SEARCHED", 1)
    monkeypatch.setattr(listing, "FEW", -1)
    nothing = await client.get(f"/logs?{asked}{sort}")
    assert (nothing.json(), nothing.headers["total-count"]) == ([], "0")
    assert "link" not in nothing.headers


async def test_the_slowest_come_first(client: AsyncClient, database: Database) -> None:
    await fill(database)
    runs = await all_of(client, "/logs?sort=duration&limit=5")
    took = [
        datetime.fromisoformat(run["finishedat"]) - datetime.fromisoformat(run["startedat"]) for run in runs
    ]
    assert took == sorted(took, reverse=True)
    assert took[0] == timedelta(seconds=10)
    assert len(took) == 5
    page = await client.get("/logs?sort=duration", headers={"accept": "text/html"})
    assert 'aria-sort="descending"><a href="/logs?sort=duration"' in page.text


@pytest.mark.parametrize("searched", [50_000, 2])
async def test_what_is_due_first_comes_first(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, searched: int
) -> None:
    monkeypatch.setattr(reading, "SEARCHED", searched)
    await fill(database, [1])
    for minutes in (5, 3, 9, 3, 1):
        call = {"target": {"url": "http://a.example/"}} if minutes == 3 else {}
        due = datetime.now(UTC) + timedelta(minutes=minutes)
        await add_job(database, jobname="To come", interval=60, due=due, tags=["odd"], **call)
    found = await all_of(client, "/logs?sort=nextrun&limit=2&tag=odd")
    dues = [(datetime.fromisoformat(run["nextrun"]), run["logid"]) for run in found]
    assert (len(dues), dues) == (5, sorted(dues))


async def test_pages_show_what_ran_and_what_is_to_come_apart(client: AsyncClient, database: Database) -> None:
    await fill(database, [1])
    page = (await client.get("/logs", headers={"accept": "text/html"})).text
    assert page.count('<tr id="log-') == 1
    assert 'href="/logs?status=pending"' in page
    page = (await client.get("/logs?status=pending", headers={"accept": "text/html"})).text
    assert page.count('<tr id="log-') == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=nextrun&status=failed", "sort"),
        ("sort=ended&cursor=5", "cursor"),
        ("cursor=5:2030-01-01T00:00:00Z", "cursor"),
        ("sort=ended&cursor=5:never", "cursor"),
        ("sort=soonest", "sort"),
    ],
)
async def test_what_is_no_order_and_no_place_is_refused(client: AsyncClient, query: str, field: str) -> None:
    response = await client.get(f"/logs?{query}")
    assert response.status_code == 422
    assert field in response.text


async def test_of_a_tag_and_a_project_each_is_asked_for_by_its_index(database: Database) -> None:
    """Many jobs have the tag, and many are in the project, but none is both."""
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    await execute(
        database,
        "INSERT INTO job (jobname, startdate, starttime, active, createdat, validfrom, project, tags)"
        " SELECT 'Other', '2030-01-31', '12:00', true, now(), now(), project, CAST(tags AS text[])"
        " FROM generate_series(1, 3000), (VALUES ('default', '{a}'), ('bank', '{}')) AS kind (project, tags)",
    )
    async with database.engine.connect() as connection:
        await connection.execute(text("VACUUM ANALYZE job"))
    async with database.transactional.begin() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        asked = lists.has_jobs(("tag", "projects"))
        plan = await plans.explained(connection, asked, tag="a", projects=["bank"])
    assert plans.blocks_of(plan) < 30
