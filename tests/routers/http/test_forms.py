"""The form: a job goes into it and comes out as it was; edits, copies, and previews of both."""

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from httpx import AsyncClient, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.database.engine import Database
from scheduler_api.routers.http.forms import draft_of
from scheduler_api.web.form import fields_for
from tests.factories import NOON, add_job, scalar
from tests.routers.test_pages import HTML, MARKUP, Page

TARGET = {
    "url": "http://localhost:1/hook?a={{logid}}",
    "headers": {"Authorization": "Bearer x-secret", "X-Kind": "a: b"},
    "body": {"a": [1, {"b": None}], "text": "ü\n"},
    "timeout": 7,
    "success": ["200", "404"],
    "pattern": "ok*",
    "retries": 5,
    "retryon": ["5xx", "429"],
    "backoff": 3,
    "maxbackoff": 30,
    "retryfor": 3600,
    "heartbeattimeout": 90,
    "keepresponse": False,
}
WHOLE: dict[str, Any] = {
    "jobname": "Whole",
    "cron": "30 2 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "repeat": True,
    "until": "2031-03-31T02:30:00+00:00",
    "maxruns": 9,
    "exclude": ["2030-05-01", "2030-12-24/2031-01-01"],
    "calendars": ["days"],
    "dstgap": "skip",
    "dstfold": "both",
    "jitter": 60,
    "misfire": "skip",
    "grace": 90,
    "project": "billing",
    "tags": ["a", "b c"],
    "description": "What it is for:\n  two lines.",
    "owner": "The team",
    "runbook": "https://example.com/runbook?a=1#top",
    "target": TARGET,
    "overlap": True,
    "concurrency": 3,
    "autopause": 4,
    "lateafter": 30,
    "stuckafter": 900,
    "silentafter": 86_400,
    "recoverafter": 3,
    "record": "failures",
}
DEFINITION = set(JobDraft.model_fields) - {"active", "delay"}


def test_a_whole_job_has_each_field_and_none_as_it_is_by_default() -> None:
    """So that a field that the form forgets is found by the tests below."""
    # Other kinds of schedules have these, and jobs that call nothing.
    assert set(WHOLE) == DEFINITION - {"startdate", "starttime", "interval", "after", "monitor"}
    assert not [
        n for n, value in WHOLE.items() if value == JobDraft.model_fields[n].default and n != "repeat"
    ]


async def created(client: AsyncClient, **values: Any) -> int:
    assert (await client.put("/calendars/days", json={"days": ["2030-10-03"]})).status_code == 200
    # It may be there already.
    await client.post("/projects", json={"name": WHOLE["project"]})
    response = await client.post("/jobs", json={"jobname": "A job", **values})
    assert response.status_code == 201, response.text
    return int(response.json()["jobid"])


async def job_of(client: AsyncClient, jobid: int) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/jobs/{jobid}")).json()["job"]
    return {name: found[name] for name in DEFINITION}


HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
SELECT = re.compile(r'<select id="\w+" name="(\w+)".*?>(.*?)</select>', re.DOTALL)
OPTION = re.compile(r'<option(?: value="([^"]*)")? selected>(\w*)')
TEXTAREA = re.compile(r'<textarea id="\w+" name="(\w+)".*?>\n(.*?)</textarea>', re.DOTALL)


def filled(response: Response) -> dict[str, str]:
    """What a browser would send of the form as it is."""
    page = Page(response)
    fields = dict(HIDDEN.findall(response.text))
    for attributes in page.by_id.values():
        name, kind = attributes.get("name"), attributes.get("type")
        if name and (kind not in {"radio", "checkbox"} or "checked" in attributes) and "value" in attributes:
            fields[name] = attributes["value"] or ""
    for name, inner in SELECT.findall(response.text):
        if chosen := OPTION.search(inner):
            fields[name] = chosen.group(1) or chosen.group(2)
    for name, text in TEXTAREA.findall(response.text):
        fields[name] = Page(Response(200, text=f"<p>{text}</p>")).text
    return {name: value for name, value in fields.items() if name not in {"clock", "theme", "back"}}


EVERY = {"startdate": "2030-01-31", "starttime": "12:00:00", "repeat": True, "interval": 5400}
ONCE = {"startdate": "2030-01-31", "starttime": "12:00:00"}


@pytest.mark.parametrize(
    "values", [WHOLE, EVERY, ONCE, EVERY | {"interval": 61, "target": TARGET | {"body": "[1"}}]
)
async def test_an_edit_that_changes_nothing_changes_nothing(
    client: AsyncClient, values: dict[str, Any]
) -> None:
    jobid = await created(client, **values)
    before = await job_of(client, jobid)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML))
    assert "x-secret" not in str(fields)
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert (response.status_code, response.headers.get("location")) == (303, f"/jobs/{jobid}?edited={jobid}")
    assert await job_of(client, jobid) == before
    changes = (await client.get(f"/jobs/{jobid}/changes")).json()
    assert [change["action"] for change in changes] == ["created"]


def is_no_template(text: str) -> bool:
    return "{{" not in text


@given(
    body=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-9, 9)
        | st.text('a{["1 \n', max_size=5).filter(is_no_template),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    interval=st.integers(1, 10**6),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_job_holds_comes_back_from_the_form(body: Any, interval: int) -> None:
    target = TARGET | {"body": body}
    draft = JobDraft.model_validate_json(
        json.dumps({"jobname": "A job", **EVERY, "interval": interval, "target": target})
    )
    state = {"state": "active", "active": True, "version": 3, "createdat": NOON}
    names = (
        "pausedat", "pausereason", "pauseduntil", "pauseid", "nextrun", "lastrun", "laststatus",
        "lastsuccess",
    )  # fmt: skip
    none = dict.fromkeys(names)
    job = Job(jobid=1, failures=0, openissues=0, **(draft.model_dump() | state | none))
    fields = fields_for(datetime(2030, 1, 1, tzinfo=UTC), "UTC", job, None)
    assert draft_of(fields, job).model_dump() == draft.model_dump()


async def test_an_edit_takes_what_was_typed(client: AsyncClient) -> None:
    jobid = await created(client, **WHOLE)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML))
    fields |= {"jobname": "Renamed", "kind": "every", "interval": "2", "unit": "3600"}
    fields |= {"startdate": "2030-02-01", "starttime": "08:00"}
    fields |= {"target_headers": "X-Kind: •••\nX-New: 1"}
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert response.status_code == 303, response.text
    job = await job_of(client, jobid)
    assert (job["jobname"], job["interval"], job["cron"]) == ("Renamed", 7200, None)
    assert job["target"]["headers"] == {"X-Kind": "a: b", "X-New": "1"}


async def test_a_value_that_is_not_known_cannot_be_kept(client: AsyncClient) -> None:
    jobid = await created(client, **WHOLE)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML))
    fields["target_headers"] += "\nX-Other: •••"
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert response.status_code == 422
    assert "Line 3: give the value of X-Other." in Page(response).text


async def test_an_edit_does_not_overwrite_what_another_changed(client: AsyncClient) -> None:
    jobid = await created(client, **EVERY)
    await client.patch(f"/jobs/{jobid}", json={"tags": ["older"]})
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML)) | {"jobname": "Mine"}
    before = (await job_of(client, jobid))["jobname"]
    await client.patch(f"/jobs/{jobid}", json={"jobname": f"Theirs {MARKUP}"})
    await client.post(f"/jobs/{jobid}/pause", json={"reason": "Holidays"})
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert response.status_code == 412
    page = Page(response)
    assert "This job was edited after you opened it." in page.text
    assert page.by_id["jobname"]["value"] == "Mine"
    # What it would overwrite is shown, and nothing older.
    assert f"jobname: {before} → Theirs {MARKUP}" in page.text
    assert "Holidays" in page.text
    assert "older" not in page.text
    assert (await job_of(client, jobid))["jobname"] == f"Theirs {MARKUP}"
    again = await client.post(f"/jobs/{jobid}/edit", data=filled(response), headers=HTML)
    assert again.status_code == 303
    assert (await job_of(client, jobid))["jobname"] == "Mine"


async def test_a_bad_edit_keeps_what_was_typed(client: AsyncClient) -> None:
    jobid = await created(client, **WHOLE)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML)) | {"cron": f"soon{MARKUP}"}
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert response.status_code == 422
    page = Page(response)
    assert page.by_id["cron"]["value"] == f"soon{MARKUP}"
    assert page.by_id["cron"]["aria-invalid"] == "true"
    assert "script" not in page.tags
    assert "The job was not changed" in page.text


async def test_a_copy_is_a_job_of_its_own(client: AsyncClient) -> None:
    jobid = await created(client, **WHOLE)
    response = await client.get(f"/jobs?form=true&from={jobid}", headers=HTML)
    fields = filled(response)
    assert fields["jobname"] == "Copy of Whole"
    made = await client.post("/jobs", data=fields, headers=HTML)
    assert made.headers["location"] == f"/jobs/{jobid + 1}?created={jobid + 1}"
    copy, original = await job_of(client, jobid + 1), await job_of(client, jobid)
    assert copy == original | {"jobname": "Copy of Whole"}


async def test_a_copy_of_what_has_begun_begins_anew(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database, interval=3600, startdate=date(2020, 1, 1))
    fields = filled(await client.get(f"/jobs?form=true&from={jobid}", headers=HTML))
    response = await client.post("/jobs", data=fields, headers=HTML)
    assert response.status_code == 303, Page(response).text
    assert await scalar(database, "SELECT count(*) FROM job WHERE interval = 3600") == 2


async def test_fields_of_another_kind_do_not_matter(client: AsyncClient) -> None:
    fields = {"jobname": "Kinds", "kind": "cron", "cron": "@daily", "timezone": "UTC"}
    fields |= {"interval": "soon", "startdate": "2020-01-01", "starttime": "25:00", "after_jobid": "x"}
    response = await client.post("/jobs", data=fields, headers=HTML)
    assert response.status_code == 303, response.text
    assert (await job_of(client, 1))["cron"] == "@daily"
    response = await client.post("/jobs", data=fields | {"kind": "every", "unit": "60"}, headers=HTML)
    assert set(re.findall(r'id="error-(\w+)"', response.text)) == {"interval", "starttime"}
    response = await client.post("/jobs", data=fields | {"kind": "after"}, headers=HTML)
    assert re.findall(r'id="error-(\w+)"', response.text) == ["after_jobid"]
    response = await client.post(
        "/jobs", data=fields | {"cronstartdate": "2020-01-01", "cronstarttime": "0:00"}, headers=HTML
    )
    assert set(re.findall(r'id="error-(\w+)"', response.text)) == {"cronstarttime"}


@pytest.mark.parametrize(
    ("kind", "missing"), [("cron", "cron"), ("every", "interval"), ("after", "after_jobid")]
)
async def test_what_a_kind_of_schedule_needs_is_said_where_it_is_missing(
    client: AsyncClient, kind: str, missing: str
) -> None:
    fields = {"jobname": "Kinds", "kind": kind, "startdate": "2030-01-01", "starttime": "10:00"}
    response = await client.post("/jobs", data=fields, headers=HTML)
    assert response.status_code == 422
    assert re.findall(r'id="error-(\w+)"', response.text) == [missing]


async def test_the_preview_of_an_edit_tells_what_it_changes(client: AsyncClient) -> None:
    jobid = await created(client, cron="30 2 * * *", repeat=True)
    fields = {"jobid": str(jobid), "kind": "cron", "cron": "30 3 * * *", "timezone": "UTC"}
    response = await client.post("/schedules/preview", data=fields, headers=HTML)
    text = " ".join(Page(response).text.split())
    assert "−30 runs removed" in text
    assert "+30 runs added" in text
    assert f'action="/jobs/{jobid}/edit"' in response.text
    same = await client.post("/schedules/preview", data=fields | {"cron": "30 2 * * *"}, headers=HTML)
    assert "No run of the next 30 days changes." in Page(same).text
    wrong = await client.post("/schedules/preview", data=fields | {"cron": "soon"}, headers=HTML)
    assert wrong.status_code == 422


async def test_the_form_suggests_the_readers_own_clocks(client: AsyncClient) -> None:
    headers = HTML | {"cookie": "zone=Asia/Tokyo"}
    response = await client.get("/jobs?form=true", headers=headers)
    fields = filled(response)
    assert fields["timezone"] == "Asia/Tokyo"
    made = await client.post("/jobs", data=fields | {"jobname": "There"}, headers=headers)
    assert made.status_code == 303, Page(made).text


async def test_a_deleted_job_has_no_form(client: AsyncClient) -> None:
    jobid = await created(client, **EVERY)
    await client.delete(f"/jobs/{jobid}")
    assert (await client.get(f"/jobs/{jobid}?form=true", headers=HTML)).status_code == 409
    assert (await client.get("/jobs?form=true&from=99", headers=HTML)).status_code == 404
    assert (await client.post("/jobs/99/edit", data={"jobname": "x"}, headers=HTML)).status_code == 404
    assert (await client.post(f"/jobs/{jobid}/edit", json={})).status_code == 415


async def test_a_mended_form_is_still_of_the_version_that_was_seen(client: AsyncClient) -> None:
    jobid = await created(client, **EVERY)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML)) | {"jobname": "x"}
    await client.patch(f"/jobs/{jobid}", json={"tags": ["theirs"]})
    wrong = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert wrong.status_code == 422
    mended = filled(wrong) | {"jobname": "Mended"}
    assert (await client.post(f"/jobs/{jobid}/edit", data=mended, headers=HTML)).status_code == 412
    assert (await job_of(client, jobid))["tags"] == ["theirs"]


@pytest.mark.parametrize(
    "values",
    [
        {"timezone": "America/New_York", "until": "2027-11-07T06:30:00+00:00"},
        {"timezone": "America/New_York", "until": "2027-11-07T05:30:00+00:00"},
        {"timezone": "Europe/Berlin", "until": "2031-01-01T00:30:00.500000+00:00"},
        {"target": TARGET | {"body": "a\r\nb\rc\n"}},
    ],
)
async def test_what_no_field_can_show_is_not_lost(client: AsyncClient, values: dict[str, Any]) -> None:
    jobid = await created(client, cron="0 1 * * *", repeat=True, **values)
    before = await job_of(client, jobid)
    fields = filled(await client.get(f"/jobs/{jobid}?form=true", headers=HTML))
    # As browsers send it: no seconds that are none, and lines that end in both.
    fields["until"] = re.sub(r":00$", "", fields["until"])
    fields["target_body"] = re.sub(r"\r\n|\r|\n", "\r\n", fields["target_body"])
    response = await client.post(f"/jobs/{jobid}/edit", data=fields, headers=HTML)
    assert response.status_code == 303, response.text
    assert await job_of(client, jobid) == before


@pytest.mark.parametrize(
    "path", ["/jobs/1", "/jobs/1?form=true", "/jobs?form=true&from=1", "/jobs", "/upcoming"]
)
async def test_a_job_whose_zone_is_gone_can_be_looked_at(
    client: AsyncClient, database: Database, path: str
) -> None:
    await add_job(database, timezone="Nowhere/Land", interval=60, until=NOON)
    response = await client.get(path, headers=HTML)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("key", ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "soon"])
async def test_a_place_beyond_the_calendar_is_no_place(client: AsyncClient, key: str) -> None:
    response = await client.get(f"/jobs?sort=nextrun&cursor=1:{key}")
    assert response.status_code == 422
