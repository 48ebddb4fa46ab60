"""Whoever waited for a job's locks goes on from then, and not from when he began to wait."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler_api.contracts.jobs.actions import History, Pause
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions, editing
from scheduler_api.services.runs import passes
from tests.factories import ACTOR, CIPHER, add_job, logs, scalar

Verb = Callable[[Session, datetime], Awaitable[Any]]


async def edit(session: Session, now: datetime) -> Any:
    return await editing.edit(session, now, ACTOR, CIPHER, 1, JobPatch.model_validate({"interval": 3600}))


async def pause(session: Session, now: datetime) -> Any:
    return await actions.pause(session, now, ACTOR, 1, Pause())


async def skip(session: Session, now: datetime) -> Any:
    return await actions.skip_next(session, now, ACTOR, 1)


async def delete(session: Session, now: datetime) -> Any:
    return await editing.delete(session, now, ACTOR, 1, History.KEEP)


@pytest.mark.parametrize("verb", [edit, pause, skip, delete], ids=lambda verb: verb.__name__)
async def test_what_ran_meanwhile_stays(database: Database, verb: Verb) -> None:
    start = await scalar(database, "SELECT date_trunc('second', clock_timestamp()) + interval '1 second'")
    since = {"validfrom": start - timedelta(seconds=1), "createdat": start - timedelta(seconds=1)}
    days = {"startdate": start.date(), "starttime": start.time()}
    jobid = await add_job(database, due=start, interval=1, **days, **since)

    async def late(session: Session, opened: datetime) -> None:
        while await finished(database) < 2:
            await database.transact(lambda other, now: passes.run_pass(other, now, 10, now))
            await asyncio.sleep(0.02)
        await verb(session, opened)

    await database.transact(late)
    assert await finished(database) >= 2
    found = [log.scheduledfor for log in await logs(database, jobid) if log.status == "finished"]
    assert found[:2] == [start, start + timedelta(seconds=1)]
    assert (await database.snapshot(checks.check_job, jobid)).clean


async def finished(database: Database) -> int:
    return int(await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'finished'"))
