"""The overview: what is wrong, since when, what to do; and how the service does."""

import itertools
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.engine import URL

from scheduler_api.contracts.system.overview import IssueKind
from scheduler_api.database.engine import Database
from scheduler_api.database.plans import ANEW, BY_HASH
from scheduler_api.database.system import overview as overview_statements
from scheduler_api.services.system import overview as overview_service
from scheduler_api.services.system import restore, troubles
from scheduler_api.services.system.troubles import Replica
from tests.factories import add_job, execute, scalar, sum_up
from tests.plans import analyze_logs, explained, renew_logs, rows_of
from tests.routers.test_pages import HTML, MARKUP, get
from tests.servers import dsn

TARGET = {"url": "http://down.example.com/", "method": "GET"}


async def overview(client: AsyncClient) -> dict[str, Any]:
    response = await client.get("/overview")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def kinds(client: AsyncClient) -> list[str]:
    return [issue["kind"] for issue in (await overview(client))["issues"]]


async def test_nothing_is_wrong_with_an_empty_service(client: AsyncClient) -> None:
    found = await overview(client)
    assert found["issues"] == []
    assert found["lag"] == 0
    assert found["replicas"]
    page = await get(client, "/overview")
    assert "All systems normal." in page.text


async def test_browsers_come_to_the_overview_and_programs_to_the_jobs(client: AsyncClient) -> None:
    assert (await client.get("/", headers=HTML)).headers["location"] == "/overview"
    assert (await client.get("/")).headers["location"] == "/jobs"


async def test_a_job_that_fails_is_told_with_since_when(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    jobid = await add_job(database, jobname=MARKUP, target=TARGET, interval=60)
    for hours, status in ((4, "failed"), (3, "finished"), (2, "failed"), (1, "failed")):
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, kind, host,"
            " error) VALUES (:jobid, :at, :status, :at, :at, :at, 'http', 'x', :error)",
            jobid=jobid,
            at=now - timedelta(hours=hours),
            status=status,
            error=f"It said {MARKUP}" if status == "failed" else None,
        )
    await sum_up(database)
    (issue,) = (await overview(client))["issues"]
    assert issue["kind"] == "failing"
    assert "failed 2 times in a row" in issue["what"]
    assert issue["since"][:19] == (now - timedelta(hours=2)).isoformat()[:19]
    page = await get(client, "/overview")
    assert f"It said {MARKUP}" in page.text
    assert "2 h ago" in page.text
    html = (await client.get("/overview", headers=HTML)).text
    assert f"/logs/{issue['logid']}/retry?back=%2Foverview" in html
    assert "script" not in page.tags
    found = await overview(client)
    assert (found["total"]["failed"], found["total"]["finished"]) == (3, 1)
    assert found["lasterror"]["jobid"] == jobid


async def test_runs_that_wait_for_long_are_an_issue(client: AsyncClient, database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, due=now - timedelta(seconds=10))
    assert await kinds(client) == []
    assert len((await overview(client))["late"]) == 1
    await add_job(database, jobname="The late one", due=now - timedelta(minutes=2))
    (issue,) = (await overview(client))["issues"]
    assert issue["kind"] == "late"
    assert "2 runs are late (the oldest by " in issue["what"]
    assert "The late one" in issue["why"]
    assert "late one" in (await get(client, "/overview")).text


async def test_a_host_that_does_not_answer_is_told(client: AsyncClient, database: Database) -> None:
    await execute(
        database,
        "INSERT INTO hostfailure (host, failures, since, openuntil, error)"
        " VALUES ('down.example.com', 7, clock_timestamp() - interval '1 hour', clock_timestamp() + interval"
        " '90 seconds', 'No connection.')",
    )
    (issue,) = (await overview(client))["issues"]
    assert issue["kind"] == "host"
    assert "down.example.com is unreachable" in issue["what"]
    assert "one tries in 1 minute" in issue["action"]


async def test_what_the_service_has_paused_is_told_but_not_what_people_have(
    client: AsyncClient, database: Database
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    for actor in ("local", "schedule"):
        jobid = await add_job(database, due=None, active=False, pausedat=now, pausereason="It failed.")
        await execute(
            database,
            "INSERT INTO auditevent (jobid, at, action, actor) VALUES (:jobid, :at, 'paused', :actor)",
            jobid=jobid,
            at=now,
            actor=actor,
        )
    (issue,) = (await overview(client))["issues"]
    assert (issue["kind"], issue["jobid"]) == ("givenup", 2)


async def test_a_job_that_had_lost_its_next_run_is_told_for_a_day(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, jobname="Forgotten", due=None, interval=60)
    assert (await client.post("/jobs/run")).json()["repaired"] == 1
    (issue,) = [one for one in (await overview(client))["issues"] if one["kind"] == "repaired"]
    assert issue["what"] == "The next run of “Forgotten” was missing and has been repaired"
    assert (issue["jobid"], issue["why"]) == (1, "Was: none. Is: 2030-01-31T12:00:00Z.")
    assert "repaired" in (await client.get("/jobs/1", headers={"accept": "text/html"})).text
    await execute(database, "UPDATE auditevent SET at = at - interval '25 hours'")
    assert "repaired" not in await kinds(client)


async def test_a_transaction_that_is_open_for_long_is_told_with_its_owner(
    client: AsyncClient, database: Database, worker_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody's in this database, whatever it does."""
    monkeypatch.setattr(troubles, "OLD", timedelta(0))
    stranger = await asyncpg.connect(dsn(worker_database), server_settings={"application_name": "a dump"})
    try:
        why = f"It belongs to a dump, pid {stranger.get_server_pid()}."
        assert why not in [issue["why"] for issue in (await overview(client))["issues"]]
        async with stranger.transaction():
            await stranger.execute("SELECT 1")
            (issue,) = [one for one in (await overview(client))["issues"] if one["why"] == why]
            assert issue["kind"] == "transaction"
            assert issue["what"].startswith("A transaction has been open for ")
    finally:
        await stranger.close()


async def test_what_runs_shows_how_far_it_is(client: AsyncClient, database: Database) -> None:
    jobid = await add_job(database, jobname="Long one", target=TARGET, interval=60, due=None)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, lastrun, kind, host, leasetoken,"
        " leaseuntil, following)"
        " SELECT :jobid, now, 'running', now, now, 'http', 'x', gen_random_uuid(), now + interval '1 hour',"
        " now + interval '1 hour' FROM (SELECT clock_timestamp() - interval '5 seconds' AS now) AS clock",
        jobid=jobid,
    )
    await execute(
        database,
        "INSERT INTO logattempt (logid, jobid, attempt, startedat, outcome, progress, message, replica)"
        " SELECT max(logid), max(jobid), 1, clock_timestamp(), 'accepted', 40, :message, 'here' FROM joblog",
        message=MARKUP,
    )
    (run,) = (await overview(client))["running"]
    assert (run["jobname"], run["progress"]) == ("Long one", 40)
    page = await get(client, "/overview")
    assert "40 %" in page.text
    assert "script" not in page.tags


async def add_run(database: Database, jobid: int, status: str, hours: float, **more: Any) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    at = now - timedelta(hours=hours)
    values = {"ended": at, "missed": None, "through": None, "attempt": 1} | more
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, kind, host, error,"
        " missed, through, nextrun, attempt, reason)"
        " VALUES (:jobid, :at, :status, :at, :ended, :at, 'http', 'x', :error,"
        " :missed, :through, :nextrun, :attempt, :reason)",
        jobid=jobid,
        at=at,
        status=status,
        error="boom" if status == "failed" else None,
        reason="paused" if status == "skipped" else None,
        nextrun=now if status == "pending" else None,
        **values | ({"ended": None} if status == "pending" else {}),
    )
    await sum_up(database)


async def test_a_job_that_ran_once_and_failed_is_told(client: AsyncClient, database: Database) -> None:
    await add_job(database, jobname="Once", target=TARGET, due=None, active=False)
    await add_run(database, 1, "failed", 2)
    assert await kinds(client) == ["failing"]
    await execute(database, "UPDATE joblog SET finishedat = finishedat - interval '2 days'")
    assert await kinds(client) == []


async def test_a_job_fails_until_a_run_of_it_finishes(client: AsyncClient, database: Database) -> None:
    await add_job(database, jobname="Retrying", target=TARGET, interval=3600, due=None)
    now = await scalar(database, "SELECT clock_timestamp()")
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun) VALUES (1, :at, :at)",
        at=now + timedelta(hours=1),
    )
    await add_run(database, 1, "failed", 3)
    await add_run(database, 1, "skipped", 2)
    await add_run(database, 1, "pending", 1, attempt=2)
    assert "failing" in await kinds(client)
    await execute(database, "DELETE FROM joblog WHERE attempt = 2")
    await add_run(database, 1, "finished", 1)
    assert await kinds(client) == []


async def test_a_noisy_job_hides_no_other_and_its_streak_is_counted(
    client: AsyncClient, database: Database
) -> None:
    for name in ("Noisy", "Monthly"):
        await add_job(database, jobname=name, target=TARGET, interval=1)
    await add_run(database, 2, "failed", 500)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, kind, host, error)"
        " SELECT 1, at, 'failed', at, at, 'http', 'x', 'boom' FROM ("
        "SELECT clock_timestamp() - n * interval '1 s' AS at FROM generate_series(1, 1500) AS n) AS told",
    )
    await sum_up(database)
    issues = {t["jobid"]: t["what"] for t in (await overview(client))["issues"]}
    assert issues[2].endswith(" failed")
    assert "failed 1,500 times in a row" in issues[1]


async def test_the_last_error_is_the_one_that_came_last(client: AsyncClient, database: Database) -> None:
    for _ in range(2):
        await add_job(database, target=TARGET, interval=60)
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_run(database, 1, "failed", 5, ended=now)
    await add_run(database, 2, "failed", 1, ended=now - timedelta(minutes=50))
    assert (await overview(client))["lasterror"]["jobid"] == 1


async def test_totals_count_what_is_under_way_and_what_was_missed(
    client: AsyncClient, database: Database
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, jobname="With jitter", interval=60, due=now - timedelta(seconds=2))
    await add_job(database, target=TARGET, interval=60, due=None, active=False, pausedat=now)
    await add_run(database, 2, "finished", 26, missed=1500, through=now - timedelta(hours=1))
    await add_run(database, 2, "skipped", 3, missed=4, through=now - timedelta(hours=2))
    await add_run(database, 2, "pending", 0.5, attempt=2)
    total = (await overview(client))["total"]
    assert (total["running"], total["missed"], total["skipped"], total["finished"]) == (1, 1500, 5, 0)
    page = await get(client, "/jobs/2")
    assert "1,500 missed" in page.text


async def test_jobs_that_run_within_the_hour_are_counted(database: Database) -> None:
    """Those of which a run is in progress, or waits for another attempt, too."""
    now = await scalar(database, "SELECT clock_timestamp()")
    soon, late = now + timedelta(minutes=10), now + timedelta(hours=2)
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    for due in (soon, late):
        for others in ({}, {"target": TARGET}, {"project": "bank"}):
            await add_job(database, due=due, interval=3600, **others)
    going = "UPDATE joblog SET {what}, following = :soon WHERE jobid = :jobid"
    for what in (
        "status = 'running', nextrun = NULL, startedat = now(), leasetoken = gen_random_uuid(),"
        " leaseuntil = now() + interval '1 h'",
        "attempt = 2, nextrun = now() + interval '1 s'",
    ):
        jobid = await add_job(database, due=late, interval=3600)
        await execute(database, going.format(what=what), soon=soon, jobid=jobid)
    for projects, counted in ((None, 5), (["default"], 4), (["bank"], 1), (["default", "bank"], 5), ([], 0)):
        found = await database.transact(overview_service.look, Replica(), projects)
        assert found.soon == counted, projects


async def test_calls_that_find_no_place_for_long_are_told(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")

    async def told(crowded: float) -> list[tuple[str, Any]]:
        found = await database.transact(overview_service.look, Replica("box:1", crowded=crowded))
        return [(one.what, one.since) for one in found.issues if one.kind is IssueKind.CROWDED]

    assert await told(60) == []
    for _ in range(3):
        await add_job(database, target=TARGET, due=now - timedelta(seconds=1))
    assert await told(29) == []
    ((what, since),) = await told(60)
    assert what == "Replica box:1 is at capacity (3 runs due)"
    assert abs(since - (now - timedelta(seconds=60))) < timedelta(seconds=20)


async def restored(database: Database, age: str) -> None:
    await execute(
        database,
        "UPDATE installation SET mark = NULL, writer = NULL, confirmedat = NULL,"
        f" lastknown = '2030-01-31 12:00Z', restoredat = clock_timestamp() - interval '{age}'",
    )


async def test_a_restore_is_told_until_somebody_confirms_it(client: AsyncClient, database: Database) -> None:
    none = {"restoredat": None, "lastknown": None, "confirmedat": None}
    assert (await client.post("/restore/confirm")).json() == none
    await restored(database, "1 hour")
    (issue,) = (await overview(client))["issues"]
    assert issue["kind"] == "restored"
    assert "Changes after 2030-01-31 12:00:00 UTC may be missing" in issue["why"]
    assert "webhook-id" in issue["why"]
    page = await get(client, "/overview")
    assert 'action="/restore/confirm"' in (await client.get("/overview", headers=HTML)).text
    assert "Confirm restore" in page.text
    answer = await client.post(
        "/restore/confirm", headers={"content-type": "application/x-www-form-urlencoded"} | HTML
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/overview")
    assert await kinds(client) == []
    once = (await client.post("/restore/confirm")).json()
    assert once["confirmedat"] is not None
    assert (await client.post("/restore/confirm")).json() == once


@pytest.mark.parametrize(("age", "told"), [("6 days 23 hours", ["restored"]), ("7 days 1 hour", [])])
async def test_a_restore_is_told_for_a_week(
    client: AsyncClient, database: Database, age: str, told: list[str]
) -> None:
    await restored(database, age)
    assert await kinds(client) == told
    # Who waits for the confirmation tells of it until it comes.
    assert len(await database.transact(restore.issue_of, paused=True)) == 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [("TOTALS", BY_HASH), ("SOON_OF_PROJECTS", BY_HASH), ("LATE_OF_FEW", BY_HASH), ("LATE_OF_MANY", ANEW)],
)
async def test_a_project_of_more_jobs_than_memory_holds_is_not_gone_through_for_each_run(
    database: Database, name: str, settings: str
) -> None:
    await renew_logs(database)
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    await execute(
        database,
        "INSERT INTO job (jobname, cron, repeat, project, createdat, validfrom)"
        " SELECT 'Job ' || n, '@daily', true, CASE WHEN n > 1000 THEN 'bank' ELSE 'default' END, now(), now()"
        " FROM generate_series(1, 4000) AS n",
    )
    await execute(
        database,
        "INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status)"
        " SELECT firstday, jobid, firstday, firstday, firstday, 'finished' FROM history, job",
    )
    # Those of others are the latest.
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun)"
        " SELECT jobid, now(), now() + CASE WHEN jobid <= 1000 THEN interval '-1 day'"
        " WHEN jobid <= 2000 THEN interval '-1 minute' ELSE interval '1 minute' END FROM job",
    )
    await execute(database, "ANALYZE job")
    await analyze_logs(database)
    now = await scalar(database, "SELECT now()")
    values = {
        "TOTALS": {"since": now - timedelta(days=9999), "now": now, "width": 1800.0, "limit": 50_000},
        "SOON_OF_PROJECTS": {"now": now, "until": now + timedelta(hours=1), "limit": 10_000},
        "LATE_OF_FEW": {"before": now, "limit": 20},
        "LATE_OF_MANY": {"before": now, "limit": 20},
    }
    async with database.transactional.begin() as connection:
        for setting in (
            *settings.split("; "),
            "SET LOCAL work_mem = '64kB'",
            "SET LOCAL hash_mem_multiplier = 1",
        ):
            await connection.execute(text(setting))
        statement = getattr(overview_statements, name)
        plan = await explained(connection, statement, **values[name], projects=["bank"])
    assert rows_of(plan) < 20 * 4000


async def test_late_runs_are_found_of_few_and_of_many(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    jobids = {
        (project, bool(others)): await add_job(
            database, due=now - timedelta(minutes=minutes), interval=60, project=project, **others
        )
        for minutes, (project, others) in enumerate(
            itertools.product(("default", "bank"), ({}, {"target": TARGET})), start=1
        )
    }
    assert len(jobids) == 4
    for few in (0, 2, 100):
        monkeypatch.setattr(overview_statements, "FEW", few)
        for projects in (None, ["default"], ["bank"], ["bank", "default"], []):
            late = (await database.transact(overview_service.look, Replica(), projects)).late
            theirs = [
                jobid for (project, _), jobid in jobids.items() if projects is None or project in projects
            ]
            assert [run.jobid for run in late] == theirs[::-1], (few, projects)
