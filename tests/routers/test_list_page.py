"""The page of jobs: its filters, tags and states."""

import asyncio
import re
from datetime import timedelta
from html import unescape

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import NOON, add_due_jobs, add_job, execute, scalar, sum_up
from tests.routers.test_pages import HTML, MARKUP
from tests.routers.test_runs_page import text_of
from tests.routers.test_target_pages import page_of, strict


async def test_filters_stay_in_their_fields(client: AsyncClient, database: Database) -> None:
    for number in range(3):
        await add_job(database, jobname=f'{MARKUP} "{number}', tags=["a"])
    await add_job(database, jobname="Another", tags=["a"])
    params = {"search": f'{MARKUP} "', "state": "active", "tag": "a", "limit": "2", "sort": "-jobid"}
    first = await client.get("/jobs", params=params, headers=HTML)
    page = strict(first)
    assert "script" not in page.tags
    assert page.by_id["search"]["value"] == params["search"]
    assert page.by_id["tag"]["value"] == "a"
    assert '<option value="active" selected>' in first.text
    assert 'name="sort" value="-jobid"' in first.text
    assert 'class="clear" href="/jobs"' in first.text
    assert page.tags.count("tr") == 3
    second = await client.get(first.links["next"]["url"], headers=HTML)
    assert strict(second).tags.count("tr") == 2
    assert "&amp;state=active&amp;tag=a&amp;sort=-jobid&amp;limit=2" in second.text
    none = await client.get("/jobs", params=params | {"cursor": "1"}, headers=HTML)
    assert "No more jobs" in strict(none).text


async def test_the_form_of_filters_leads_to_a_clean_address(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    response = await client.get("/jobs?name=&state=active&laststatus=&tag=", headers=HTML)
    assert (response.status_code, response.headers["location"]) == (303, "/jobs?state=active")
    text = await text_of(client, "/jobs")
    assert 'class="filters" method="get" action="/jobs"' in text
    assert 'class="clear"' not in text


async def test_tags_lead_to_the_jobs_that_have_them(client: AsyncClient, database: Database) -> None:
    await add_job(database, jobname="Tagged", tags=["a&b/ö", MARKUP])
    await add_job(database, jobname="Plain")
    response = await client.get("/jobs", headers=HTML)
    assert MARKUP in strict(response).text
    assert 'href="/jobs?tag=a%26b%2F%C3%B6"' in response.text
    page = await page_of(client, "/jobs?tag=a%26b%2F%C3%B6")
    assert page.tags.count("tr") == 2
    assert "Tagged" in page.text


async def test_a_state_shows_where_it_is_not_the_usual_one(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    assert 'class="dot active"' in await text_of(client, "/jobs")
    await add_job(database, due=None, active=False, pausedat=NOON)
    await add_job(database, due=None, active=False)
    await add_job(database, due=None, active=False, deletedat=NOON)
    text = await text_of(client, "/jobs")
    assert 'class="dot paused"' in text
    assert 'class="dot completed"' in text
    assert "dot deleted" not in text
    assert 'class="dot deleted"' in await text_of(client, "/jobs?state=deleted")


async def test_filters_that_nothing_passes_teach(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    text = await text_of(client, "/jobs?laststatus=failed")
    assert "No matching jobs" in text
    assert "No jobs yet" not in text
    assert '<option value="failed" selected>' in text
    assert "No jobs yet" not in await text_of(client, "/jobs?tag=x")


async def test_a_notice_is_told_once(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    assert 'Created <a href="/jobs/1">A job</a>.' in await text_of(client, "/jobs?created=1")
    assert 'Created <a href="/jobs/9">job 9</a>.' in await text_of(client, "/jobs?created=9")
    assert "Created <a" not in await text_of(client, "/jobs?created=1&cursor=0")


async def test_each_job_shows_its_newest_runs(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 1, interval=60)
    await client.post("/jobs/run")
    await client.post("/jobs/1/run")
    await client.post("/jobs/run")
    response = await client.get("/jobs", headers=HTML)
    page = strict(response)
    assert 'aria-label="The last 2 runs, oldest first: 2 finished; times in UTC"' in response.text
    assert page.tags.count("b") == 2


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("active", {"Fine", "Failing", "Overdue", "Running"}),
        ("failing", {"Failing"}),
        ("overdue", {"Overdue"}),
        ("running", {"Running"}),
        ("paused", {"Paused"}),
        ("completed", {"Over"}),
        ("deleted", {"Gone"}),
    ],
)
async def test_jobs_are_found_by_what_they_are_doing(
    client: AsyncClient, database: Database, state: str, names: set[str]
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    later = {"due": now + timedelta(hours=1)}
    await add_job(database, jobname="Fine", **later)
    await add_job(database, jobname="Failing", **later)
    await add_job(database, jobname="Overdue", due=now - timedelta(minutes=1))
    await add_job(database, jobname="Running", due=None)
    await add_job(database, jobname="Paused", due=None, active=False, pausedat=now)
    await add_job(database, jobname="Over", due=None, active=False)
    await add_job(database, jobname="Gone", due=None, active=False, deletedat=now)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, error, leasetoken,"
        " leaseuntil) VALUES (2, :then, 'failed', :then, :then, 'x', NULL, NULL),"
        " (4, :then, 'running', :then, NULL, NULL, gen_random_uuid(), :now)",
        then=now - timedelta(hours=1),
        now=now,
    )
    await sum_up(database)
    found = (await client.get("/jobs", params={"state": state})).json()
    assert {job["jobname"] for job in found} == names
    page = await client.get("/jobs", params={"state": state}, headers=HTML)
    assert f'data-part="count">{len(names)} job' in page.text
    if state in {"failing", "overdue", "running"}:
        assert f'class="dot {state}"' in page.text
    report = await client.post("/jobs/bulk?dryrun=true", json={"action": "run", "filter": {"state": state}})
    assert report.json()["count"] == len(names)


@pytest.mark.parametrize("sort", ["jobid", "-jobid", "jobname", "nextrun"])
async def test_pages_go_on_in_every_order(client: AsyncClient, database: Database, sort: str) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    for number in range(7):
        due = None if number == 3 else now + timedelta(hours=7 - number % 5)
        await add_job(database, jobname=f"Job {number % 3}", due=due, active=due is not None)
    whole = [job["jobid"] for job in (await client.get("/jobs", params={"sort": sort})).json()]
    assert sorted(whole) == list(range(1, 8))
    found: list[int] = []
    address = f"/jobs?sort={sort}&limit=2"
    while address:
        response = await client.get(address, headers=HTML)
        found += [int(jobid) for jobid in re.findall(r'<tr id="job-(\d+)">', response.text)]
        address = response.links.get("next", {}).get("url", "")
    assert found == whole


async def test_what_was_done_comes_back_to_the_list_with_its_undo(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, interval=60)
    form = HTML | {"content-type": "application/x-www-form-urlencoded"}
    response = await client.post("/jobs/1/pause?back=%2Fjobs%3Fname%3DA", headers=form)
    assert response.headers["location"] == "/jobs?name=A&paused=1"
    page = await client.get(response.headers["location"], headers=HTML)
    assert 'Paused <a href="/jobs/1">A job</a>.' in page.text
    assert 'action="/jobs/1/resume?back=%2Fjobs%3Fname%3DA"' in page.text
    response = await client.post("/jobs/1/resume?back=%2Fjobs", headers=form)
    assert response.headers["location"] == "/jobs?resumed=1"


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/jobs\r\nX: y",
        "javascript:alert(1)",
        "jobs",
    ],
)
async def test_the_way_back_leads_nowhere_else(client: AsyncClient, database: Database, back: str) -> None:
    await add_job(database, interval=60)
    form = HTML | {"content-type": "application/x-www-form-urlencoded"}
    response = await client.post("/jobs/1/pause", params={"back": back}, headers=form)
    assert response.headers["location"] == "/jobs/1?paused=1"
    response = await client.post("/preferences", data={"clock": "utc", "back": back})
    assert response.headers["location"] == "/jobs"


async def test_the_chosen_clocks_are_remembered(client: AsyncClient, database: Database) -> None:
    await add_job(database, timezone="Asia/Tokyo")
    assert "Asia/Tokyo" in await text_of(client, "/jobs")
    response = await client.post("/preferences", data={"clock": "utc", "back": "/jobs?tag=a"})
    assert response.headers["location"] == "/jobs?tag=a"
    assert "HttpOnly" in response.headers["set-cookie"]
    assert "2030-01-31 12:00:00 UTC" in await text_of(client, "/jobs")
    # What is not given stays as it is.
    response = await client.post("/preferences", data={"density": "comfortable", "back": "/jobs"})
    assert response.headers.get_list("set-cookie")[0].startswith("density=comfortable;")
    assert len(response.headers.get_list("set-cookie")) == 1
    text = await text_of(client, "/jobs")
    assert 'data-density="comfortable"' in text
    assert 'value="compact" class="secondary small">Compact rows' in text
    assert "2030-01-31 12:00:00 UTC" in text
    assert (await client.post("/preferences", data={"density": "airy"})).status_code == 422
    assert (await client.post("/preferences", data={"clock": "sundial"})).status_code == 422
    assert (await client.post("/preferences", data={"clock": "utc", "theme": "pink"})).status_code == 422
    client.cookies.set("zone", "Europe/<b>")
    client.cookies.set("clock", "mine")
    assert "2030-01-31 12:00:00 UTC" in await text_of(client, "/jobs")


async def test_a_page_shows_so_many_at_most(client: AsyncClient, database: Database) -> None:
    for _ in range(110):
        await add_job(database, interval=60)
    response = await client.get("/jobs?limit=1000", headers=HTML)
    assert len(re.findall(r'<tr id="job-\d+">', response.text)) == 100
    assert "cursor=100" in response.links["next"]["url"]
    response = await client.get("/logs?status=pending&limit=1000", headers=HTML)
    assert len(re.findall(r'<tr id="log-\d+">', response.text)) == 100
    assert len((await client.get("/jobs?limit=1000")).json()) == 110


async def test_the_number_of_rows_is_chosen_and_kept(client: AsyncClient, database: Database) -> None:
    for _ in range(60):
        await add_job(database, interval=60, tags=["shop"])
    text = await text_of(client, "/jobs?tag=shop&sort=jobname&limit=50")
    assert len(re.findall(r'<tr id="job-\d+">', text)) == 50
    assert '<a href="/jobs?tag=shop&amp;sort=jobname&amp;limit=50" aria-current="true"' in text
    assert '<a href="/jobs?tag=shop&amp;sort=jobname&amp;limit=100" aria-label' in text


async def test_large_pages_are_sent_small(client: AsyncClient, database: Database) -> None:
    for _ in range(20):
        await add_job(database, interval=60)
    response = await client.get("/jobs", headers=HTML | {"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) < min(len(response.text) / 5, 15_000)
    # A cache must not give the one to those who need the other.
    plain = await client.get("/jobs", headers=HTML | {"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for one in (response, plain):
        assert "Accept-Encoding" in one.headers.get_list("vary", split_commas=True)


async def test_each_thing_that_was_done_has_its_own_notice(client: AsyncClient, database: Database) -> None:
    for _ in range(2):
        await add_job(database, interval=60)
    page = await client.get("/jobs?created=2", headers=HTML)
    assert 'formaction="/jobs/1/pause?back=%2Fjobs"' in page.text
    assert '<input type="hidden" name="back" value="/jobs">' in page.text


async def test_looking_is_no_news(client: AsyncClient, app: FastAPI, database: Database) -> None:
    await add_job(database, interval=60)
    before = mark_of(await text_of(client, "/jobs"))
    await client.post("/schedules/preview", json={"cron": "@daily"})
    await client.post("/preferences", data={"clock": "utc"})
    await client.get("/jobs/1", headers=HTML)
    assert mark_of(await text_of(client, "/jobs")) == before
    await client.post("/jobs/1/pause")
    async with asyncio.timeout(30):
        while mark_of(await text_of(client, "/jobs")) == before:
            await asyncio.sleep(0.02)


def mark_of(page: str) -> str:
    found = re.search(r'data-mark="([\w-]+)"', page)
    assert found is not None
    return found.group(1)


async def test_jobs_are_counted_up_to_a_thousand(client: AsyncClient, database: Database) -> None:
    """To count a million would take longer than to show a page."""
    await add_due_jobs(database, 1000)
    for shown in ("1,000 jobs", "more than 1,000 jobs"):
        page = await client.get("/jobs", headers=HTML)
        assert f'data-part="count">{shown}<' in page.text
        await add_job(database)


async def test_pages_lead_on_and_back(client: AsyncClient, database: Database) -> None:
    for number in range(50):
        await add_job(database, jobname=f"Job {number:02}", interval=60)

    def link(text: str, kind: str) -> str:
        found = re.search(rf'rel="{kind}" href="([^"]*)"', text)
        assert found is not None
        return unescape(found[1])

    first = await text_of(client, "/jobs?sort=jobname&limit=20")
    assert "1–20 of 50" in first
    assert 'rel="prev"' not in first
    second = await text_of(client, link(first, "next"))
    assert "21–40 of 50" in second
    third = await text_of(client, link(second, "next"))
    assert "41–50 of 50" in third
    assert "Job 49" in third
    again = await text_of(client, link(third, "prev"))
    assert "21–40 of 50" in again
    assert "1–20 of 50" in await text_of(client, link(again, "prev"))
    # A heading turns its order round.
    assert 'aria-sort="ascending"><a href="/jobs?sort=-jobname&amp;limit=20">Job</a>' in first
    down = await text_of(client, "/jobs?sort=-jobname&limit=20")
    assert down.index("Job 49") < down.index("Job 48")
    assert 'aria-sort="descending"><a href="/jobs?sort=jobname&amp;limit=20">Job</a>' in down
    assert "/jobs?sort=-lastrun&amp;limit=20" in down


async def test_tags_have_their_counts(client: AsyncClient, database: Database) -> None:
    for tags in (["shop"], ["shop", "eu"], ["eu & <b>"], ["shop"]):
        await add_job(database, interval=60, tags=tags)
    text = await text_of(client, "/jobs?limit=20")
    chips = [one.groups() for one in re.finditer(r'<a href="([^"]*)">([^<]*) <small>(\d+)</small></a>', text)]
    assert [chip[1:] for chip in chips] == [("shop", "3"), ("eu", "1"), ("eu &amp; &lt;b&gt;", "1")]
    text = await text_of(client, unescape(chips[2][0]))
    assert len(re.findall(r'<tr id="job-\d+">', text)) == 1
    assert 'aria-current="true" title="Show all jobs">eu &amp; &lt;b&gt;' in text
