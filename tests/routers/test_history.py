"""The ledger's questions over HTTP: why, whether all is there, lists with filters; and what is to come."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import logs
from tests.factories import NOON, add_job, execute, scalar
from tests.routers.test_pages import get

NEW_YORK: dict[str, Any] = {"timezone": "America/New_York"}


async def hourly(database: Database, **values: Any) -> int:
    """A job that ran at 08:00, caught up from 10:00 to 12:00 at 12:30, and is due at 13:00."""
    start = NOON - timedelta(hours=4)
    values = {"interval": 3600, "startdate": start.date(), "starttime": start.time()} | values
    jobid = await add_job(database, due=NOON + timedelta(hours=1), validfrom=start - timedelta(seconds=1),
                          createdat=start - timedelta(seconds=1), **values)  # fmt: skip
    for hour, missed, reason, runs in ((8, 0, None, 1), (9, 0, "misfire", 1), (10, 2, None, 2)):
        at = start + timedelta(hours=hour - 8)
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, status, startedat, lastrun, finishedat, missed,"
            " through, reason, runs)"
            " VALUES (:jobid, :at, :status, :ran, :ran, :over, :missed, :through, :reason, :runs)",
            jobid=jobid,
            runs=runs,
            at=at,
            status="skipped" if reason else "finished",
            ran=None if reason else at + timedelta(seconds=1),
            over=at + timedelta(seconds=1),
            missed=missed or None,
            through=at + missed * timedelta(hours=1) if missed else None,
            reason=reason,
        )
    return jobid


async def explained(client: AsyncClient, jobid: int, at: str) -> Any:
    response = await client.get(f"/jobs/{jobid}/explain", params={"at": at})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("at", "fate", "words"),
    [
        ("2030-01-31T08:00:00Z", "ran", "1.0 s after"),
        ("2030-01-31T09:00:00Z", "skipped", "missed its grace period"),
        ("2030-01-31T10:00:00Z", "ran", "covers 2 missed runs"),
        ("2030-01-31T11:00:00Z", "counted", "run of 2030-01-31 10:00:00 +00:00, which ran"),
        ("2030-01-31T12:00:00Z", "counted", "is covered by the run of 2030-01-31 10:00"),
        ("2030-01-31T13:00:00Z", "scheduled", "it starts at"),
        ("2030-01-31T14:00:00Z", "expected", "in the future"),
        ("2030-01-31T08:30:00Z", "not-scheduled", "previous run is 2030-01-31 08:00"),
        ("2029-01-31T08:30:00Z", "not-created", "did not exist yet"),
    ],
)
async def test_why(client: AsyncClient, database: Database, at: str, fate: str, words: str) -> None:
    jobid = await hourly(database)
    answer = await explained(client, jobid, at)
    assert (answer["outcome"], words in answer["sentence"]) == (fate, True), answer["sentence"]
    assert answer["schedule"].startswith("Every hour")
    assert answer["scheduled"] == (fate not in {"not-scheduled", "not-created"})


async def test_why_of_a_hole(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    await execute(database, "DELETE FROM joblog WHERE scheduledfor = '2030-01-31T09:00Z'")
    answer = await explained(client, jobid, "2030-01-31T09:00:00Z")
    assert (answer["outcome"], "no record of it" in answer["sentence"]) == ("missing", True)


async def test_why_of_a_failure_and_of_a_run_under_way(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    failed = "UPDATE joblog SET status = 'failed', error = 'Broken.' WHERE scheduledfor = '2030-01-31T08:00Z'"
    await execute(database, failed)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, leasetoken = gen_random_uuid(),"
        " leaseuntil = now() + interval '1 hour' WHERE status = 'pending'",
    )
    assert "Broken." in (await explained(client, jobid, "2030-01-31T08:00:00Z"))["sentence"]
    assert (await explained(client, jobid, "2030-01-31T13:00:00Z"))["outcome"] == "running"


async def test_why_of_a_paused_a_deleted_and_a_completed_job(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    await client.post(f"/jobs/{jobid}/pause", json={"reason": "Moving house"})
    answer = await explained(client, jobid, "2030-01-31T13:00:00Z")
    assert answer["outcome"] == "paused"
    assert "127.0.0.1 (Moving house)" in answer["sentence"]
    await client.delete(f"/jobs/{jobid}")
    assert (await explained(client, jobid, "2090-01-31T13:00:00Z"))["outcome"] == "deleted"
    done = await hourly(database, active=False)
    await execute(database, "DELETE FROM joblog WHERE jobid = :jobid AND status = 'pending'", jobid=done)
    assert (await explained(client, done, "2030-01-31T13:00:00Z"))["outcome"] == "completed"
    created = (
        await client.post("/jobs", json={"jobname": "Daily", "cron": "@daily", "active": False})
    ).json()
    ahead = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT00:00:00Z")
    answer = await explained(client, created["jobid"], ahead)
    assert (answer["outcome"], "since it was created" in answer["sentence"]) == ("paused", True)


async def test_why_tells_of_runs_by_request(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    log = (await client.post(f"/jobs/{jobid}/run")).json()
    at = log["scheduledfor"][:19] + "Z"
    assert (await explained(client, jobid, at))["outcome"] == "scheduled"
    await client.post("/jobs/run")
    answer = await explained(client, jobid, at)
    assert (answer["outcome"], answer["scheduled"]) == ("ran", False)


async def test_why_under_a_schedule_that_was_edited_away(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    await client.patch(f"/jobs/{jobid}", json={"cron": "30 * * * *"})
    answer = await explained(client, jobid, "2020-01-31T08:00:00Z")
    assert answer["schedule"].startswith("Every hour")
    ahead = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT10:30:00Z")
    assert (await explained(client, jobid, ahead))["schedule"].startswith("At minute 30 of every hour")
    for at, edited in (("2030-02-10T10:00:00Z", True), ("2030-02-10T10:10:00Z", False)):
        answer = await explained(client, jobid, at)
        assert answer["outcome"] == "not-scheduled"
        assert ("It did until the job was edited at" in answer["sentence"]) == edited


@pytest.mark.parametrize("at", ["", "yesterday", "2030-01-31", "2030-01-31T08:00:00", "9999-12-31T23:59:59Z"])
async def test_why_needs_an_instant(client: AsyncClient, database: Database, at: str) -> None:
    jobid = await hourly(database)
    response = await client.get(f"/jobs/{jobid}/explain", params={"at": at})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "?at"


async def test_the_plus_of_an_offset_may_arrive_as_a_blank(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    response = await client.get(f"/jobs/{jobid}/explain?at=2030-01-31T09:00:00+01:00")
    assert response.json()["at"] == "2030-01-31T08:00:00Z"


@pytest.mark.parametrize(
    ("harm", "kind", "count"),
    [
        ("SELECT 1", "", 0),
        ("DELETE FROM joblog WHERE scheduledfor = '2030-01-31T09:00Z'", "holes", 1),
        ("DELETE FROM joblog WHERE scheduledfor = '2030-01-31T10:00Z'", "holes", 3),
        ("UPDATE joblog SET missed = 1, through = '2030-01-31T11:00Z' WHERE missed = 2", "holes", 1),
        ("UPDATE joblog SET missed = 1 WHERE missed = 2", "miscounts", 1),
        ("UPDATE joblog SET scheduledfor = '2030-01-31T09:01Z' WHERE reason = 'misfire'", "strays", 1),
        (
            "INSERT INTO joblog (jobid, scheduledfor, status, finishedat)"
            " VALUES (1, '2030-01-31T11:00Z', 'finished', now())",
            "doubles",
            1,
        ),
        ("DELETE FROM joblog WHERE status = 'pending'", "invariants", 1),
        ("UPDATE job SET active = false", "invariants", 1),
        ("UPDATE job SET timezone = 'Mars/Olympus'", "invariants", 1),
    ],
)
async def test_the_check_finds_what_is_wrong(
    client: AsyncClient, database: Database, harm: str, kind: str, count: int
) -> None:
    jobid = await hourly(database)
    await execute(database, harm)
    report = (await client.get(f"/jobs/{jobid}/check")).json()
    kinds = ("holes", "doubles", "strays", "miscounts", "invariants")
    assert report["clean"] == (not kind), report
    if kind:
        assert report[kind] == count, report
        assert report["findings"][0]["detail"]
    else:
        assert not any(report[name] for name in kinds)
        assert (report["expected"], report["accounted"], report["rows"]) == (5, 5, 3)


async def test_the_check_finds_a_missing_excluded_day(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database, exclude=["2030-01-31"])
    report = (await client.get(f"/jobs/{jobid}/check")).json()
    assert (report["clean"], report["strays"], report["holes"]) == (False, 3, 5)


async def test_a_completed_job_whose_schedule_goes_on_is_not_clean(
    client: AsyncClient, database: Database
) -> None:
    jobid = await hourly(database, active=False)
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    report = (await client.get(f"/jobs/{jobid}/check")).json()
    assert report["findings"][0]["detail"] == "It is completed, but its schedule goes on."


async def test_logs_are_filtered_and_paged(client: AsyncClient, database: Database) -> None:
    jobid = await hourly(database)
    await hourly(database)
    path = f"/jobs/{jobid}/logs"

    async def scheduled(query: str) -> list[str]:
        return [log["scheduledfor"][11:13] for log in (await client.get(f"{path}?{query}")).json()]

    assert await scheduled("") == ["13", "10", "09", "08"]
    assert await scheduled("status=finished") == ["10", "08"]
    assert await scheduled("since=2030-01-31T09:00:00Z&until=2030-01-31T13:00:00Z") == ["10", "09"]
    assert await scheduled("cause=manual") == []
    first = await client.get(f"{path}?limit=3")
    further = first.headers["link"].partition(">")[0][1:]
    rest = await client.get(further)
    assert [log["scheduledfor"][11:13] for log in rest.json()] == ["08"]
    assert "link" not in rest.headers
    everything = (await client.get("/logs")).json()
    assert [log["logid"] for log in everything] == [8, 7, 6, 5, 4, 3, 2, 1]
    page = await client.get("/logs?limit=5&status=finished&cursor=7")
    assert [log["logid"] for log in page.json()] == [6, 4, 2]
    assert (await client.get("/logs?status=none")).status_code == 422
    assert (await client.get("/logs?since=yesterday")).json()["errors"][0]["pointer"] == "?since"
    assert (await client.get("/jobs/99/logs")).status_code == 404


async def test_jobs_are_filtered_sorted_and_paged(client: AsyncClient, database: Database) -> None:
    for name, tags, starts in (
        ("Beta 50%", ["red"], "2098-01-01"),
        ("alpha", [], "2097-01-01"),
        ("Gamma_1", ["red", "blue"], "2096-01-01"),
    ):
        job = {"jobname": name, "tags": tags, "interval": 86400, "startdate": starts, "starttime": "00:00"}
        response = await client.post("/jobs", json=job)
        assert response.status_code == 201, response.text
    await client.post("/jobs/2/pause")
    await add_job(database, active=False, due=None, jobname="Done", interval=60)

    async def names(query: str) -> list[str]:
        response = await client.get(f"/jobs?{query}")
        assert response.status_code == 200, response.text
        return [job["jobname"] for job in response.json()]

    assert await names("") == ["Beta 50%", "alpha", "Gamma_1", "Done"]
    assert await names("name=A") == ["Beta 50%", "alpha", "Gamma_1"]
    assert await names("name=0%25") == ["Beta 50%"]
    assert await names("name=_") == ["Gamma_1"]
    assert await names("tag=red") == ["Beta 50%", "Gamma_1"]
    assert await names("tag=red&name=gam") == ["Gamma_1"]
    assert await names("state=paused") == ["alpha"]
    assert await names("state=active") == ["Beta 50%", "Gamma_1"]
    assert await names("state=completed") == ["Done"]
    assert await names("laststatus=finished") == []
    assert await names("sort=-jobid") == ["Done", "Gamma_1", "alpha", "Beta 50%"]
    assert (await names("sort=nextrun"))[:2] == ["Gamma_1", "Beta 50%"]
    for sort in ("jobid", "-jobid", "jobname", "nextrun"):
        paged, path = [], f"/jobs?sort={sort}&limit=1"
        while path:
            response = await client.get(path)
            paged += [job["jobname"] for job in response.json()]
            path = response.headers.get("link", "").partition(">")[0][1:]
        assert paged == await names(f"sort={sort}"), sort
    for query in (
        "sort=size",
        "state=gone",
        "cursor=x",
        "sort=nextrun&cursor=1:x",
        "name=%00",
        "laststatus=no",
    ):
        assert (await client.get(f"/jobs?{query}")).status_code == 422, query


async def test_a_preview_tells_of_changes_of_the_clocks(client: AsyncClient) -> None:
    body = NEW_YORK | {
        "cron": "30 1,2 * * *",
        "startdate": "2027-03-13",
        "until": "2027-11-08T00:00:00-05:00",
    }
    body |= {"count": 100, "exclude": ["2027-03-13"]}
    preview = (await client.post("/schedules/preview", json=body)).json()
    assert "in America/New_York" in preview["words"]
    notes = {found["local"]: found["note"] for found in preview["occurrences"] if found["note"]}
    assert notes["2027-03-13 01:30:00 -05:00"] == "Excluded: the job does not run on this day."
    assert notes["2027-03-14 03:00:00 -04:00"] == "The clock skips 02:00 to 03:00: the job runs right after."
    assert [found["runs"] for found in preview["occurrences"][:3]] == [False, False, True]
    body |= {"startdate": "2027-11-07", "starttime": "00:00", "dstfold": "both", "exclude": []}
    notes = {
        found["local"]: found["note"]
        for found in (await client.post("/schedules/preview", json=body)).json()["occurrences"]
    }
    assert notes["2027-11-07 01:30:00 -04:00"] == "This time occurs twice: this is the first one."
    assert notes["2027-11-07 01:30:00 -05:00"] == "This time occurs twice: this is the second one."


@pytest.mark.parametrize("more", [{}, {"interval": 86400}])
async def test_a_preview_tells_of_a_start_at_a_change_of_the_clocks(
    client: AsyncClient, more: dict[str, Any]
) -> None:
    body = NEW_YORK | {"startdate": "2027-03-14", "starttime": "02:30", "count": 2} | more
    first, *rest = (await client.post("/schedules/preview", json=body)).json()["occurrences"]
    assert first["local"] == "2027-03-14 03:00:00 -04:00"
    assert first["note"] == "The clock skips 02:00 to 03:00: the job runs right after."
    assert not any(found["note"] for found in rest)
    body |= {"startdate": "2027-11-07", "starttime": "01:30"}
    first, *_ = (await client.post("/schedules/preview", json=body)).json()["occurrences"]
    assert first["note"] == "This time occurs twice: this is the first one."


async def test_a_preview_of_a_skipped_gap(client: AsyncClient) -> None:
    body = NEW_YORK | {"cron": "30 2 * * *", "startdate": "2027-03-14", "dstgap": "skip", "count": 1}
    (found,) = (await client.post("/schedules/preview", json=body)).json()["occurrences"]
    assert (found["runs"], found["note"]) == (False, "The clock skips this time; the job does not run.")
    body = NEW_YORK | {"startdate": "2027-03-14", "starttime": "02:30", "dstgap": "skip"}
    response = await client.post("/schedules/preview", json=body)
    assert response.json()["errors"][0]["pointer"] == "/starttime"


async def test_a_preview_of_a_form(client: AsyncClient) -> None:
    fields: dict[str, Any] = {
        "jobname": "x",
        "cron": "0 12 * * MON",
        "timezone": "UTC",
        "exclude": "2027-01-04, 2027-01-11",
        "until": "2027-02-01T00:00",
        "startdate": "2027-01-01",
        "active": "true",
    }
    response = await client.post("/schedules/preview", data=fields)
    assert response.status_code == 200, response.text
    assert [found["runs"] for found in response.json()["occurrences"]] == [False, False, True, True]
    refused = await client.post(
        "/schedules/preview", data=fields | {"cron": "x", "until": "2027-99-01T00:00"}
    )
    assert refused.status_code == 422
    refused = await client.post("/schedules/preview", data=fields | {"timezone": "Mars/Olympus"})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/timezone"]
    assert (await client.post("/schedules/preview", content="x")).status_code == 415


async def test_what_is_to_come_over_all_jobs(client: AsyncClient, database: Database) -> None:
    await client.post("/jobs", json={"jobname": "Minutely", "cron": "* * * * *", "maxruns": 3})
    await client.post("/jobs", json={"jobname": "Also minutely", "cron": "* * * * *"})
    await client.post("/jobs", json={"jobname": "Paused", "cron": "* * * * *", "active": False})
    await add_job(database, due=datetime.now(UTC), timezone="Mars/Olympus")
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    found = (await client.get("/upcoming", params={"until": until})).json()
    assert [entry["jobid"] for entry in found[:6]] == [1, 2, 1, 2, 1, 2]
    assert len([entry for entry in found if entry["jobid"] == 1]) == 3
    assert 58 <= len([entry for entry in found if entry["jobid"] == 2]) <= 60
    assert [entry["scheduledfor"] for entry in found] == sorted(entry["scheduledfor"] for entry in found)
    assert len((await client.get("/upcoming?limit=7")).json()) == 7
    assert (await client.get("/jobs/3/upcoming")).json() == []
    assert len((await client.get("/jobs/1/upcoming")).json()) == 3
    for days in (-1, 0, 8):
        until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        assert (await client.get("/upcoming", params={"until": until})).status_code == 422
    assert (await client.get("/jobs/9/upcoming")).status_code == 404


async def test_changes_are_paged(client: AsyncClient) -> None:
    await client.post("/jobs", json={"jobname": "Daily", "cron": "@daily"})
    for number in range(4):
        await client.patch("/jobs/1", json={"jobname": f"Daily {number}"})
    first = await client.get("/jobs/1/changes?limit=3")
    rest = await client.get(first.headers["link"].partition(">")[0][1:])
    assert [change["action"] for change in first.json() + rest.json()] == ["edited"] * 4 + ["created"]
    assert (await client.get("/jobs/9/changes")).status_code == 404
    assert await_is_now(first.json()[0]["at"])


def await_is_now(text: str) -> bool:
    return abs(datetime.fromisoformat(text) - datetime.now(UTC)) < timedelta(hours=1)


async def test_the_check_of_a_million_is_not_read_at_once(client: AsyncClient, database: Database) -> None:
    """More rows than are read at once, in the right order."""
    start = NOON - timedelta(seconds=6000)
    since = start - timedelta(seconds=1)
    jobid = await add_job(
        database,
        interval=1,
        startdate=start.date(),
        starttime=start.time(),
        validfrom=since,
        createdat=since,
    )
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, finishedat)"
        " SELECT :jobid, timestamptz '2030-01-31 12:00Z' - n * interval '1 s', 'finished', now()"
        " FROM generate_series(1, 6000) AS n",
        jobid=jobid,
    )
    report = (await client.get(f"/jobs/{jobid}/check")).json()
    assert (report["clean"], report["rows"], report["expected"]) == (True, 6000, 6000)
    assert await scalar(database, "SELECT count(*) FROM joblog") == 6001


async def add_days(database: Database, jobid: int, *days: str) -> None:
    for number, day in enumerate(days):
        await execute(
            database,
            "INSERT INTO jobtally (jobid, day, finished, failed, skipped, missed, p50, p95, rows, accounted,"
            " stopped) VALUES (:jobid, :day, :count, 1, '{\"overlap\": 2}', 3, :p50, 900, 7, 10, false)",
            jobid=jobid,
            day=date.fromisoformat(day),
            count=1000 + number,
            p50=None if number else 81.0,
        )


async def test_days_are_listed_newest_first(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database)
    assert (await client.get(f"/jobs/{jobid}/days")).json() == []
    await add_days(database, jobid, "2030-01-01", "2030-01-02", "2030-01-05")
    await add_days(database, await add_job(database), "2030-01-03")
    response = await client.get(f"/jobs/{jobid}/days?limit=2")
    assert [one["day"] for one in response.json()] == ["2030-01-05", "2030-01-02"]
    assert response.headers["link"] == f'</jobs/{jobid}/days?before=2030-01-02&limit=2>; rel="next"'
    response = await client.get(response.links["next"]["url"])
    assert response.json() == [
        {"day": "2030-01-01", "finished": 1000, "failed": 1, "skipped": {"overlap": 2}, "missed": 3,
         "p50": 81.0, "p95": 900.0}
    ]  # fmt: skip
    assert "link" not in response.headers


@pytest.mark.parametrize("before", ["soon", "2030-02-30", "20300101", "2030-01-01T00:00Z"])
async def test_a_list_of_days_begins_before_a_date(
    client: AsyncClient, database: Database, before: str
) -> None:
    jobid = await add_job(database)
    response = await client.get(f"/jobs/{jobid}/days", params={"before": before})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "?before"
    assert (await client.get("/jobs/99/days")).status_code == 404


async def test_days_have_a_page(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database)
    page = await get(client, f"/jobs/{jobid}/days")
    assert "No days yet." in page.text
    await add_days(database, jobid, *(f"2030-01-{number:02}" for number in range(1, 32)))
    page = await get(client, f"/jobs/{jobid}/days?limit=20")
    assert "2030-01-31" in page.text
    assert "2030-01-11" not in page.text
    assert "1,030" in page.text
    assert "2 overlap" in page.text
    further = page.links["Older days"]
    assert further == f"/jobs/{jobid}/days?before=2030-01-12&limit=20"
    page = await get(client, further)
    assert "81 ms · 900 ms" in page.text
    assert page.links["Newest days"] == f"/jobs/{jobid}/days"
    page = await get(client, f"/jobs/{jobid}/days?before=2030-01-01")
    assert "No older days." in page.text


async def test_a_page_says_since_when_runs_are_kept(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database)
    try:
        page = await get(client, f"/jobs/{jobid}?span=30d")
        assert "no longer kept" not in page.text
        assert page.links["Daily totals"] == f"/jobs/{jobid}/days"
        await execute(database, "UPDATE history SET horizon = CAST(now() - interval '3 days' AS date)")
        page = await get(client, f"/jobs/{jobid}?span=30d")
        assert "are no longer kept." in page.text
        assert "no longer kept" not in (await get(client, f"/jobs/{jobid}?span=24h")).text
    finally:
        await execute(database, "UPDATE history SET horizon = '-infinity'")


async def test_what_is_taken_away_while_it_is_explained_is_explained_as_it_was(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobid = await hourly(database)
    around = logs.around

    async def around_later(*arguments: Any) -> Any:
        await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
        return await around(*arguments)

    monkeypatch.setattr(logs, "around", around_later)
    assert (await explained(client, jobid, "2030-01-31T13:00:00Z"))["outcome"] == "scheduled"
