"""The pages around targets: logs with their attempts, tests, secrets, and the form's part on targets."""

import re
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from httpx import AsyncClient, Response

from scheduler_api.contracts.jobs.job import Job, JobState
from scheduler_api.contracts.jobs.secrets import NewSecret
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.runs.attempts import Attempt, Line, LogWithAttempts, TestAnswer
from scheduler_api.contracts.runs.logs import JobWithLogs, Log
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.schedule import Fold, Gap, Misfire
from scheduler_api.services.views import JobView
from scheduler_api.web.pages import Pages
from tests.factories import execute, scalar
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import FORM, HTML, MARKUP, Page, get

SECRET = "Bearer-e5a1c0"
NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
AS_FORM = HTML | {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def post(client: AsyncClient, url: str, status: int = 303) -> Response:
    response = await client.post(url, headers=AS_FORM)
    assert response.status_code == status, response.text
    return response


async def calling(client: AsyncClient, url: str, target: dict[str, Any] | None = None, **body: Any) -> int:
    """A job with a target and a run that was asked for; its jobid."""
    job = {
        "jobname": MARKUP,
        "cron": "0 9 * * *",
        "target": {"url": url, "headers": {"Authorization": SECRET}, "retries": 0} | (target or {}),
    }
    created = await client.post("/jobs", json=job | body)
    assert created.status_code == 201, created.text
    jobid = int(created.json()["jobid"])
    await client.post(f"/jobs/{jobid}/run")
    return jobid


async def ran(client: AsyncClient) -> dict[str, Any]:
    """Make the call that is due; its log."""
    await client.post("/jobs/run")
    log: dict[str, Any] = (await client.get("/jobs/1/logs?cause=manual")).json()[0]
    return log


def strict(response: Response) -> Page:
    """The page, if it has nothing inline, and does not tell the header's value."""
    assert not re.search(r"<style|\s(style|on\w+)=", response.text)
    assert not re.search(r"<script(?! (?:type=\"module\" )?src=\"/static/)", response.text)
    assert SECRET not in response.text
    return Page(response)


async def page_of(client: AsyncClient, url: str) -> Page:
    response = await client.get(url, headers=HTML)
    assert response.status_code == 200, response.text
    return strict(response)


async def test_a_failed_call_shows_its_attempt_and_can_be_tried_again(
    client: AsyncClient, receiver: Receiver
) -> None:
    receiver.always(500, MARKUP)
    await calling(client, receiver.url)
    log = await ran(client)
    assert log["status"] == "failed"
    response = await client.get(f"/logs/{log['logid']}", headers=HTML)
    page = strict(response)
    assert 'href="/jobs/1"' in response.text
    assert "The target answered 500 Internal Server Error." in page.text
    assert "unsuccessful status" in page.text
    assert page.text.count(MARKUP) >= 3  # the title, the crumbs, the answer
    assert "script" not in page.tags
    assert {"svg", "rect", "pre", "table"} <= set(page.tags)
    assert "first byte" in page.text
    assert "1 of at most 1" in page.text
    assert f'action="/logs/{log["logid"]}/retry"' in response.text
    assert f'action="/logs/{log["logid"]}/cancel"' not in response.text

    job = await client.get("/jobs/1", headers=HTML)
    assert f'action="/logs/{log["logid"]}/retry?back=%2Fjobs%2F1"' in job.text
    assert f'href="/logs/{log["logid"]}"' in job.text

    retried = await post(client, f"/logs/{log['logid']}/retry")
    assert retried.headers["location"] == f"/logs/{log['logid']}"
    response = await client.get(f"/logs/{log['logid']}", headers=HTML)
    page = strict(response)
    assert "2 of at most 2, not sent yet" in page.text
    assert "Last attempt." in page.text
    assert "/retry" not in response.text
    assert f'action="/logs/{log["logid"]}/cancel"' in response.text
    assert "The run is marked failed. It is not retried." in page.text

    await post(client, f"/logs/{log['logid']}/cancel")
    page = await page_of(client, f"/logs/{log['logid']}")
    assert "It was cancelled by request." in page.text


async def test_a_waiting_retry_tells_its_plan(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(503)
    await calling(client, receiver.url, {"retries": 2, "backoff": 3600, "maxbackoff": 7200})
    log = await ran(client)
    assert (log["status"], log["attempt"]) == ("pending", 2)
    page = await page_of(client, f"/logs/{log['logid']}")
    assert "2 of at most 3, not sent yet" in page.text
    assert "Retried after up to 2 hours, unless it ends after" in page.text
    job = await page_of(client, "/jobs/1")
    assert re.search(r"next attempt at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", job.text)
    assert "Retry" not in job.text


async def test_an_accepted_run_shows_how_far_it_is(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(202)
    await calling(client, receiver.url)
    log = await ran(client)
    page = await page_of(client, f"/logs/{log['logid']}")
    assert "No progress reported yet" in page.text
    assert "progress" not in page.tags

    told = receiver.requests[0][0].headers["scheduler-run"].partition("/runs/")[2]
    report = {"progress": 40, "message": MARKUP, "lines": [MARKUP, "second"]}
    assert (await client.post(f"/runs/{told}", json=report)).status_code == 200
    response = await client.get(f"/logs/{log['logid']}", headers=HTML)
    page = strict(response)
    assert '<progress max="100" value="40"' in response.text
    assert "40\N{NO-BREAK SPACE}%" in page.text
    assert "Next update expected by" in page.text
    assert "Output" in page.text
    assert page.text.count(MARKUP) >= 4
    assert "script" not in page.tags
    assert "The run is marked failed. The target may keep working." in page.text


async def test_a_run_that_was_asked_for_can_be_cancelled_but_not_the_promise(
    client: AsyncClient, receiver: Receiver
) -> None:
    await calling(client, receiver.url)
    (asked,) = (await client.get("/jobs/1/logs?cause=manual")).json()
    (promise,) = (await client.get("/jobs/1/logs?cause=schedule")).json()
    assert "/cancel" not in (await client.get(f"/logs/{promise['logid']}", headers=HTML)).text
    assert "No attempts yet" in (await page_of(client, f"/logs/{promise['logid']}")).text
    await post(client, f"/logs/{asked['logid']}/cancel")
    page = await page_of(client, f"/logs/{asked['logid']}")
    assert "No request was sent." in page.text
    assert "cancelled" in page.text


async def test_what_cannot_be_tried_again_has_no_button(
    client: AsyncClient, receiver: Receiver, database: Database
) -> None:
    receiver.always(400)
    await calling(client, receiver.url)
    log = await ran(client)
    await client.delete("/jobs/1")
    for url in ("/jobs/1", f"/logs/{log['logid']}"):
        response = await client.get(url, headers=HTML)
        for action in ("/retry", "/test", "/jobs/1/secrets", "/cancel"):
            assert action not in response.text
        strict(response)
    await client.post("/jobs", json={"jobname": "Calls nothing", "cron": "0 9 * * *"})
    await client.post("/jobs/2/run")
    await client.post("/jobs/run")
    logid = await scalar(database, "SELECT logid FROM joblog WHERE jobid = 2 AND cause = 'manual'")
    await execute(
        database, "UPDATE joblog SET status = 'failed', error = 'Broke.' WHERE logid = :logid", logid=logid
    )
    response = await client.get(f"/logs/{logid}", headers=HTML)
    assert "No target: this run is only recorded." in response.text
    assert "/retry" not in response.text
    page = await client.get("/jobs/2", headers=HTML)
    assert "/retry" not in page.text
    assert "Target" not in page.text


async def test_the_page_of_a_job_shows_its_target_but_no_values_of_headers(
    client: AsyncClient, receiver: Receiver
) -> None:
    target = {"url": f"{receiver.url}?a=<b>&b={{{{logid}}}}", "body": {"x": MARKUP}, "pattern": "<b>"}
    await calling(client, receiver.url, target, autopause=3, overlap=True)
    response = await client.get("/jobs/1", headers=HTML)
    page = strict(response)
    assert "Authorization: secret authorization-" in page.text
    assert f"{receiver.url}?a=<b>&b={{{{logid}}}}" in page.text
    assert f'"x": "{MARKUP}"' in page.text
    assert "No retries." in page.text
    assert "After 3 consecutive failures" in page.text
    assert "Unlimited." in page.text
    assert "b" not in page.tags
    assert "script" not in page.tags
    assert 'action="/jobs/1/test"' in response.text
    assert "Sends one real request" in page.text
    assert 'action="/jobs/1/secrets"' in response.text

    changed = {"X-Purpose": SECRET, "Authorization": None}
    await client.patch("/jobs/1", json={"target": {"url": receiver.url, "headers": changed}})
    page = await page_of(client, "/jobs/1")
    assert "target header X-Purpose: •••" in page.text
    assert re.search(r"target header Authorization: secret authorization-\w+ → none", page.text)


async def test_a_test_of_the_target_shows_what_it_answered(client: AsyncClient, receiver: Receiver) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=200 if len(receiver.requests) == 1 else 404, text=MARKUP)

    receiver.answer = answer
    await calling(client, receiver.url)
    response = await post(client, "/jobs/1/test", 200)
    page = strict(response)
    assert "Success: a run with this response would have finished" in page.text
    assert receiver.url in page.text
    assert MARKUP in page.text
    assert {"svg", "pre"} <= set(page.tags)
    assert "script" not in page.tags
    page = strict(await post(client, "/jobs/1/test", 200))
    assert "Failed (unsuccessful status): The target answered 404 Not Found." in page.text
    moved = {"url": "http://127.0.0.1:1/", "headers": {"Authorization": None}}
    await client.patch("/jobs/1", json={"target": moved})
    page = strict(await post(client, "/jobs/1/test", 200))
    assert "no connection" in page.text
    assert "No response." in page.text


async def test_a_new_secret_is_shown_once(client: AsyncClient, receiver: Receiver) -> None:
    await calling(client, receiver.url)
    response = await client.post("/jobs/1/secrets", headers=AS_FORM)
    assert response.status_code == 201
    page = strict(response)
    assert str(page.by_id["secret"]["value"]).startswith("whsec_")
    assert "won’t be shown again" in page.text


TARGET_FORM = FORM | {
    "target_url": "https://example.com/hook",
    "target_method": "PUT",
    "target_headers": f"Authorization: {SECRET}\r\nX-Time: 12:30\r\n\r\n",
    "target_body": '{"run": "{{logid}}", "share": 0.5}',
    "target_timeout": "60",
    "target_success": "200-204, 404",
    "target_pattern": "done",
    "target_retries": "5",
    "overlap": "true",
    "concurrency": "2",
    "autopause": "10",
}


async def submitted(client: AsyncClient, **fields: str) -> Response:
    return await client.post("/jobs", data=TARGET_FORM | fields, headers=HTML)


async def created(client: AsyncClient, **fields: str) -> dict[str, Any]:
    response = await submitted(client, **fields)
    assert response.status_code == 303, response.text
    job: dict[str, Any] = (await client.get(response.headers["location"].partition("?")[0])).json()
    return dict(job["job"])


async def test_the_form_makes_a_target(client: AsyncClient) -> None:
    page = await get(client, "/jobs?form=true")
    assert TARGET_FORM.keys() <= page.by_id.keys()
    assert page.by_id["target_timeout"]["value"] == "30"
    assert page.by_id["target_success"]["value"] == "2xx"
    job = await created(client)
    target = job["target"]
    assert (target["url"], target["method"]) == ("https://example.com/hook", "PUT")
    assert target["headers"].keys() == {"Authorization", "X-Time"}
    assert target["headers"]["X-Time"] == "12:30"
    assert target["headers"]["Authorization"]["secret"].startswith("authorization-")
    assert target["body"] == {"run": "{{logid}}", "share": 0.5}
    assert (target["timeout"], target["retries"], target["pattern"]) == (60, 5, "done")
    assert target["success"] == ["200-204", "404"]
    assert (job["overlap"], job["concurrency"], job["autopause"]) == (True, 2, 10)


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        ("", None),
        ("[1, 2]", [1, 2]),
        ("17", "17"),
        ('"quoted"', '"quoted"'),
        ("{{logid}} is\r\ndone ", "{{logid}} is\ndone "),
        ("{no json", "{no json"),
        ("[NaN]", "[NaN]"),
    ],
)
async def test_a_body_is_sent_as_json_or_as_text(client: AsyncClient, typed: str, body: Any) -> None:
    assert (await created(client, target_body=typed))["target"]["body"] == body


async def test_without_a_url_there_is_no_target(client: AsyncClient) -> None:
    assert (await created(client, target_url=" ", target_timeout="soon"))["target"] is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("target_url", "ftp://example.com", "Give a URL that begins with http:// or https://."),
        ("target_url", "http://169.254.169.254/", "SCHEDULER_TARGET_NETWORKS opens networks."),
        ("target_url", "https://example.com/{{nothing}}", "There is no placeholder nothing"),
        ("target_method", "BREW", "Must be one of"),
        ("target_headers", "Authorization", "Line 1 must be a name, a colon and a value."),
        ("target_headers", "A: 1\r\nA: 2", "A is given twice."),
        ("target_headers", "A: 1\r\na: 2", "Header names must be unique"),
        ("target_headers", "Host: example.com", "it belongs to the connection"),
        ("target_headers", ": nameless", "Give a header name"),
        ("target_body", '{"a": 1, "a": 2}', "An object has the same name twice."),
        ("target_body", "[1e999]", "Holds too large a number."),
        ("target_body", r'["\ud800"]', "unpaired surrogates"),
        ("target_timeout", "soon", "Must be an integer."),
        ("target_timeout", "0", "Must be at least 1."),
        ("target_success", "fine great", "Must be a status"),
        ("target_retries", "101", "Must be at most 100."),
        ("concurrency", "0", "Must be at least 1."),
        ("autopause", "never", "Must be an integer."),
    ],
)
async def test_what_is_wrong_with_a_target_is_told_at_its_field(
    client: AsyncClient, field: str, value: str, said: str
) -> None:
    response = await submitted(client, **{field: value})
    assert response.status_code == 422, response.text
    page = Page(response)
    assert page.by_id[field]["aria-invalid"] == "true"
    assert "autofocus" in page.by_id[field]
    assert f"error-{field}" in str(page.by_id[field]["aria-describedby"]).split()
    assert f"error-{field}" in page.by_id
    assert page.text.count(said) == 1
    others = {name for name, found in page.by_id.items() if "aria-invalid" in found} - {field}
    assert not others


@pytest.mark.parametrize("depth", [18, 500, 40_000])
async def test_a_body_that_is_nested_too_deeply(client: AsyncClient, depth: int) -> None:
    page = Page(await submitted(client, target_body="[" * depth + "]" * depth))
    assert page.by_id["target_body"]["aria-invalid"] == "true"
    assert page.text.count("Must not be nested deeper than 16 levels.") == 1


async def test_a_target_with_errors_keeps_what_was_typed(client: AsyncClient) -> None:
    typed = {
        "jobname": "x",
        "target_url": f'https://example.com/"{MARKUP}',
        "target_headers": f"\n</textarea>{MARKUP}",
        "target_body": f"\n\n{MARKUP}",
        "target_method": "GET",
    }
    response = await submitted(client, **typed)
    assert response.status_code == 422
    page = Page(response)
    assert page.by_id["target_url"]["value"] == typed["target_url"]
    assert f"\n\n</textarea>{MARKUP}" in page.text
    assert f"\n\n\n{MARKUP}" in page.text
    assert "<option selected>GET" in response.text
    assert "checked" in page.by_id["overlap"]
    assert "script" not in page.tags
    for field in ("jobname", "target_headers"):
        assert page.by_id[field]["aria-invalid"] == "true"


async def test_invalid_that_lie_between_fields_of_a_target(client: AsyncClient) -> None:
    page = Page(await submitted(client, target_method="GET"))
    assert page.by_id["target_body"]["aria-invalid"] == "true"
    page = Page(await submitted(client, target_method="HEAD", target_body=""))
    assert page.by_id["target_pattern"]["aria-invalid"] == "true"
    response = await client.post(
        "/jobs", data={k: v for k, v in TARGET_FORM.items() if k != "overlap"}, headers=HTML
    )
    assert Page(response).by_id["concurrency"]["aria-invalid"] == "true"
    assert "target_colour: There is no such field." in Page(await submitted(client, target_colour="red")).text
    page = Page(await submitted(client, target_url="", target="x"))
    assert page.by_id["target_url"]["aria-invalid"] == "true"


async def test_a_preview_keeps_the_target_but_does_not_look_at_it(client: AsyncClient) -> None:
    fields = TARGET_FORM | {"target_timeout": "soon"}
    response = await client.post("/schedules/preview", data=fields, headers=HTML)
    assert response.status_code == 200
    assert Page(response).by_id["target_timeout"]["value"] == "soon"


def hostile_job() -> Job:
    """A job as no contract lets it in: the pages trust none of it."""
    target = Target.model_construct(
        url=f"javascript:{MARKUP}",
        headers={MARKUP: SECRET, '"><b>': SECRET},
        body=f"</pre>{MARKUP}",
        success=[MARKUP],
        pattern=MARKUP,
        retryon=[MARKUP],
    )
    values: dict[str, Any] = dict.fromkeys(Job.model_fields) | {
        "jobid": 1, "jobname": MARKUP, "timezone": "UTC", "overlap": True, "state": JobState.ACTIVE,
        "exclude": [], "tags": [], "misfire": Misfire.ONCE, "dstgap": Gap.AFTER, "dstfold": Fold.ONCE,
        "recoverafter": 1,
    }  # fmt: skip
    return Job.model_construct(**(values | {"target": target}))


def rendered(text: str) -> Page:
    return strict(Response(200, text=text))


def test_whatever_a_job_holds_is_text() -> None:
    job = hostile_job()
    found = JobWithLogs.model_construct(job=job, logs=[])
    nothing: Any = None
    row = JobRow(*[nothing] * len(fields(JobRow)))
    text = Pages().job(JobView(NOW, row, found, [], [], None, [], [], None), None, (), None, {})
    page = rendered(text)
    assert f"{MARKUP}: •••" in page.text
    assert '"><b>: •••' in page.text
    assert page.text.count(MARKUP) > 6
    assert not {"script", "b"} & set(page.tags)
    assert 'href="javascript' not in text


def test_whatever_a_log_holds_is_text() -> None:
    log = dict.fromkeys(Log.model_fields) | {
        "logid": 1, "jobid": 1, "scheduledfor": NOW, "startedat": NOW, "leaseuntil": NOW, "attempt": 2,
        "status": "running", "cause": "manual", "kind": "http",
        "host": MARKUP, "missed": 0, "runs": 1, "reason": "cancelled",
        "error": MARKUP,
    }  # fmt: skip
    attempt = dict.fromkeys(Attempt.model_fields) | {
        "attempt": 1, "startedat": NOW, "outcome": "failed", "failure": "status", "error": MARKUP,
        "timing": {MARKUP: 5.0, "total": 5.0, "dns": 1.0}, "excerpt": f"</pre>{MARKUP}", "message": MARKUP,
        "replica": MARKUP,
    }  # fmt: skip
    lines = [Line(lineid=1, attempt=1, at=NOW, line=MARKUP)]
    accepted = attempt | {"outcome": "accepted", "attempt": 2, "progress": 7}
    found = LogWithAttempts(
        traceid=MARKUP,
        log=Log.model_validate(log),
        attempts=[Attempt.model_validate(attempt), Attempt.model_validate(accepted)],
        lines=lines,
        body={MARKUP: MARKUP},
    )
    page = rendered(Pages().log(NOW, hostile_job(), found))
    assert page.text.count(MARKUP) > 10
    assert not {"script", "b"} & set(page.tags)


def test_whatever_a_target_answers_to_a_test_is_text() -> None:
    answer = TestAnswer(
        url=f"javascript:{MARKUP}", ok=False, failure="status", error=MARKUP, httpstatus=None, timing={},
        excerpt=f"</pre>{MARKUP}",
    )  # fmt: skip
    page = rendered(Pages().test(NOW, hostile_job(), answer))
    assert page.text.count(MARKUP) == 4 + 1  # and the title
    assert "script" not in page.tags
    assert 'href="javascript' not in Pages().test(NOW, hostile_job(), answer)
    nothing = answer.model_copy(update={"ok": True, "httpstatus": 202, "excerpt": None})
    page = rendered(Pages().test(NOW, hostile_job(), nothing))
    assert "The response has no body." in page.text
    assert "would wait for the target’s report" in page.text


def test_a_secret_is_an_attribute_that_nothing_breaks_out_of() -> None:
    secret = NewSecret(secretid=1, jobid=1, createdat=NOW, secret=f'"><b>{MARKUP}')
    page = rendered(Pages().secret(NOW, hostile_job(), secret))
    assert page.by_id["secret"]["value"] == f'"><b>{MARKUP}'
    assert not {"script", "b"} & set(page.tags)


def test_links_to_targets_do_not_tell_where_they_are() -> None:
    answer = TestAnswer(
        url="https://example.com/a", ok=True, failure=None, error=None, httpstatus=200, timing={}, excerpt="x"
    )
    text = Pages().test(NOW, hostile_job(), answer)
    assert '<a href="https://example.com/a" rel="noopener noreferrer nofollow">' in text


async def test_a_log_shows_its_request_without_secrets(client: AsyncClient) -> None:
    body = {"of": "{{jobid}}", "x": MARKUP}
    jobid = await calling(client, "http://localhost:1/{{logid}}", {"body": body})
    log = await ran(client)
    page = await page_of(client, f"/logs/{log['logid']}")
    assert f"POST http://localhost:1/{log['logid']}" in page.text
    assert "Authorization: •••" in page.text
    assert f'"of":{jobid}' in page.text
    assert MARKUP in page.text
    assert "webhook-id: " in page.text
