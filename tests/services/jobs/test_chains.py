"""Jobs that run after others: with which ends, how often, and never in a circle."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.contracts.jobs.actions import History, Pause
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions, editing
from scheduler_api.services.runs import passes, repairs
from scheduler_api.targets import Failure
from tests.factories import ACTOR, NOON, add_job, execute, is_active, logs
from tests.services.runs.test_claims import TARGET, after, at, claim, failed, finished, settle

SCHEDULE = {"startdate": None, "starttime": None}


async def add_follower(database: Database, parent: int, on: str = "finished", **values: Any) -> int:
    values = SCHEDULE | {"after": {"jobid": parent, "on": on}, "afterjobid": parent} | values
    return await add_job(database, due=None, **values)


async def run_pass(database: Database, seconds: float) -> None:
    async def work(session: Session, _: Any) -> None:
        await passes.run_pass(session, after(seconds), 100, after(seconds))

    await database.transact(work)


async def fates(database: Database, jobid: int) -> list[tuple[str, int | None]]:
    return [(log.status, log.parentlogid) for log in await logs(database, jobid)]


async def test_a_plain_job_runs_after_each_run_of_another(database: Database) -> None:
    parent = await add_job(database, interval=60)
    child = await add_follower(database, parent)
    grandchild = await add_follower(database, child, "any")
    await run_pass(database, 1)
    assert await fates(database, child) == [("pending", 1)]
    await run_pass(database, 2)
    await run_pass(database, 3)
    assert await fates(database, child) == [("finished", 1)]
    assert await fates(database, grandchild) == [("finished", 3)]
    await run_pass(database, 61)
    await run_pass(database, 62)
    assert [status for status, _ in await fates(database, child)] == ["finished", "finished"]
    assert await is_active(database, child)
    assert (await database.snapshot(checks.check_job, child)).clean


@pytest.mark.parametrize(
    ("on", "ends"), [("finished", ["finished"]), ("failed", ["failed"]), ("any", ["failed", "finished"])]
)
async def test_only_the_ends_that_are_asked_for_count(database: Database, on: str, ends: list[str]) -> None:
    parent = await add_job(database, interval=60, target=TARGET | {"retries": 1, "backoff": 1})
    child = await add_follower(database, parent, on)
    followed = []
    # An attempt that will be repeated is no end.
    for now, end in ((1, failed), (9, failed), (61, finished)):
        (started,) = (await claim(database, after(now))).started
        await settle(database, after(now), end(started))
        log = next(log for log in await logs(database, parent) if log.logid == started.logid)
        if log.status in ends:
            followed.append(log.logid)
        assert [parentlogid for _, parentlogid in await fates(database, child)] == followed
    assert (await database.snapshot(checks.check_job, child)).clean


async def test_ends_of_the_same_instant_are_followed_one_by_one(database: Database) -> None:
    parent = await add_job(database, due=None, target=TARGET, overlap=True)
    child = await add_follower(database, parent)
    for number in range(3):
        await at(database, after(number), actions.run_now, ACTOR, parent)
    started = (await claim(database, after(5))).started
    await settle(database, after(6), *map(finished, started))
    assert [log.scheduledfor for log in await logs(database, child)] == [after(6)] * 3
    assert (await database.snapshot(checks.check_job, child)).clean


async def test_a_follower_is_called_with_the_log_that_it_follows(database: Database) -> None:
    parent = await add_job(database)
    child = await add_follower(database, parent, target=TARGET)
    await run_pass(database, 1)
    (started,) = (await claim(database, after(2))).started
    assert (started.jobid, started.cause, started.parentlogid) == (child, "after", 1)
    await settle(database, after(3), failed(started, Failure.STATUS, again=False))
    assert await is_active(database, child)


@pytest.mark.parametrize("target", [{}, {"target": TARGET}])
async def test_a_follower_that_is_deleted_as_it_is_asked_for_does_not_run(
    database: Database, target: dict[str, Any]
) -> None:
    parent = await add_job(database, interval=60)
    child = await add_follower(database, parent, **target)
    worked, go_on = asyncio.Event(), asyncio.Event()

    async def end(session: Session, _: Any) -> None:
        await passes.run_pass(session, after(1), 100, after(1))
        worked.set()
        await go_on.wait()

    ending = asyncio.create_task(database.transact(end))
    await worked.wait()
    await at(database, after(2), editing.delete, ACTOR, child, History.KEEP)
    go_on.set()
    await ending
    await run_pass(database, 3)
    assert (await claim(database, after(3))).started == []
    assert [(log.status, log.reason) for log in await logs(database, child)] == [("skipped", "deleted")]


async def test_what_a_paused_follower_misses_is_told(database: Database) -> None:
    parent = await add_job(database, interval=60)
    child = await add_follower(database, parent)
    await at(database, after(-1), actions.pause, ACTOR, child, Pause())
    await run_pass(database, 1)
    (log,) = await logs(database, child)
    assert (log.status, log.reason, log.parentlogid) == ("skipped", "paused", 1)
    assert (await database.snapshot(checks.check_job, child)).clean


async def test_it_is_no_hole_that_a_follower_has_no_promise(database: Database) -> None:
    parent = await add_job(database, interval=60)
    child = await add_follower(database, parent)
    assert not await at(database, NOON, repairs.repair, 2)
    assert await is_active(database, child)


async def test_the_check_finds_a_run_that_was_not_followed(database: Database) -> None:
    parent = await add_job(database, interval=60)
    child = await add_follower(database, parent)
    for number in range(3):
        await run_pass(database, 60 * number + 1)
    await execute(database, "DELETE FROM joblog WHERE jobid = :child AND parentlogid = 2", child=child)
    report = await database.snapshot(checks.check_job, child)
    assert (report.holes, report.findings[0].at) == (1, NOON + timedelta(seconds=61))


JOB = {"jobname": "Follower"}


async def test_followers_over_http(client: AsyncClient) -> None:
    parent = {"jobname": "Parent", "startdate": "2030-01-31", "starttime": "02:00"}
    first = (await client.post("/jobs", json=parent)).json()["jobid"]
    response = await client.post("/jobs", json=JOB | {"after": {"jobid": first}})
    assert response.status_code == 201, response.text
    job = response.json()
    assert job["after"] == {"jobid": first, "on": "finished"}
    assert (job["state"], job["nextrun"], job["startdate"]) == ("active", None, None)
    second = job["jobid"]
    third = (await client.post("/jobs", json=JOB | {"after": {"jobid": second, "on": "any"}})).json()["jobid"]
    circle = await client.patch(f"/jobs/{first}", json={"after": {"jobid": third}})
    (field_error,) = circle.json()["errors"]
    assert (circle.status_code, field_error["pointer"]) == (422, "/after/jobid")
    assert field_error["detail"] == f"That would be a circle: {first} → {second} → {third} → {first}."
    itself = await client.patch(f"/jobs/{first}", json={"after": {"jobid": first}})
    assert itself.status_code == 422
    unknown = await client.post("/jobs", json=JOB | {"after": {"jobid": 999}})
    assert unknown.json()["errors"] == [{"pointer": "/after/jobid", "detail": "Job 999 does not exist."}]
    refused = await client.delete(f"/jobs/{first}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_has_followers")
    for path in ("", "/upcoming", "/check", "/explain?at=2030-01-31T02:00:00Z"):
        assert (await client.get(f"/jobs/{second}{path}")).status_code == 200
    assert (await client.get(f"/jobs/{second}", headers={"accept": "text/html"})).status_code == 200


async def test_a_follower_has_no_schedule_and_may_get_one(client: AsyncClient) -> None:
    parent = {"jobname": "Parent", "startdate": "2030-01-31", "starttime": "02:00"}
    first = (await client.post("/jobs", json=parent)).json()["jobid"]
    both = await client.post("/jobs", json=JOB | {"cron": "@daily", "after": {"jobid": first}})
    assert [field_error["pointer"] for field_error in both.json()["errors"]] == ["/cron"]
    second = (await client.post("/jobs", json=JOB | {"after": {"jobid": first}})).json()["jobid"]
    job = (await client.patch(f"/jobs/{second}", json={"cron": "@daily"})).json()
    assert (job["after"], job["repeat"], job["state"]) == (None, True, "active")
    assert job["nextrun"] is not None
    job = (await client.patch(f"/jobs/{second}", json={"after": {"jobid": first, "on": "any"}})).json()
    assert (job["cron"], job["repeat"], job["nextrun"], job["state"]) == (None, False, None, "active")
    assert (await client.get(f"/jobs/{second}/check")).json()["clean"]
    assert (await client.post(f"/jobs/{second}/pause")).json()["state"] == "paused"
    assert (await client.post(f"/jobs/{second}/resume")).json()["state"] == "active"
    skipped = await client.post(f"/jobs/{second}/skip")
    assert (skipped.status_code, skipped.json()["code"]) == (409, "job_has_no_future")
    preview = await client.patch(f"/jobs/{second}?dryrun=true", json={"cron": "@daily"})
    assert preview.status_code == 200
    assert (await client.delete(f"/jobs/{second}")).status_code == 204
    assert (await client.delete(f"/jobs/{first}")).status_code == 204
