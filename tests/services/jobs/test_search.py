"""A search among logs that no index serves goes on for a moment, and says how far it came."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import lists as log_lists
from scheduler_api.services.jobs import reading
from tests.factories import NOON, add_job, execute

#: One run a minute; each seventh takes long.
FIRST = NOON - timedelta(hours=1)
RUNS = (
    "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat)"
    " SELECT :jobid, at, 'finished', at, at + n % 7 / 6 * interval '1 minute'"
    " FROM generate_series(0, 29) AS n,"
    " LATERAL (SELECT CAST(:first AS timestamptz) + n * interval '1 minute' AS at) AS past"
)
SLOW = [(FIRST + n * timedelta(minutes=1)).replace(tzinfo=None) for n in (27, 20, 13, 6)]
PATHS = ["/logs?minduration=30", "/jobs/1/logs?minduration=30", "/logs?minduration=30&tag=slow"]


@pytest.fixture(autouse=True)
async def runs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SEARCHED", 5)
    jobid = await add_job(database, interval=60, due=None, tags=["slow"])
    await execute(database, RUNS, jobid=jobid, first=FIRST)


async def pages(client: AsyncClient, path: str) -> tuple[list[datetime], list[int]]:
    """What all pages hold, and how much each."""
    found, sizes = list[datetime](), list[int]()
    while path:
        response = await client.get(path)
        assert response.status_code == 200, response.text
        rows = response.json()
        found += [datetime.fromisoformat(row["scheduledfor"]).replace(tzinfo=None) for row in rows]
        sizes.append(len(rows))
        path = response.headers.get("link", "").partition(">")[0][1:]
    return found, sizes


@pytest.mark.parametrize("path", [*PATHS, f"{PATHS[2]}&project=default&name=job"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("few", [2, 2000])
async def test_a_search_finds_all_of_it(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, limit: int, few: int
) -> None:
    monkeypatch.setattr(log_lists, "FEW", few)
    found, sizes = await pages(client, f"{path}&limit={limit}")
    assert found == SLOW
    assert sizes == [limit] * (4 // limit) + [4 % limit] * (4 % limit > 0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_search_that_takes_long_goes_on_with_the_next_page(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(reading, "SEARCH_SECONDS", -1.0)
    found, sizes = await pages(client, f"{path}&limit=3")
    assert (found, sizes) == (SLOW, [1, 1, 0, 1, 1, 0, 0])
    first = await client.get(path)
    assert (first.headers["total-count"], first.headers["total-count-complete"]) == ("1", "false")


async def test_a_search_among_very_many_compares_some_at_least(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the first few, that a look begins with, take long already."""
    monkeypatch.setattr(log_lists, "FEW", 2)
    monkeypatch.setattr(reading, "SEARCH_SECONDS", -1.0)
    found, sizes = await pages(client, f"{PATHS[0]}&limit=3")
    assert (found, sizes) == (SLOW, [1, 1, 1, 1, 0])


async def test_what_settles_while_it_is_found_is_shown(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = log_lists.search

    async def search_earlier(*arguments: Any) -> Any:
        found = await search(*arguments)
        await execute(
            database, "UPDATE joblog SET day = (SELECT firstday FROM history) WHERE day = 'infinity'"
        )
        return found

    monkeypatch.setattr(log_lists, "search", search_earlier)
    assert (await pages(client, PATHS[0]))[0] == SLOW


async def test_the_page_says_how_far_it_has_searched(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SEARCH_SECONDS", -1.0)
    page = (await client.get("/logs?minduration=30", headers={"accept": "text/html"})).text
    assert "Older runs" in page
    assert re.search(r"Searched back to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", page)
    none = (await client.get("/logs?minduration=3600", headers={"accept": "text/html"})).text
    assert "No matching runs so far" in none
    assert "Search older runs" in none
