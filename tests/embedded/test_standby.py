"""Commits that are to wait for a standby: acknowledged only when it has them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from scheduler_api import errors
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session, Statement
from scheduler_api.services.jobs import idempotency
from tests.factories import ACTOR, CIPHER

from .conftest import Embed, ask, read

KEEP = Statement("INSERT INTO kept VALUES (:word)")
WAITING = "SELECT min(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid > $1"


async def keep(session: Session, _: datetime, word: str) -> str:
    await session.all(KEEP, word=word)
    return word


@pytest.fixture
async def url(embed: Embed, data_dir: Path) -> URL:
    """A server that waits for a standby that is not there."""
    url = await embed(data_dir).start()
    database = Database(url, name="tests", pool=PoolOptions(1, 0, 5.0))
    await migrations.migrate(database)
    await ask(url, "CREATE TABLE kept (word text)")
    # The first unit of work in a new database is followed by a commit of its own.
    await database.transact(keep, "before")
    await ask(url, "DELETE FROM kept")
    await database.close()
    await ask(url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await ask(url, "SELECT pg_reload_conf()")
    async with asyncio.timeout(20):
        while await ask(url, "SHOW synchronous_standby_names") != "nobody":
            await asyncio.sleep(0.02)
    # Who commits waits once the checkpointer has taken it up, which it does before its next checkpoint.
    await ask(url, "CHECKPOINT")
    return url


@pytest.fixture
async def database(url: URL) -> AsyncIterator[Database]:
    database = Database(url, name="tests", pool=PoolOptions(2, 0, 5.0), patience=2.0)
    yield database
    await ask(url, "ALTER SYSTEM RESET synchronous_standby_names")
    await ask(url, "SELECT pg_reload_conf()")
    await database.close()


async def test_what_no_standby_has_is_not_acknowledged(url: URL, database: Database) -> None:
    with pytest.raises(errors.OutcomeUnknown):
        await database.transact(keep, "nowhere else")


async def test_a_wait_for_a_standby_that_was_cancelled_is_not_acknowledged(
    url: URL, database: Database
) -> None:
    """The server then says that it has committed, and only warns that nobody else has it."""
    database.patience = 8.0
    unit = asyncio.create_task(database.transact(keep, "here only"))
    last = 0
    async with asyncio.timeout(20):
        # The commit itself, and the question whether it is safe by now.
        while not unit.done():
            if pid := await ask(url, WAITING, last):
                last = pid
                await ask(url, "SELECT pg_cancel_backend($1)", pid)
            await asyncio.sleep(0.02)
    with pytest.raises(errors.OutcomeUnknown):
        await unit
    assert await read(url) == ["here only"]


async def test_it_is_acknowledged_once_it_is_safe(url: URL, database: Database) -> None:
    """The standby comes back, or nobody waits for it any more."""
    database.patience = 30.0
    unit = asyncio.create_task(database.transact(keep, "safe"))
    async with asyncio.timeout(20):
        while not await ask(url, WAITING, 0):
            await asyncio.sleep(0.02)
        await ask(url, "ALTER SYSTEM RESET synchronous_standby_names")
        await ask(url, "SELECT pg_reload_conf()")
        assert await unit == "safe"


async def test_a_request_that_is_repeated_is_not_acknowledged_either(url: URL, database: Database) -> None:
    """Its first use is there, but only here: the answer would rest on what a failover takes away."""
    draft = JobDraft.model_validate(
        {"jobname": "Twice", "startdate": "2099-01-31", "starttime": "12:00", "timezone": "UTC"}
    )
    for _ in range(2):
        with pytest.raises(errors.OutcomeUnknown):
            await database.transact(idempotency.create_once, ACTOR, CIPHER, "a key", draft)
        async with asyncio.timeout(20):
            while not await ask(url, "SELECT count(*) FROM job"):
                await asyncio.sleep(0.02)
    assert await ask(url, "SELECT count(*) FROM job") == 1
