"""The page of all runs: its filters, its buttons, and trying again all that failed."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import NOON, add_due_jobs, add_job, execute, scalar
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import HTML, MARKUP, get
from tests.routers.test_target_pages import page_of, strict

TARGET = {"url": "http://127.0.0.1:9/hook"}
BULK = 'action="/logs/retry"'


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def failed_call(database: Database, *, hours: int = 0, **values: Any) -> int:
    """A job with a call that has failed; the call's logid."""
    jobid = await add_job(database, due=NOON + timedelta(hours=hours), **{"target": TARGET} | values)
    await execute(
        database,
        "UPDATE joblog SET status = 'failed', nextrun = NULL, startedat = :at, error = :error,"
        " finishedat = CAST(:at AS timestamptz) + interval '145 ms' WHERE jobid = :jobid",
        jobid=jobid,
        at=NOON,
        error=MARKUP,
    )
    return int(await scalar(database, "SELECT logid FROM joblog WHERE jobid = :jobid", jobid=jobid))


async def text_of(client: AsyncClient, url: str) -> str:
    response = await client.get(url, headers=HTML)
    assert response.status_code == 200, response.text
    assert response.headers["vary"].startswith("Accept")
    strict(response)
    return response.text


async def test_only_those_who_ask_for_a_page_get_it(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    plain = await client.get("/logs")
    assert plain.headers["content-type"] == "application/json"
    assert plain.headers["vary"].startswith("Accept")
    assert [log["jobid"] for log in plain.json()] == [1]
    assert 'href="/logs" aria-current="page"' in await text_of(client, "/logs")
    assert 'href="/logs">Runs' in (await client.get("/jobs", headers=HTML)).text


async def test_programs_get_what_they_got_before(client: AsyncClient, database: Database) -> None:
    for query in ("status=", "cause=", "since=", "since=2030-01-31T12:00", "sort="):
        assert (await client.get(f"/logs?{query}")).status_code == 422, query
    assert (await client.get("/jobs?state=")).status_code == 422


async def test_a_run_shows_what_there_is_to_know(client: AsyncClient, database: Database) -> None:
    logid = await failed_call(database, jobname=MARKUP)
    text = await text_of(client, "/logs")
    page = await page_of(client, "/logs")
    assert "script" not in page.tags
    assert page.text.count(MARKUP) == 3  # the name, the name of the button, the error
    assert f'href="/logs/{logid}"' in text
    for said in ("2030-01-31 12:00:00 UTC", "failed", "Schedule", "145 ms"):
        assert said in page.text


async def test_only_failed_calls_that_can_be_made_again_have_a_button(
    client: AsyncClient, database: Database
) -> None:
    failed = await failed_call(database)
    await failed_call(database, deletedat=NOON, active=False)
    await add_job(database, target=TARGET)
    await add_due_jobs(database, 1)
    await client.post("/jobs/run")
    await execute(
        database, "UPDATE joblog SET status = 'failed', error = 'x' WHERE jobid = 4 AND startedat IS NOT NULL"
    )
    text = await text_of(client, "/logs")
    assert text.count("Retry<span") == 1
    assert f'action="/logs/{failed}/retry?back=%2Flogs"' in text
    assert BULK not in text


async def test_filters_are_kept_from_page_to_page(client: AsyncClient, database: Database) -> None:
    for hours in range(4):
        await failed_call(database, hours=hours)
    url = "/logs?status=failed&cause=schedule&since=2030-01-31T12:00&until=2030-01-31T15:00:30&limit=2"
    first = await client.get(url, headers=HTML)
    page = strict(first)
    assert page.by_id["since"]["value"] == "2030-01-31T12:00:00"
    assert page.by_id["until"]["value"] == "2030-01-31T15:00:30"
    assert '<option value="failed" selected>' in first.text
    assert '<option value="schedule" selected>Schedule' in first.text
    assert 'name="limit" value="2"' in first.text
    assert 'class="clear" href="/logs"' in first.text
    assert page.text.count("2030-01-31 15:00:00 UTC") == 1  # the name of its button
    further = first.links["next"]["url"]
    second = await client.get(further, headers=HTML)
    assert page.tags.count("tr") == strict(second).tags.count("tr") == 3
    assert "next" not in second.links
    assert "status=failed&amp;cause=schedule&amp;since=2030-01-31T12%3A00&amp;until=" in second.text
    assert "Newest runs" in second.text
    exact = await page_of(client, "/logs?since=2030-01-31T16:00:00%2B01:00&until=2030-01-31T15:00:01Z")
    assert exact.tags.count("tr") == 2


async def test_an_address_of_a_form_loses_its_blanks(client: AsyncClient, database: Database) -> None:
    response = await client.get("/logs?status=failed&cause=&since=&until=%20&limit=5", headers=HTML)
    assert response.status_code == 303
    assert response.headers["location"] == "/logs?status=failed&limit=5"
    assert response.headers["vary"].startswith("Accept")
    assert (await client.get("/logs?cause=", headers=HTML)).headers["location"] == "/logs"


async def test_empty_pages_teach(client: AsyncClient, database: Database) -> None:
    assert "Runs appear here when a job has run." in await text_of(client, "/logs")
    assert "Runs that used up their retries appear here" in await text_of(client, "/logs?status=failed")
    assert "No matching runs" in await text_of(client, "/logs?status=failed&cause=manual")
    older = await text_of(client, "/logs?cursor=1:2000-01-01T00:00:00Z&status=failed")
    assert 'No more runs. <a href="/logs?status=failed">' in older


async def test_a_filter_that_is_none_is_a_page_too(client: AsyncClient) -> None:
    for query in ("status=%3Cb%3E", "since=%3Cscript%3E", "since=2030-02-30T12:00", "before=0"):
        page = await get(client, f"/logs?{query}", 422)
        assert "script" not in page.tags


async def test_all_that_failed_is_tried_again_by_a_form(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    for hours in range(3):
        await failed_call(database, hours=hours, target={"url": receiver.url})
    url = "/logs?status=failed&since=2030-01-31T13:00"
    text = await text_of(client, url)
    assert BULK in text
    assert "<strong>2 failed runs</strong> scheduled from 2030-01-31 13:00:00 UTC now" in text
    assert 'type="hidden" name="since" value="2030-01-31T13:00:00+00:00"' in text
    assert "of any cause now" in await text_of(client, f"{url}&cause=schedule")

    response = await client.post("/logs/retry", data={"since": "2030-01-31T13:00:00+00:00"}, headers=HTML)
    assert response.status_code == 303, response.text
    assert response.headers["location"] == "/logs?status=pending&retried=2"
    page = await page_of(client, response.headers["location"])
    assert "Retrying 2 runs." in page.text
    assert page.tags.count("tr") == 3
    assert "next attempt at" in page.text

    response = await client.post("/logs/retry", data={"jobid": "1", "since": "", "until": ""}, headers=HTML)
    assert response.headers["location"] == "/logs?status=pending&retried=1"
    assert "Retrying 1 run." in await text_of(client, response.headers["location"])
    assert BULK not in await text_of(client, "/logs?status=failed")


@pytest.mark.parametrize(
    ("name", "of"), [("tag", "tag"), ("host", "host"), ("project", "project"), ("jobid", "job")]
)
async def test_what_failed_of_a_tag_host_project_or_job_is_tried_again_alone(
    client: AsyncClient, database: Database, receiver: Receiver, name: str, of: str
) -> None:
    await client.post("/projects", json={"name": "shop"})
    await failed_call(database, target={"url": "http://elsewhere.example/"}, tags=["slow"])
    # A tag may look like a time.
    tag = "2030-01-31T12:00"
    meant = await failed_call(database, target={"url": receiver.url}, tags=[tag], project="shop")
    jobid = await scalar(database, "SELECT jobid FROM joblog WHERE logid = :logid", logid=meant)
    host = receiver.url.split("/")[2]
    value = {"tag": tag, "host": host, "project": "shop", "jobid": str(jobid)}[name]
    text = await text_of(client, f"/logs?status=failed&{name}={value}")
    assert f"Retries <strong>1 failed run</strong> ({of} {value}) now" in text
    assert f'type="hidden" name="{name}" value="{value}"' in text
    response = await client.post("/logs/retry", data={name: value}, headers=HTML)
    assert response.headers["location"] == "/logs?status=pending&retried=1"
    tried = "SELECT array_agg(logid) FROM joblog WHERE attempt > 1"
    assert await scalar(database, tried) == [meant]
    # What a retry cannot be asked for by is not dropped on the way.
    assert BULK not in await text_of(client, f"/logs?status=failed&{name}={value}&minduration=1")


async def test_what_is_counted_is_what_is_tried_again(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    """Not the runs of jobs that are deleted, or call nothing any more; nor only those of a chosen project."""
    for name in ("shop", "other"):
        await client.post("/projects", json={"name": name})
    for project in ("shop", "shop", "shop", "other"):
        await failed_call(database, target={"url": receiver.url}, tags=["reports"], project=project)
    assert (await client.delete("/jobs/1")).status_code == 204
    assert (await client.patch("/jobs/2", json={"target": None})).status_code == 200
    client.cookies.set("project", "other")
    assert "Retry 1 run</button>" in await text_of(client, "/logs?status=failed&tag=reports")
    assert "Retry 1 run</button>" in await text_of(client, "/logs?status=failed&project=shop")
    response = await client.post("/logs/retry", data={"project": "shop"}, headers=HTML)
    assert response.headers["location"] == "/logs?status=pending&retried=1"
    report = (await client.post("/logs/retry?dryrun=true", json={"all": True})).json()
    assert report["count"] == 1


async def test_a_form_that_asks_for_what_there_is_not_is_refused(
    client: AsyncClient, database: Database
) -> None:
    await failed_call(database)
    for fields in ({"jobid": "all"}, {"since": "soon"}, {"cause": "manual"}, {"jobid": "0"}):
        assert (await client.post("/logs/retry", data=fields, headers=HTML)).status_code == 422, fields
    assert (
        await client.post("/logs/retry", content="{}", headers={"content-type": "text/plain"})
    ).status_code == 415
    report = (await client.post("/logs/retry?dryrun=true", json={"all": True})).json()
    assert report == {"count": 1, "dryrun": True, "done": 0, "more": False}


async def test_a_notice_takes_only_numbers_from_the_address(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    assert "Retrying" not in await text_of(client, "/logs?retried=%3Cb%3E")
    assert "retry the rest" in await text_of(client, "/logs?retried=7&left=1")
    assert "Retrying" not in await text_of(client, "/logs?retried=7&cursor=9:2000-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "query",
    [
        {"tag": MARKUP},
        {"host": "nowhere.example"},
        {"minduration": "5000"},
        {"maxduration": "0"},
        {"jobid": "99"},
        {"project": "elsewhere"},
    ],
    ids=lambda value: str(value)[:20],
)
async def test_filters_that_are_folded_away_are_open_when_they_are_used(
    client: AsyncClient, database: Database, query: dict[str, str]
) -> None:
    await add_job(database)
    assert '<details class="more">' in (await client.get("/logs?name=x", headers=HTML)).text
    response = await client.get("/logs", params=query, headers=HTML)
    assert "No matching runs" in response.text
    assert '<details class="more" open>' in response.text
    (name,) = query
    assert strict(response).by_id[name]["value"] == query[name]
    assert MARKUP not in response.text


async def test_times_are_typed_on_the_clocks_that_are_shown(client: AsyncClient, database: Database) -> None:
    await failed_call(database)
    client.cookies.update({"zone": "Europe/Berlin"})
    page = await page_of(client, "/logs?since=2030-01-31T13:00&until=2030-01-31T13:01")
    assert page.by_id["since"]["value"] == "2030-01-31T13:00:00"
    assert "From (Berlin)" in page.text
    assert page.tags.count("tr") == 2
    assert (await page_of(client, "/logs?since=2030-01-31T12:01")).tags.count("tr") == 2
    assert "No matching runs" in await text_of(client, "/logs?since=2030-01-31T13:01")


async def test_last_night_is_one_click_away(client: AsyncClient, database: Database) -> None:
    await failed_call(database)
    client.cookies.update({"zone": "Europe/Berlin"})
    text = await text_of(client, "/logs")
    address = re.search(r'href="(/logs\?status=failed[^"]*)">Failed last night<', text)
    assert address is not None
    asked = parse_qs(urlsplit(unescape(address[1])).query)
    since, until = (datetime.fromisoformat(asked[name][0]) for name in ("since", "until"))
    assert (since.hour, until.hour, until.date() - since.date()) == (18, 8, timedelta(days=1))
    assert "No matching runs" in await text_of(client, unescape(address[1]))
