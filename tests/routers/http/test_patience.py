"""Answers that take long: cut short and saying so, and ended when nobody waits for them."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler_api.computing import QUESTIONS, Lane
from scheduler_api.database.engine import Database
from scheduler_api.routers.http.patience import while_connected
from tests.factories import add_job, execute

YEARLY: dict[str, Any] = {"jobname": "Yearly", "cron": "@yearly", "timezone": "Europe/Berlin"}


async def created(client: AsyncClient, **values: Any) -> int:
    response = await client.post("/jobs", json=YEARLY | values)
    assert response.status_code == 201, response.text
    return int(response.json()["jobid"])


@pytest.mark.parametrize("cron", ["@yearly", "0 0 29 2 *", "0 0 * 2 MON#5", "30 2 * * *"])
async def test_a_dry_run_looks_thirty_days_ahead(client: AsyncClient, cron: str) -> None:
    jobid = await created(client, cron=cron)
    preview = (await client.patch(f"/jobs/{jobid}?dryrun=true", json={"cron": "0 0 * * *"})).json()
    assert preview["complete"] is True
    assert 29 <= preview["appearing"] <= 31


async def test_a_dry_run_that_is_cut_short_says_how_far_it_looked(client: AsyncClient) -> None:
    jobid = await created(client)
    answer = (await client.patch(f"/jobs/{jobid}?dryrun=true", json={"cron": "* * * * * *"})).json()
    assert (answer["complete"], answer["appearing"], len(answer["appear"])) == (False, 5000, 100)
    form = {
        "jobname": "Yearly",
        "cron": "* * * * * *",
        "kind": "cron",
        "timezone": "UTC",
        "jobid": str(jobid),
    }
    page = (await client.post("/schedules/preview", data=form, headers={"accept": "text/html"})).text
    assert "Later runs were not compared." in page
    whole = (
        await client.post(
            "/schedules/preview", data=form | {"cron": "@daily"}, headers={"accept": "text/html"}
        )
    ).text
    assert "Later runs were not compared" not in whole


async def test_lists_of_what_is_to_come_say_whether_they_are_complete(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobid = await created(client, cron="* * * * *")
    for address in (f"/jobs/{jobid}/upcoming?limit=100", "/upcoming?limit=100"):
        answer = await client.get(address)
        assert (answer.headers["scheduler-complete"], len(answer.json())) == ("true", 100)
    small = Lane("small", instants=7, seconds=60, places=9)
    monkeypatch.setattr("scheduler_api.routers.schedules.QUESTIONS", small)
    monkeypatch.setattr("scheduler_api.routers.pages.schedules.QUESTIONS", small)
    for address in (f"/jobs/{jobid}/upcoming?limit=100", "/upcoming?limit=100"):
        answer = await client.get(address)
        assert answer.headers["scheduler-complete"] == "false"
        assert 0 < len(answer.json()) <= 7
    page = (await client.get("/upcoming?each=100", headers={"accept": "text/html"})).text
    assert "Some runs are left out" in page
    preview = (await client.post("/schedules/preview", json={"cron": "* * * * *"})).json()
    assert (preview["complete"], len(preview["occurrences"])) == (False, 7)


async def test_a_backfill_is_not_cut_short_in_silence(
    client: AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobid = await add_job(database, cron="* * * * *", startdate=None, starttime=None, repeat=True)
    order = {"since": "2010-01-01T00:00:00Z", "until": "2010-01-01T01:00:00Z"}
    assert (await client.post(f"/jobs/{jobid}/backfill?dryrun=true", json=order)).json()["count"] == 60
    monkeypatch.setattr(
        "scheduler_api.services.history.backfill.QUESTIONS", Lane("small", instants=7, seconds=60, places=9)
    )
    refused = await client.post(f"/jobs/{jobid}/backfill?dryrun=true", json=order)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_long")


def request_of(*messages: str) -> Request:
    """A request whose client sends its body, and then `messages`."""
    sent = [{"type": "http.request", "body": b"", "more_body": False}, *({"type": name} for name in messages)]

    async def receive() -> Any:
        if not sent:
            await asyncio.Event().wait()
        return sent.pop(0)

    return Request({"type": "http", "method": "GET", "headers": []}, receive)


async def test_work_ends_with_its_client() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(HTTPException):
        await while_connected(request_of("http.disconnect"), work())
    assert ended.is_set()


async def test_work_for_a_client_that_waits_is_answered() -> None:
    async def work(answer: int) -> int:
        await asyncio.sleep(0)
        return answer

    async def fail() -> None:
        raise LookupError

    assert await while_connected(request_of(), work(7)) == 7
    with pytest.raises(LookupError):
        await while_connected(request_of(), fail())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/jobs/{}/upcoming", b""),
        ("GET", "/upcoming", b""),
        ("GET", "/forecast", b""),
        ("GET", "/jobs/{}/explain?at=2030-01-01T00:00:00Z", b""),
        ("GET", "/jobs/{}/check", b""),
        ("PATCH", "/jobs/{}?dryrun=true", b'{"cron": "@daily"}'),
        ("POST", "/schedules/preview", b'{"cron": "@daily"}'),
    ],
)
async def test_what_takes_long_ends_when_the_client_hangs_up(
    app: FastAPI,
    client: AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: bytes,
) -> None:
    jobid = await created(client)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, reason, finishedat)"
        " SELECT jobid, createdat + interval '1 second', 'skipped', 'request', now() FROM job",
    )
    begun, ended = asyncio.Event(), asyncio.Event()

    async def compute(*_: Any, **__: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(QUESTIONS, "compute", compute)
    path, _, query = path.format(jobid).partition("?")
    sent: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if sent:
            return sent.pop(0)
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        return

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 5), "server": ("localhost", 80),
    }  # fmt: skip
    await app.state.served(scope, receive, send)
    assert ended.is_set()
