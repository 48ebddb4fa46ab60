"""What was done to a job is taken back: its newest edit as it was, its deletion as if it had been paused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.contracts.jobs.actions import History, Pause
from scheduler_api.database.engine import Database
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions, editing, project_secrets, reading, undoing
from scheduler_api.services.jobs.actions import FIRST_PAUSE
from scheduler_api.services.runs import passes
from tests.factories import ACTOR, CIPHER, add_job, execute, logs, rows
from tests.services.jobs.test_chains import add_follower
from tests.services.runs.test_claims import TARGET, after, at, claim, finished, is_clean, settle

JOB: dict[str, Any] = {
    "jobname": "Nightly",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "tags": ["a", "b"],
    "target": {
        "url": "https://example.com/hook",
        "headers": {"X-One": "1", "X-Two": "2"},
        "body": {"some": "thing"},
        "retries": 2,
    },
}


async def created(client: AsyncClient, **values: Any) -> Any:
    answer = await client.post("/jobs", json=JOB | values)
    assert answer.status_code == 201, answer.text
    return (await client.get("/jobs/1")).json()["job"]


async def undo(client: AsyncClient, version: int) -> Any:
    return await client.post("/jobs/1/undo", data={"version": str(version)}, headers={"accept": "text/html"})


def written(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in {"version", "nextrun"}}


@pytest.mark.parametrize(
    "patch",
    [
        {"cron": "30 3 * * *", "timezone": "UTC", "jobname": "Otherwise"},
        {"interval": 3600},
        {"tags": [], "maxruns": 5, "exclude": ["2030-12-24"]},
        {"target": {"url": "http://example.org/", "retries": 0, "pattern": "ok"}},
        {"target": {"headers": {"X-Three": "3"}}},
        {"target": {"body": "text", "method": "PUT", "timeout": 5}},
        {"target": None},
        {"description": "What it is for", "owner": "Ops", "misfire": "all", "grace": 5},
    ],
)
async def test_an_edit_is_taken_back(client: AsyncClient, patch: dict[str, Any]) -> None:
    headers = JOB["target"]["headers"] if patch.get("target", 0) is not None else {}
    before = await created(client, target=JOB["target"] | {"headers": headers})
    answer = await client.patch("/jobs/1", json=patch)
    assert answer.status_code == 200, answer.text
    edited = answer.json()
    assert written(edited) != written(before)
    answer = await undo(client, edited["version"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1?undone=1"), answer.text
    job = (await client.get("/jobs/1")).json()["job"]
    assert written(job) == written(before)
    assert job["nextrun"] == before["nextrun"]


async def test_only_the_newest_edit_is_taken_back_and_once(client: AsyncClient) -> None:
    await created(client)
    first = (await client.patch("/jobs/1", json={"cron": "0 3 * * *"})).json()["version"]
    second = (await client.patch("/jobs/1", json={"cron": "0 4 * * *"})).json()["version"]
    assert (await undo(client, first)).status_code == 412
    assert (await undo(client, second)).status_code == 303
    assert (await undo(client, second)).status_code == 412
    assert (await client.get("/jobs/1")).json()["job"]["cron"] == "0 3 * * *"
    paused = (await client.post("/jobs/1/pause")).json()["version"]
    assert (await undo(client, paused)).status_code == 412


@pytest.mark.parametrize(
    "patch", [{"headers": {"X-One": "9"}}, {"body": {"another": "one"}}, {"headers": {"X-Two": None}}]
)
async def test_what_is_not_kept_is_not_taken_back(client: AsyncClient, patch: dict[str, Any]) -> None:
    await created(client, target=JOB["target"] | {"body": {"much": "x" * 2000}})
    answer = await client.patch("/jobs/1", json={"target": patch})
    assert answer.status_code == 200, answer.text
    version = answer.json()["version"]
    page = (await client.get("/jobs/1?edited=1", headers={"accept": "text/html"})).text
    assert "Saved" in page
    assert "/jobs/1/undo" not in page
    answer = await undo(client, version)
    assert answer.status_code == 422
    assert "is not kept" in answer.text
    assert (await client.get("/jobs/1")).json()["job"]["version"] == version


async def test_a_page_offers_to_take_an_edit_back(client: AsyncClient) -> None:
    await created(client)
    version = (await client.patch("/jobs/1", json={"cron": "0 3 * * *"})).json()["version"]
    page = (await client.get("/jobs/1?edited=1", headers={"accept": "text/html"})).text
    assert 'action="/jobs/1/undo?back=%2Fjobs%2F1"' in page
    assert f'<input type="hidden" name="version" value="{version}">' in page


@pytest.mark.parametrize("state", ["active", "paused"])
async def test_a_deleted_job_comes_back_as_it_was(
    database: Database, client: AsyncClient, state: str
) -> None:
    await add_job(database, interval=60, due=after(0))
    await at(database, after(1), passes.run_pass, 10, after(1))
    if state == "paused":
        await execute(
            database,
            "UPDATE job SET active = false, pausedat = now(), pausereason = 'Holidays', resumefrom = :first",
            first=after(60),
        )
        await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    await at(database, after(30), editing.delete, ACTOR, 1, History.KEEP)
    job = await at(database, after(200), undoing.restore, ACTOR, CIPHER, 1)
    assert job.state == state
    assert job.pausereason == ("Holidays" if state == "paused" else None)
    told = [(log.scheduledfor, log.status, log.reason, log.missed) for log in await logs(database, 1)]
    pending = [(after(240), "pending", None, 0)] if state == "active" else []
    assert told == [
        (after(0), "finished", None, 0),
        (after(60), "skipped", "deleted", 2),
        *pending,
    ]
    assert await is_clean(database)
    # Once more changes nothing.
    assert await at(database, after(210), undoing.restore, ACTOR, CIPHER, 1) == job
    actions = await rows(database, "SELECT action FROM auditevent ORDER BY changeid")
    assert [row.action for row in actions][-2:] == ["deleted", "restored"]


async def test_what_says_that_a_job_was_deleted_is_a_fault_where_it_was_not(database: Database) -> None:
    await add_job(database, interval=60, due=after(0))
    await at(database, after(1), editing.delete, ACTOR, 1, History.KEEP)
    await at(database, after(100), undoing.restore, ACTOR, CIPHER, 1)
    assert await is_clean(database)
    await at(database, after(121), passes.run_pass, 10, after(121))
    await execute(
        database,
        "UPDATE joblog SET status = 'skipped', reason = 'deleted', startedat = NULL"
        " WHERE status = 'finished'",
    )
    (found,) = (await database.snapshot(checks.check_job, 1)).findings
    assert found.detail.endswith("was skipped as the job was deleted, which it is not.")


async def test_a_job_that_was_over_is_over_when_it_comes_back(database: Database) -> None:
    await add_job(database, due=after(0))
    await at(database, after(1), passes.run_pass, 10, after(1))
    await at(database, after(2), editing.delete, ACTOR, 1, History.KEEP)
    assert (await at(database, after(3), undoing.restore, ACTOR, CIPHER, 1)).state == "completed"
    assert await is_clean(database)


async def test_a_follower_has_nothing_to_make_up_for(database: Database) -> None:
    parent = await add_job(database, interval=60, due=after(0))
    child = await add_follower(database, parent)
    await at(database, after(1), editing.delete, ACTOR, child, History.KEEP)
    await at(database, after(61), passes.run_pass, 10, after(61))
    job = await at(database, after(90), undoing.restore, ACTOR, CIPHER, child)
    assert job.state == "active"
    assert await is_clean(database, child)
    await at(database, after(121), passes.run_pass, 10, after(121))
    assert [log.status for log in await logs(database, child)] == ["pending"]
    assert await is_clean(database, child)


async def test_what_a_job_needs_must_be_there_still(client: AsyncClient) -> None:
    await created(client)
    child = {"jobname": "After it", "after": {"jobid": 1}}
    assert (await client.post("/jobs", json=child)).status_code == 201
    assert (await client.delete("/jobs/2")).status_code == 204
    assert (await client.delete("/jobs/1")).status_code == 204
    answer = await client.post("/jobs/2/restore")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["detail"] == "Job 1 does not exist."
    assert (await client.post("/jobs/1/restore")).status_code == 200
    assert (await client.post("/jobs/2/restore", headers={"If-Match": '"1"'})).status_code == 412
    assert (await client.post("/jobs/2/restore")).json()["state"] == "active"
    assert (await client.post("/jobs/9/restore")).status_code == 404


async def test_a_deletion_is_taken_back_from_the_list(client: AsyncClient) -> None:
    await created(client)
    html = {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}
    answer = await client.post("/jobs/1/delete", headers=html)
    page = (await client.get(answer.headers["location"], headers=html)).text
    assert 'Deleted <a href="/jobs/1">Nightly</a>.' in page
    assert 'action="/jobs/1/restore?back=%2Fjobs"' in page
    assert "Restore</button>" in (await client.get("/jobs?state=deleted", headers=html)).text
    assert "Restore</button>" in (await client.get("/jobs/1", headers=html)).text
    answer = await client.post("/jobs/1/restore?back=/jobs", headers=html)
    assert answer.headers["location"] == "/jobs?restored=1"
    assert (
        'Restored <a href="/jobs/1">Nightly</a>.' in (await client.get("/jobs?restored=1", headers=html)).text
    )
    # Only numbers are taken from the address.
    assert "notice toast" not in (await client.get("/jobs?restored=<b>", headers=html)).text


async def test_other_events_do_not_keep_an_edit_from_being_taken_back(client: AsyncClient) -> None:
    await created(client)
    version = (await client.patch("/jobs/1", json={"cron": "0 3 * * *"})).json()["version"]
    for _ in range(25):
        assert (await client.post("/jobs/1/run")).status_code == 202
    assert (await undo(client, version)).status_code == 303


async def test_days_of_a_calendar_that_change_are_no_edit(client: AsyncClient) -> None:
    assert (await client.put("/calendars/days", json={"days": ["2040-12-24"]})).status_code == 200
    await created(client, calendars=["days"])
    assert (await client.patch("/jobs/1", json={"cron": "0 3 * * *"})).status_code == 200
    assert (await client.put("/calendars/days", json={"days": ["2040-12-25"]})).status_code == 200
    version = (await client.get("/jobs/1")).json()["job"]["version"]
    page = (await client.get("/jobs/1?edited=1", headers={"accept": "text/html"})).text
    assert "/jobs/1/undo" not in page
    assert (await undo(client, version)).status_code == 422


async def test_a_start_that_has_passed_does_not_come_back(client: AsyncClient, database: Database) -> None:
    start = {"interval": 3600, "startdate": "2040-01-01", "starttime": "10:00"}
    assert (await client.post("/jobs", json={"jobname": "Hourly", **start})).status_code == 201
    for moved, is_offered in (({"startdate": "2041-01-01"}, True), ({"startdate": "2042-01-01"}, False)):
        version = (await client.patch("/jobs/1", json=moved)).json()["version"]
        if not is_offered:
            await execute(
                database,
                "UPDATE auditevent SET before = jsonb_build_object('startdate', '2020-01-01')"
                " WHERE action = 'edited'",
            )
        page = (await client.get("/jobs/1?edited=1", headers={"accept": "text/html"})).text
        assert ("/jobs/1/undo" in page) is is_offered
        assert (await undo(client, version)).status_code == (303 if is_offered else 422)


async def test_a_pause_with_an_end_goes_on_or_is_over(client: AsyncClient, database: Database) -> None:
    await created(client)
    assert (await client.post("/jobs/1/pause", json={"until": "2040-01-01T00:00:00Z"})).status_code == 200
    assert (await client.delete("/jobs/1")).status_code == 204
    job = (await client.post("/jobs/1/restore")).json()
    assert (job["state"], job["pauseduntil"]) == ("paused", "2040-01-01T00:00:00Z")
    assert (await client.delete("/jobs/1")).status_code == 204
    await execute(database, "UPDATE job SET pauseduntil = now() - interval '1 hour'")
    over = await database.read(actions.pauses_over, FIRST_PAUSE, 9)
    assert (over.jobids, over.next) == ([], None)
    job = (await client.post("/jobs/1/restore")).json()
    assert (job["state"], job["pauseduntil"]) == ("active", None)


async def test_a_calendar_counts_as_it_is_when_a_job_comes_back(client: AsyncClient) -> None:
    assert (await client.put("/calendars/days", json={"days": ["2040-12-24"]})).status_code == 200
    await created(client, cron="0 12 * * *", calendars=["days"])
    assert (await client.delete("/jobs/1")).status_code == 204
    today = datetime.now(UTC).date()
    days = [str(today + timedelta(days=n)) for n in range(-1, 8)]
    assert (await client.put("/calendars/days", json={"days": days})).status_code == 200
    job = (await client.post("/jobs/1/restore")).json()
    assert job["nextrun"][:10] > days[-1]
    assert (await client.delete("/jobs/1")).status_code == 204
    assert (await client.delete("/calendars/days")).status_code == 204
    answer = await client.post("/jobs/1/restore")
    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (422, "There is no such calendar.")


async def test_credentials_are_there_for_a_day(client: AsyncClient, database: Database) -> None:
    target = {"url": "https://example.com/", "headers": {"Authorization": "Bearer x"}}
    await created(client, target=target)
    assert (await client.delete("/jobs/1")).status_code == 204
    assert (await client.post("/jobs/1/restore")).status_code == 200
    assert (await client.delete("/jobs/1")).status_code == 204
    await execute(database, "UPDATE job SET deletedat = deletedat - interval '2 days'")
    await execute(database, "UPDATE projectsecret SET changedat = changedat - interval '2 days'")
    assert await database.transact(project_secrets.remove_unnamed) == 1
    answer = await client.post("/jobs/1/restore")
    assert answer.status_code == 422
    assert "is removed a day after it was deleted" in answer.json()["errors"][0]["detail"]


async def test_what_is_no_job_any_more_is_said_field_by_field(
    client: AsyncClient, database: Database
) -> None:
    await created(client)
    assert (await client.delete("/jobs/1")).status_code == 204
    await execute(database, "UPDATE job SET timezone = 'Mars/Base'")
    answer = await client.post("/jobs/1/restore")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/timezone")


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_job_with_its_last_run_in_progress_is_not_over(database: Database, is_paused: bool) -> None:
    jobid = await add_job(database, due=after(0), target=TARGET)
    (started,) = (await claim(database, after(1))).started
    if is_paused:
        await at(database, after(2), actions.pause, ACTOR, jobid, Pause())
    await at(database, after(3), editing.delete, ACTOR, jobid, History.KEEP)
    job = await at(database, after(4), undoing.restore, ACTOR, CIPHER, jobid)
    assert job.state == ("paused" if is_paused else "active")
    await settle(database, after(5), finished(started))
    assert (await database.read(reading.get, jobid)).state == "completed"
    assert await is_clean(database, jobid)


async def test_an_address_alone_offers_to_undo_nothing(client: AsyncClient, database: Database) -> None:
    """What it tells of must have been done just now, and nothing since."""
    await created(client)
    html = {"accept": "text/html"}

    async def offered(path: str) -> bool:
        return "Undo</button>" in (await client.get(path, headers=html)).text

    assert await offered("/jobs/1?created=1")
    assert await offered("/jobs?created=1")
    for path in ("/jobs/1?deleted=1", "/jobs?paused=1", "/jobs/1?edited=1", "/jobs?created=2"):
        assert not await offered(path), path
    assert (await client.post("/jobs/1/pause")).status_code == 200
    assert not await offered("/jobs/1?created=1")
    assert await offered("/jobs/1?paused=1")
    assert (await client.patch("/jobs/1", json={"cron": "0 3 * * *"})).status_code == 200
    # The list does not know which version that was.
    assert not await offered("/jobs?edited=1")
    assert await offered("/jobs/1?edited=1")
    # A start in a zone that has gone cannot be compared with now.
    change = "UPDATE auditevent SET before = :before WHERE action = 'edited'"
    zone = '{"startdate": "2040-01-01", "starttime": "10:00", "timezone": "Mars/Base"}'
    await execute(database, change.replace(":before", "CAST(:before AS jsonb)"), before=zone)
    assert not await offered("/jobs/1?edited=1")
    assert (await client.post("/jobs/1/resume")).status_code == 200
    assert (await client.post("/jobs/1/pause")).status_code == 200
    await execute(database, "UPDATE auditevent SET at = at - interval '11 minutes'")
    assert not await offered("/jobs/1?paused=1")
    assert not await offered("/jobs?paused=1")
