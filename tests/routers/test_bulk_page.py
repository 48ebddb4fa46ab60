"""One order to many jobs by a form: first what would happen, then what did."""

import html
import re
from typing import Any

import pytest
from httpx import AsyncClient, Response

from scheduler_api.database.engine import Database
from scheduler_api.routers.pages import bulk
from tests.factories import add_job, is_active, scalar
from tests.routers.test_pages import HTML, MARKUP, Page


async def order(client: AsyncClient, **fields: Any) -> Response:
    return await client.post("/jobs/bulk", data=fields, headers=HTML)


def hidden(response: Response) -> dict[str, str]:
    """The fields that a button on the page sends."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', response.text)
    return {name: html.unescape(value) for name, value in found}


async def add_three(database: Database) -> None:
    for number in range(3):
        await add_job(database, jobname=f"{MARKUP} {number}", interval=60, tags=["t"] if number else ["u"])


async def test_nothing_happens_before_it_is_confirmed(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    response = await order(client, action="pause", scope="selected", **{"job-1": "on", "job-3": "on"})
    page = Page(response)
    assert "Pause 2 jobs?" in page.text
    assert f"{MARKUP} 0" in page.text
    assert f"{MARKUP} 1" not in page.text
    assert "script" not in page.tags
    assert await is_active(database, 1)
    done = await order(client, action="pause", jobids="1,3", confirmed="true", reason="Moving house")
    assert "Paused 2 jobs" in Page(done).text
    assert [await is_active(database, jobid) for jobid in (1, 2, 3)] == [False, True, False]
    assert await scalar(database, "SELECT pausereason FROM job WHERE jobid = 3") == "Moving house"


async def test_what_was_done_can_be_undone(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    await client.post("/jobs/3/pause", json={"reason": "On holiday"})
    done = await order(client, action="pause", scope="matching", confirmed="true")
    assert "Paused 2 jobs" in Page(done).text
    assert "Resume these jobs" in Page(done).text
    fields = hidden(done)
    assert fields.keys() == {"confirmed", "action", "pauseid", "back"}
    shown = await client.get(f"/jobs?pauseid={fields['pauseid']}", headers=HTML)
    assert f"{MARKUP} 0" in Page(shown).text
    assert f"{MARKUP} 2" not in Page(shown).text
    assert f'name="pauseid" value="{fields["pauseid"]}"' in shown.text
    assert "Show jobs paused with it" in Page(await client.get("/jobs/1", headers=HTML)).text
    undone = await order(client, **fields)
    assert "Resumed 2 jobs" in Page(undone).text
    assert [await is_active(database, jobid) for jobid in (1, 2, 3)] == [True, True, False]
    assert "Undo: pause them" in Page(undone).text
    again = await order(client, **hidden(undone))
    assert "Paused 2 jobs" in Page(again).text
    deleted = await order(client, action="delete", jobids="1", confirmed="true")
    assert "Deleted 1 job" in Page(deleted).text
    assert "Undo" not in deleted.text


async def test_a_pause_ends_when_the_page_said(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    asked = await order(client, action="pause", scope="matching", tag="t")
    assert "Resume at (UTC, optional)" in Page(asked).text
    typed = {"until": "2090-01-31T12:00", "reason": "Moving house"}
    fields = hidden(asked) | typed | {"zone": "Europe/Berlin"}
    # Something has changed since: what was typed is still there.
    again = Page(
        await order(client, **fields | {"jobids": "", "scope": "matching", "tag": "t", "count": "1"})
    )
    assert "Review them again." in again.text
    assert again.by_id["reason"]["value"] == "Moving house"
    assert again.by_id["pauseuntil"]["value"] == "2090-01-31T11:00:00"
    assert "Paused 2 jobs" in Page(await order(client, **fields)).text
    pauses = "SELECT array_agg(DISTINCT pauseduntil) = '{2090-01-31T11:00:00Z}' FROM job WHERE NOT active"
    assert await scalar(database, pauses)
    refused = await order(client, **fields | {"zone": "Nowhere"})
    assert refused.status_code == 422


async def test_a_pause_that_is_over_is_asked_for_again(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    fields = {"action": "pause", "jobids": "1,3", "confirmed": "true"}
    refused = await order(client, **fields, until="2000-01-31T12:00", reason="Moving house")
    assert refused.status_code == 422
    page = Page(refused)
    assert "Pause 2 jobs?" in page.text
    assert "Must be in the future" in page.text
    assert page.by_id["reason"]["value"] == "Moving house"
    assert page.by_id["pauseuntil"]["value"] == "2000-01-31T12:00:00"
    assert page.by_id["pauseuntil"]["aria-describedby"] == "hint-pauseuntil error-pauseuntil"
    assert await is_active(database, 1)
    whole = {"action": "pause", "all": True, "until": "2000-01-31T12:00:00Z"}
    for query in ("", "?dryrun=true"):
        answer = await client.post(f"/jobs/bulk{query}", json=whole)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/until"]


async def test_what_is_named_is_meant_whatever_project_is_looked_at(
    client: AsyncClient, database: Database
) -> None:
    for name in ("shop", "other"):
        await client.post("/projects", json={"name": name})
    await add_job(database, interval=60, project="shop")
    client.cookies.set("project", "other")
    asked = await order(client, action="pause", scope="matching", project="shop")
    assert "Pause 1 job?" in Page(asked).text
    done = await order(client, **hidden(asked))
    assert "Paused 1 job" in Page(done).text
    assert "Resumed 1 job" in Page(await order(client, **hidden(done))).text
    # All that is shown is what is chosen.
    assert "no longer exist" in Page(await order(client, action="pause", scope="matching")).text


async def test_all_that_match_are_counted_and_done(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    asked = await order(client, action="delete", scope="matching", name=MARKUP, tag="t", back="/jobs?tag=t")
    page = Page(asked)
    assert "Delete 2 jobs?" in page.text
    assert "each can be restored" in page.text
    assert '<input type="hidden" name="jobids" value="2,3">' in asked.text
    assert 'href="/jobs?tag=t"' in asked.text
    assert "Run 3 jobs?" in Page(await order(client, action="run", scope="matching")).text
    await order(client, action="run", scope="matching", confirmed="true")
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE cause = 'manual'") == 3


async def test_what_could_not_be_done_is_named_with_why(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    await add_job(database, jobname="Over", due=None, active=False)
    done = await order(client, action="pause", jobids="3,4", confirmed="true")
    page = Page(done)
    assert "Paused 1 job" in page.text
    assert "Failed" in page.text
    assert "Over" in page.text


@pytest.mark.parametrize(
    "fields", [{"action": "pause"}, {"action": "explode", "job-1": "on"}, {"job-1": "on"}]
)
async def test_an_order_without_jobs_or_meaning_is_refused(
    client: AsyncClient, fields: dict[str, str]
) -> None:
    response = await order(client, **fields)
    assert response.status_code == 422
    assert response.headers["content-type"].startswith("text/html")


async def test_a_page_of_another_site_cannot_order(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    data = {"action": "delete", "jobids": "1", "confirmed": "true"}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        response = await client.post("/jobs/bulk", data=data, headers=HTML | headers)
        assert response.status_code == 403
    for path in ("/jobs/1/edit", "/jobs/1/spread", "/jobs/1/pause", "/preferences"):
        response = await client.post(path, data={"jitter": "5"}, headers={"origin": "https://evil.example"})
        assert response.status_code == 403
    assert await is_active(database, 1)


async def test_programs_may_name_jobs_too(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    report = (await client.post("/jobs/bulk", json={"action": "pause", "filter": {"jobids": [2, 9]}})).json()
    assert (report["count"], report["done"], report["jobids"]) == (1, 1, [2])
    bad = await client.post("/jobs/bulk", json={"action": "pause", "filter": {"jobids": []}})
    assert bad.status_code == 422


async def test_what_is_so_already_stays_as_it_is(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    await client.post("/jobs/2/pause", json={"reason": "vendor maintenance", "until": "2031-01-01T00:00:00Z"})
    done = await order(client, action="pause", jobids="1,2", confirmed="true")
    page = Page(done)
    assert "Paused 1 job" in page.text
    assert "1 job was already paused." in " ".join(page.text.split())
    assert "Resume this job" in page.text
    job = (await client.get("/jobs/2")).json()["job"]
    assert (job["pausereason"], job["pauseduntil"]) == ("vendor maintenance", "2031-01-01T00:00:00Z")
    resumed = await order(client, action="resume", jobids="1,3", confirmed="true")
    assert 'name="jobids" value="1"' in resumed.text
    assert await is_active(database, 3)


async def test_what_was_confirmed_is_what_is_done(client: AsyncClient, database: Database) -> None:
    await add_three(database)
    asked = await order(client, action="delete", scope="matching", tag="t")
    assert 'name="jobids" value="2,3"' in asked.text
    await add_job(database, jobname="Late comer", tags=["t"])
    await order(client, action="delete", jobids="2,3", confirmed="true")
    assert await is_active(database, 4)


async def test_many_are_confirmed_by_their_number(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_BY_ID", 1)
    await add_three(database)
    asked = await order(client, action="delete", scope="matching", tag="t")
    assert 'name="count" value="2"' in asked.text
    await add_job(database, jobname="Late comer", tags=["t"])
    fields = {"action": "delete", "scope": "matching", "tag": "t", "confirmed": "true"}
    again = await order(client, **fields, count="2")
    assert "Delete 3 jobs?" in Page(again).text
    assert "The matching jobs have changed" in Page(again).text
    assert await is_active(database, 2)
    done = await order(client, **fields, count="3")
    assert "Deleted 3 jobs" in Page(done).text


async def test_an_order_to_what_was_paused_together_keeps_to_that_when_it_is_confirmed(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_BY_ID", 1)
    await add_three(database)
    paused = hidden(await order(client, action="pause", scope="matching", tag="t", confirmed="true"))
    asked = await order(client, action="delete", scope="matching", pauseid=paused["pauseid"])
    assert "Delete 2 jobs?" in Page(asked).text
    done = await order(client, **hidden(asked))
    assert "Deleted 2 jobs" in Page(done).text
    assert await is_active(database, 1)
