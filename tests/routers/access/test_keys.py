"""API keys: added, used, expired, revoked."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from scheduler_api import tokens
from scheduler_api.database.engine import Database
from scheduler_api.routers import events
from scheduler_api.workers import doorkeeper
from tests.factories import execute, rows, scalar
from tests.routers.access.conftest import ADDRESS, Comes, key_of

HTML = {"accept": "text/html"}
#: A key as it could be.
UNKNOWN = "sch_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o51hKq6v"


async def test_a_key_is_shown_once_and_kept_as_a_digest(comes: Comes, database: Database) -> None:
    admin = comes(await key_of(database, "admin", "setup"))
    answer = await admin.post("/keys", json={"name": "deploy", "role": "editor"})
    assert answer.status_code == 201
    added = answer.json()
    assert tokens.is_key(added["key"])
    assert (added["name"], added["role"], added["createdby"]) == ("deploy", "editor", "setup")
    (_, listed) = (await admin.get("/keys")).json()
    assert listed == {name: value for name, value in added.items() if name != "key"}
    page = (await admin.get("/keys", headers=HTML)).text
    assert listed["prefix"] in page
    assert added["key"] not in page
    kept = await rows(
        database, "SELECT to_jsonb(apikey)::text FROM apikey UNION ALL SELECT after::text FROM auditevent"
    )
    assert not any(added["key"] in row[0] for row in kept)


async def test_what_is_done_with_a_key_names_it(comes: Comes, database: Database) -> None:
    client = comes(await key_of(database, "editor", "deploy"))
    await client.post("/jobs", json={"jobname": "Sync", "interval": 60})
    (change,) = (await client.get("/jobs/1/changes")).json()
    assert (change["actor"], change["client"]) == ("key", "deploy")
    assert (await client.get("/account")).json() == {
        "kind": "key",
        "name": "deploy",
        "role": "editor",
        "projects": {},
    }


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer sch_",
        "Bearer " + UNKNOWN,
        "Bearer " + UNKNOWN[:-1] + "x",
        "Basic YW5uYTpwYXNzd29yZA==",
        "Basic",
        "bearer " + "x" * 5000,
    ],
)
async def test_what_is_no_key_lets_nobody_in(comes: Comes, authorization: str) -> None:
    client = comes(authorization=authorization)
    answer = await client.get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"] == 'Bearer realm="scheduler-api"'
    # What is open to all is open to those, too.
    assert (await client.get("/healthz")).status_code == 200


async def test_a_key_that_has_expired_lets_nobody_in(comes: Comes, database: Database) -> None:
    key = await key_of(database, "viewer")
    client = comes(key)
    assert (await client.get("/jobs")).status_code == 200
    await execute(database, "UPDATE apikey SET expiresat = now() - interval '1 second'")
    assert (await client.get("/jobs")).status_code == 401
    admin = comes(await key_of(database, "admin"))
    assert '<span class="badge failed">expired</span>' in (await admin.get("/keys", headers=HTML)).text
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    refused = await admin.post("/keys", json={"name": "late", "role": "viewer", "expiresat": past})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/expiresat"]


async def test_a_key_that_is_revoked_lets_nobody_in_a_second_later(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper, "KNOWN_SECONDS", 1.0)
    monkeypatch.setattr(doorkeeper, "monotonic", lambda: clock[0])
    admin, client = comes(await key_of(database, "admin")), comes(await key_of(database, "viewer"))
    assert (await client.get("/jobs")).status_code == 200
    assert (await admin.delete("/keys/2")).status_code == 204
    assert (await admin.delete("/keys/2")).status_code == 404
    assert (await client.get("/jobs")).status_code == 200
    clock[0] += 1.0
    assert (await client.get("/jobs")).status_code == 401
    assert [one["keyid"] for one in (await admin.get("/keys")).json()] == [1]
    said = await rows(
        database, "SELECT action, before ->> 'name' FROM auditevent ORDER BY changeid DESC LIMIT 1"
    )
    assert tuple(said[0]) == ("keyrevoked", "a program")


async def test_when_a_key_was_used_is_written_once_a_minute(comes: Comes, database: Database) -> None:
    client = comes(await key_of(database, "viewer"))
    assert await scalar(database, "SELECT lastused IS NULL FROM apikey")
    await client.get("/jobs")
    used = await scalar(database, "SELECT lastused FROM apikey")
    await client.get("/jobs")
    assert await scalar(database, "SELECT lastused FROM apikey") == used
    await execute(database, "UPDATE apikey SET lastused = now() - interval '61 seconds'")
    await client.get("/jobs")
    assert await scalar(database, "SELECT lastused >= now() - interval '5 seconds' FROM apikey")


async def test_a_key_is_added_and_revoked_on_the_page(comes: Comes, database: Database) -> None:
    admin = comes(await key_of(database, "admin"))
    shown = await admin.post("/keys", data={"name": "board", "role": "viewer", "expiresat": ""}, headers=HTML)
    assert shown.status_code == 201
    key = shown.text.partition('value="sch_')[2].partition('"')[0]
    assert (await comes(f"sch_{key}").get("/jobs")).status_code == 200
    wrong = await admin.post("/keys", data={"name": "", "role": "king"}, headers=HTML)
    assert wrong.status_code == 422
    assert 'id="error-name"' in wrong.text
    assert (await admin.post("/keys/2/delete", headers=HTML)).headers["location"] == "/keys"
    assert (await comes(f"sch_{key}").get("/jobs")).status_code == 401


def test_a_checksum_tells_keys_from_what_only_looks_like_one() -> None:
    keys = {tokens.new_key() for _ in range(200)}
    assert len(keys) == 200
    assert all(tokens.is_key(key) and len(key) == 40 for key in keys)
    assert not any(tokens.is_key(key[:9] + ("0" if key[9] != "0" else "1") + key[10:]) for key in keys)


async def test_a_stream_ends_when_its_key_is_revoked(
    service: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT", 0.01)
    key = await key_of(database, "viewer")
    sent: list[Any] = []
    ended = asyncio.Event()

    async def receive() -> Any:
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/events",
        "raw_path": b"/events", "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())],
        "client": ADDRESS, "server": ("localhost", 80),
    }  # fmt: skip
    stream = asyncio.create_task(service.state.served(scope, receive, send))
    async with asyncio.timeout(10):
        while len(sent) < 5:
            await asyncio.sleep(0.01)
        assert sent[0]["status"] == 200
        assert not stream.done()
        await execute(database, "UPDATE apikey SET revokedat = now()")
        await stream
    ended.set()


async def test_values_of_headers_are_for_those_who_may_write_them(comes: Comes, database: Database) -> None:
    editor = comes(await key_of(database, "editor"))
    target = {"url": "https://example.com/hook", "headers": {"X-Purpose": "TOPSECRET"}}
    await editor.post("/jobs", json={"jobname": "Sync", "interval": 60, "target": target})
    assert "TOPSECRET" in (await editor.get("/jobs/1")).text
    operator = comes(await key_of(database, "operator"))
    answers = [
        await operator.get("/jobs/1"),
        await operator.get("/jobs"),
        await operator.get("/jobs/1/changes"),
    ]
    answers += [await operator.post(f"/jobs/1/{action}") for action in ("skip", "pause", "resume", "run")]
    answers += [await operator.get("/jobs/1", headers=HTML), await operator.get("/logs")]
    for answer in answers:
        assert answer.is_success, answer.url
        assert "TOPSECRET" not in answer.text, answer.url
    shown = (await operator.get("/jobs/1")).json()["job"]
    assert shown["target"]["headers"] == {"X-Purpose": "•••"}


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_where_all_may_come_in_nobody_lets_others_in_for_later(
    client: AsyncClient, database: Database, accept: str
) -> None:
    orders = [
        ("POST", "/keys", {"name": "backdoor", "role": "admin"}),
        ("POST", "/users", {"name": "mallory", "role": "admin"}),
        ("POST", "/users/1/link", {}),
        ("POST", "/users/1/delete", {"x": "y"}),
        ("POST", "/keys/1/delete", {"x": "y"}),
    ]
    for method, path, given in orders:
        headers = {"accept": accept}
        if accept == "text/html":
            answer = await client.request(method, path, headers=headers, data=given)
        else:
            answer = await client.request(method, path, headers=headers, json=given)
        assert answer.status_code in {409, 415}, path
    assert await scalar(database, "SELECT count(*) FROM apikey") == 0
    assert await scalar(database, "SELECT count(*) FROM useraccount") == 0
    for path in ("/keys", "/users"):
        page = (await client.get(path, headers=HTML)).text
        assert "SCHEDULER_AUTH=required" in page
        assert f'action="{path}"' not in page
