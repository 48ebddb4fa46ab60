"""What a job tells people: what it is for, who looks after it, what to do when it fails."""

from httpx import AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import add_job, execute, sum_up
from tests.routers.test_pages import HTML

RUNBOOK = "https://wiki.example.com/sync?a=1&b=2"
FAIL = (
    "UPDATE joblog SET status = 'failed', error = 'No answer.', nextrun = NULL, startedat = now(),"
    " finishedat = now(), lastrun = now()"
)


async def test_the_runbook_is_shown_where_the_job_fails(client: AsyncClient, database: Database) -> None:
    await add_job(database, owner="Ops", description="Line one\nLine two", runbook=RUNBOOK)
    shown = (await client.get("/jobs/1")).json()["job"]
    assert (shown["owner"], shown["runbook"]) == ("Ops", RUNBOOK)
    assert shown["description"] == "Line one\nLine two"
    link = '<a href="https://wiki.example.com/sync?a=1&amp;b=2" rel="noopener noreferrer">'
    assert link in (await client.get("/jobs/1", headers=HTML)).text
    assert link not in (await client.get("/logs/1", headers=HTML)).text
    await execute(database, FAIL)
    await sum_up(database)
    for path in ("/logs/1", "/overview"):
        assert link in (await client.get(path, headers=HTML)).text, path
    issue = (await client.get("/overview", headers={"accept": "application/json"})).json()["issues"][0]
    assert (issue["kind"], issue["runbook"]) == ("failing", RUNBOOK)


async def test_a_link_leads_to_the_web(client: AsyncClient) -> None:
    wrong = ("javascript:alert(1)", "wiki/sync", "https://", "mailto:ops@example.com")
    for runbook in wrong:
        answer = await client.post("/jobs", json={"jobname": "Sync", "interval": 60, "runbook": runbook})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/runbook"], runbook
    for name, value in (("description", "x" * 2001), ("description", "a\x00b"), ("owner", "a\nb")):
        answer = await client.post("/jobs", json={"jobname": "Sync", "interval": 60, name: value})
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{name}"]
