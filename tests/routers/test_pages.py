"""The pages: what they show, that they escape it, and the form that keeps what was typed."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from httpx import AsyncClient, Response

from scheduler_api.database.engine import Database
from tests.factories import add_due_jobs, add_job, execute, logs, scalar

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {
    "jobname": "Nightly report",
    "startdate": "2030-01-31",
    "starttime": "02:00",
    "timezone": "Europe/Berlin",
    "interval": "",
    "misfire": "once",
    "grace": "60",
    "active": "true",
}
MARKUP = "<script>alert('x')</script>"


class Page(HTMLParser):
    """A page, read as a browser would: its elements by id, its text, and whether its tags close."""

    VOID = frozenset({"meta", "link", "img", "input", "option"})

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.by_id: dict[str, dict[str, str | None]] = {}
        self.text = ""
        self.tags: list[str] = []
        self.links: dict[str, str] = {}
        """Where the last link with a text leads, by the text."""
        self.open: list[str] = []
        self._href: str | None = None
        self.feed(response.text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag != "script" or not (attributes.get("src") or "").startswith("/static/"):
            self.tags.append(tag)
        if (name := attributes.get("id")) is not None:
            assert name not in self.by_id
            self.by_id[name] = attributes
        if tag not in self.VOID:
            self.open.append(tag)
        self._href = attributes.get("href") if tag == "a" else None

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._href is not None:
            self.links[data] = self._href


async def get(client: AsyncClient, url: str, status: int = 200) -> Page:
    response = await client.get(url, headers=HTML)
    assert response.status_code == status
    return Page(response)


@pytest.mark.parametrize("url", ["/jobs", "/jobs?form=true", "/swagger-ui", "/jobs/7", "/nowhere"])
async def test_pages_have_a_strict_policy_and_load_nothing_from_elsewhere(
    client: AsyncClient, url: str
) -> None:
    response = await client.get(url, headers=HTML)
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in response.text
    assert not re.search(r"<script(?! (?:type=\"module\" )?src=\"/static/)", response.text)
    assert not re.search(r"\s(style|on\w+)=", response.text)
    for address in re.findall(r"(?:src|href|action)=\"([^\"]+)\"", response.text):
        assert address.startswith(("/", "#")), address
        if address.startswith("/static/"):
            assert (await client.get(address)).status_code == 200


async def test_an_empty_list_teaches(client: AsyncClient) -> None:
    page = await get(client, "/jobs")
    assert "No jobs yet" in page.text
    assert "curl -X POST http://localhost:5000/jobs" in page.text


async def test_the_list_shows_names_schedules_and_runs(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 1, interval=90)
    await client.post("/jobs/run")
    await add_job(database, jobname=MARKUP, timezone="Europe/Berlin")
    await add_job(database, jobname="Sleeping", due=None, active=False)
    page = await get(client, "/jobs")
    assert "every 1 minute 30 seconds" in page.text
    assert "finished" in page.text
    assert MARKUP in page.text
    assert "script" not in page.tags
    assert "2030-01-31 13:00:00 Europe/Berlin" in page.text
    assert "completed" in page.text


async def test_an_overdue_run_says_so(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now)
    assert "overdue 1" not in (await get(client, "/jobs")).text
    await add_job(database, due=now - timedelta(minutes=1))
    assert "overdue 1 min" in (await get(client, "/jobs")).text


async def test_pages_of_jobs_are_linked(client: AsyncClient, database: Database) -> None:
    for _ in range(3):
        await add_job(database)
    first = await client.get("/jobs?limit=2", headers=HTML)
    assert 'href="/jobs?cursor=2&amp;limit=2"' in first.text
    second = await client.get("/jobs?cursor=2&limit=2", headers=HTML)
    assert "Previous page" in second.text
    assert "3–3 of 3" in second.text
    assert "No more jobs" in (await get(client, "/jobs?cursor=9")).text


async def test_a_job_shows_its_facts_and_its_logs(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(
        database, jobname=MARKUP, due=now - timedelta(seconds=35), interval=10, misfire="skip", grace=20
    )
    await client.post("/jobs/run")
    await execute(database, "UPDATE joblog SET error = NULL WHERE jobid = :jobid", jobid=jobid)
    page = await get(client, f"/jobs/{jobid}")
    assert MARKUP in page.text
    assert "script" not in page.tags
    assert "Every 10 seconds, from 2030-01-31 12:00 UTC." in page.text
    assert "skip those later than the grace period of 20 seconds" in page.text
    assert "missed its grace period; covers 1 missed run" in page.text
    assert [log.status for log in await logs(database, jobid)].count("skipped") == 1


async def test_a_failed_run_shows_its_error_as_text(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database)
    await execute(
        database,
        "UPDATE joblog SET status = 'failed', error = :error, nextrun = NULL, finishedat = now()",
        error=MARKUP,
    )
    page = await get(client, f"/jobs/{jobid}")
    assert MARKUP in page.text
    assert "script" not in page.tags


async def test_older_logs_are_linked(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database, interval=60)
    page = await client.get(f"/jobs/{jobid}?limit=1", headers=HTML)
    assert "Older runs" not in page.text
    (log,) = await logs(database, jobid)
    assert "No older runs" in (await get(client, f"/jobs/{jobid}?cursor={log.logid}")).text
    await execute(database, "DELETE FROM joblog")
    assert "No runs yet" in (await get(client, f"/jobs/{jobid}")).text


async def test_the_form_suggests_a_start_ahead_and_takes_the_focus(client: AsyncClient) -> None:
    page = await get(client, "/jobs?form=true")
    assert page.by_id["startdate"]["value"]
    assert page.by_id["starttime"]["value"]
    assert page.by_id["timezone"]["value"] == "UTC"
    assert "autofocus" in page.by_id["jobname"]
    assert "aria-invalid" not in page.by_id["jobname"]


async def test_the_form_is_shown_whatever_the_client_accepts(client: AsyncClient) -> None:
    response = await client.get("/jobs?form=true")
    assert response.headers["content-type"].startswith("text/html")


async def test_a_good_form_leads_to_the_list_which_tells_of_it(
    client: AsyncClient, database: Database
) -> None:
    response = await client.post("/jobs", data=FORM | {"repeat": "true", "interval": "60"}, headers=HTML)
    assert response.status_code == 303
    assert response.headers["location"] == "/jobs/1?created=1"
    page = await get(client, response.headers["location"])
    assert "Created Nightly report." in page.text
    job = (await client.get("/jobs/1")).json()["job"]
    assert (job["repeat"], job["interval"], job["timezone"]) == (True, 60, "Europe/Berlin")


async def test_a_bad_form_comes_back_with_messages_values_and_focus(
    client: AsyncClient, database: Database
) -> None:
    form = FORM | {"jobname": f'"{MARKUP}', "starttime": "26:00", "interval": "soon", "repeat": "true"}
    response = await client.post("/jobs", data=form, headers=HTML)
    assert response.status_code == 422
    page = Page(response)
    assert page.by_id["jobname"]["value"] == f'"{MARKUP}'
    assert "checked" in page.by_id["kind-every"]
    for name in ("starttime", "interval"):
        field = page.by_id[name]
        assert field["value"] == form[name]
        assert field["aria-invalid"] == "true"
        assert f"error-{name}" in str(field["aria-describedby"]).split()
        assert f"error-{name}" in page.by_id
    assert "autofocus" in page.by_id["starttime"]
    assert sum("autofocus" in attributes for attributes in page.by_id.values()) == 1
    assert "Must be an integer." in page.text
    assert await scalar(database, "SELECT count(*) FROM job") == 0


async def test_what_only_the_database_knows_comes_back_at_its_field_too(client: AsyncClient) -> None:
    response = await client.post("/jobs", data=FORM | {"startdate": "2020-01-31"}, headers=HTML)
    assert response.status_code == 422
    page = Page(response)
    assert "The start must be in the future" in page.text
    assert page.by_id["startdate"]["aria-invalid"] == "true"


async def test_an_error_of_no_field_is_told_above_the_form(client: AsyncClient) -> None:
    response = await client.post("/jobs", data=FORM | {"colour": "red"}, headers=HTML)
    assert response.status_code == 422
    assert "colour: There is no such field." in Page(response).text


async def test_the_button_runs_what_is_due_and_tells_of_it(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 2)
    response = await client.post("/jobs/run", headers=HTML)
    assert response.status_code == 303
    assert "Ran due jobs: 2 finished." in (await get(client, response.headers["location"])).text
    response = await client.post("/jobs/run", headers=HTML)
    assert "No runs were due." in (await get(client, response.headers["location"])).text


async def test_a_notice_takes_only_numbers_from_the_address(client: AsyncClient) -> None:
    page = await get(client, "/jobs?created=%3Cb%3E&finished=lots")
    assert "Created" not in page.text
    assert "due:" not in page.text


async def test_the_form_shows_what_a_schedule_means_before_the_job_is_there(
    client: AsyncClient, database: Database
) -> None:
    fields = FORM | {
        "cron": "30 2 * * *",
        "startdate": "2030-03-30",
        "starttime": "",
        "exclude": "2030-04-01",
    }
    response = await client.post("/schedules/preview", data=fields, headers=HTML)
    assert response.status_code == 200
    page = Page(response)
    assert "At 02:30 every day, in Europe/Berlin" in page.text
    assert "The clock skips 02:00 to 03:00: the job runs right after." in page.text
    assert "Excluded: the job does not run on this day." in page.text
    assert page.by_id["cron"]["value"] == "30 2 * * *"
    assert await scalar(database, "SELECT count(*) FROM job") == 0


async def test_a_preview_that_cannot_be_made_says_why_at_the_field(client: AsyncClient) -> None:
    response = await client.post("/schedules/preview", data=FORM | {"cron": "99 * * * *"}, headers=HTML)
    assert response.status_code == 422
    page = Page(response)
    assert "The minute is not valid" in page.text
    assert page.by_id["cron"]["aria-invalid"] == "true"
    assert "error-cron" in str(page.by_id["cron"]["aria-describedby"])
    assert "The preview needs some corrections" in page.text


async def test_the_form_offers_every_part_of_a_schedule(client: AsyncClient, database: Database) -> None:
    fields = FORM | {
        "startdate": "",
        "starttime": "",
        "cron": "0 9 * * *",
        "until": "2031-01-01T12:00",
        "maxruns": "5",
        "exclude": "2030-12-24/2030-12-26, 2030-05-01",
        "dstgap": "skip",
        "dstfold": "both",
        "jitter": "30",
        "tags": "reports, nightly",
    }
    page = await get(client, "/jobs?form=true")
    assert set(fields) <= page.by_id.keys()
    response = await client.post("/jobs", data=fields, headers=HTML)
    assert response.status_code == 303, response.text
    job = (await client.get("/jobs/1")).json()["job"]
    assert (job["cron"], job["maxruns"], job["jitter"]) == ("0 9 * * *", 5, 30)
    assert job["until"] == "2031-01-01T11:00:00Z"
    assert job["exclude"] == ["2030-12-24/2030-12-26", "2030-05-01"]
    assert job["tags"] == ["reports", "nightly"]
    assert (job["dstgap"], job["dstfold"]) == ("skip", "both")


async def test_a_job_is_operated_from_its_page(client: AsyncClient, database: Database) -> None:
    body = {
        "jobname": MARKUP,
        "cron": "0 9 * * *",
        "tags": ["<b>"],
        "exclude": ["2030-12-25"],
        "maxruns": 9,
        "jitter": 5,
    }
    await client.post("/jobs", json=body, headers={"user-agent": MARKUP})
    page = await get(client, "/jobs/1")
    assert "Skip next run" in page.text
    assert page.tags.count("script") == 0
    for verb, fields, state in (
        ("run", {}, "active"),
        ("skip", {}, "active"),
        ("pause", {"reason": MARKUP}, "paused"),
        ("resume", {}, "active"),
        ("delete", {}, "deleted"),
    ):
        response = await client.post(
            f"/jobs/1/{verb}",
            data=fields,
            headers=HTML | {"content-type": "application/x-www-form-urlencoded"},
        )
        assert response.status_code == 303, (verb, response.text)
        assert (await client.get("/jobs/1?deleted=true")).json()["job"]["state"] == state
        page = await get(client, "/jobs/1")
        assert state in page.text
        assert page.tags.count("script") == 0
    assert "reason: <script>" in page.text
    page = await get(client, "/jobs?deleted=1")
    assert f"Deleted {MARKUP}." in page.text
    assert page.tags.count("script") == 0


async def test_why_is_a_page_for_browsers(client: AsyncClient, database: Database) -> None:
    await client.post("/jobs", json={"jobname": MARKUP, "cron": "0 9 * * *", "exclude": ["2030-12-25"]})
    page = await get(client, "/jobs/1/explain?at=2030-12-25T09:00:00Z")
    assert "because the date is excluded" in page.text
    await client.post("/jobs/1/run")
    log = (await client.get("/jobs/1/logs?cause=manual")).json()[0]
    page = await get(client, f"/jobs/1/explain?at={log['scheduledfor'][:19]}Z")
    assert "a run was requested" in page.text
    await get(client, "/jobs/1/explain?at=never", 422)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "localtime", "Factory"])
async def test_a_job_whose_schedule_cannot_be_computed_still_has_a_page(
    client: AsyncClient, database: Database, zone: str
) -> None:
    await add_job(database, timezone=zone)
    for path in ("/jobs", "/upcoming", "/overview", "/logs", "/jobs/1?form=true"):
        await get(client, path)
    assert not (await client.get("/jobs/1/check")).json()["clean"]
    assert "cannot be computed" in (await get(client, "/jobs/1")).text
    for path in ("upcoming", "explain?at=2030-01-01T00:00:00Z"):
        response = await client.get(f"/jobs/1/{path}")
        assert (response.status_code, response.json()["code"]) == (409, "schedule_unusable")
    repaired = await client.patch("/jobs/1", json={"timezone": "UTC"})
    assert (repaired.status_code, repaired.json()["timezone"]) == (200, "UTC")
