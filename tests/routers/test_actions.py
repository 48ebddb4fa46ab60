"""Operating jobs over HTTP: editing, pausing, resuming, running, skipping, deleting."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from scheduler_api.database.engine import Database
from tests.factories import add_job, execute, logs, scalar, sum_up
from tests.routers.test_pages import Page

CRON = {"jobname": "Nightly report", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


async def created(client: AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/jobs", json=CRON | body)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


async def ran(client: AsyncClient) -> Any:
    return (await client.post("/jobs/run")).json()


def pointers(response: Response) -> list[str]:
    return [error["pointer"] for error in response.json()["errors"]]


async def overdue(database: Database, **values: Any) -> int:
    """An interval job whose promise is five intervals old."""
    now = await scalar(database, "SELECT date_trunc('second', clock_timestamp())")
    due = now - timedelta(seconds=300)
    values = {"interval": 60, "startdate": due.date(), "starttime": due.time()} | values
    return await add_job(database, due=due, validfrom=due - timedelta(seconds=1), **values)


async def test_a_cron_job_needs_no_start_and_repeats(client: AsyncClient) -> None:
    job = await created(client)
    assert (job["repeat"], job["startdate"], job["starttime"], job["interval"]) == (True, None, None, None)
    assert job["state"] == "active"
    assert datetime.fromisoformat(job["nextrun"]) > datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 31 2 *"}, "/cron"),
        ({"cron": "@reboot"}, "/cron"),
        ({"cron": "x" * 5000}, "/cron"),
        ({"cron": 5}, "/cron"),
        ({"cron": "0 0 * * *\u0000"}, "/cron"),
        ({"interval": 60}, "/interval"),
        ({"repeat": False}, "/repeat"),
        ({"starttime": "02:00"}, "/startdate"),
        ({"startdate": "2020-01-01"}, "/startdate"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"until": "2030-01-01T00:00:00"}, "/until"),
        ({"until": "2030-01-01"}, "/until"),
        ({"until": 1767225600000}, "/until"),
        ({"until": "9999-12-31T23:59:59Z"}, "/until"),
        ({"until": "2030-12-31T23:59:60Z"}, "/until"),
        ({"maxruns": 0}, "/maxruns"),
        ({"maxruns": True}, "/maxruns"),
        ({"maxruns": 2**63}, "/maxruns"),
        ({"jitter": -1}, "/jitter"),
        ({"jitter": 86_401}, "/jitter"),
        ({"dstgap": "before"}, "/dstgap"),
        ({"dstfold": 2}, "/dstfold"),
        ({"exclude": ["2030-02-30"]}, "/exclude/0"),
        ({"exclude": ["2030-02-03/2030-02-01"]}, "/exclude/0"),
        ({"exclude": ["2030-02-03", "tomorrow"]}, "/exclude/1"),
        ({"exclude": "2030-02-03"}, "/exclude"),
        ({"exclude": ["2030-02-03"] * 401}, "/exclude"),
        ({"tags": [""]}, "/tags/0"),
        ({"tags": ["a,b"]}, "/tags/0"),
        ({"tags": ["x" * 51]}, "/tags/0"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
    ],
)
async def test_each_error_of_a_schedule_is_named(client: AsyncClient, change: Any, pointer: str) -> None:
    response = await client.post("/jobs", json=CRON | change)
    assert response.status_code == 422, response.text
    assert pointers(response) == [pointer]


async def test_a_schedule_all_of_whose_runs_are_excluded_is_refused(client: AsyncClient) -> None:
    body = {"until": "2031-01-01T00:00:00Z", "exclude": ["2020-01-01/2031-01-02"]}
    response = await client.post("/jobs", json=CRON | body)
    assert pointers(response) == ["/exclude"]


async def test_an_edit_re_times_the_promise_and_tells_the_change(
    client: AsyncClient, database: Database
) -> None:
    job = await created(client)
    response = await client.patch(f"/jobs/{job['jobid']}", json={"cron": "0 4 * * *", "jobname": "New"})
    assert response.status_code == 200, response.text
    edited = response.json()
    assert (edited["jobname"], edited["cron"], edited["version"]) == ("New", "0 4 * * *", 2)
    assert response.headers["etag"] == '"2"'
    (promise,) = await logs(database, job["jobid"])
    assert promise.scheduledfor.isoformat() == datetime.fromisoformat(edited["nextrun"]).isoformat()
    newest, first = (await client.get(f"/jobs/{job['jobid']}/changes")).json()
    assert (newest["action"], first["action"]) == ("edited", "created")
    assert newest["before"]["cron"] == "30 2 * * *"
    assert newest["after"]["cron"] == "0 4 * * *"
    assert newest["actor"] == "local"
    assert "127.0.0.1" in newest["client"]
    assert first["after"]["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/jobs/1", {"jobname": "Second"}),
        ("PATCH", "/jobs/1?dryrun=true", {"cron": "0 4 * * *"}),
        ("POST", "/jobs/1/pause", None),
        ("POST", "/jobs/1/resume", None),
        ("POST", "/jobs/1/skip", None),
        ("DELETE", "/jobs/1", None),
    ],
)
@pytest.mark.parametrize("change", ["/skip", "/pause"])
async def test_whoever_saw_an_older_version_changes_nothing(
    client: AsyncClient, change: str, method: str, path: str, body: Any
) -> None:
    await created(client)
    seen = {"If-Match": '"1"'}
    changed = await client.post(f"/jobs/1{change}", headers=seen)
    assert changed.headers["etag"] == '"2"'
    assert (await client.request(method, path, json=body, headers=seen)).status_code == 412


WHOLE_JOBS = (
    {"jobname": "Of cron", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "tags": ["reports"]},
    {
        "jobname": "Every hour",
        "startdate": "2090-01-31",
        "starttime": "02:00",
        "interval": 3600,
        "maxruns": 3,
    },
    {"jobname": "Only once", "startdate": "2090-01-31", "starttime": "02:00"},
    {
        "jobname": "Of a target",
        "cron": "@daily",
        "target": {"url": "https://example.com/", "body": {"a": [1]}},
    },
)


@pytest.mark.parametrize("job", WHOLE_JOBS, ids=lambda job: job["jobname"])
async def test_a_job_as_it_is_given_can_be_sent_back(client: AsyncClient, job: dict[str, Any]) -> None:
    assert (await client.post("/jobs", json=job)).status_code == 201
    given = (await client.get("/jobs/1")).json()["job"]
    same = await client.patch("/jobs/1", json=given)
    assert (same.status_code, same.json()) == (200, given)
    copied = await client.post("/jobs", json=given)
    assert copied.status_code == 201, copied.text
    own = {"jobid", "createdat", "nextrun"}
    assert {name: value for name, value in copied.json().items() if name not in own} == {
        name: value for name, value in given.items() if name not in own
    }


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"target": {"timeout": 5}}, {"timeout": 5}),
        ({"target": {"url": "https://b.example/"}}, {"url": "https://b.example/"}),
        ({"target": {"headers": {"B": "2"}}}, {"headers": {"A": "1", "B": "2"}}),
        ({"target": {"headers": {"A": None}}}, {"headers": {}}),
        ({"target": {"retries": None}}, {"retries": 3}),
        ({"target": {"body": {"inner": {"y": 2}}}}, {"body": {"inner": {"x": 1, "y": 2}, "list": [1]}}),
        ({"target": {"body": {"inner": None}}}, {"body": {"list": [1]}}),
        ({"target": {"body": None}}, {"body": None}),
        ({"target": {}}, {}),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/merge-patch+json"])
async def test_a_patch_is_a_merge_at_every_depth(
    client: AsyncClient, patch: dict[str, Any], changed: dict[str, Any], kind: str
) -> None:
    body = {"inner": {"x": 1}, "list": [1]}
    target = {"url": "https://a.example/", "method": "PUT", "headers": {"A": "1"}, "body": body, "retries": 0}
    job = await created(client, target=target)
    answer = await client.patch("/jobs/1", content=json.dumps(patch), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.json()["target"] == job["target"] | changed


async def test_what_a_job_runs_after_is_merged_too(client: AsyncClient) -> None:
    await created(client)
    follower = {"jobname": "After it", "after": {"jobid": 1, "on": "failed"}}
    assert (await client.post("/jobs", json=follower)).status_code == 201
    answer = await client.patch("/jobs/2", json={"after": {"on": "any"}})
    assert answer.json()["after"] == {"jobid": 1, "on": "any"}


async def test_a_partial_target_needs_one_to_change(client: AsyncClient) -> None:
    await created(client)
    answer = await client.patch("/jobs/1", json={"target": {"timeout": 5}})
    assert (answer.status_code, pointers(answer)) == (422, ["/target/url"])


async def test_what_cannot_be_edited_must_be_so_still(client: AsyncClient) -> None:
    await created(client)
    wrong = {"jobid": 2, "version": 7, "active": False, "createdat": None}
    answer = await client.patch("/jobs/1", json=wrong | {"jobname": "Another"})
    assert answer.status_code == 422
    assert {error["pointer"]: error["detail"] for error in answer.json()["errors"]} == {
        "/jobid": "Cannot be edited; leave it out.",
        "/version": "Cannot be edited; leave it out.",
        "/createdat": "Cannot be edited; leave it out.",
        "/active": "Cannot be edited; use POST /jobs/{jobid}/pause or /resume.",
    }
    assert (await client.get("/jobs/1")).json()["job"]["version"] == 1


async def test_a_tag_stands_for_what_is_in_an_answer(client: AsyncClient) -> None:
    await created(client)
    first = (await client.get("/jobs/1")).headers["etag"]
    assert (await client.get("/jobs/1", headers={"If-None-Match": '"1"'})).status_code == 200
    same = await client.get("/jobs/1", headers={"If-None-Match": f'"other", {first}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first)
    await client.post("/jobs/1/run")
    changed = await client.get("/jobs/1", headers={"If-None-Match": first})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first
    edited = await client.patch("/jobs/1", json={"jobname": "Another"}, headers={"If-Match": first})
    assert edited.status_code == 200
    for path in ("/jobs", "/logs", "/limits", "/openapi.json"):
        tag = (await client.get(path)).headers.get("etag")
        if path != "/openapi.json":
            assert (await client.get(path, headers={"If-None-Match": str(tag)})).status_code == 304


async def test_an_order_may_have_an_empty_body(client: AsyncClient) -> None:
    await created(client)
    answer = await client.post("/jobs/1/pause", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["state"]) == (200, "paused")


async def test_a_run_that_was_asked_for_has_an_address(client: AsyncClient) -> None:
    await created(client)
    answer = await client.post("/jobs/1/run")
    assert answer.headers["location"] == f"/logs/{answer.json()['logid']}"
    assert (await client.get(answer.headers["location"])).json()["log"] == answer.json()


@pytest.mark.parametrize(
    "path", ["/logs?from=1", "/logs?back=/jobs", "/jobs/1?from=1", "/upcoming?form=true"]
)
async def test_what_only_some_pages_heed_is_unknown_elsewhere(client: AsyncClient, path: str) -> None:
    await created(client)
    answer = await client.get(path)
    assert answer.status_code == 422, answer.text
    assert "There is no such parameter." in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("nmae=x", "There is no such parameter. Did you mean `name`?"),
        ("sate=paused", "There is no such parameter. Did you mean `state`?"),
        ("zzz=1", "There is no such parameter."),
        ("name=a&name=b", "Must be given once."),
    ],
)
async def test_a_misspelled_or_repeated_parameter_is_refused(
    client: AsyncClient, query: str, sentence: str
) -> None:
    answer = await client.get(f"/jobs?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["detail"]) == (f"?{query.partition('=')[0]}", sentence)


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/1", "/logs", "/healthz", "/readyz", "/overview", "/openapi.json"]
)
async def test_a_head_says_what_a_get_would(client: AsyncClient, path: str) -> None:
    await created(client)
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    changing = {"x-request-id", "content-length", "etag"}
    assert {name: value for name, value in head.headers.items() if name not in changing} == {
        name: value for name, value in got.headers.items() if name not in changing
    }


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_usual_addresses_lead_to_the_documentation(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).headers["location"] == "/swagger-ui"


async def test_a_list_goes_on_although_its_last_run_was_withdrawn(
    client: AsyncClient, database: Database
) -> None:
    jobid = await overdue(database)
    await ran(client)
    first = await client.get(f"/jobs/{jobid}/logs?limit=1")
    (newest,) = first.json()
    assert newest["status"] == "pending"
    await execute(database, "DELETE FROM joblog WHERE logid = :logid", logid=newest["logid"])
    further = await client.get(first.links["next"]["url"])
    assert [log["status"] for log in further.json()] == ["finished"]


async def test_an_edit_that_changes_nothing_is_no_change(client: AsyncClient) -> None:
    job = await created(client)
    response = await client.patch("/jobs/1", json={"cron": "30 2 * * *"})
    assert response.json() == job


async def test_the_kind_of_schedule_follows_the_field_that_is_given(client: AsyncClient) -> None:
    await created(client)
    start = {"startdate": "2040-01-01", "starttime": "00:00"}
    job = (await client.patch("/jobs/1", json={"interval": 60} | start)).json()
    assert (job["cron"], job["interval"], job["repeat"]) == (None, 60, True)
    job = (await client.patch("/jobs/1", json={"cron": "@daily"})).json()
    assert (job["cron"], job["interval"], job["repeat"]) == ("@daily", None, True)
    response = await client.patch("/jobs/1", json={"cron": None, "startdate": None})
    assert response.status_code == 422


async def test_state_is_no_part_of_the_definition(client: AsyncClient) -> None:
    await created(client)
    response = await client.patch("/jobs/1", json={"active": False})
    assert response.status_code == 422
    assert pointers(response) == ["/active"]
    assert "/jobs/{jobid}/pause" in response.json()["errors"][0]["detail"]


async def test_a_patch_of_a_paused_job_does_not_resume_it(client: AsyncClient, database: Database) -> None:
    await created(client)
    await client.post("/jobs/1/pause")
    for change in ({"jobname": "Other"}, {"cron": "0 5 * * *"}, {"jitter": 30}):
        job = (await client.patch("/jobs/1", json=change)).json()
        assert (job["state"], job["nextrun"]) == ("paused", None)
    assert await logs(database, 1) == []


async def test_a_stale_version_is_refused(client: AsyncClient) -> None:
    await created(client)
    one = await client.patch("/jobs/1", json={"jobname": "First"}, headers={"If-Match": '"1"'})
    assert one.status_code == 200
    for path in ("/jobs/1", "/jobs/1/pause", "/jobs/1/resume", "/jobs/1/skip"):
        method = "PATCH" if path == "/jobs/1" else "POST"
        stale = await client.request(
            method,
            path,
            json=None if path.endswith("skip") else {},
            headers={"If-Match": '"1"'},
        )
        assert stale.status_code == 412, path
        assert stale.json()["code"] == "stale_version"
    assert (await client.delete("/jobs/1", headers={"If-Match": "nonsense"})).status_code == 412
    assert (await client.delete("/jobs/1", headers={"If-Match": "*"})).status_code == 204


async def test_what_was_due_by_the_old_schedule_alone_is_superseded(
    client: AsyncClient, database: Database
) -> None:
    jobid = await overdue(database)
    await client.patch(f"/jobs/{jobid}", json={"interval": 3600})
    due, written_off = await logs(database, jobid)
    assert (due.logid, due.status) == (1, "pending")
    assert (written_off.status, written_off.reason, written_off.missed) == ("skipped", "superseded", 4)
    assert (await client.get(f"/jobs/{jobid}/check")).json()["clean"]


async def test_a_dry_run_changes_nothing_and_says_what_would(client: AsyncClient, database: Database) -> None:
    await created(client)
    before = (await client.get("/jobs/1")).json()
    preview = (await client.patch("/jobs/1?dryrun=true", json={"cron": "30 3 * * *"})).json()
    assert preview["words"] == "At 03:30 every day, in Europe/Berlin."
    assert {preview["appearing"], preview["disappearing"]} <= {29, 30, 31}
    assert (len(preview["appear"]), len(preview["disappear"])) == (
        preview["appearing"],
        preview["disappearing"],
    )
    assert " 03:30:00 +0" in preview["appear"][0]["local"]
    assert (await client.get("/jobs/1")).json() == before
    assert (await client.get("/jobs/1")).headers["etag"].startswith('"1-')


async def test_a_dry_run_counts_what_it_would_write_off(client: AsyncClient, database: Database) -> None:
    jobid = await overdue(database)
    preview = (await client.patch(f"/jobs/{jobid}?dryrun=true", json={"interval": 3600})).json()
    assert preview["superseded"] == 5
    assert preview["disappearing"] > len(preview["disappear"]) == 100
    assert len(await logs(database, jobid)) == 1


async def test_pause_takes_the_promise_back_and_says_why(client: AsyncClient, database: Database) -> None:
    await created(client)
    job = (await client.post("/jobs/1/pause", json={"reason": "The receiver is down."})).json()
    assert (job["state"], job["pausereason"], job["active"]) == ("paused", "The receiver is down.", False)
    assert await logs(database, 1) == []
    again = (await client.post("/jobs/1/pause", json={"reason": "Still."})).json()
    assert (again["state"], again["pausereason"]) == ("paused", "Still.")


async def test_pause_until_resumes_by_itself(client: AsyncClient, database: Database) -> None:
    await created(client)
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    job = (await client.post("/jobs/1/pause", json={"until": until})).json()
    assert job["pauseduntil"] is not None
    await execute(database, "UPDATE job SET pauseduntil = clock_timestamp()")
    await ran(client)
    assert (await client.get("/jobs/1")).json()["job"]["state"] == "active"
    newest = (await client.get("/jobs/1/changes")).json()[0]
    assert (newest["action"], newest["actor"], newest["client"]) == ("resumed", "schedule", None)


async def test_a_pause_cannot_end_in_the_past(client: AsyncClient) -> None:
    await created(client)
    response = await client.post("/jobs/1/pause", json={"until": "2020-01-01T00:00:00Z"})
    assert pointers(response) == ["/until"]


@pytest.mark.parametrize(
    ("misfire", "missed", "expected"),
    [
        ("once", "policy", [("finished", None, 5)]),
        ("all", "policy", [("finished", None, 0)] * 6),
        ("skip", "policy", [("skipped", "paused", 3), ("finished", None, 0), ("finished", None, 0)]),
        ("once", "skip", [("skipped", "paused", 5)]),
        ("all", "skip", [("skipped", "paused", 5)]),
    ],
)
async def test_what_a_pause_missed_follows_the_policy(
    client: AsyncClient, database: Database, misfire: str, missed: str, expected: list[Any]
) -> None:
    jobid = await overdue(database, misfire=misfire, grace=90)
    await client.post(f"/jobs/{jobid}/pause")
    assert (await ran(client))["finished"] == 0
    assert (await client.post(f"/jobs/{jobid}/resume", json={"missed": missed})).status_code == 200
    await ran(client)
    *over, promise = await logs(database, jobid)
    assert [(log.status, log.reason, log.missed) for log in over] == expected
    assert promise.status == "pending"
    assert (await client.get(f"/jobs/{jobid}/check")).json()["clean"]


async def test_a_run_by_request_does_not_move_the_schedule(client: AsyncClient, database: Database) -> None:
    job = await created(client)
    response = await client.post("/jobs/1/run")
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["cause"]) == ("pending", "manual")
    assert (await ran(client))["finished"] == 1
    assert (await client.get("/jobs/1")).json()["job"]["nextrun"] == job["nextrun"]
    by_request = (await client.get("/jobs/1/logs?cause=manual")).json()
    assert [log["status"] for log in by_request] == ["finished"]


async def test_a_paused_job_runs_by_request(client: AsyncClient) -> None:
    await created(client, active=False)
    await client.post("/jobs/1/run")
    assert (await ran(client))["finished"] == 1
    assert (await client.get("/jobs/1")).json()["job"]["state"] == "paused"


async def test_the_next_run_is_skipped(client: AsyncClient, database: Database) -> None:
    job = await created(client)
    after = (await client.get("/jobs/1/upcoming?limit=2")).json()[1]
    skipped = (await client.post("/jobs/1/skip")).json()
    assert skipped["nextrun"] == after["scheduledfor"]
    first, _ = await logs(database, 1)
    assert (first.status, first.reason) == ("skipped", "request")
    explained = (await client.get("/jobs/1/explain", params={"at": job["nextrun"]})).json()
    assert (explained["outcome"], explained["scheduled"]) == ("skipped", True)
    assert "skipped manually" in explained["sentence"]


async def test_what_cannot_be_done_says_why(client: AsyncClient, database: Database) -> None:
    await created(client, active=False)
    assert (await client.post("/jobs/1/skip")).json()["code"] == "job_paused"
    await add_job(database, active=False, due=None)
    for path in ("pause", "resume", "skip"):
        response = await client.post(f"/jobs/2/{path}")
        assert (response.status_code, response.json()["code"]) == (409, "job_has_no_future"), path
    assert (await client.post("/jobs/9/run")).status_code == 404
    for path in ("pause", "resume", "skip", "backfill"):
        body = (
            {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"} if path == "backfill" else None
        )
        assert (await client.post(f"/jobs/9/{path}", json=body)).status_code == 404, path
    assert (
        await client.post("/jobs/1/pause", content="x", headers={"content-type": "text/plain"})
    ).status_code == 415


async def test_a_deleted_job_keeps_its_history_and_runs_no_more(
    client: AsyncClient, database: Database
) -> None:
    jobid = await overdue(database)
    await client.post(f"/jobs/{jobid}/run")
    assert (await client.delete(f"/jobs/{jobid}")).status_code == 204
    assert (await ran(client))["finished"] == 0
    assert {(log.status, log.reason) for log in await logs(database, jobid)} == {("skipped", "deleted")}
    shown = (await client.get(f"/jobs/{jobid}?deleted=true")).json()
    assert (shown["job"]["state"], shown["job"]["active"]) == ("deleted", False)
    assert (await client.get("/jobs")).json() == []
    assert [job["jobid"] for job in (await client.get("/jobs?state=deleted")).json()] == [jobid]
    for method, path in (
        ("PATCH", ""),
        ("POST", "/pause"),
        ("POST", "/run"),
        ("POST", "/skip"),
    ):
        body: dict[str, str] | None = {} if method == "PATCH" else None
        response = await client.request(method, f"/jobs/{jobid}{path}", json=body)
        assert (response.status_code, response.json()["code"]) == (409, "job_deleted"), path
    assert (await client.get(f"/jobs/{jobid}/check")).json()["clean"]
    assert (await client.delete(f"/jobs/{jobid}?history=remove")).status_code == 204
    assert (await client.get(f"/jobs/{jobid}")).status_code == 404
    assert await logs(database, jobid) == []


async def test_maxruns_completes_a_job_and_more_of_them_reopen_it(
    client: AsyncClient, database: Database
) -> None:
    jobid = await overdue(database, maxruns=2, misfire="all")
    await ran(client)
    job = (await client.get(f"/jobs/{jobid}")).json()["job"]
    assert (job["state"], job["active"]) == ("completed", False)
    assert [log.runs for log in await logs(database, jobid)] == [1, 2]
    refused = await client.patch(f"/jobs/{jobid}", json={"maxruns": 2, "interval": 30})
    assert pointers(refused) == ["/maxruns"]
    job = (await client.patch(f"/jobs/{jobid}", json={"maxruns": 3})).json()
    assert (job["state"], job["laststatus"]) == ("active", "finished")
    assert (await client.get(f"/jobs/{jobid}/check")).json()["clean"]


async def test_an_excluded_day_is_in_the_ledger(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    yesterday = (now - timedelta(days=1)).date()
    jobid = await overdue(
        database, exclude=[f"{yesterday}/{now.date()}", str((now + timedelta(days=1)).date())]
    )
    await execute(database, "UPDATE joblog SET nextrun = clock_timestamp()")
    assert (await ran(client))["skipped"] == 1
    over, promise = await logs(database, jobid)
    assert (over.status, over.reason) == ("skipped", "excluded")
    explained = (
        await client.get(f"/jobs/{jobid}/explain", params={"at": over.scheduledfor.isoformat()})
    ).json()
    assert explained["outcome"] == "skipped"
    assert "excluded" in explained["sentence"]
    # The next one is excluded, too; it waits for the first that may run.
    assert promise.nextrun > promise.scheduledfor


async def test_jitter_is_stable_and_not_fed_back(client: AsyncClient, database: Database) -> None:
    spreads = set()
    for _ in range(5):
        job = await created(client, jitter=3000, timezone="UTC")
        scheduled, tried = (await logs(database, job["jobid"]))[0][2:4]
        assert timedelta(0) <= tried - scheduled <= timedelta(seconds=3000)
        spreads.add(tried - scheduled)
        await client.post(f"/jobs/{job['jobid']}/skip")
        later = (await logs(database, job["jobid"]))[-1]
        assert later.nextrun - later.scheduledfor == tried - scheduled
        assert later.scheduledfor - scheduled == timedelta(days=1)
    assert len(spreads) == 5


async def test_backfill_runs_the_holes_once(client: AsyncClient, database: Database) -> None:
    jobid = await overdue(database)
    await ran(client)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    order = {"since": since, "until": "2040-01-01T00:00:00Z"}
    dry = (await client.post(f"/jobs/{jobid}/backfill?dryrun=true", json=order)).json()
    assert (dry["count"], dry["dryrun"]) == (5, True)
    done = (await client.post(f"/jobs/{jobid}/backfill", json=order)).json()
    assert (done["count"], done["occurrences"]) == (5, dry["occurrences"])
    assert (await ran(client))["finished"] == 5
    again = (await client.post(f"/jobs/{jobid}/backfill", json=order)).json()
    assert (again["count"], again["message"]) == (0, "Nothing to make up for.")
    assert (await client.post(f"/jobs/{jobid}/backfill", json=order | {"all": True})).json()["count"] == 1
    assert (await client.get(f"/jobs/{jobid}/check")).json()["clean"]


async def test_a_backfill_is_bounded(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    long_ago = now - timedelta(days=3)
    jobid = await add_job(
        database,
        due=long_ago,
        interval=60,
        validfrom=long_ago - timedelta(seconds=1),
        createdat=long_ago - timedelta(seconds=1),
        startdate=long_ago.date(),
        starttime=long_ago.time(),
    )
    await ran(client)
    order = {"since": "2000-01-01T00:00:00Z", "until": "2040-01-01T00:00:00Z"}
    response = await client.post(f"/jobs/{jobid}/backfill", json=order)
    assert pointers(response) == ["/until"]
    swapped = {"since": order["until"], "until": order["since"]}
    assert pointers(await client.post(f"/jobs/{jobid}/backfill", json=swapped)) == ["/until"]


async def test_a_paused_job_whose_schedule_cannot_be_computed_can_be_mended_and_deleted(
    client: AsyncClient, database: Database
) -> None:
    for jobid in (await overdue(database), await overdue(database)):
        await client.post(f"/jobs/{jobid}/pause")
    await execute(database, "UPDATE job SET timezone = 'Mars/Olympus'")
    mended = await client.patch("/jobs/1", json={"timezone": "UTC"})
    assert (mended.status_code, mended.json()["state"]) == (200, "paused")
    assert (await client.delete("/jobs/2")).status_code == 204


async def last_run(client: AsyncClient, jobid: int) -> tuple[str | None, str | None]:
    job = (await client.get(f"/jobs/{jobid}")).json()["job"]
    (listed,) = [one for one in (await client.get("/jobs")).json() if one["jobid"] == jobid]
    assert (listed["lastrun"], listed["laststatus"]) == (job["lastrun"], job["laststatus"])
    return job["lastrun"], job["laststatus"]


async def test_what_is_skipped_hides_no_failure(client: AsyncClient, database: Database) -> None:
    jobid = await overdue(database)
    ran_at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, lastrun, finishedat, error, runs)"
        " VALUES (:jobid, :at, 'failed', :at, :at, :at, 'No.', 1)",
        jobid=jobid,
        at=ran_at,
    )
    await sum_up(database)
    await execute(
        database,
        "UPDATE joblog SET scheduledfor = '2031-01-01T00:00Z', nextrun = '2031-01-01T00:00Z'"
        " WHERE status = 'pending'",
    )
    before = await last_run(client, jobid)
    assert before == ("2026-01-31T12:00:00Z", "failed")
    for _ in range(2):
        assert (await client.post(f"/jobs/{jobid}/skip")).status_code == 200
    assert await last_run(client, jobid) == before
    failing = [job["jobid"] for job in (await client.get("/jobs?state=failing")).json()]
    assert (
        failing == [job["jobid"] for job in (await client.get("/jobs?laststatus=failed")).json()] == [jobid]
    )
    shown = Page(await client.get(f"/jobs/{jobid}", headers={"accept": "text/html"}))
    assert "2026-01-31 12:00:00" in shown.text
    # What runs by request shows at once, although what was skipped is yet to come.
    await client.post(f"/jobs/{jobid}/run")
    await client.post("/jobs/run")
    lastrun, status = await last_run(client, jobid)
    assert (status, lastrun is not None and lastrun > "2026-01-31T12:00:01Z") == ("finished", True)
    assert (await client.get("/jobs?state=failing")).json() == []


async def test_a_run_that_makes_up_for_an_old_one_is_the_last_run(
    client: AsyncClient, database: Database
) -> None:
    now = await scalar(database, "SELECT date_trunc('second', clock_timestamp())")
    due = now - timedelta(minutes=90)
    jobid = await add_job(
        database,
        due=due,
        interval=3600,
        startdate=due.date(),
        starttime=due.time(),
        validfrom=due - timedelta(seconds=1),
        misfire="skip",
    )
    await ran(client)
    assert await last_run(client, jobid) == (None, None)
    made_up = {"since": "2000-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"}
    assert (await client.post(f"/jobs/{jobid}/backfill", json=made_up)).json()["count"] == 2
    await ran(client)
    lastrun, status = await last_run(client, jobid)
    assert (status, lastrun is not None) == ("finished", True)


async def test_the_last_run_of_a_job_that_follows_another(client: AsyncClient, database: Database) -> None:
    parent = await overdue(database)
    body = {"jobname": "Follows", "after": {"jobid": parent, "on": "any"}}
    jobid = (await client.post("/jobs", json=body)).json()["jobid"]
    for _ in range(2):
        await client.post(f"/jobs/{parent}/run")
        await ran(client)
    newest = await scalar(database, "SELECT max(startedat) FROM joblog WHERE jobid = :jobid", jobid=jobid)
    lastrun, status = await last_run(client, jobid)
    assert (status, datetime.fromisoformat(lastrun or "")) == ("finished", newest)
