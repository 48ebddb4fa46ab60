"""Calendars: days on which jobs do not run, shared by those that name them."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient, Response

from scheduler_api.contracts.jobs.calendars import CalendarDraft
from scheduler_api.database.engine import Database
from scheduler_api.services.jobs import calendars
from scheduler_api.workers.upkeep import Upkeep
from tests.factories import ACTOR, execute, rows, scalar
from tests.routers.test_pages import HTML
from tests.routers.test_target_pages import strict

DAILY = {"jobname": "Nightly report", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}
OFF, ON = "expected: Excluded: the job does not run on this day.", "expected: None"
CHRISTMAS = "2030-12-25T01:00:00Z"


async def put(client: AsyncClient, *days: str, name: str = "days", query: str = "") -> Any:
    response = await client.put(f"/calendars/{name}{query}", json={"days": days})
    assert response.status_code == 200, response.text
    return response.json()


async def create(client: AsyncClient, **fields: Any) -> int:
    response = await client.post("/jobs", json=DAILY | {"calendars": ["days"]} | fields)
    assert response.status_code == 201, response.text
    jobid: int = response.json()["jobid"]
    return jobid


async def runs_at(client: AsyncClient, jobid: int, at: str) -> str:
    found = (await client.get(f"/jobs/{jobid}/explain", params={"at": at})).json()
    return f"{found['outcome']}: {found['note']}"


async def is_clean(client: AsyncClient, jobid: int) -> bool:
    return (await client.get(f"/jobs/{jobid}/check")).json()["clean"] is True


async def test_jobs_do_not_run_on_the_days_of_their_calendars(client: AsyncClient) -> None:
    await put(client, "2030-12-25/2030-12-26")
    jobid = await create(client)
    assert await runs_at(client, jobid, CHRISTMAS) == OFF
    found = (await client.get(f"/jobs/{jobid}/explain", params={"at": CHRISTMAS})).json()
    assert found["sentence"].endswith(" The day is in the calendar days.")
    assert (await client.get(f"/jobs/{jobid}")).json()["job"]["calendars"] == ["days"]
    shown = (await client.get("/calendars/days")).json()
    assert (shown["days"], shown["jobs"]) == (["2030-12-25/2030-12-26"], 1)
    assert [one["name"] for one in (await client.get("/calendars")).json()] == ["days"]


async def test_a_change_says_which_runs_of_which_jobs_it_takes_away(client: AsyncClient) -> None:
    await put(client, "2030-12-25")
    await create(client)
    await create(
        client, jobname="Hourly", cron=None, interval=3600, startdate="2030-01-01", starttime="00:00"
    )
    await create(client, jobname="Another", calendars=[])
    for query in ("?dryrun=true", ""):
        report = await put(client, "2030-12-24", query=query)
        assert (report["added"], report["removed"], report["complete"]) == (
            ["2030-12-24"],
            ["2030-12-25"],
            True,
        )
        nightly, hourly = report["jobs"]
        assert nightly["jobname"] == "Nightly report"
        assert [one["scheduledfor"] for one in nightly["disappear"]] == ["2030-12-24T01:00:00Z"]
        assert [one["scheduledfor"] for one in nightly["appear"]] == [CHRISTMAS]
        assert (hourly["disappearing"], len(hourly["disappear"]), hourly["appearing"]) == (24, 10, 24)
        assert report["behind"] == 0
        expected = OFF if query else ON
        assert await runs_at(client, 1, CHRISTMAS) == expected
    assert (await put(client, "2030-12-24"))["jobs"] == []
    (change, _) = (await client.get("/jobs/1/changes")).json()
    assert (change["action"], change["actor"]) == ("edited", "local")
    days = change["before"]["calendardays"], change["after"]["calendardays"]
    assert days == (["2030-12-25"], ["2030-12-24"])


async def test_what_was_holds_for_what_was(client: AsyncClient, database: Database) -> None:
    """A day that is taken away today was no day off yesterday."""
    await put(client, "2030-12-25")
    jobid = await create(client, cron="* * * * *")
    await execute(
        database,
        "UPDATE job SET createdat = now() - interval '1 hour', validfrom = now() - interval '1 hour'",
    )
    await execute(
        database,
        "UPDATE joblog SET scheduledfor = date_trunc('minute', now() - interval '59 minutes'),"
        " nextrun = date_trunc('minute', now() - interval '59 minutes')",
    )
    assert (await client.post("/jobs/run")).json()["finished"] == 1
    ran = await scalar(database, "SELECT scheduledfor FROM joblog WHERE status = 'finished'")
    today = await scalar(database, "SELECT to_char(now() AT TIME ZONE 'Europe/Berlin', 'YYYY-MM-DD')")
    report = await put(client, f"{today}/2099-01-01")
    assert report["jobs"][0]["disappearing"] > 0
    assert (await runs_at(client, jobid, ran.isoformat())).startswith("ran")
    assert await is_clean(client, jobid)


async def test_many_jobs_follow(client: AsyncClient, database: Database) -> None:
    await put(client)
    for number in range(calendars.BATCH + 2):
        await create(client, jobname=f"Job {number}")
    report = await put(client, "2030-12-25")
    assert (len(report["jobs"]), report["behind"]) == (calendars.BATCH + 2, 0)
    assert (
        await scalar(database, "SELECT count(*) FROM job WHERE calendardays = '{2030-12-25}'")
        == calendars.BATCH + 2
    )


async def test_a_change_that_was_cut_short_is_made_by_the_next_look(
    client: AsyncClient, database: Database
) -> None:
    await put(client)
    jobid = await create(client)
    draft = CalendarDraft(days=["2030-12-25"])
    await database.transact(calendars.put, ACTOR, "days", draft)
    assert await runs_at(client, jobid, CHRISTMAS) == ON
    assert await database.read(calendars.behind, "days") == 1
    assert (await Upkeep(database).repair(10)).is_through
    assert await runs_at(client, jobid, CHRISTMAS) == OFF
    (change, _) = (await client.get(f"/jobs/{jobid}/changes")).json()
    assert (change["action"], change["actor"]) == ("edited", "schedule")


async def test_a_job_whose_only_run_is_taken_away_skips_it(client: AsyncClient, database: Database) -> None:
    await put(client)
    jobid = await create(client, cron=None, startdate="2030-12-25", starttime="02:00")
    await put(client, "2030-12-25")
    assert (await runs_at(client, jobid, CHRISTMAS)).replace("scheduled", "expected") == OFF
    await execute(database, "UPDATE joblog SET nextrun = now()")
    assert (await client.post("/jobs/run")).json()["skipped"] == 1
    found = (await client.get(f"/jobs/{jobid}")).json()
    assert (found["job"]["state"], found["logs"][0]["reason"]) == ("completed", "excluded")


async def test_paused_jobs_follow_and_completed_ones_need_not(
    client: AsyncClient, database: Database
) -> None:
    await put(client)
    paused, completed = await create(client), await create(client, jobname="Over")
    await client.post(f"/jobs/{paused}/pause")
    await execute(database, "UPDATE job SET active = false WHERE jobid = :jobid", jobid=completed)
    await put(client, "2030-12-25")
    await client.post(f"/jobs/{paused}/resume")
    assert await runs_at(client, paused, CHRISTMAS) == OFF
    assert await scalar(database, "SELECT calendardays FROM job WHERE jobid = :jobid", jobid=completed) == []


async def test_a_job_that_cannot_follow_holds_up_no_other(client: AsyncClient, database: Database) -> None:
    """Its time zone has gone."""
    await put(client)
    await create(client)
    other = await create(client, jobname="Another")
    await execute(database, "UPDATE job SET timezone = 'Europe/Nowhere' WHERE jobid = 1")
    report = await put(client, "2030-12-25")
    assert ([job["jobid"] for job in report["jobs"]], report["behind"]) == ([other], 1)
    assert await runs_at(client, other, CHRISTMAS) == OFF


async def test_edits_and_previews_go_by_calendars(client: AsyncClient) -> None:
    await put(client, "2030-12-25")
    jobid = await create(client, calendars=[])
    preview = await client.post(
        "/schedules/preview", json={"cron": "0 2 25 12 *", "calendars": ["days"], "count": 1}
    )
    assert not any(one["runs"] for one in preview.json()["occurrences"] if one["scheduledfor"][:4] == "2030")
    edited = await client.patch(f"/jobs/{jobid}", json={"calendars": ["days"]})
    assert edited.json()["calendars"] == ["days"]
    assert await runs_at(client, jobid, CHRISTMAS) == OFF
    await client.patch(f"/jobs/{jobid}", json={"calendars": []})
    assert await runs_at(client, jobid, CHRISTMAS) == ON
    for path, body in (("/jobs", DAILY), ("/schedules/preview", DAILY)):
        wrong = await client.post(path, json=body | {"calendars": ["days", "none"]})
        assert [one["pointer"] for one in wrong.json()["errors"]] == ["/calendars/1"]
    dry = await client.patch(f"/jobs/{jobid}?dryrun=true", json={"calendars": ["none"]})
    assert [one["pointer"] for one in dry.json()["errors"]] == ["/calendars/0"]


async def test_a_calendar_in_use_stays(client: AsyncClient) -> None:
    await put(client, "2030-12-25")
    jobid = await create(client)
    refused = await client.delete("/calendars/days")
    assert (refused.status_code, refused.json()["code"]) == (409, "calendar_in_use")
    assert refused.json()["detail"] == "Job 1 goes by the calendar days."
    assert "Nightly report" in strict(await client.get("/calendars/days", headers=HTML)).text
    await client.patch(f"/jobs/{jobid}", json={"calendars": []})
    assert (await client.delete("/calendars/days")).status_code == 204
    for response in (await client.delete("/calendars/days"), await client.get("/calendars/days")):
        assert (response.status_code, response.json()["code"]) == (404, "calendar_not_found")


@pytest.mark.parametrize(
    "name", ["Days", "a b", "-days", "d" * 51, "%C3%A4"], ids=["capital", "space", "hyphen", "long", "umlaut"]
)
async def test_names_are_plain(client: AsyncClient, name: str) -> None:
    response = await client.put(f"/calendars/{name}", json={"days": []})
    assert response.status_code == 422, response.text


ICS = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//office//EN\r
X-WR-CALNAME:Holidays of the office\r
BEGIN:VEVENT\r
UID:1\r
DTSTART;VALUE=DATE:20101225\r
DTEND;VALUE=DATE:20101227\r
RRULE:FREQ=YEARLY\r
EXDATE;VALUE=DATE:20281225\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:2\r
DTSTART;VALUE=DATE:20300501\r
SUMMARY:Labour Day\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:4\r
DTSTART;VALUE=DATE:20300502\r
STATUS:CANCELLED\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:3\r
DTSTART:20300615T120000Z\r
SUMMARY:A party\r
END:VEVENT\r
END:VCALENDAR\r
"""


async def send(client: AsyncClient, content: str) -> Response:
    headers = {"content-type": "text/calendar; charset=utf-8"}
    return await client.put("/calendars/days", content=content, headers=headers)


async def test_a_calendar_comes_from_a_file(client: AsyncClient) -> None:
    response = await send(client, ICS)
    assert response.status_code == 200, response.text
    found = (await client.get("/calendars/days")).json()
    assert found["description"] == "Holidays of the office"
    years = {day[:4] for day in found["days"] if day[4:10] == "-12-25"}
    assert {"2027", "2029", "2030", "2031"} <= years
    assert "2028" not in years
    assert {"2030-12-25/2030-12-26", "2030-05-01"} <= set(found["days"])
    assert not any(day.startswith(("2030-06", "2030-05-02")) for day in found["days"])
    await client.put("/calendars/days", json={"days": [], "description": "Ours"})
    await send(client, ICS.replace("X-WR-CALNAME", "X-OTHER"))
    assert (await client.get("/calendars/days")).json()["description"] == "Ours"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
        ICS.replace("FREQ=YEARLY", "FREQ=SECONDLY"),
        ICS.replace("FREQ=YEARLY", "FREQ=FORTNIGHTLY"),
        ICS.replace("20300501", "20301332"),
        ICS.replace("20300501", "18000101"),
        ICS.replace("Holidays of", "Holidays\x07of"),
        ICS.replace("FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=0"),
        ICS.replace("FREQ=YEARLY", "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30"),
        ICS.replace("RRULE:FREQ=YEARLY", "RRULE:FREQ=DAILY"),
        ICS.encode().decode().replace("END:VCALENDAR", "BEGIN:VEVENT"),
    ],
    ids=[
        "empty",
        "nonsense",
        "no event",
        "each second",
        "unknown",
        "no date",
        "long ago",
        "a bell",
        "for ever",
        "never",
        "daily",
        "cut off",
    ],
)
async def test_a_file_that_is_none_is_refused(client: AsyncClient, content: str) -> None:
    response = await send(client, content)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"].startswith("/days")


async def test_the_page_shows_a_change_before_it_is_made(client: AsyncClient) -> None:
    form = {"name": "days", "description": "Holidays", "days": "2030-12-25"}
    made = await client.post("/calendars/edit", data=form, headers=HTML)
    assert made.headers["location"] == "/calendars/days?calendarset=0"
    jobid = await create(client)
    assert 'href="/calendars/days"' in (await client.get(f"/jobs/{jobid}", headers=HTML)).text
    asked = await client.post("/calendars/edit", data=form | {"days": "2030-12-24"}, headers=HTML)
    text = strict(asked).text
    assert "Takes away 1 run:" in text
    assert "2030-12-24 02:00:00 +01:00" in text
    assert await runs_at(client, jobid, CHRISTMAS) == OFF
    done = await client.post(
        "/calendars/edit", data=form | {"days": "2030-12-24", "confirmed": "true"}, headers=HTML
    )
    page = await client.get(done.headers["location"], headers=HTML)
    assert "Saved the calendar." in strict(page).text
    assert await runs_at(client, jobid, CHRISTMAS) == ON
    listed = strict(await client.get("/calendars", headers=HTML)).text
    assert "Holidays" in listed
    wrong = await client.post("/calendars/edit", data=form | {"days": "soon"}, headers=HTML)
    assert wrong.status_code == 422
    assert "Must be a date such as" in strict(wrong).text
    pasted = await client.post("/calendars/edit", data={"name": "office", "days": ICS}, headers=HTML)
    assert pasted.status_code == 303
    removed = await client.post("/calendars/office/delete", headers=HTML)
    assert removed.headers["location"] == "/calendars?calendarremoved=1"


async def test_the_form_of_a_job_takes_calendars(client: AsyncClient) -> None:
    await put(client, "2030-12-25")
    fields = {
        "jobname": "By form",
        "kind": "cron",
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "calendars": "days",
    }
    assert (await client.post("/jobs", data=fields, headers=HTML)).status_code == 303
    page = (await client.get("/jobs/1?form=true", headers=HTML)).text
    assert 'name="calendars" value="days"' in page
    wrong = await client.post("/jobs", data=fields | {"calendars": "none"}, headers=HTML)
    assert wrong.status_code == 422
    assert "There is no such calendar." in strict(wrong).text


async def findings(client: AsyncClient, jobid: int) -> list[str]:
    return [one["detail"] for one in (await client.get(f"/jobs/{jobid}/check")).json()["findings"]]


async def test_nothing_is_wrong_with_a_job_that_ends_with_days_off(
    client: AsyncClient, database: Database
) -> None:
    await put(client)
    jobid = await create(client, cron=None, startdate="2030-12-25", starttime="02:00")
    await put(client, "2030-12-25")
    await execute(database, "UPDATE joblog SET nextrun = now()")
    assert (await client.post("/jobs/run")).json()["skipped"] == 1
    assert await findings(client, jobid) == []


async def test_what_somebody_skipped_stays_skipped(client: AsyncClient) -> None:
    """The first of two days becomes a day off, and then is none any more."""
    await put(client)
    jobid = await create(client, cron="0 2 * * *")
    for _ in range(2):
        await client.post(f"/jobs/{jobid}/skip")
    runs = [run for run in (await client.get(f"/jobs/{jobid}")).json()["logs"] if run["status"] == "skipped"]
    second, first = (run["scheduledfor"] for run in runs)
    await put(client, str(first)[:10])
    assert (await runs_at(client, jobid, first)).startswith("skipped")
    assert (await runs_at(client, jobid, second)).startswith("skipped")
    await put(client)
    assert (await runs_at(client, jobid, second)).startswith("skipped")
    assert await findings(client, jobid) == []


@pytest.mark.parametrize("state", ["completed", "paused"])
async def test_a_job_whose_calendar_has_changed_can_be_edited_and_let_go_of_it(
    client: AsyncClient, database: Database, state: str
) -> None:
    """Its start is over."""
    await put(client)
    jobid = await create(client, cron=None, startdate="2030-12-25", starttime="02:00")
    if state == "paused":
        await client.post(f"/jobs/{jobid}/pause")
    await execute(
        database,
        "UPDATE job SET startdate = '2020-01-01', createdat = '2019-01-01', validfrom = '2019-01-01',"
        " resumefrom = CASE WHEN pausedat IS NOT NULL THEN timestamptz '2020-01-01 01:00Z' END",
    )
    await execute(database, "UPDATE joblog SET scheduledfor = '2020-01-01 01:00Z', nextrun = now()")
    await client.post("/jobs/run")
    assert (await client.get(f"/jobs/{jobid}")).json()["job"]["state"] == state
    assert (await put(client, "2030-12-25"))["behind"] == 0
    edited = await client.patch(f"/jobs/{jobid}", json={"description": "Another."})
    assert edited.status_code == 200, edited.text
    if state == "completed":
        assert (await client.patch(f"/jobs/{jobid}", json={"calendars": []})).status_code == 200
        assert (await client.delete("/calendars/days")).status_code == 204
    assert await findings(client, jobid) == []


async def test_each_change_is_recorded_once(client: AsyncClient, database: Database) -> None:
    """Two that come first at once, too; and one that changes nothing is none."""
    bodies = [{"days": [f"2030-01-0{n}"]} for n in (1, 2)]
    await asyncio.gather(*(client.put("/calendars/days", json=body) for body in bodies))
    await client.put("/calendars/days", json={"days": [], "description": "Holidays"})
    await client.put("/calendars/days", json={"days": []})
    found = await rows(
        database,
        "SELECT before -> 'days', after -> 'days', after -> 'description' FROM auditevent ORDER BY 1",
    )
    kept: list[str] = []
    assert len(found) == 3
    for removed, added, _ in sorted(found, key=lambda row: (row[0] != [], row[1] == [])):
        assert set(removed) <= set(kept)
        kept = sorted((set(kept) - set(removed)) | set(added))
    assert kept == []
    assert (await client.get("/calendars/days")).json()["description"] == "Holidays"


async def test_a_change_of_one_calendar_is_not_made_in_the_name_of_who_changes_another(
    client: AsyncClient, database: Database
) -> None:
    await put(client)
    jobid = await create(client)
    await database.transact(calendars.put, ACTOR, "days", CalendarDraft(days=["2030-12-25"]))
    await put(client, "2030-12-24", name="other")
    assert len((await client.get(f"/jobs/{jobid}/changes")).json()) == 1


async def test_a_new_calendar_takes_the_place_of_none(client: AsyncClient) -> None:
    await put(client, "2030-12-25")
    form = {"name": "days", "days": "2030-12-24", "new": "true"}
    refused = await client.post("/calendars/edit", data=form, headers=HTML)
    assert refused.status_code == 422
    assert "There is such a calendar" in strict(refused).text
    assert (await client.get("/calendars/days")).json()["days"] == ["2030-12-25"]


async def test_a_job_has_four_calendars_at_most_and_cursors_are_names(client: AsyncClient) -> None:
    for number in range(5):
        await put(client, "2030-12-25", name=f"c{number}")
    many = [f"c{number}" for number in range(5)]
    refused = await client.post("/jobs", json=DAILY | {"calendars": many})
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/calendars"]
    assert (await client.get("/calendars?cursor=%00")).status_code == 422
    assert [one["name"] for one in (await client.get("/calendars?cursor=c2")).json()] == ["c3", "c4"]
