"""The contract: jobs listed, created and shown, as JSON."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import NOON, add_due_jobs, add_job, execute, logs, scalar

JOB = {"jobname": "Nightly report", "startdate": "2030-01-31", "starttime": "02:00"}


async def test_a_one_time_job_is_created_with_its_promise(client: AsyncClient, database: Database) -> None:
    response = await client.post("/jobs", json=JOB)
    assert response.status_code == 201
    assert response.headers["location"] == "/jobs/1"
    assert response.headers["etag"] == '"1"'
    job = response.json()
    assert datetime.fromisoformat(job.pop("createdat")) <= datetime.now(UTC) + timedelta(hours=1)
    assert job == {
        "jobid": 1,
        "jobname": "Nightly report",
        "startdate": "2030-01-31",
        "starttime": "02:00:00",
        "timezone": "UTC",
        "repeat": False,
        "interval": None,
        "cron": None,
        "until": None,
        "maxruns": None,
        "exclude": [],
        "calendars": [],
        "dstgap": "after",
        "dstfold": "once",
        "jitter": 0,
        "active": True,
        "state": "active",
        "pausedat": None,
        "pausereason": None,
        "pauseduntil": None,
        "pauseid": None,
        "version": 1,
        "misfire": "once",
        "grace": 60,
        "project": "default",
        "tags": [],
        "description": "",
        "owner": "",
        "runbook": "",
        "after": None,
        "target": None,
        "monitor": None,
        "overlap": False,
        "concurrency": None,
        "autopause": None,
        "lateafter": None,
        "stuckafter": None,
        "silentafter": None,
        "recoverafter": 1,
        "record": "all",
        "nextrun": "2030-01-31T02:00:00Z",
        "lastrun": None,
        "laststatus": None,
        "failures": 0,
        "lastsuccess": None,
        "openissues": 0,
    }
    (log,) = await logs(database, 1)
    assert (log.status, log.scheduledfor, log.nextrun, log.lastrun) == (
        "pending",
        datetime(2030, 1, 31, 2, tzinfo=UTC),
        datetime(2030, 1, 31, 2, tzinfo=UTC),
        None,
    )


async def test_a_repeating_job_is_created(client: AsyncClient) -> None:
    body = JOB | {"repeat": True, "interval": 90, "misfire": "skip", "grace": 5, "starttime": "02:00:30"}
    created = (await client.post("/jobs", json=body)).json()
    assert (created["repeat"], created["interval"], created["starttime"]) == (True, 90, "02:00:30")
    assert (created["misfire"], created["grace"]) == ("skip", 5)
    assert (await client.get("/jobs/1")).json()["job"] == created


async def test_the_start_is_meant_in_the_zone_of_the_job(client: AsyncClient) -> None:
    body = JOB | {"timezone": "America/New_York"}
    assert (await client.post("/jobs", json=body)).json()["nextrun"] == "2030-01-31T07:00:00Z"


async def test_an_inactive_job_has_no_log(client: AsyncClient, database: Database) -> None:
    created = await client.post("/jobs", json=JOB | {"active": False})
    assert created.status_code == 201
    assert created.json()["nextrun"] is None
    assert await logs(database, 1) == []


async def test_the_name_is_trimmed_and_normalised(client: AsyncClient) -> None:
    created = await client.post("/jobs", json=JOB | {"jobname": "  Cafe\u0301  "})
    assert created.json()["jobname"] == "Café"


ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"jobname": "ab"}, "/jobname", "at least 3"),
    ({"jobname": "  ab  "}, "/jobname", "at least 3"),
    ({"jobname": "x" * 101}, "/jobname", "at most 100"),
    ({"jobname": "a\nb c"}, "/jobname", "control characters"),
    ({"jobname": "nul\0nul"}, "/jobname", "control characters"),
    ({"jobname": 123}, "/jobname", "string"),
    ({"jobname": None}, "/jobname", "string"),
    ({"startdate": "2030-02-30"}, "/startdate", "does not exist"),
    ({"startdate": "31.01.2030"}, "/startdate", "2030-01-31"),
    ({"startdate": 1767225600000}, "/startdate", "2030-01-31"),
    ({"startdate": "1767225600"}, "/startdate", "2030-01-31"),
    ({"startdate": "+10000-01-01"}, "/startdate", "2030-01-31"),
    ({"startdate": "٢٠٣٠-٠١-٣١"}, "/startdate", "2030-01-31"),
    ({"starttime": "25:00"}, "/starttime", "does not exist"),
    ({"starttime": "23:59:60"}, "/starttime", "does not exist"),
    ({"starttime": "9:30"}, "/starttime", "09:30"),
    ({"starttime": "09:30Z"}, "/starttime", "09:30"),
    ({"starttime": 34200}, "/starttime", "09:30"),
    ({"timezone": "Mars/Olympus"}, "/timezone", "IANA"),
    ({"timezone": "America"}, "/timezone", "IANA"),
    ({"timezone": "localtime"}, "/timezone", "something else on each machine"),
    ({"timezone": "posix/Europe/Berlin"}, "/timezone", "something else on each machine"),
    ({"timezone": "../../etc/passwd"}, "/timezone", "IANA"),
    ({"timezone": "x" * 5000}, "/timezone", "at most 100"),
    ({"repeat": "true"}, "/repeat", "true or false"),
    ({"repeat": 1}, "/repeat", "true or false"),
    ({"repeat": True}, "/interval", "needs an interval"),
    ({"interval": 60, "repeat": False}, "/interval", "needs repeat"),
    ({"repeat": True, "interval": 0}, "/interval", "at least 1"),
    ({"repeat": True, "interval": -5}, "/interval", "at least 1"),
    ({"repeat": True, "interval": "60"}, "/interval", "integer"),
    ({"repeat": True, "interval": True}, "/interval", "integer"),
    ({"repeat": True, "interval": 1.5}, "/interval", "integer"),
    ({"repeat": True, "interval": 2**31}, "/interval", "at most"),
    ({"repeat": True, "interval": 2**63}, "/interval", "at most"),
    ({"repeat": True, "interval": 10**30}, "/interval", "at most"),
    ({"active": "yes"}, "/active", "true or false"),
    ({"misfire": "later"}, "/misfire", "'once', 'all' or 'skip'"),
    ({"grace": 0}, "/grace", "at least 1"),
    ({"colour": "red"}, "/colour", "no such field"),
    ({"a/b~c": 1}, "/a~1b~0c", "no such field"),
]


@pytest.mark.parametrize(("change", "pointer", "words"), ERRORS)
async def test_each_error_is_named_where_it_is(
    client: AsyncClient, database: Database, change: dict[str, Any], pointer: str, words: str
) -> None:
    response = await client.post("/jobs", json=JOB | change)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (422, "invalid_input")
    (field_error,) = problem["errors"]
    assert field_error["pointer"] == pointer
    assert words in field_error["detail"]
    assert await scalar(database, "SELECT count(*) FROM job") == 0


async def test_all_errors_are_told_at_once_and_the_input_is_not_repeated(client: AsyncClient) -> None:
    response = await client.post("/jobs", json={"jobname": "S!", "starttime": "secret", "repeat": 7})
    pointers = [field_error["pointer"] for field_error in response.json()["errors"]]
    assert pointers == ["/jobname", "/startdate", "/starttime", "/repeat"]
    assert "secret" not in response.text
    assert "S!" not in response.text


async def test_a_start_that_has_passed_is_refused_by_the_clock_of_the_database(
    client: AsyncClient, database: Database
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    versions, ahead = now - timedelta(seconds=1), now + timedelta(hours=1)
    for start, status in ((versions, 422), (ahead, 201)):
        body = JOB | {"startdate": f"{start:%Y-%m-%d}", "starttime": f"{start:%H:%M:%S}"}
        response = await client.post("/jobs", json=body)
        assert response.status_code == status
    response = await client.post("/jobs", json=JOB | {"startdate": "2020-01-01", "active": False})
    (field_error,) = response.json()["errors"]
    assert field_error["pointer"] == "/startdate"
    assert "must be in the future; it is" in field_error["detail"]


async def test_a_start_that_has_passed_today_is_an_error_of_the_time(
    client: AsyncClient, database: Database
) -> None:
    # Somewhere it is always midday enough for "a minute ago" to be today.
    now = await scalar(database, "SELECT clock_timestamp()")
    hours = 12 - now.hour
    zone = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"
    there = now + timedelta(hours=hours, minutes=-1)
    body = {"timezone": zone, "startdate": f"{there:%Y-%m-%d}", "starttime": f"{there:%H:%M:%S}"}
    response = await client.post("/jobs", json=JOB | body)
    assert [field_error["pointer"] for field_error in response.json()["errors"]] == ["/starttime"]


async def test_a_start_at_the_very_end_of_the_calendar_is_refused(client: AsyncClient) -> None:
    body = JOB | {"startdate": "9999-12-31", "starttime": "23:59", "timezone": "America/New_York"}
    response = await client.post("/jobs", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/startdate"


async def test_jobs_are_listed_oldest_first_page_by_page(client: AsyncClient, database: Database) -> None:
    assert (await client.get("/jobs")).json() == []
    for _ in range(5):
        await add_job(database)
    pages, url = [], "/jobs?limit=2"
    while url:
        response = await client.get(url)
        assert response.headers["vary"] == "Accept, Accept-Encoding"
        pages.append([job["jobid"] for job in response.json()])
        url = response.links.get("next", {}).get("url", "")
    assert pages == [[1, 2], [3, 4], [5]]


async def test_a_job_tells_its_next_and_its_last_run(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 1, interval=3600)
    await client.post("/jobs/run")
    (job,) = (await client.get("/jobs")).json()
    shown = (await client.get("/jobs/1")).json()
    assert shown["job"] == job
    assert job["laststatus"] == "finished"
    pending, finished = shown["logs"]
    assert job["nextrun"] == pending["nextrun"] == pending["scheduledfor"]
    assert job["lastrun"] == finished["lastrun"] == finished["startedat"]
    assert (pending["status"], finished["status"]) == ("pending", "finished")


async def test_logs_come_newest_first_page_by_page(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database, due=NOON + timedelta(hours=5), interval=3600)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat, lastrun)"
        " SELECT :jobid, CAST(:noon AS timestamptz) + n * interval '1 hour',"
        " 'finished', now(), now() FROM generate_series(0, 4) AS n",
        jobid=jobid,
        noon=NOON,
    )
    hours, url = [], f"/jobs/{jobid}?limit=4"
    while url:
        response = await client.get(url)
        assert response.json()["job"]["jobid"] == jobid
        hours.append([int(log["scheduledfor"][11:13]) - 12 for log in response.json()["logs"]])
        url = response.links.get("next", {}).get("url", "")
    assert hours == [[5, 4, 3, 2], [1, 0]]


async def test_a_job_that_does_not_exist(client: AsyncClient) -> None:
    response = await client.get("/jobs/77")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "job_not_found"


@pytest.mark.parametrize("jobid", [str(2**63), "0", "-1", "1e3", "%00", "x", "٣", "9" * 5000])
async def test_ids_that_are_none(client: AsyncClient, jobid: str) -> None:
    response = await client.get(f"/jobs/{jobid}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_the_largest_id_is_only_missing(client: AsyncClient) -> None:
    assert (await client.get(f"/jobs/{2**63 - 1}")).status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=1001", f"limit={10**21}", "limit=x", "after=-1", f"after={2**63}"]
)
async def test_absurd_pages(client: AsyncClient, query: str) -> None:
    response = await client.get(f"/jobs?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "?" + query.partition("=")[0]


async def test_run_runs_everything_due_and_says_what_it_did(client: AsyncClient, database: Database) -> None:
    await add_job(database, due=NOON)
    await add_due_jobs(database, 3)
    response = await client.post("/jobs/run")
    assert response.status_code == 200
    assert response.json() == {
        "message": "Ran 3 due runs.",
        "finished": 3,
        "failed": 0,
        "skipped": 0,
        "retried": 0,
        "running": 0,
        "repaired": 0,
        "more": False,
        "waiting": False,
    }
    assert (await client.post("/jobs/run")).json()["message"] == "Nothing was due."


@pytest.mark.parametrize("table", ["job", "joblog"])
async def test_a_call_tells_of_what_somebody_holds(
    client: AsyncClient, database: Database, table: str
) -> None:
    await add_due_jobs(database, 1)
    async with database.transactional.connect() as holder:
        await holder.exec_driver_sql(f"SELECT FROM {table} FOR UPDATE")
        report = (await client.post("/jobs/run")).json()
        await holder.rollback()
    assert (report["finished"], report["more"], report["waiting"]) == (0, False, True)
    assert report["message"].startswith("What is due cannot run now: a limit or another transaction holds")


async def test_run_catches_up_in_order_where_all_were_wanted(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(database, due=now - timedelta(seconds=50), interval=10, misfire="all")
    assert (await client.post("/jobs/run")).json()["finished"] in {5, 6}
    *settled, promise = await logs(database, jobid)
    assert [log.status for log in settled] == ["finished"] * len(settled)
    assert promise.scheduledfor > now


async def test_run_repairs_and_runs_more_than_one_batch(client: AsyncClient, database: Database) -> None:
    await add_due_jobs(database, 2500)
    await add_job(database, due=None, startdate=date(2020, 1, 1), starttime=time(0))
    report = (await client.post("/jobs/run")).json()
    assert (report["finished"], report["repaired"]) == (2501, 1)
