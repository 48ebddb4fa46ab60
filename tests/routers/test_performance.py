"""What was slow in a week: by closed days and open ones, beside the weeks before."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import performance as statements
from scheduler_api.services.history import performance
from tests.factories import add_job, execute, scalar
from tests.routers.test_pages import HTML

TALLY = """
    INSERT INTO jobtally (jobid, day, finished, failed, skipped, missed, p50, p95, rows, accounted, stopped)
    VALUES (:jobid, :day, :finished, :failed, '{}', 0, :took, :took, 0, 0, false)
"""
TODAY = datetime.now(UTC).date()


async def on(
    database: Database, jobid: int, ago: int, took: float, *, failed: int = 0, finished: int = 10
) -> None:
    """What became of a job on a closed day."""
    day = TODAY - timedelta(days=ago)
    await execute(database, TALLY, jobid=jobid, day=day, finished=finished, failed=failed, took=took)


@pytest.fixture(autouse=True)
async def closed(database: Database) -> AsyncIterator[None]:
    """Days are closed up to yesterday, until the test ends: all tests share the row that says so."""
    before: date = await scalar(database, "SELECT closedto FROM history")
    await execute(database, "UPDATE history SET closedto = :day", day=TODAY)
    yield
    await execute(database, "UPDATE history SET closedto = :day", day=before)


async def fill(database: Database) -> None:
    """Three jobs: one slow as ever, one slower than usual, one that fails."""
    for name in ("Slow", "Slower", "Failing"):
        await add_job(database, jobname=name, interval=60, target={"url": "http://a.example/"})
    for ago in range(1, 35):
        is_new = ago <= 6
        await on(database, 1, ago, 9000.0)
        await on(database, 2, ago, 600.0 if is_new else 200.0)
        await on(database, 3, ago, 100.0, failed=5 * is_new, finished=100)


async def jobs(client: AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/performance{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["jobs"]
    return found


@pytest.mark.parametrize(
    ("sort", "order"),
    [("slower", [2, 1, 3]), ("p95", [1, 2, 3]), ("failed", [3, 1, 2]), ("runs", [3, 1, 2])],
)
async def test_jobs_are_in_order(
    client: AsyncClient, database: Database, sort: str, order: list[int]
) -> None:
    await fill(database)
    found = await jobs(client, f"?sort={sort}")
    assert [one["jobid"] for one in found] == order
    (slower,) = (one for one in found if one["jobid"] == 2)
    assert (slower["runs"], slower["p95"], slower["usual"], slower["slower"]) == (60, 600, 200, 3)


async def test_days_that_are_open_count_by_their_runs(client: AsyncClient, database: Database) -> None:
    await fill(database)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, kind, host, day)"
        " SELECT 1, at, 'finished', at, at + interval '3 s', 'http', 'x', CAST(:day AS date)"
        " FROM generate_series(1, 5) AS n,"
        " LATERAL (SELECT CAST(:day AS timestamptz) + n * interval '1 minute' AS at) AS run",
        day=TODAY,
    )
    found = {one["jobid"]: one for one in await jobs(client)}
    assert found[1]["runs"] == 65
    # Six days at 9 s, and one at 3.
    assert found[1]["p95"] == 9000
    await execute(database, "DELETE FROM jobtally")
    (only,) = await jobs(client)
    assert (only["jobid"], only["p95"], only["usual"]) == (1, 3000, None)


async def test_another_week_is_a_click_away(client: AsyncClient, database: Database) -> None:
    await fill(database)
    page = (await client.get("/performance", headers=HTML)).text
    assert "× 3.0" in page
    before = TODAY + timedelta(days=1) - timedelta(days=7)
    assert f'href="/performance?sort=slower&amp;until={before}"' in page
    assert 'href="/performance?sort=failed"' in page
    assert "Week after" not in page
    page = (await client.get(f"/performance?until={before}", headers=HTML)).text
    assert "× 1.0" in page
    assert f'href="/performance?sort=failed&amp;until={before}"' in page
    assert "Last 7 days" in page
    assert "No runs that week" in (await client.get("/performance?until=2001-01-01", headers=HTML)).text
    for query in ("until=soon", "until=1500-01-01", "sort=worst"):
        assert (await client.get(f"/performance?{query}")).status_code == 422


async def test_it_says_what_it_has_not_looked_at(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    answer = (await client.get("/performance")).json()
    assert (answer["every"], answer["complete"]) == (1, True)
    assert date.fromisoformat(answer["until"]) - date.fromisoformat(answer["since"]) == timedelta(days=7)
    monkeypatch.setattr(performance, "MAX_JOBS", 2)
    answer = (await client.get("/performance")).json()
    assert answer["every"] == 2
    assert len(answer["jobs"]) < 3
    page = (await client.get("/performance", headers=HTML)).text
    assert "Of every 2 jobs, one was looked at." in page


async def test_without_weeks_before_the_slowest_come_first(client: AsyncClient, database: Database) -> None:
    for name in ("Quick", "Slow", "Middling"):
        await add_job(database, jobname=name, interval=60, target={"url": "http://a.example/"})
    for jobid, took in ((1, 100.0), (2, 900.0), (3, 500.0)):
        await on(database, jobid, 1, took)
    assert [one["jobname"] for one in await jobs(client)] == ["Slow", "Middling", "Quick"]
    text = (await client.get("/performance?limit=20", headers=HTML)).text
    assert '<td class="number" data-label="p95">900 ms</td>' in text
    assert '/performance?sort=slower&amp;limit=50"' in text


async def test_deleted_jobs_are_neither_shown_nor_counted(client: AsyncClient, database: Database) -> None:
    await fill(database)
    deleted = (await client.delete("/jobs/2")).status_code
    assert (deleted, [job["jobid"] for job in await jobs(client)]) == (204, [1, 3])
    for projects, count in ((None, 2), (["default"], 2), (["none"], 0)):
        assert await database.read(statements.count_there, projects) == count
