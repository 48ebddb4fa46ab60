"""Replicas that are there say so, and when they go."""

from datetime import timedelta

from fastapi import FastAPI
from httpx import AsyncClient

from scheduler_api.database import versions
from scheduler_api.database.engine import Database
from scheduler_api.workers.presence import present
from tests.factories import execute, rows, scalar

KNOWN = "SELECT left(name, 6) AS name, version FROM replica ORDER BY name"


async def test_a_replica_is_known_while_it_is_there(database: Database) -> None:
    async with present(database, "here:1"):
        assert [tuple(row) for row in await rows(database, KNOWN)] == [("here:1", versions.VERSION)]
        # Containers with one name, each with the process 1.
        async with present(database, "here:1"):
            assert len(await rows(database, KNOWN)) == 2
        assert len(await rows(database, KNOWN)) == 1
    assert await rows(database, KNOWN) == []


async def test_one_that_was_killed_is_forgotten_some_day(database: Database) -> None:
    for name, age in (("long:1", timedelta(days=2)), ("just:1", timedelta(hours=23))):
        await execute(
            database,
            "INSERT INTO replica VALUES (:name, 1, now() - CAST(:age AS interval))",
            name=name,
            age=age,
        )
    async with present(database, "here:1"):
        assert [row.name for row in await rows(database, KNOWN)] == ["here:1", "just:1"]


async def test_the_service_is_known(app: FastAPI, client: AsyncClient, database: Database) -> None:
    assert (
        await scalar(database, "SELECT count(*) FROM replica WHERE seenat > now() - interval '1 minute'") == 1
    )


async def test_where_nothing_can_be_said_the_service_begins_all_the_same(database: Database) -> None:
    await execute(database, "ALTER TABLE replica RENAME TO other")
    try:
        async with present(database, "here:1"):
            pass
    finally:
        await execute(database, "ALTER TABLE other RENAME TO replica")
