"""Large bodies of targets: bounded, shown where they belong, and nowhere else."""

import re
from typing import Any

import asyncpg
import pytest
from httpx import AsyncClient
from pydantic_core import to_json

from scheduler_api.contracts.bodies import MAX_BODY
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session, Statement
from scheduler_api.services.jobs.documents import MAX_BODY_KEPT
from tests.factories import execute, scalar

#: Stands in every body and every header, and nowhere else.
MARK = "needle"
LARGE = MARK + "a" * 59_994


def job(**target: Any) -> dict[str, Any]:
    made = {"url": "http://127.0.0.1:9/", "headers": {"X-A": MARK}, "body": LARGE} | target
    return {"jobname": "A job", "cron": "@daily", "tags": ["some"], "target": made}


async def create(client: AsyncClient, **target: Any) -> dict[str, Any]:
    response = await client.post("/jobs", json=job(**target))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


@pytest.mark.parametrize(
    "body",
    ["a" * (MAX_BODY - 2), ["ä" * ((MAX_BODY - 4) // 2)], {"a": "\n" * ((MAX_BODY - 8) // 2)}],
)
async def test_a_body_of_64_kb_is_taken_and_one_byte_more_is_not(client: AsyncClient, body: Any) -> None:
    assert len(to_json(body)) == MAX_BODY
    made = await create(client, body=body)
    assert made["target"]["body"] == body
    more = (
        [*body, "a"] if isinstance(body, list) else body | {"b": 1} if isinstance(body, dict) else body + "a"
    )
    for response in (
        await client.post("/jobs", json=job(body=more)),
        await client.patch("/jobs/1", json={"target": job(body=more)["target"]}),
    ):
        assert response.status_code == 422
        (field_error,) = response.json()["errors"]
        assert field_error["pointer"] == "/target/body"
        assert field_error["detail"].startswith("Must be at most 65,536 bytes as JSON; it is 65,5")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that statements bring from the database, as text."""
    rows: list[str] = []
    for name in ("all", "one_or_none"):
        monkeypatch.setattr(Session, name, _spied(getattr(Session, name), rows))
    return rows


def _spied(real: Any, rows: list[str]) -> Any:
    async def spied(session: Session, statement: Statement[Any], **values: Any) -> Any:
        found = await real(session, statement, **values)
        several = found if isinstance(found, list) else [] if found is None else [found]
        rows.extend(repr(tuple(row) if isinstance(row, tuple | asyncpg.Record) else row) for row in several)
        return found

    return spied


LISTS = [
    ("GET", "/jobs?limit=1000", None),
    ("GET", "/jobs?sort=nextrun&name=A", None),
    ("GET", "/upcoming", None),
    ("GET", "/forecast", None),
    ("GET", "/overview", None),
    ("GET", "/logs", None),
    ("GET", "/jobs/1/logs", None),
    ("GET", "/jobs/1/changes", None),
    ("GET", "/jobs/1/upcoming", None),
    ("GET", "/jobs/1/timeline", None),
    ("GET", "/jobs/1/secrets", None),
    ("GET", "/jobs/1/check", None),
    ("GET", "/jobs/1/explain?at=2030-01-01T00:00:00Z", None),
    ("POST", "/jobs/bulk", {"action": "pause", "all": True}),
    ("POST", "/jobs/bulk", {"action": "resume", "all": True}),
    ("POST", "/jobs/bulk?dryrun=true", {"action": "delete", "all": True}),
]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_what_lists_do_not_show_they_do_not_fetch(
    client: AsyncClient, database: Database, fetched: list[str], accept: str
) -> None:
    for _ in range(30):
        await create(client)
    await client.post("/jobs/1/run")
    for method, path, body in LISTS:
        fetched.clear()
        response = await client.request(method, path, json=body, headers={"accept": accept})
        assert response.status_code < 400 or response.status_code in {404, 415}, (path, response.text)
        # The forecast is remembered.
        assert fetched or response.status_code >= 400 or path == "/forecast", path
        assert MARK not in response.text, path
        assert not [row for row in fetched if MARK in row], path
        if path == "/jobs?limit=1000" and accept == "application/json":
            assert len(response.content) < 40_000
            assert len(response.json()) == 30


async def test_a_list_tells_all_else_of_a_target(client: AsyncClient) -> None:
    made = await create(client, timeout=7)
    (listed,) = (await client.get("/jobs")).json()
    whole = (await client.get("/jobs/1")).json()["job"]
    assert whole == made
    assert whole["target"]["body"] == LARGE
    assert whole["target"]["headers"] == {"X-A": MARK}
    left_out = {"headers", "body", "clientcert", "cacert", "oauth2"}
    assert listed["target"] == {n: v for n, v in made["target"].items() if n not in left_out}
    assert {**listed, "target": None} == {**made, "target": None}


SIZE = "SELECT sum(pg_column_size(before) + pg_column_size(after)) FROM auditevent WHERE action = 'edited'"
STORED = "SELECT string_agg(concat(CAST(before AS text), CAST(after AS text)), ' ') FROM auditevent"


async def test_edits_keep_what_differs(client: AsyncClient, database: Database) -> None:
    await create(client)
    for number in range(10):
        target = job(body=f"{number}{LARGE}", timeout=5 + number)["target"]
        assert (await client.patch("/jobs/1", json={"target": target})).status_code == 200
    assert await scalar(database, SIZE) < 10 * 700
    assert MARK not in await scalar(database, STORED)
    newest = (await client.get("/jobs/1/changes")).json()[0]
    assert newest["before"]["target"].keys() == newest["after"]["target"].keys() == {"body", "timeout"}
    assert re.fullmatch(r"60,003 bytes, SHA-256 [0-9a-f]{64}", newest["after"]["target"]["body"])
    assert newest["before"]["target"]["body"] != newest["after"]["target"]["body"]
    page = (await client.get("/jobs/1", headers={"accept": "text/html"})).text
    assert "target timeout: 13 → 14" in page


async def test_an_edit_of_one_field_keeps_that_field(client: AsyncClient) -> None:
    await create(client, body={"a": 1}, headers={"X-A": "1", "X-B": "2"})
    await client.patch(
        "/jobs/1",
        json={
            "target": job(body={"a": 1}, headers={"X-A": "1", "X-B": None, "X-C": "3"}, timeout=5)["target"],
            "grace": 90,
        },
    )
    newest = (await client.get("/jobs/1/changes")).json()[0]
    assert newest["before"] == {"grace": 60, "target": {"timeout": 30, "headers": {"X-B": "•••"}}}
    assert newest["after"] == {"grace": 90, "target": {"timeout": 5, "headers": {"X-C": "•••"}}}


async def test_the_value_of_a_header_is_not_kept_but_that_it_was_changed(client: AsyncClient) -> None:
    await create(client, headers={"X-A": "old", "X-B": "same"}, body=None)
    await client.patch(
        "/jobs/1", json={"target": job(headers={"X-A": "new", "X-B": "same"}, body=None)["target"]}
    )
    newest = (await client.get("/jobs/1/changes")).json()[0]
    assert newest["before"] == newest["after"] == {"target": {"headers": {"X-A": "•••"}}}
    page = (await client.get("/jobs/1", headers={"accept": "text/html"})).text
    assert "target header X-A: ••• → •••" in page
    assert "target header X-B" not in page


async def test_small_bodies_are_kept(client: AsyncClient) -> None:
    small = "b" * (MAX_BODY_KEPT - 2)
    await create(client, body=small)
    await client.patch("/jobs/1", json={"target": job(body="a")["target"]})
    newest, first = (await client.get("/jobs/1/changes")).json()
    assert (newest["before"]["target"], newest["after"]["target"]) == ({"body": small}, {"body": "a"})
    assert first["after"]["target"]["body"] == small


async def test_a_target_that_goes_or_comes_is_kept_whole_but_for_its_body(
    client: AsyncClient, database: Database
) -> None:
    await create(client)
    await client.patch("/jobs/1", json={"target": None})
    await client.patch("/jobs/1", json={"target": job()["target"]})
    came, went, _ = (await client.get("/jobs/1/changes")).json()
    assert went["after"] == came["before"] == {"target": None}
    assert went["before"] == came["after"]
    assert came["after"]["target"]["url"] == "http://127.0.0.1:9/"
    assert MARK not in await scalar(database, STORED)


async def test_the_past_of_a_schedule_is_known_whatever_became_of_its_target(
    client: AsyncClient, database: Database
) -> None:
    await create(client)
    await execute(database, "UPDATE job SET createdat = createdat - interval '2 days', validfrom = createdat")
    target = job(body="small")["target"]
    await client.patch("/jobs/1", json={"target": target, "cron": "0 5 * * *"})
    await client.patch("/jobs/1", json={"target": target | {"timeout": 3}, "cron": "0 6 * * *"})
    assert (await client.get("/jobs/1/check")).json()["strays"] == 0
    before = (await client.get("/jobs/1/explain?at=2020-01-01T00:00:00Z")).json()
    now = (await client.get("/jobs/1/explain?at=2120-01-01T00:00:00Z")).json()
    assert ("06:00" in before["schedule"], "06:00" in now["schedule"]) == (False, True), before["schedule"]
