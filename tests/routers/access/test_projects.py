"""Projects: who has a role in one sees and does nothing elsewhere, at whatever address."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.actors import Role
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.contracts.access.projects import ProjectDraft
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.access import keys, projects
from tests.factories import ACTOR, execute, scalar
from tests.routers.access.conftest import Comes, key_of
from tests.routers.access.test_permissions import HTML, WHO
from tests.routers.test_loop import VALUES

#: Addresses at which a role in a project counts for nothing.
WHOLE = {
    ("GET", "/metrics"),
    ("POST", "/jobs/run"),
    ("GET", "/alerts"),
    ("POST", "/alerts/{alertid}/retry"),
    ("GET", "/channels"),
    ("GET", "/channels/{channelid}"),
    ("POST", "/channels/{channelid}/test"),
    ("GET", "/rules"),
    ("GET", "/rules/{ruleid}/preview"),
    ("POST", "/rules/preview"),
    ("GET", "/mutes"),
    ("POST", "/mutes"),
    ("DELETE", "/mutes/{muteid}"),
    ("POST", "/mutes/{muteid}/delete"),
    ("GET", "/limits"),
    ("PUT", "/limits/{scope}/{name}"),
    ("DELETE", "/limits/{scope}/{name}"),
    ("POST", "/calendars/edit"),
    ("PUT", "/calendars/{name}"),
    ("DELETE", "/calendars/{name}"),
    ("POST", "/calendars/{name}/delete"),
}
ROLES = (Role.METRICS, Role.VIEWER, Role.OPERATOR, Role.EDITOR)
JOB: dict[str, Any] = {"jobname": "Theirs", "interval": 3600, "tags": ["nightly"]}
MINE, THEIRS = 1, 2


@pytest.fixture
async def admin(comes: Comes, database: Database) -> AsyncClient:
    return comes(await key_of(database, "admin"))


@pytest.fixture
async def two(admin: AsyncClient, database: Database) -> None:
    """A job with a run that failed in each of two projects: MINE in `billing`, THEIRS in `crm`."""

    async def add(session: Session, now: datetime, name: str) -> None:
        await projects.add(session, now, ACTOR, ProjectDraft(name=name))

    for name, jobname in (("billing", "Mine"), ("crm", "Theirs")):
        await database.transact(add, name)
        target = {"url": "https://example.com/", "headers": {"Authorization": f"secret of {name}"}}
        job = JOB | {"jobname": jobname, "project": name, "target": target}
        created = await admin.post("/jobs", json=job)
        assert created.status_code == 201, created.text
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, day, status, kind, host, startedat, finishedat, error)"
        " SELECT jobid, now() - interval '1 hour', current_date, 'failed', 'http', 'example.com',"
        " now() - interval '1 hour', now() - interval '1 hour', 'It failed.' FROM job ORDER BY jobid",
    )
    # Numbered as their jobs are.
    await execute(
        database,
        "INSERT INTO jobissue (jobid, kind, since, seenat) SELECT jobid, 'failed', now(), now()"
        " FROM job ORDER BY jobid",
    )
    await execute(database, "UPDATE job SET openissues = 1")
    await execute(
        database,
        "UPDATE joblog SET laststatus = 'failed', failures = 1, lastrun = now() WHERE day = 'infinity'",
    )


async def key_in(database: Database, role: Role | str, project: str = "billing") -> str:
    draft = KeyDraft(name=f"{role} in {project}", role=Role(role), project=project)
    return (await database.transact(keys.add, ACTOR, draft)).key


async def log_of(database: Database, jobid: int) -> int:
    return int(
        await scalar(database, f"SELECT logid FROM joblog WHERE jobid = {jobid} AND status = 'failed'")
    )


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("accept", ["application/json", HTML])
@pytest.mark.parametrize("role", ROLES)
async def test_each_address_tells_the_projects_apart(
    comes: Comes, database: Database, role: Role, accept: str
) -> None:
    """What is of another project is not there; what is of no project needs a role everywhere."""
    client = comes(await key_in(database, role), accept=accept)
    logids = {jobid: await log_of(database, jobid) for jobid in (MINE, THEIRS)}
    wrong = []
    # What takes something away comes last.
    for method, path, first in sorted(WHO, key=lambda who: ("delete" in who[1].lower(), who[0] == "DELETE")):
        # Of users who signed in here.
        if path in {"/events", "/account/sign-out", "/account/password"} or first == "-":
            continue
        may = first != "admin" and (method, path) not in WHOLE and role.may(Role(first))
        of_project = path.startswith("/projects/{project}/secrets")
        is_of_one = of_project or any(name in path for name in ("{jobid}", "{logid}", "{issueid}"))
        for jobid in (THEIRS, MINE) if is_of_one else (MINE,):
            expected = 403 if not may else 404 if is_of_one and jobid == THEIRS else None
            address = path.replace("{jobid}", str(jobid)).replace("{logid}", str(logids[jobid]))
            address = address.replace("{issueid}", str(jobid))
            address = address.replace("{project}", "crm" if jobid == THEIRS else "billing")
            for name, value in VALUES.items():
                address = address.replace(re.sub(r":\w+}", "}", name), value)
            answer = await client.request(method, address)
            is_right = answer.status_code == expected if expected else answer.status_code not in {401, 403}
            if not is_right or "Theirs" in answer.text or "secret of crm" in answer.text:
                wrong.append((method, address, expected, answer.status_code))
    assert not wrong


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("spelled", ["{}", "+{}", "%20{}", "{}.0", "0{}", "{}%0A", "٢"])
async def test_no_spelling_of_a_number_gets_around_it(comes: Comes, database: Database, spelled: str) -> None:
    client = comes(await key_in(database, "editor"))
    for path in (
        f"/jobs/{spelled.format(THEIRS)}",
        f"/logs/{spelled.format(await log_of(database, THEIRS))}",
        f"/issues/{spelled.format(THEIRS)}",
    ):
        answer = await client.get(path)
        assert answer.status_code in {404, 422}, answer.text


@pytest.mark.usefixtures("two")
async def test_lists_and_counts_show_what_is_theirs(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    client = comes(await key_in(database, "viewer"))
    found = await client.get("/jobs")
    assert [job["jobname"] for job in found.json()] == ["Mine"]
    assert found.headers["total-count"] == "1"
    for query in ("name=Theirs", "search=theirs", "project=crm", "tag=nightly&project=crm"):
        assert (await client.get(f"/jobs?{query}")).json() == [], query
    for sort in ("jobname", "nextrun", "-jobid"):
        assert [job["jobid"] for job in (await client.get(f"/jobs?sort={sort}")).json()] == [MINE]
    logs = (await client.get("/logs")).json()
    assert {log["jobid"] for log in logs} == {MINE}
    assert (await client.get(f"/logs?jobid={THEIRS}")).json() == []
    assert {one["jobid"] for one in (await client.get("/upcoming")).json()} == {MINE}
    overview = (await client.get("/overview")).json()
    assert overview["total"]["failed"] == 1
    assert overview["lasterror"]["jobid"] == MINE
    assert "Theirs" not in str(overview)
    load = sum((await client.get("/forecast")).json()["runs"])
    assert sum((await admin.get("/forecast")).json()["runs"]) == 2 * load > 0
    assert [one["name"] for one in (await client.get("/projects")).json()] == ["billing"]
    for page in ("/jobs", "/logs", "/upcoming", "/overview", "/projects"):
        text = (await client.get(page, headers={"accept": HTML})).text
        assert ("Theirs" in text, "crm" in text) == (False, False), page
    # Who has a role everywhere sees all, and can ask for one.
    assert len((await admin.get("/jobs")).json()) == 2
    assert [job["jobid"] for job in (await admin.get("/jobs?project=crm")).json()] == [THEIRS]
    assert {log["jobid"] for log in (await admin.get("/logs?project=crm")).json()} == {THEIRS}


@pytest.mark.usefixtures("two")
async def test_orders_to_many_reach_none_elsewhere(comes: Comes, database: Database) -> None:
    client = comes(await key_in(database, "editor"))
    for order in (
        {"action": "pause", "all": True},
        {"action": "pause", "filter": {"jobids": [MINE, THEIRS]}},
        {"action": "delete", "filter": {"project": "crm"}},
    ):
        report = (await client.post("/jobs/bulk", json=order)).json()
        assert THEIRS not in report["jobids"]
    state = "SELECT active AND deletedat IS NULL FROM job WHERE jobid = 2"
    assert await scalar(database, state)
    report = (await client.post("/logs/retry", json={"all": True})).json()
    assert (report["count"], report["done"]) == (1, 1)
    page = await client.post(
        "/jobs/bulk",
        data={"action": "resume", "scope": "matching", "confirmed": "true"},
        headers={"accept": HTML},
    )
    assert page.status_code == 200, page.text
    assert await scalar(database, state)


@pytest.mark.usefixtures("two")
async def test_a_job_is_created_where_its_author_may(comes: Comes, database: Database) -> None:
    client = comes(await key_in(database, "editor"))
    job = {"jobname": "Sync", "interval": 60}
    assert (await client.post("/jobs", json=job)).json()["project"] == "billing"
    for project in ("crm", "default", "nowhere"):
        refused = await client.post("/jobs", json=job | {"project": project})
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["detail"] == "There is no such project."
        moved = await client.patch(f"/jobs/{MINE}", json={"project": project})
        assert moved.status_code == 422, moved.text
    # What is left out is the default.
    assert (await client.patch(f"/jobs/{MINE}", json={"project": None})).status_code == 422
    both = comes(await key_of(database, "editor"))
    assert (await both.post("/jobs", json=job)).json()["project"] == "default"
    assert (await both.patch(f"/jobs/{MINE}", json={"project": "crm"})).json()["project"] == "crm"
    assert (await client.get(f"/jobs/{MINE}")).status_code == 404
    assert (await both.patch(f"/jobs/{MINE}", json={"project": "nowhere"})).status_code == 422


@pytest.mark.usefixtures("two")
async def test_calendars_tell_of_the_jobs_of_the_reader(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    assert (await admin.put("/calendars/days", json={"days": ["2040-01-01"]})).status_code == 200
    assert (await admin.patch(f"/jobs/{THEIRS}", json={"calendars": ["days"]})).status_code == 200
    client = comes(await key_in(database, "viewer"))
    for reader, jobs in ((client, 0), (admin, 1)):
        assert (await reader.get("/calendars")).json()[0]["jobs"] == jobs
        assert (await reader.get("/calendars/days")).json()["jobs"] == jobs
        page = await reader.get("/calendars/days", headers={"accept": HTML})
        assert ("Theirs" in page.text) is bool(jobs)
    # It is in use all the same.
    assert (await admin.delete("/calendars/days")).status_code == 409


@pytest.mark.usefixtures("two")
async def test_no_cursor_and_no_search_tells_of_a_run_elsewhere(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.services.jobs.reading.SEARCHED", 1)
    monkeypatch.setattr("scheduler_api.services.jobs.reading.SEARCH_SECONDS", 0)
    many = (
        "INSERT INTO joblog (jobid, scheduledfor, day, status, startedat, finishedat)"
        " SELECT jobid, now() - n * interval '1 minute', current_date, 'finished', now(), now()"
        " FROM job, generate_series(1, 5) AS n ORDER BY n, jobid"
    )
    await execute(database, many)
    client = comes(await key_in(database, "viewer"))
    theirs, unknown = await log_of(database, THEIRS), 10**9
    newest = (await client.get(f"/jobs/{MINE}/logs?limit=3&cursor={unknown}")).json()
    before = [row for row in newest if row["logid"] < theirs]
    assert (await client.get(f"/jobs/{MINE}/logs?limit=3&cursor={theirs}")).json()[: len(before)] == before
    for jobid in (THEIRS, 999):
        answer = await client.get(f"/logs?jobid={jobid}&host=example.com")
        assert (answer.json(), "link" in answer.headers) == ([], False)


@pytest.mark.usefixtures("two")
async def test_the_state_of_all_is_for_those_who_see_all(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    await execute(
        database,
        "UPDATE joblog SET nextrun = past, scheduledfor = past"
        " FROM (SELECT now() - interval '77 seconds' AS past) AS one"
        f" WHERE jobid = {THEIRS} AND day = 'infinity'",
    )
    client = comes(await key_in(database, "viewer"))
    mine, all_ = [(await reader.get("/overview")).json() for reader in (client, admin)]
    assert (mine["lag"], mine["oldestpending"], mine["replicas"], mine["storage"]) == (0, None, [], None)
    assert (all_["lag"] > 70, all_["storage"] is not None) == (True, True)
    for reader, is_told in ((client, False), (admin, True)):
        assert bool((await reader.get("/readyz")).json()["checks"]) is is_told
    assert (await client.get("/overview", headers={"accept": HTML})).status_code == 200


@pytest.mark.usefixtures("two")
async def test_explain_does_not_tell_what_others_call(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    assert (await admin.put("/limits/host/example.com", json={"limit": 0})).status_code in {200, 422}
    down = (
        "INSERT INTO hostfailure (host, failures, error, since, openuntil)"
        " VALUES ('example.com', 9, 'refused, seen by crm', now(), now() + interval '1 hour')"
    )
    await execute(database, down)
    await execute(
        database,
        "UPDATE joblog SET nextrun = date_trunc('second', now()) - interval '7 seconds',"
        " scheduledfor = date_trunc('second', now()) - interval '7 seconds'"
        f" WHERE jobid = {MINE} AND day = 'infinity'",
    )
    at = await scalar(database, f"SELECT scheduledfor FROM joblog WHERE jobid = {MINE} AND day = 'infinity'")
    client = comes(await key_in(database, "viewer"))
    said = [
        (await reader.get(f"/jobs/{MINE}/explain", params={"at": at.isoformat()})).json()["sentence"]
        for reader in (client, admin)
    ]
    assert ("crm" in said[0], "crm" in said[1]) == (False, True)
    assert said[0].endswith("It waits for a limit, or for its host.")


@pytest.mark.usefixtures("two")
async def test_idempotency_keys_are_those_of_a_project(comes: Comes, database: Database) -> None:
    job, key = {"jobname": "Sync", "interval": 60}, {"idempotency-key": "deploy-1"}
    created = []
    for project in ("billing", "crm", "billing"):
        client = comes(await key_in(database, "editor", project), **key)
        answer = await client.post("/jobs", json=job)
        assert answer.status_code == 201, answer.text
        created.append((answer.json()["project"], answer.json()["jobid"]))
    assert created[0] == created[2] != created[1]


@pytest.mark.usefixtures("two")
async def test_a_body_that_takes_long_is_of_somebody_who_may_send_it_still(
    comes: Comes, database: Database, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.routers.http.bodies.MOMENT", 0.0)

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"jobname": '
        assert (await admin.patch(f"/jobs/{MINE}", json={"project": "crm"})).status_code == 200
        yield b'"Hijacked"}'

    client = comes(await key_in(database, "editor"), **{"content-type": "application/json"})
    assert (await client.patch(f"/jobs/{MINE}", content=slowly())).status_code == 404
    assert await scalar(database, "SELECT jobname FROM job WHERE jobid = 1") == "Mine"


@pytest.mark.usefixtures("two")
async def test_nothing_is_copied_from_elsewhere(comes: Comes, database: Database) -> None:
    client = comes(await key_in(database, "editor"), accept=HTML)
    fields = {"jobname": "Copy", "kind": "every", "interval": "60", "target_url": "https://example.com/",
              "target_headers": "Authorization: (kept)"}  # fmt: skip
    for answer in (
        await client.get(f"/jobs?form=true&from={THEIRS}"),
        await client.post("/jobs", data=fields | {"from": str(THEIRS)}),
        await client.post("/schedules/preview", data=fields | {"jobid": str(THEIRS)}),
    ):
        assert (answer.status_code, "secret" in answer.text) == (404, False)
    form = await client.get("/jobs?form=true")
    assert 'name="project" value="billing"' in form.text


@pytest.mark.usefixtures("two")
async def test_a_chain_is_in_one_project(comes: Comes, database: Database, admin: AsyncClient) -> None:
    client = comes(await key_in(database, "editor"))
    for parent in (THEIRS, 999):
        refused = await client.post("/jobs", json={"jobname": "After", "after": {"jobid": parent}})
        detail = refused.json()["errors"][0]["detail"]
        assert detail == f"Job {parent} does not exist in the project billing."
    after = {"jobname": "After", "after": {"jobid": MINE}}
    follower = (await client.post("/jobs", json=after)).json()["jobid"]
    for jobid, status in ((MINE, 409), (follower, 422)):
        moved = await admin.patch(f"/jobs/{jobid}", json={"project": "crm"})
        assert moved.status_code == status, moved.text
    assert (
        await admin.patch(f"/jobs/{follower}", json={"project": "crm", "interval": 60})
    ).status_code == 200


@pytest.mark.usefixtures("two")
async def test_a_user_has_roles_in_projects(comes: Comes, database: Database, admin: AsyncClient) -> None:
    user = {"name": "anna@example.com", "projects": {"billing": "editor", "crm": "viewer"}}
    added = await admin.post("/users", json=user)
    assert added.status_code == 201, added.text
    path = added.json()["link"].removeprefix("http://localhost:5000")
    browser = comes(accept=HTML)
    form = {"password": "correct horse battery", "again": "correct horse battery"}
    assert (await browser.post(path, data=form)).status_code == 303
    assert (await browser.get("/account", headers={"accept": "*/*"})).json() == {
        "kind": "user", "name": "anna@example.com", "role": None, "projects": user["projects"],
    }  # fmt: skip
    mine, theirs = [(await browser.get(f"/jobs/{jobid}")).text for jobid in (MINE, THEIRS)]
    assert ("/jobs/1?form=true" in mine, "/jobs/2?form=true" in theirs) == (True, False)
    listed = (await browser.get("/jobs")).text
    assert [f'name="job-{jobid}"' in listed for jobid in (MINE, THEIRS)] == [True, False]
    assert "Run due jobs now" not in listed
    shown = (await browser.get(f"/jobs/{THEIRS}", headers={"accept": "*/*"})).json()["job"]
    assert shown["target"]["headers"] != {"Authorization": "secret of crm"}
    assert (await browser.post(f"/jobs/{THEIRS}/run", headers={"accept": "*/*"})).status_code == 403
    # One role after the other, as the page changes them.
    userid = added.json()["user"]["userid"]
    page = {"accept": HTML}
    for change, projects_left in (
        ({"project": "crm", "role": "operator"}, {"billing": "editor", "crm": "operator"}),
        ({"project": "billing", "role": ""}, {"crm": "operator"}),
    ):
        assert (await admin.post(f"/users/{userid}/edit", data=change, headers=page)).status_code == 303
        assert (await admin.get("/users")).json()[0]["projects"] == projects_left
    assert (await browser.get(f"/jobs/{MINE}")).status_code == 404
    for body, detail in (
        ({"projects": {}}, "Leave a role, or remove the user."),
        ({"projects": {"nowhere": "viewer"}}, "There is no such project."),
        ({"projects": {"crm": "admin"}}, "Admins are so everywhere: give the role `admin` itself."),
    ):
        refused = await admin.patch(f"/users/{userid}", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["detail"]) == (422, detail)
    assert (await admin.patch(f"/users/{userid}", json={"role": "viewer", "projects": {}})).status_code == 200
    assert (await browser.get(f"/jobs/{MINE}")).status_code == 200


@pytest.mark.usefixtures("two")
async def test_a_project_with_jobs_stays_and_one_without_goes_with_its_keys(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    client = comes(await key_in(database, "viewer"))
    assert (await client.get("/jobs")).status_code == 200
    for name, status in (("billing", 409), ("default", 409), ("nowhere", 404), ("No", 422)):
        assert (await admin.delete(f"/projects/{name}")).status_code == status, name
    assert (await admin.patch(f"/jobs/{MINE}", json={"project": "crm"})).status_code == 200
    page = await admin.get("/projects", headers={"accept": HTML})
    assert "/projects/billing/delete" in page.text
    assert (await admin.delete("/projects/billing")).status_code == 204
    assert (await client.get("/jobs")).status_code == 401
    again = await admin.post("/projects", json={"name": "crm"})
    assert again.json()["errors"][0]["detail"] == "There is such a project already."
    form = {"accept": HTML}
    assert (await admin.post("/projects", data={"name": "New one"}, headers=form)).status_code == 422
    assert (await admin.post("/projects", data={"name": "new-one"}, headers=form)).status_code == 303
    events = await admin.get("/audit?action=projectremoved")
    assert events.json()[0]["before"] == {"project": "billing"}


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({"name": "a key", "role": "admin", "project": "default"}, "/project"),
        ({"name": "a key", "role": "viewer", "project": "nowhere"}, "/project"),
        ({"name": "a key", "role": "viewer", "project": "No"}, "/project"),
    ],
)
async def test_a_key_is_of_a_project_that_is_there(
    admin: AsyncClient, draft: dict[str, str], field: str
) -> None:
    refused = await admin.post("/keys", json=draft)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, field)


def test_the_addresses_are_those_of_the_table() -> None:
    assert {(method, path) for method, path, _ in WHO} >= WHOLE


@pytest.mark.usefixtures("two")
async def test_a_reader_chooses_the_project_that_pages_show(
    comes: Comes, database: Database, admin: AsyncClient
) -> None:
    """Lists, counts and orders to all that match are of that one; what programs get is as before."""
    # The replica that changes a project knows of it at once.
    assert (await admin.patch("/projects/crm", json={"description": "Customers"})).status_code == 200
    browser = comes(await key_of(database, "editor"), accept=HTML)
    page = (await browser.get("/jobs")).text
    choice = page.partition('<select id="shown"')[2].partition("</select>")[0]
    assert re.findall('value="([a-z]*)"( selected)?', choice) == [
        ("", ""), ("billing", ""), ("crm", ""), ("default", ""),
    ]  # fmt: skip
    assert ("Mine" in page, "Theirs" in page) == (True, True)
    form = {"clock": "utc", "project": "billing", "back": "/jobs"}
    assert (await browser.post("/preferences", data=form)).status_code == 303
    for path in ("/jobs", "/logs", "/overview", "/upcoming"):
        page = (await browser.get(path)).text
        assert '<option value="billing" selected>' in page, path
        assert ("Mine" in page, "Theirs" in page) == (True, False), path
    assert 'name="project" value="billing"' in (await browser.get("/jobs?form=true")).text
    done = {"action": "pause", "scope": "matching", "confirmed": "true", "count": "1"}
    assert (await browser.post("/jobs/bulk", data=done)).status_code == 200
    json = {"accept": "application/json"}
    states = [
        (await browser.get(f"/jobs/{jobid}", headers=json)).json()["job"]["state"] for jobid in (MINE, THEIRS)
    ]
    assert states == ["paused", "active"]
    assert len((await browser.get("/jobs", headers=json)).json()) == 2
    # A link that names a project leads to that one.
    assert "Theirs" in (await browser.get("/jobs?project=crm")).text
    # One that has gone counts as none.
    assert "Theirs" in (await browser.get("/jobs", headers={"cookie": "project=gone"})).text
    # Another job can still be opened by its address, and all projects are listed.
    assert (await browser.get(f"/jobs/{THEIRS}")).status_code == 200
    assert "crm" in (await browser.get("/projects")).text
    await browser.post("/preferences", data=form | {"project": ""})
    assert "Theirs" in (await browser.get("/jobs")).text
    assert (await browser.post("/preferences", data=form | {"project": "No project"})).status_code == 422


@pytest.mark.usefixtures("two")
async def test_a_choice_opens_nothing(comes: Comes, database: Database) -> None:
    viewer = comes(await key_in(database, "viewer"), accept=HTML)
    page = (await viewer.get("/jobs", headers={"cookie": "project=crm"})).text
    assert ("Mine" in page, "Theirs" in page, "crm" in page) == (True, False, False)
    assert '<select id="shown"' not in page


@pytest.mark.usefixtures("two")
async def test_an_undo_leads_to_no_project_of_others(
    admin: AsyncClient, comes: Comes, database: Database
) -> None:
    jobid = (await admin.post("/jobs", json=JOB | {"project": "crm"})).json()["jobid"]
    form = {
        "version": str((await admin.patch(f"/jobs/{jobid}", json={"project": "billing"})).json()["version"])
    }
    editor = comes(await key_in(database, "editor"), accept=HTML)
    assert (await editor.post(f"/jobs/{jobid}/undo", data=form)).status_code == 422
    assert (await admin.get(f"/jobs/{jobid}")).json()["job"]["project"] == "billing"
    assert (await admin.post(f"/jobs/{jobid}/undo", data=form)).status_code == 303
    assert (await admin.get(f"/jobs/{jobid}")).json()["job"]["project"] == "crm"
