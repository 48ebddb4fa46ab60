"""What is to come: the list, the load, collisions, and an offset by one click."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import add_job, execute, scalar
from tests.routers.test_pages import HTML, MARKUP, get


async def test_an_empty_page_teaches(client: AsyncClient) -> None:
    page = await get(client, "/upcoming")
    assert "No runs until " in page.text


async def test_a_busy_job_does_not_hide_the_others(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    first = now + timedelta(minutes=1)
    start = {"startdate": first.date(), "starttime": first.time(), "due": first}
    await add_job(database, jobname="Busy", interval=1, **start)
    await add_job(database, jobname=f"Quiet {MARKUP}", interval=7200, **start)
    page = await get(client, "/upcoming")
    assert page.text.count("Busy") == 3
    assert page.text.count(f"Quiet {MARKUP}") >= 3
    assert "script" not in page.tags
    every = (await client.get("/upcoming?limit=10&each=2")).json()
    assert sorted(one["jobname"] for one in every)[:2] == ["Busy", "Busy"]
    assert len(every) == 4


async def test_collisions_are_spread_by_one_click(client: AsyncClient, database: Database) -> None:
    for number in range(3):
        response = await client.post(
            "/jobs", json={"jobname": f"Job {number}", "cron": "0 3 * * *", "repeat": True}
        )
        assert response.status_code == 201
    found = (await client.get("/forecast")).json()
    (collision,) = found["collisions"]
    assert (collision["count"], collision["runs"]) == (3, 3)
    assert datetime.fromisoformat(collision["at"]).astimezone(UTC).hour == 3
    page = await client.get("/upcoming", headers=HTML)
    assert 'action="/jobs/2/spread?back=%2Fupcoming"' in page.text
    response = await client.post("/jobs/2/spread", data={"jitter": "600"}, headers=HTML)
    assert (response.status_code, response.headers["location"]) == (303, "/upcoming?spread=2")
    assert (await client.get("/jobs/2")).json()["job"]["jitter"] == 600
    # The forecast is computed anew at once.
    (collision,) = (await client.get("/forecast")).json()["collisions"]
    assert collision["count"] == 2
    bad = await client.post("/jobs/2/spread", data={"jobname": "Hijacked"}, headers=HTML)
    assert bad.status_code == 422
    bad = await client.post("/jobs/2/spread", data={"jitter": "soon"}, headers=HTML)
    assert bad.status_code == 422


async def test_the_load_weighs_runs_by_their_median_length(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(
        database,
        jobname="Slow",
        cron="0 3 * * *",
        repeat=True,
        startdate=None,
        starttime=None,
        target={"url": "http://x.example/"},
        due=now + timedelta(hours=3),
    )
    for seconds in (1, 30, 90):
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, kind, host)"
            " VALUES (:jobid, :at, 'finished', :at, :end, 'http', 'x.example')",
            jobid=jobid,
            at=now - timedelta(hours=seconds),
            end=now - timedelta(hours=seconds) + timedelta(seconds=seconds),
        )
    found = (await client.get("/forecast")).json()
    assert sum(found["load"]) == 30
    assert sum(found["runs"]) == 1


async def test_what_runs_in_an_hour_is_all_there(client: AsyncClient, database: Database) -> None:
    now: datetime = await scalar(database, "SELECT clock_timestamp()")
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    for name, cron, tags in (
        ("Every ten minutes", "*/10 * * * *", ["shop"]),
        ("At nine", f"30 {hour.hour} * * *", ["shop", "eu"]),
        ("Later", f"0 {(hour.hour + 1) % 24} * * *", ["eu"]),
    ):
        made = await client.post("/jobs", json={"jobname": name, "cron": cron, "repeat": True, "tags": tags})
        assert made.status_code == 201, made.text
    limited = {"jobname": "Twice", "cron": "*/50 * * * *", "repeat": True, "maxruns": 2}
    assert (await client.post("/jobs", json=limited)).status_code == 201

    async def runs(query: str = "") -> list[tuple[str, int]]:
        answer = await client.get(f"/upcoming?since={hour:%Y-%m-%dT%H:%M:%SZ}{query}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["scheduler-complete"] == "true"
        return [(one["jobname"], datetime.fromisoformat(one["scheduledfor"]).minute) for one in answer.json()]

    ten = [("Every ten minutes", minute) for minute in range(0, 60, 10)]
    assert await runs() == [*ten[:3], ten[3], ("At nine", 30), *ten[4:]]
    assert await runs("&tag=eu") == [("At nine", 30)]
    assert await runs("&name=NINE") == [("At nine", 30)]
    assert await runs("&name=100%25") == []

    text = (await client.get("/upcoming", headers=HTML)).text
    address = re.search(rf'href="(/upcoming\?since={hour:%Y-%m-%dT%H}[^"]*)">', text)
    assert address is not None
    page = await client.get(unescape(address[1]), headers=HTML)
    assert page.text.count('<tr id="next-') == 7
    assert f'aria-current="true">{hour:%H:%M}<' in page.text
    assert "Busy minutes" not in page.text
    page = await client.get(f"{unescape(address[1])}&tag=none", headers=HTML)
    assert "Only jobs that match the filter are looked at" in page.text
    for since in ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        answer = await client.get(f"/upcoming?since={since}")
        assert answer.status_code == 422
        assert "since" in answer.text


async def test_a_full_hour_goes_on(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT date_trunc('hour', clock_timestamp())")
    first = now + timedelta(hours=2)
    start = {"startdate": first.date(), "starttime": first.time(), "due": first}
    await add_job(database, jobname="Each second", interval=1, **start)
    address, shown = f"/upcoming?since={first:%Y-%m-%dT%H:%M:%SZ}", set[str]()
    for _ in range(8):
        text = (await client.get(address, headers=HTML)).text
        shown |= set(re.findall(r'<tr id="(next-1-\d+)"', text))
        link = re.search(r'<a href="([^"]*)">Show the next</a>', text)
        if link is None:
            break
        address = unescape(link[1])
    assert len(shown) == 3600
    assert link is None
