"""The page of a job: what was just done, how it fails, charts that suit its schedule, and backfills."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import LONG_AGO, add_job, execute, scalar
from tests.routers.test_pages import HTML, MARKUP
from tests.routers.test_target_pages import page_of

FORM = HTML | {"content-type": "application/x-www-form-urlencoded"}
#: A run every so many seconds up to now, every third failed.
RUNS = """
    INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, error, kind, host)
    SELECT 1, at, CAST(CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'finished' END AS logstatus), at, at, at,
           CASE WHEN n % 3 = 0 THEN CAST(:error AS text) END, 'http', 'x'
    FROM generate_series(0, 5) AS n,
    LATERAL (SELECT date_trunc('second', clock_timestamp()) - n * make_interval(secs => :every) AS at) AS run
"""


async def failing(database: Database, every: int = 3600, **values: str | int) -> None:
    target = {"url": "http://x/", "method": "GET"}
    await add_job(database, due=None, target=target, repeat=True, **values)
    await execute(database, RUNS, every=every, error=f"It said {MARKUP}")
    await execute(database, "UPDATE job SET laststatus = 'failed', lastrun = clock_timestamp()")


@pytest.mark.parametrize(
    ("path", "said", "undo"),
    [
        ("pause", "Paused A job.", "/jobs/1/resume"),
        ("run", "Started A job.", None),
        ("skip", "Skipped the next run of A job.", None),
    ],
)
async def test_the_page_tells_what_was_done_and_takes_it_back(
    client: AsyncClient, database: Database, path: str, said: str, undo: str | None
) -> None:
    await add_job(database, interval=60)
    response = await client.post(f"/jobs/1/{path}", headers=FORM)
    assert response.status_code == 303
    page = await client.get(response.headers["location"], headers=HTML)
    assert said in (await page_of(client, response.headers["location"])).text
    assert ("Undo</button>" in page.text) is (undo is not None)
    if undo:
        assert f'action="{undo}?back=%2Fjobs%2F1"' in page.text


async def test_a_pause_from_the_page_has_a_reason_and_an_end(client: AsyncClient, database: Database) -> None:
    await add_job(database, interval=60, timezone="Europe/Berlin")
    assert "Resume at (Berlin, optional)" in (await page_of(client, "/jobs/1")).text
    fields = {"reason": "Moving house", "until": "2090-07-31T12:00", "zone": "Europe/Berlin"}
    response = await client.post("/jobs/1/pause", headers=FORM, data=fields)
    page = await page_of(client, response.headers["location"])
    assert "until 2090-07-31 12:00:00 Europe/Berlin: Moving house" in page.text
    until = "SELECT pauseduntil = '2090-07-31T10:00:00Z' FROM job"
    assert await scalar(database, until)
    for wrong in ({"until": "2000-01-01T00:00"}, {"until": "soon"}, {"zone": "Nowhere"}):
        assert (await client.post("/jobs/1/pause", headers=FORM, data=wrong)).status_code == 422, wrong


async def test_the_last_error_is_there_with_what_to_do(client: AsyncClient, database: Database) -> None:
    await failing(database, interval=3600)
    logid = await scalar(
        database, "SELECT logid FROM joblog WHERE status = 'failed' ORDER BY finishedat DESC LIMIT 1"
    )
    text = (await client.get("/jobs/1", headers=HTML)).text
    alert = text[text.index('role="alert"') :]
    alert = alert[: alert.index("</nav>")]
    assert f"It said {MARKUP}" in unescape(alert)
    assert f'href="/logs/{logid}"' in alert
    assert f'action="/logs/{logid}/retry?back=%2Fjobs%2F1"' in alert


@pytest.mark.parametrize(
    ("every", "values", "span"),
    [
        (60, {"interval": 60}, "24h"),
        (60, {"cron": "* * * * *"}, "24h"),
        (3600, {"cron": "@hourly"}, "7d"),
        (86400, {"cron": "@daily"}, "30d"),
        (86400, {"interval": 86400}, "30d"),
    ],
)
async def test_charts_show_what_suits_the_schedule(
    client: AsyncClient, database: Database, every: int, values: dict[str, str | int], span: str
) -> None:
    await failing(database, every, **values)
    text = (await client.get("/jobs/1", headers=HTML)).text
    assert f'span={span}" aria-current="true"' in text
    other = (await client.get("/jobs/1?span=7d", headers=HTML)).text
    assert 'span=7d" aria-current="true"' in other


async def test_a_time_is_explained_on_the_clocks_that_are_shown(
    client: AsyncClient, database: Database
) -> None:
    await failing(database, interval=3600)
    assert (await page_of(client, "/jobs/1")).by_id["at"]["type"] == "datetime-local"
    told = []
    for at, zone in (("2030-01-31T13:00", "Europe/Berlin"), ("2030-01-31T12:00", "UTC")):
        answer = await client.get("/jobs/1/explain", params={"at": at, "zone": zone})
        assert answer.status_code == 200, answer.text
        told.append(answer.json()["at"])
    assert told[0] == told[1]
    wrong = await client.get("/jobs/1/explain", params={"at": "2030-01-31T13:00", "zone": "Mars/Olympus"})
    assert wrong.status_code == 422
    assert "zone" in wrong.text
    assert (await client.get("/jobs/1/explain?at=2030-01-31T13:00")).status_code == 422


async def test_a_backfill_shows_what_it_would_run_before_it_does(
    client: AsyncClient, database: Database
) -> None:
    now: datetime = await scalar(database, "SELECT clock_timestamp()")
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    start = {"startdate": first.date(), "starttime": first.time(), "validfrom": LONG_AGO}
    await add_job(database, interval=3600, due=now + timedelta(hours=1), **start)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, reason, finishedat)"
        " SELECT 1, CAST(:first AS timestamptz) + n * interval '1 hour', 'skipped', 'misfire', :first"
        " FROM generate_series(0, 3) AS n",
        first=first,
    )
    typed = {"since": f"{first:%Y-%m-%dT%H:%M}", "until": f"{first + timedelta(hours=3):%Y-%m-%dT%H:%M}"}
    typed["zone"] = "UTC"
    assert 'action="/jobs/1/backfill?dryrun=true"' in (await client.get("/jobs/1", headers=HTML)).text
    page = await client.post("/jobs/1/backfill?dryrun=true", data=typed, headers=HTML)
    assert page.status_code == 200, page.text
    assert re.findall(r"(\d+) past occurrences? did not run", page.text) == ["3"]
    assert page.text.count("<li><time") == 3
    count = "SELECT count(*) FROM joblog WHERE cause = 'backfill'"
    assert await scalar(database, count) == 0
    assert all(f'name="{name}" value="{value}"' in page.text for name, value in typed.items())
    response = await client.post("/jobs/1/backfill", data=typed, headers=HTML)
    assert response.headers["location"] == "/jobs/1?backfilled=3"
    assert await scalar(database, count) == 3
    assert "Running 3 past occurrences." in (await page_of(client, "/jobs/1?backfilled=3")).text
    page = await client.post("/jobs/1/backfill?dryrun=true", data=typed, headers=HTML)
    assert "no occurrence of that time was skipped, missed or failed" in page.text


async def test_what_is_wrong_with_a_backfill_is_said_beside_what_was_typed(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, interval=60)
    typed = {"since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M}", "until": "2020-01-01T00:00", "zone": "UTC"}
    page = await client.post("/jobs/1/backfill?dryrun=true", data=typed, headers=HTML)
    assert page.status_code == 422
    assert "To: Must come after since." in page.text
    assert 'value="2020-01-01T00:00"' in page.text
    for wrong in ({"since": "x"}, {"zone": "Mars/Olympus"}):
        assert (await client.post("/jobs/1/backfill", data=typed | wrong, headers=HTML)).status_code == 422
    assert (await client.post("/jobs/9/backfill", data=typed, headers=HTML)).status_code in {404, 422}
