"""Who did what: everything, in one list, for those who answer for it."""

import pytest

from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.engine import Database
from scheduler_api.wording import ACTIONS
from tests.routers.access.conftest import Comes, key_of
from tests.routers.access.test_signing import sign_in, signed_in

HTML = {"accept": "text/html"}


async def test_everything_that_was_done_is_there(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    await sign_in(comes(**HTML), "wrong password here")
    deploy = comes(await key_of(database, "editor", "deploy"))
    await deploy.post("/jobs", json={"jobname": "Sync", "interval": 60})
    await browser.post("/jobs/1/pause")
    await deploy.put("/limits/host/a.example", json={"limit": 2})
    admin = comes(await key_of(database, "admin", "setup"))
    found = (await admin.get("/audit")).json()
    assert [(one["action"], one["actor"], one["client"]) for one in found if one["actor"] != "local"] == [
        ("limitset", "key", "deploy"),
        ("paused", "user", "anna@example.com"),
        ("created", "key", "deploy"),
        ("signedin", "user", "anna@example.com"),
        ("passwordset", "user", "anna@example.com"),
        ("useradded", "key", "a program"),
    ]
    (refused,) = (await admin.get("/audit?action=signinrefused")).json()
    assert (refused["after"], refused["address"]) == ({"name": "anna@example.com"}, "10.0.0.5")
    assert {one["address"] for one in found if one["actor"] != "local"} == {"10.0.0.5"}


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ("client=deploy", ["edited", "created"]),
        ("actor=key&client=deploy&action=edited", ["edited"]),
        ("jobid=1&action=created", ["created"]),
        ("jobid=2", []),
        ("object=job&client=deploy", ["edited", "created"]),
        ("object=job&action=edited", ["edited"]),
        ("object=user&action=edited", []),
        ("object=key&client=deploy", []),
        ("address=10.0.0.5&client=deploy", ["edited", "created"]),
        ("address=10.0.0.6", []),
        ("project=default&client=deploy", ["edited", "created"]),
        ("project=billing", []),
        ("until=2001-01-01T00:00:00Z", []),
        ("since=2001-01-01T00:00:00Z&client=deploy&limit=1", ["edited"]),
    ],
)
async def test_it_is_filtered(comes: Comes, database: Database, query: str, actions: list[str]) -> None:
    deploy = comes(await key_of(database, "editor", "deploy"))
    await deploy.post("/jobs", json={"jobname": "Sync", "interval": 60})
    await deploy.patch("/jobs/1", json={"jobname": "Sync again"})
    admin = comes(await key_of(database, "admin"))
    answer = await admin.get(f"/audit?{query}")
    assert [one["action"] for one in answer.json()] == actions
    assert ("link" in answer.headers) is ("limit=1" in query)
    if "link" in answer.headers:
        further = answer.headers["link"].partition("<")[2].partition(">")[0]
        assert [one["action"] for one in (await admin.get(further)).json()] == ["created"]


async def test_the_page_says_it_in_words(comes: Comes, database: Database) -> None:
    await signed_in(comes, database)
    deploy = comes(await key_of(database, "editor", "deploy"))
    await deploy.post("/jobs", json={"jobname": "Sync", "interval": 60})
    await deploy.patch("/jobs/1", json={"jobname": "Sync again"})
    setup = comes(await key_of(database, "admin"))
    await setup.post("/projects", json={"name": "billing", "maxjobs": 500})
    await setup.post("/users", json={"name": "ben", "projects": {"billing": "viewer"}})
    admin = comes(await key_of(database, "admin"), **HTML)
    page = (await admin.get("/audit")).text
    for said in (
        "key added",
        "deploy, editor",
        "anna@example.com",
        "jobname: Sync → Sync again",
        'href="/jobs/1"',
        "project added",
        "project: billing",
        "maxjobs: 500",
        "maxstreams: 20",
        "limit: 100",
        "ben, viewer in billing",
    ):
        assert said in page, said
    assert "No matching events" in (await admin.get("/audit?client=carl")).text
    first = (await admin.get("/audit?limit=2")).text
    assert 'rel="next"' in first


async def test_a_wrong_filter_is_refused(comes: Comes, database: Database) -> None:
    admin = comes(await key_of(database, "admin"))
    for query in ("action=eaten", "actor=god", "jobid=x", "since=yesterday", "who=me"):
        assert (await admin.get(f"/audit?{query}")).status_code == 422, query


async def test_who_is_erased_did_it_all_the_same(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database, role="admin")
    await browser.post("/jobs", json={"jobname": "Sync", "interval": 60}, headers={"accept": "*/*"})
    added = await browser.post("/keys", json={"name": "hers", "role": "viewer"}, headers={"accept": "*/*"})
    await sign_in(comes(**HTML), "wrong password here")
    admin = comes(await key_of(database, "admin"))
    assert (await admin.post("/users", json={"name": "bert", "role": "admin"})).status_code == 201
    before = (await admin.get("/audit")).json()
    assert (await admin.delete("/users/1?erase=true")).status_code == 204
    removed, *after = (await admin.get("/audit")).json()
    assert removed["action"] == "userremoved"
    assert [one["action"] for one in after] == [one["action"] for one in before]
    assert "anna" not in str(after) + str(removed) + (await admin.get("/keys")).text
    created = next(one for one in after if one["action"] == "created")
    assert (created["actor"], created["client"]) == ("user", "erased user 1")
    assert added.json()["createdby"] == "anna@example.com"


def test_every_action_is_a_word() -> None:
    words = {
        *("created", "edited", "paused", "resumed", "skipped", "deleted", "repaired"),
        *("restored", "started", "backfilled", "retried", "cancelled", "acknowledged"),
    }
    assert {action.value for action in ChangeAction if action not in ACTIONS} == words
