"""Every change names who made it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.engine import Database
from tests.factories import add_job, execute, rows

JOB = {"jobname": "A call", "startdate": "2030-01-31", "starttime": "02:00", "repeat": True, "interval": 60}
TARGET = {"target": {"url": "https://example.com/hook"}}


async def succeed(response: Response) -> Any:
    assert response.is_success or response.status_code == 303, response.text
    return response.json() if "json" in response.headers.get("content-type", "") else None


async def create(client: AsyncClient) -> None:
    await succeed(await client.post("/jobs", json=JOB | TARGET))


async def edit(client: AsyncClient) -> None:
    await succeed(await client.patch("/jobs/1", json={"jobname": "Another"}))


async def pause(client: AsyncClient) -> None:
    await succeed(await client.post("/jobs/1/pause"))


async def resume(client: AsyncClient) -> None:
    await pause(client)
    await succeed(await client.post("/jobs/1/resume"))


async def skip(client: AsyncClient) -> None:
    await succeed(await client.post("/jobs/1/skip"))


async def run(client: AsyncClient) -> None:
    await succeed(await client.post("/jobs/1/run"))


async def cancel(client: AsyncClient) -> None:
    logid = (await succeed(await client.post("/jobs/1/run")))["logid"]
    await succeed(await client.post(f"/logs/{logid}/cancel"))


async def delete(client: AsyncClient) -> None:
    await succeed(await client.delete("/jobs/1"))


async def add_secret(client: AsyncClient) -> None:
    await succeed(await client.post("/jobs/1/secrets"))


async def remove_secret(client: AsyncClient) -> None:
    await add_secret(client)
    await succeed(await client.delete("/jobs/1/secrets/1"))


async def set_limit(client: AsyncClient) -> None:
    await succeed(await client.put("/limits/tag/slow", json={"limit": 1}))


async def remove_limit(client: AsyncClient) -> None:
    await set_limit(client)
    await succeed(await client.delete("/limits/tag/slow"))


DEEDS = {
    ChangeAction.CREATED: create,
    ChangeAction.EDITED: edit,
    ChangeAction.PAUSED: pause,
    ChangeAction.RESUMED: resume,
    ChangeAction.SKIPPED: skip,
    ChangeAction.STARTED: run,
    ChangeAction.CANCELLED: cancel,
    ChangeAction.DELETED: delete,
    ChangeAction.SECRET_ADDED: add_secret,
    ChangeAction.SECRET_REMOVED: remove_secret,
    ChangeAction.LIMIT_SET: set_limit,
    ChangeAction.LIMIT_REMOVED: remove_limit,
}
NEWEST = "SELECT action, actor, client FROM auditevent ORDER BY changeid DESC LIMIT 1"
BY = ("local", "somebody/1.0, 127.0.0.1")


@pytest.mark.parametrize("action", DEEDS)
async def test_a_change_names_its_actor(
    client: AsyncClient, database: Database, action: ChangeAction
) -> None:
    client.headers["user-agent"] = "somebody/1.0"
    if action is not ChangeAction.CREATED:
        await create(client)
    await DEEDS[action](client)
    assert [tuple(row) for row in await rows(database, NEWEST)] == [(action, *BY)]


async def test_retries_and_backfills_name_their_actor(client: AsyncClient, database: Database) -> None:
    client.headers["user-agent"] = "somebody/1.0"
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    when: dict[str, Any] = {"startdate": start.date(), "starttime": start.time(), "interval": 3600}
    await add_job(database, target={"url": "https://example.com/hook"}, validfrom=start, **when)
    failed = "status = 'failed', startedat = now(), finishedat = now(), nextrun = NULL, error = 'It failed.'"
    await execute(database, f"UPDATE joblog SET {failed}")
    await succeed(await client.post("/logs/1/retry"))
    await succeed(await client.post("/logs/retry", json={"filter": {"jobid": 1}}))
    span = {"since": start.isoformat(), "until": (start + timedelta(hours=3)).isoformat()}
    report = await succeed(await client.post("/jobs/1/backfill", json=span | {"all": True}))
    newest = (await client.get("/jobs/1/changes")).json()
    assert [(change["action"], change["actor"], change["client"]) for change in newest] == [
        ("backfilled", *BY),
        ("retried", *BY),
    ]
    assert newest[0]["after"]["count"] == report["count"] > 0
    assert newest[1]["after"] == {"logid": 1}
    page = (await client.get("/jobs/1", headers={"accept": "text/html"})).text
    assert "backfilled" in page
    assert "run 1" in page


async def test_an_order_to_many_names_its_actor_at_each(client: AsyncClient, database: Database) -> None:
    client.headers["user-agent"] = "somebody/1.0"
    await create(client)
    await create(client)
    await execute(database, "DELETE FROM auditevent")
    for action in ("pause", "resume", "run", "delete"):
        await succeed(await client.post("/jobs/bulk", json={"action": action, "all": True}))
    found = await rows(database, "SELECT jobid, action, actor, client FROM auditevent ORDER BY changeid")
    done = ("paused", "resumed", "started", "deleted")
    assert [tuple(row) for row in found] == [(jobid, action, *BY) for action in done for jobid in (1, 2)]


async def test_who_removed_a_job_with_its_history_is_known_afterwards(
    client: AsyncClient, database: Database
) -> None:
    client.headers["user-agent"] = "somebody/1.0"
    await create(client)
    await succeed(await client.delete("/jobs/1?history=remove"))
    said = "SELECT jobid, action, actor, client, project, before FROM auditevent ORDER BY changeid"
    created, deleted = await rows(database, said)
    assert tuple(created)[:5] == (1, "created", *BY, "default")
    assert tuple(deleted) == (1, "deleted", *BY, "default", {"jobname": "A call"})
