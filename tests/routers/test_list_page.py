"""The page of jobs: its filters, tags and states."""

from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import NOON, add_job
from tests.routers.test_pages import HTML, MARKUP
from tests.routers.test_runs_page import text_of
from tests.routers.test_target_pages import page_of, strict


async def test_filters_stay_in_their_fields(client: AsyncClient, database: Database) -> None:
    for number in range(3):
        await add_job(database, jobname=f'{MARKUP} "{number}', tags=["a"])
    await add_job(database, jobname="Another", tags=["a"])
    params = {"name": f'{MARKUP} "', "state": "active", "tag": "a", "limit": "2", "sort": "-jobid"}
    first = await client.get("/jobs", params=params, headers=HTML)
    page = strict(first)
    assert "script" not in page.tags
    assert page.by_id["name"]["value"] == params["name"]
    assert page.by_id["tag"]["value"] == "a"
    assert '<option value="active" selected>' in first.text
    assert 'name="sort" value="-jobid"' in first.text
    assert 'class="clear" href="/jobs"' in first.text
    assert page.tags.count("tr") == 3
    second = await client.get(first.links["next"]["url"], headers=HTML)
    assert strict(second).tags.count("tr") == 2
    assert "&amp;state=active&amp;tag=a&amp;sort=-jobid&amp;limit=2" in second.text
    none = await client.get("/jobs", params=params | {"after": "1"}, headers=HTML)
    assert "There are no further jobs" in strict(none).text


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
    assert "verdict state" not in await text_of(client, "/jobs")
    await add_job(database, due=None, active=False, pausedat=NOON)
    await add_job(database, due=None, active=False)
    await add_job(database, due=None, active=False, deletedat=NOON)
    text = await text_of(client, "/jobs")
    assert 'class="verdict state paused"' in text
    assert 'class="verdict state completed"' in text
    assert "verdict state deleted" not in text
    assert 'class="verdict state deleted"' in await text_of(client, "/jobs?state=deleted")


async def test_filters_that_nothing_passes_teach(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    text = await text_of(client, "/jobs?laststatus=failed")
    assert "No job matches" in text
    assert "No jobs yet" not in text
    assert '<option value="failed" selected>' in text
    assert "No jobs yet" not in await text_of(client, "/jobs?tag=x")


async def test_a_notice_is_told_once(client: AsyncClient, database: Database) -> None:
    await add_job(database)
    assert "was created" in await text_of(client, "/jobs?created=1")
    assert "was created" not in await text_of(client, "/jobs?created=1&after=0")
