"""Targets over HTTP: written with a job, called for real, tried again, cancelled, reported on."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from httpx import AsyncClient, Response
from standardwebhooks import Webhook

from scheduler_api.database.engine import Database
from tests.factories import execute, scalar
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import HTML

TARGET = {"url": "https://example.com/hook"}
JOB = {"jobname": "A call", "startdate": "2030-01-31", "starttime": "02:00"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def create(client: AsyncClient, target: dict[str, Any], **more: Any) -> int:
    response = await client.post("/jobs", json=JOB | {"target": target} | more)
    assert response.status_code == 201, response.text
    return int(response.json()["jobid"])


async def run_now(client: AsyncClient, jobid: int) -> int:
    response = await client.post(f"/jobs/{jobid}/run")
    assert response.status_code == 202
    return int(response.json()["logid"])


async def run_due(client: AsyncClient, **expected: int) -> None:
    report = (await client.post("/jobs/run")).json()
    assert {name: report[name] for name in expected} == expected, report


async def log_of(client: AsyncClient, logid: int) -> Any:
    return (await client.get(f"/logs/{logid}")).json()


def field_errors(response: Response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    return {field_error["pointer"]: field_error["detail"] for field_error in response.json()["errors"]}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "ftp://example.com/"}, "/target/url"),
        ({"url": "http://user:pw@example.com/"}, "/target/url"),
        ({"url": "http://2130706433/"}, "/target/url"),
        ({"url": "http://{{jobname}}.example.com/"}, "/target/url"),
        ({"url": "http://example.com/{{secret}}"}, "/target/url"),
        ({"url": "http://10.0.0.1/"}, "/target/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/target/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/target/url"),
        ({"method": "BREW"}, "/target/method"),
        ({"method": "GET", "body": "text"}, "/target/body"),
        ({"method": "HEAD", "pattern": "ok"}, "/target/pattern"),
        ({"headers": {"Host": "a"}}, "/target/headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "/target/headers"),
        ({"headers": {"X": "1", "x": "2"}}, "/target/headers"),
        ({"headers": {"webhook-id": "1"}}, "/target/headers"),
        ({"body": {"a": ["{{nothing}}"]}}, "/target/body"),
        ({"body": "\0"}, "/target/body"),
        ({"timeout": 0}, "/target/timeout"),
        ({"timeout": 3601}, "/target/timeout"),
        ({"timeout": "30"}, "/target/timeout"),
        ({"success": []}, "/target/success"),
        ({"success": ["2yy"]}, "/target/success/0"),
        ({"retryon": ["600"]}, "/target/retryon/0"),
        ({"retries": -1}, "/target/retries"),
        ({"pattern": ""}, "/target/pattern"),
        ({"colour": "red"}, "/target/colour"),
    ],
)
async def test_an_error_in_a_target_is_told_at_its_place(
    client: AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    told = field_errors(await client.post("/jobs", json=JOB | {"target": TARGET | change}))
    assert set(told) == {pointer}
    jobid = await create(client, TARGET)
    assert set(field_errors(await client.patch(f"/jobs/{jobid}", json={"target": TARGET | change}))) == {
        pointer
    }


async def test_more_at_once_needs_overlap(client: AsyncClient) -> None:
    told = field_errors(await client.post("/jobs", json=JOB | {"concurrency": 2}))
    assert told == {"/concurrency": "Values above 1 require `overlap` to be true."}


async def test_the_call_carries_the_runs_values(client: AsyncClient, receiver: Receiver) -> None:
    target = {
        "url": f"{receiver.url}/{{{{jobname}}}}?log={{{{logid}}}}",
        "method": "PUT",
        "headers": {"X-Name": "{{jobname}}", "Authorization": "Bearer abc"},
        "body": {"log": "{{logid}}", "text": "Attempt {{ attempt }} of {{jobname}}", "runs": ["{{runs}}"]},
    }
    jobid = await create(client, target, jobname='Ü "quoted" {{logid}}\\')
    logid = await run_now(client, jobid)
    await run_due(client, finished=1, failed=0)
    ((request, body),) = receiver.requests
    assert request.method == "PUT"
    assert request.path_qs == f"/hook/%C3%9C%20%22quoted%22%20%7B%7Blogid%7D%7D%5C?log={logid}"
    assert request.headers["X-Name"] == '%C3%9C "quoted" {{logid}}\\'
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["webhook-id"].startswith("msg_")
    assert request.headers["traceparent"].startswith(f"00-{request.headers['webhook-id'][4:]}-")
    assert "webhook-signature" not in request.headers
    text = 'Attempt 1 of Ü "quoted" {{logid}}\\'
    assert json.loads(body) == {"log": logid, "text": text, "runs": [0]}


async def test_a_run_now_may_send_a_body_of_its_own(client: AsyncClient, receiver: Receiver) -> None:
    """And its retries send it again; other runs do not."""
    receiver.always(503)
    target = {"url": receiver.url, "retries": 0, "body": {"day": "today"}}
    jobid = await create(client, target)
    made = await client.post(f"/jobs/{jobid}/run", json={"body": {"day": "{{scheduledfor}}", "n": [1]}})
    assert made.status_code == 202, made.text
    logid = made.json()["logid"]
    await run_due(client, failed=1)
    receiver.always(200)
    await client.post(f"/logs/{logid}/retry")
    await run_due(client, finished=1)
    await run_now(client, jobid)
    await run_due(client, finished=1)
    bodies = [json.loads(body) for _, body in receiver.requests]
    assert bodies[0] == bodies[1] == {"day": made.json()["scheduledfor"], "n": [1]}
    assert bodies[2] == {"day": "today"}
    assert (await log_of(client, logid))["body"] == {"day": "{{scheduledfor}}", "n": [1]}
    assert (await log_of(client, logid + 1))["body"] is None
    page = (await client.get(f"/logs/{logid}", headers=HTML)).text
    assert "&#34;n&#34;" in page


async def test_a_response_that_nobody_else_may_read_is_not_kept(
    client: AsyncClient, receiver: Receiver
) -> None:
    receiver.always(200, "a secret")
    for keep, excerpt in ((True, "a secret"), (False, None)):
        target = {"url": receiver.url, "keepresponse": keep, "pattern": "secret"}
        logid = await run_now(client, await create(client, target))
        await run_due(client, finished=1)
        assert (await log_of(client, logid))["attempts"][0]["excerpt"] == excerpt


async def test_an_echo_of_the_request_publishes_no_secret(client: AsyncClient, receiver: Receiver) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=str(dict(request.headers)), status=500)

    receiver.answer = echo
    target = {"url": receiver.url, "retries": 0, "headers": {"Authorization": "Bearer sesame-open-up"}}
    jobid = await create(client, target)
    logid = await run_now(client, jobid)
    await run_due(client, failed=1)
    request, _ = receiver.requests[0]
    assert request.headers["Authorization"] == "Bearer sesame-open-up"
    token = request.headers["scheduler-run"].rpartition("/")[2]
    told = [
        (await client.get(f"/logs/{logid}")).text,
        (await client.get(f"/logs/{logid}", headers=HTML)).text,
        (await client.post(f"/jobs/{jobid}/test")).text,
    ]
    for text in told:
        assert ("sesame" in text, token in text, "•••" in text) == (False, False, True)


async def test_what_lets_somebody_in_does_not_go_elsewhere_by_itself(
    client: AsyncClient, receiver: Receiver
) -> None:
    kept = {"Authorization": "Bearer sesame-open-up", "X-Name": "scheduler"}
    jobid = await create(client, {"url": f"{receiver.url}/a", "headers": kept})
    elsewhere = "https://elsewhere.example.com/"
    refused = await client.patch(f"/jobs/{jobid}", json={"target": {"url": elsewhere}})
    assert refused.status_code == 422, refused.text
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/target/headers/Authorization"]
    form = {"jobname": "A job", "kind": "every", "interval": "3600", "target_url": elsewhere}
    form |= {"target_headers": "Authorization: •••\nX-Name: •••"}
    for path, more in ((f"/jobs/{jobid}/edit", {}), ("/jobs", {"from": str(jobid)})):
        page = await client.post(path, data=form | more, headers=HTML)
        assert (page.status_code, "give the value of Authorization." in page.text) == (422, True)
        assert "give the value of X-Name" not in page.text
    for change in (
        {"url": f"{receiver.url}/b"},
        {"url": elsewhere, "headers": {"Authorization": "Bearer another"}},
        {"url": f"{receiver.url}/c", "headers": {"Authorization": None}},
        {"url": "https://again.example.com/"},
    ):
        done = await client.patch(f"/jobs/{jobid}", json={"target": change})
        assert done.status_code == 200, done.text


async def test_a_body_goes_where_requests_have_one(client: AsyncClient, receiver: Receiver) -> None:
    get = await create(client, {"url": receiver.url, "method": "GET"})
    assert field_errors(await client.post(f"/jobs/{get}/run", json={"body": "x"})).keys() == {"/body"}
    assert (await client.post(f"/jobs/{get}/run", json={"body": None})).status_code == 202
    post = await create(client, {"url": receiver.url})
    wrong = {"body": "{{nothing}}"}
    assert field_errors(await client.post(f"/jobs/{post}/run", json=wrong)).keys() == {"/body"}
    plain = (await client.post("/jobs", json=JOB)).json()["jobid"]
    response = await client.post(f"/jobs/{plain}/run", json={"body": "x"})
    assert (response.status_code, response.json()["code"]) == (409, "job_has_no_target")
    form = await client.post(f"/jobs/{post}/run", data={"body": '{"typed": true}'}, headers=HTML)
    assert form.status_code == 303
    runs = (await client.get(f"/jobs/{post}")).json()["logs"]
    (manual,) = [run["logid"] for run in runs if run["cause"] == "manual"]
    assert (await log_of(client, manual))["body"] == {"typed": True}


async def test_each_attempt_is_kept_with_what_came_of_it(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(503, "<b>busy</b>\0")
    logid = await run_now(client, await create(client, {"url": receiver.url, "retries": 1, "backoff": 1}))
    await run_due(client, retried=1, failed=0)
    found = await log_of(client, logid)
    assert (found["log"]["status"], found["log"]["attempt"]) == ("pending", 2)
    (attempt,) = found["attempts"]
    assert (attempt["outcome"], attempt["failure"], attempt["httpstatus"]) == ("failed", "status", 503)
    assert attempt["error"] == "The target answered 503 Service Unavailable."
    assert attempt["excerpt"].startswith("<b>busy</b>")
    assert {"connect", "firstbyte", "total"} <= attempt["timing"].keys()
    receiver.always(200, "fine")
    await until_due(client, logid)
    await run_due(client, finished=1)
    first, second = receiver.requests
    assert first[0].headers["webhook-id"] == second[0].headers["webhook-id"]


@pytest.mark.parametrize(
    ("asked", "waited", "said"),
    [
        ("86399", 86_399, "429 Too Many Requests."),
        ("86400", 86_400, "429 Too Many Requests."),
        ("86401", 86_400, "longer than a day; a day it is."),
        ("9" * 40, 86_400, "longer than a day; a day it is."),
    ],
)
async def test_a_target_is_left_alone_for_as_long_as_it_asks(
    client: AsyncClient, receiver: Receiver, asked: str, waited: int, said: str
) -> None:
    receiver.always(429, **{"Retry-After": asked})
    logid = await run_now(client, await create(client, {"url": receiver.url}))
    await run_due(client, retried=1, failed=0)
    found = await log_of(client, logid)
    log, (attempt,) = found["log"], found["attempts"]
    ended, due = datetime.fromisoformat(attempt["finishedat"]), datetime.fromisoformat(log["nextrun"])
    assert (log["status"], log["attempt"], (due - ended).total_seconds()) == ("pending", 2, waited)
    assert attempt["error"].endswith(said)


async def until_due(client: AsyncClient, logid: int) -> None:
    """Wait until the next attempt of a log is due."""
    while datetime.fromisoformat((await log_of(client, logid))["log"]["nextrun"]) > datetime.now(UTC):
        await asyncio.sleep(0.02)


async def test_calls_are_signed_with_every_secret_of_the_job(
    client: AsyncClient, receiver: Receiver, database: Database
) -> None:
    jobid = await create(client, {"url": receiver.url, "body": {"n": "{{logid}}"}})
    secrets = [(await client.post(f"/jobs/{jobid}/secrets")).json() for _ in range(2)]
    third = await client.post(f"/jobs/{jobid}/secrets")
    assert (third.status_code, third.json()["code"]) == (409, "too_many_secrets")
    await run_now(client, jobid)
    await run_due(client, finished=1)
    ((request, body),) = receiver.requests
    for secret in secrets:
        Webhook(secret["secret"]).verify(body, dict(request.headers))
        stored = await scalar(
            database, "SELECT ciphertext FROM jobsecret WHERE secretid = :id", id=secret["secretid"]
        )
        assert secret["secret"].encode() not in stored
    listed = (await client.get(f"/jobs/{jobid}/secrets")).json()
    assert [one["secretid"] for one in listed] == [secret["secretid"] for secret in secrets]
    assert all("secret" not in one for one in listed)
    removed = await client.delete(f"/jobs/{jobid}/secrets/{secrets[0]['secretid']}")
    assert removed.status_code == 204
    assert (await client.delete(f"/jobs/{jobid}/secrets/{secrets[0]['secretid']}")).status_code == 404


async def test_a_test_call_shows_the_answer_and_leaves_no_trace(
    client: AsyncClient, receiver: Receiver, database: Database
) -> None:
    receiver.always(500, "Ouch.")
    jobid = await create(client, {"url": receiver.url})
    answer = (await client.post(f"/jobs/{jobid}/test")).json()
    assert (answer["ok"], answer["failure"], answer["httpstatus"]) == (False, "status", 500)
    assert answer["excerpt"] == "Ouch."
    assert len(receiver.requests) == 1
    assert await scalar(database, "SELECT count(*) FROM logattempt") == 0
    plain = await client.post("/jobs", json=JOB)
    refused = await client.post(f"/jobs/{plain.json()['jobid']}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_has_no_target")


async def test_failed_runs_are_a_list_and_are_tried_again(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(400)
    jobid = await create(client, {"url": receiver.url})
    logids = [await run_now(client, jobid) for _ in range(3)]
    # One after the other, as the job does not overlap.
    await run_due(client, failed=3)
    dead = (await client.get("/logs?status=failed")).json()
    assert sorted(log["logid"] for log in dead) == logids
    receiver.always(200)
    assert (await client.post(f"/logs/{logids[0]}/retry")).json()["status"] == "pending"
    again = await client.post(f"/logs/{logids[0]}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_retry")
    dry = (await client.post("/logs/retry?dryrun=true", json={"filter": {"jobid": jobid}})).json()
    assert (dry["count"], dry["done"]) == (2, 0)
    assert (await client.post("/logs/retry", json={"filter": {"jobid": jobid + 1}})).json()["done"] == 0
    done = (await client.post("/logs/retry", json={"filter": {"jobid": jobid}})).json()
    assert (done["count"], done["done"], done["more"]) == (2, 2, False)
    await run_due(client, finished=3)
    ids = {request.headers["webhook-id"] for request, _ in receiver.requests}
    assert (len(receiver.requests), len(ids)) == (6, 3)


async def test_a_failed_run_that_somebody_holds_is_left_and_told(
    client: AsyncClient, receiver: Receiver, database: Database
) -> None:
    receiver.always(400)
    held, *others = [await run_now(client, await create(client, {"url": receiver.url})) for _ in range(3)]
    await run_due(client, failed=3)
    async with database.transactional.connect() as holder:
        await holder.exec_driver_sql(f"SELECT FROM joblog WHERE logid = {held} FOR UPDATE")
        done = (await client.post("/logs/retry", json={"all": True})).json()
        await holder.rollback()
    assert (done["count"], done["done"], done["more"]) == (3, 2, True)
    pending = (await client.get("/logs?status=pending&cause=manual")).json()
    assert sorted(log["logid"] for log in pending) == others
    rest = (await client.post("/logs/retry", json={"all": True})).json()
    assert (rest["done"], rest["more"]) == (1, False)


async def test_what_may_be_cancelled(client: AsyncClient, receiver: Receiver) -> None:
    jobid = await create(client, {"url": receiver.url})
    logid = await run_now(client, jobid)
    cancelled = (await client.post(f"/logs/{logid}/cancel")).json()
    assert (cancelled["status"], cancelled["reason"]) == ("skipped", "cancelled")
    over = await client.post(f"/logs/{logid}/cancel")
    assert (over.status_code, over.json()["code"]) == (409, "log_settled")
    (promise,) = (await client.get(f"/jobs/{jobid}/logs?status=pending")).json()
    refused = await client.post(f"/logs/{promise['logid']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_started")
    assert (await client.post("/logs/999/cancel")).status_code == 404
    await run_due(client, finished=0)
    assert receiver.requests == []


async def test_an_accepted_run_reports_until_it_is_over(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(202)
    logid = await run_now(client, await create(client, {"url": receiver.url}))
    await run_due(client, running=1, finished=0)
    address = receiver.requests[0][0].headers["scheduler-run"].partition("/runs/")[2]
    assert (await client.post(f"/runs/{address}")).json()["status"] == "running"
    told = {"progress": 40, "message": "4 of 10", "lines": ["one", "two"]}
    assert (await client.post(f"/runs/{address}", json=told)).status_code == 200
    found = await log_of(client, logid)
    assert [line["line"] for line in found["lines"]] == ["one", "two"]
    (attempt,) = found["attempts"]
    assert (attempt["outcome"], attempt["progress"], attempt["message"]) == ("accepted", 40, "4 of 10")
    other = address[:-1] + ("0" if address[-1] != "0" else "1")
    assert (await client.post(f"/runs/{other}")).json()["code"] == "run_is_over"
    end = (await client.post(f"/runs/{address}", json={"status": "finished"})).json()
    assert end == {"logid": logid, "attempt": 1, "status": "finished", "leaseuntil": None}
    late = await client.post(f"/runs/{address}", json={"status": "failed"})
    assert (late.status_code, late.json()["code"]) == (410, "run_is_over")
    assert (await log_of(client, logid))["log"]["status"] == "finished"


async def test_an_accepted_run_may_report_before_its_202_is_settled(
    client: AsyncClient, receiver: Receiver
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        address = request.headers["scheduler-run"].partition("/runs/")[2]
        response = await client.post(
            f"/runs/{address}", json={"status": "failed", "message": "No.", "retry": False}
        )
        assert response.json()["status"] == "failed"
        return web.Response(status=202)

    receiver.answer = answer
    logid = await run_now(client, await create(client, {"url": receiver.url}))
    await run_due(client)
    found = await log_of(client, logid)
    assert (found["log"]["status"], found["log"]["error"]) == ("failed", "The target reported: No.")


async def test_a_cancelled_run_is_told_with_its_next_report(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(202)
    logid = await run_now(client, await create(client, {"url": receiver.url}))
    await run_due(client, running=1)
    assert (await client.post(f"/logs/{logid}/cancel")).json()["status"] == "failed"
    address = receiver.requests[0][0].headers["scheduler-run"].partition("/runs/")[2]
    assert (await client.post(f"/runs/{address}", json={"progress": 50})).status_code == 410


async def test_an_accepted_run_that_falls_silent_is_tried_again(
    client: AsyncClient, receiver: Receiver, database: Database
) -> None:
    receiver.always(202)
    logid = await run_now(client, await create(client, {"url": receiver.url}))
    await run_due(client, running=1)
    await execute(database, "UPDATE joblog SET leaseuntil = now() WHERE status = 'running'")
    while (await log_of(client, logid))["log"]["status"] == "running":
        await asyncio.sleep(0.05)
    (attempt,) = (await log_of(client, logid))["attempts"]
    assert (attempt["outcome"], attempt["failure"]) == ("lost", "silent")


async def test_limits_are_set_listed_and_lifted(client: AsyncClient) -> None:
    put = await client.put("/limits/host/a.example:8080", json={"limit": 3})
    assert put.json() == {"scope": "host", "name": "a.example:8080", "limit": 3, "rate": None}
    put = await client.put("/limits/tag/slow things", json={"limit": 1, "rate": 60_000})
    assert put.json() == {"scope": "tag", "name": "slow things", "limit": 1, "rate": 60_000}
    assert [one["name"] for one in (await client.get("/limits")).json()] == ["a.example:8080", "slow things"]
    assert (await client.get("/limits")).json()[1] == put.json()
    put = await client.put("/limits/tag/slow things", json={"rate": 1})
    assert (put.json()["limit"], put.json()["rate"]) == (None, 1)
    assert (await client.delete("/limits/host/a.example:8080")).status_code == 204
    assert (await client.delete("/limits/host/a.example:8080")).json()["code"] == "limit_not_found"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({}, {"/limit": "Give `limit`, `rate`, or both."}),
        ({"limit": None, "rate": None}, {"/limit": "Give `limit`, `rate`, or both."}),
        ({"limit": 0, "rate": 0}, {"/limit": "Must be at least 1.", "/rate": "Must be at least 1."}),
        ({"rate": 60_001}, {"/rate": "Must be at most 60000."}),
        ({"rate": 1.5}, {"/rate": "Must be an integer."}),
        ({"most": 3}, {"/most": "There is no such field."}),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused(
    client: AsyncClient, order: dict[str, Any], said: dict[str, str]
) -> None:
    assert field_errors(await client.put("/limits/tag/x", json=order)) == said
    assert (await client.get("/limits")).json() == []
