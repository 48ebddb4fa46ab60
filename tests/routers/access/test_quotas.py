"""How much a project may use: jobs, bodies, requests, event streams, and runs at once."""

import asyncio
from datetime import timedelta
from time import monotonic_ns
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.actors import ActorKind, Principal, Role, Roles
from scheduler_api.database.engine import Database
from scheduler_api.errors import QuotaExceeded
from scheduler_api.workers import meter, quotas
from tests.factories import add_job, execute, scalar
from tests.routers.access.conftest import Comes, key_of
from tests.routers.access.test_projects import key_in
from tests.services.runs.test_claims import TARGET, claim

JOB: dict[str, Any] = {"jobname": "Sync", "interval": 3600}


@pytest.fixture
async def admin(comes: Comes, database: Database) -> AsyncClient:
    client = comes(await key_of(database, "admin"))
    assert (await client.post("/projects", json={"name": "billing"})).status_code == 201
    return client


async def allow(admin: AsyncClient, **quotas: int | None) -> dict[str, Any]:
    changed = await admin.patch("/projects/billing", json=quotas)
    assert changed.status_code == 200, changed.text
    found: dict[str, Any] = changed.json()
    return found


async def test_a_project_begins_with_quotas_and_the_default_has_none(admin: AsyncClient) -> None:
    found = {one["name"]: one for one in (await admin.get("/projects")).json()}
    names = ("maxjobs", "maxbody", "maxrequests", "maxstreams")
    assert [found["billing"][name] for name in names] == [10_000, 65_536, 50, 20]
    assert (await admin.get("/limits")).json() == [
        {"scope": "project", "name": "billing", "limit": 100, "rate": None}
    ]
    assert [found["default"][name] for name in names] == [None] * 4
    changed = await allow(admin, maxjobs=2, maxstreams=None)
    assert [changed[name] for name in names] == [2, 65_536, 50, None]
    page = await admin.get("/projects", headers={"accept": "text/html"})
    assert "2 jobs · 65,536 bytes of a body · 50 requests a second" in page.text
    for wrong in ({"maxjobs": 0}, {"maxbody": 65_537}, {"maxjobs": "5"}, {"jobs": 5}):
        assert (await admin.patch("/projects/billing", json=wrong)).status_code == 422
    assert (await admin.patch("/projects/nowhere", json={"maxjobs": 5})).status_code == 404
    (event, *_) = (await admin.get("/audit")).json()
    assert (event["action"], event["project"], event["after"]) == (
        "projectchanged", "billing", {"maxjobs": 2, "maxstreams": None},
    )  # fmt: skip


async def test_a_form_changes_them(admin: AsyncClient) -> None:
    page = {"accept": "text/html"}
    form = {"maxjobs": "7", "maxbody": "", "maxrequests": "x", "maxstreams": "3", "description": "Money"}
    wrong = await admin.post("/projects/billing/edit", data=form, headers=page)
    assert (wrong.status_code, "Must be an integer." in wrong.text) == (422, True)
    done = await admin.post("/projects/billing/edit", data=form | {"maxrequests": "9"}, headers=page)
    assert done.status_code == 303
    (found,) = [one for one in (await admin.get("/projects")).json() if one["name"] == "billing"]
    del found["createdat"]
    assert found == {"name": "billing", "description": "Money", "maxjobs": 7, "maxbody": None,
                     "maxrequests": 9, "maxstreams": 3}  # fmt: skip


async def test_no_more_jobs_than_the_quota_however_they_come(
    admin: AsyncClient, comes: Comes, database: Database
) -> None:
    await allow(admin, maxjobs=3)
    client = comes(await key_in(database, "editor"))
    answers = await asyncio.gather(*(client.post("/jobs", json=JOB) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["code"], "retry-after" in refused.headers) == ("quota_exceeded", False)
    assert refused.json()["detail"] == "The project billing has 3 jobs, as many as its quota allows."
    elsewhere = (await admin.post("/jobs", json=JOB)).json()["jobid"]
    assert (await admin.patch(f"/jobs/{elsewhere}", json={"project": "billing"})).status_code == 429
    mine = answers[[answer.status_code for answer in answers].index(201)].json()["jobid"]
    assert (await client.patch(f"/jobs/{mine}", json={"jobname": "Renamed"})).status_code == 200
    # Deleted ones count no more.
    assert (await client.delete(f"/jobs/{mine}")).status_code == 204
    assert (await client.post("/jobs", json=JOB)).status_code == 201
    assert (
        await scalar(database, "SELECT count(*) FROM job WHERE project = 'billing' AND deletedat IS NULL")
        == 3
    )


async def test_no_larger_body_than_the_quota(admin: AsyncClient, comes: Comes, database: Database) -> None:
    await allow(admin, maxbody=10)
    client = comes(await key_in(database, "editor"))
    target = {"url": "https://example.com/"}
    made = await client.post("/jobs", json=JOB | {"target": target | {"body": "x" * 8}})
    assert made.status_code == 201
    for answer in (
        await client.post("/jobs", json=JOB | {"target": target | {"body": "x" * 9}}),
        await client.patch("/jobs/1", json={"target": {"body": "x" * 9}}),
    ):
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["pointer"]) == (422, "/target/body")
        assert error["detail"] == "Must be at most 10 bytes in the project billing; it is 11."


async def test_requests_are_counted_for_each_key_and_told(
    admin: AsyncClient, comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await allow(admin, maxrequests=2)
    # However long requests take: none are earned meanwhile.
    now = monotonic_ns()
    monkeypatch.setattr(meter, "monotonic_ns", lambda: now)
    first, second = [comes(await key_in(database, "viewer")) for _ in range(2)]
    answers = [await first.get("/jobs") for _ in range(25)]
    statuses = [answer.status_code for answer in answers]
    # Twenty in ten seconds.
    assert statuses.index(429) == 20, statuses
    assert answers[0].headers["ratelimit-policy"] == '"project";q=20;w=10'
    assert answers[0].headers["ratelimit"] == '"project";r=19;t=1'
    refused = answers[statuses.index(429)]
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit"] == '"project";r=0;t=1'
    # What is not there, or not allowed, counts as well.
    assert (await first.get("/jobs/999")).status_code == 429
    assert (await second.get("/jobs")).status_code == 200
    for _ in range(25):
        answer = await admin.get("/jobs")
        assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)


async def test_event_streams_are_counted_for_each_key(admin: AsyncClient, database: Database) -> None:
    await allow(admin, maxstreams=1)
    kept = quotas.RequestQuotas(database)
    key, other = [
        Principal(ActorKind.KEY, Roles(None, {"billing": Role.VIEWER}), "key", keyid) for keyid in (1, 2)
    ]
    for _ in range(2):
        async with kept.streaming(key), kept.streaming(other):
            with pytest.raises(QuotaExceeded, match="1 event streams"):
                async with kept.streaming(key):
                    raise AssertionError
    everywhere = Principal(ActorKind.KEY, Roles(Role.VIEWER), "key", 3)
    async with kept.streaming(everywhere), kept.streaming(everywhere):
        pass


async def test_the_highest_quota_counts_and_time_brings_requests_back(
    admin: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await allow(admin, maxrequests=1)
    await admin.post("/projects", json={"name": "crm", "maxrequests": 2})
    now = [12_345.678_9]
    monkeypatch.setattr(meter, "monotonic_ns", lambda: int(now[0] * meter.SECOND))
    kept = quotas.RequestQuotas(database)
    both = Principal(ActorKind.USER, Roles(None, {"billing": Role.VIEWER, "crm": Role.EDITOR}), "anna", 1)
    left = [(await kept.take(both)) for _ in range(20)]
    assert [one and one.left for one in left] == [*range(19, -1, -1)]
    with pytest.raises(QuotaExceeded) as refused:
        await kept.take(both)
    assert refused.value.seconds == 1
    now[0] += 0.5
    assert await kept.take(both)
    now[0] += 100
    assert (await kept.take(both) or quotas.Allowance(0, 0, 0)).left == 19
    await admin.patch("/projects/crm", json={"maxrequests": None})
    await kept.refresh()
    assert await kept.take(both) is None


async def test_no_more_runs_of_a_project_than_its_limit(database: Database) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('billing', now())")
    for project in ("billing", "billing", "default"):
        await add_job(database, target=TARGET, project=project)
    await execute(database, "INSERT INTO concurrencylimit VALUES ('project', 'billing', 1)")
    now = await scalar(database, "SELECT max(nextrun) FROM joblog")
    found = await claim(database, now + timedelta(seconds=1))
    assert sorted(one.jobid for one in found.started) == [1, 3]
    assert found.bounded
    assert (await claim(database, now + timedelta(seconds=2))).started == []


async def test_a_limit_of_a_project_is_set_and_explained(admin: AsyncClient, database: Database) -> None:
    assert (await admin.put("/limits/project/billing", json={"limit": 1})).status_code == 200
    assert (await admin.get("/limits")).json() == [
        {"scope": "project", "name": "billing", "limit": 1, "rate": None}
    ]
    target = {"url": "https://example.com/"}
    for _ in range(2):
        await admin.post("/jobs", json=JOB | {"project": "billing", "target": target})
    await execute(
        database,
        "UPDATE joblog SET nextrun = now() - interval '1 second', scheduledfor = now() - interval '1 second'",
    )
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, startedat = now(), lastrun = now(),"
        " leasetoken = gen_random_uuid(), leaseuntil = now() + interval '1 hour' WHERE jobid = 1",
    )
    due = await scalar(database, "SELECT scheduledfor FROM joblog WHERE jobid = 2")
    at = due.isoformat().replace("+00:00", "Z")
    told = (await admin.get("/jobs/2/explain", params={"at": at})).json()
    assert "The project billing is at its concurrency limit of 1." in str(told)
    assert (await admin.delete("/projects/billing")).status_code == 409
    await admin.post("/projects", json={"name": "crm"})
    assert (await admin.delete("/projects/crm")).status_code == 204
    assert [one["name"] for one in (await admin.get("/limits")).json()] == ["billing"]


async def test_a_form_keeps_what_was_typed_when_there_is_no_room(
    admin: AsyncClient, comes: Comes, database: Database
) -> None:
    await allow(admin, maxjobs=1)
    client = comes(await key_in(database, "editor"), accept="text/html")
    form = {"jobname": "Typed with care", "kind": "every", "interval": "60"}
    answers = [await client.post("/jobs", data=form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 429]
    assert "Typed with care" in answers[1].text
    assert "as many as its quota allows" in answers[1].text


async def test_those_whom_a_proxy_signs_in_are_counted_each(admin: AsyncClient, database: Database) -> None:
    await allow(admin, maxrequests=1, maxstreams=1)
    kept = quotas.RequestQuotas(database)
    anna, ben = [
        Principal(ActorKind.USER, Roles(None, {"billing": Role.VIEWER}), name) for name in ("anna", "ben")
    ]
    for _ in range(10):
        await kept.take(anna)
    with pytest.raises(QuotaExceeded):
        await kept.take(anna)
    assert await kept.take(ben)


@pytest.mark.parametrize("rate", [1, 3, 7, 10, 50, 100_000])
async def test_the_quota_is_exact_at_any_time(
    admin: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    await allow(admin, maxrequests=rate)
    who = Principal(ActorKind.KEY, Roles(None, {"billing": Role.VIEWER}), "key", 1)
    for uptime in (98_765_432_109_876, 4_999_999_999_999_999):
        monkeypatch.setattr(meter, "monotonic_ns", lambda now=uptime: now)
        kept = quotas.RequestQuotas(database)
        first = await kept.take(who)
        assert first
        assert (first.quota, first.left) == (10 * rate, 10 * rate - 1)
        for left in range(10 * rate - 2, max(-1, 10 * rate - 600), -1):
            assert (await kept.take(who) or first).left == left


async def test_a_run_brings_no_larger_body_either(
    admin: AsyncClient, comes: Comes, database: Database
) -> None:
    await allow(admin, maxbody=10)
    client = comes(await key_in(database, "editor"))
    await client.post("/jobs", json=JOB | {"target": {"url": "https://example.com/"}})
    refused = await client.post("/jobs/1/run", json={"body": "y" * 9})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/body")
    assert (await client.post("/jobs/1/run", json={"body": "y" * 8})).status_code == 202


async def test_a_form_with_one_field_alone(admin: AsyncClient) -> None:
    for form in ({"maxjobs": "0"}, {"description": "x" * 300}, {"nothing": "y"}):
        answer = await admin.post("/projects/billing/edit", data=form, headers={"accept": "text/html"})
        assert answer.status_code == 422
