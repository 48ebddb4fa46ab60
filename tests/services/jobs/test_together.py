"""What an order makes of many jobs at once is what it makes of each by itself."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from scheduler_api.contracts.jobs.bulk import BulkOrder, BulkReport
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import lists
from scheduler_api.database.jobs.lists import JobFilter
from scheduler_api.database.singly import HURRY
from scheduler_api.database.statements import Session, command
from scheduler_api.services.jobs import actions, bulk
from scheduler_api.workers.runner import Runner
from tests import pooler
from tests.factories import ACTOR, NOON, add_job, execute, scalar, until_it_waits_or_ends

NOW = NOON - timedelta(minutes=10)
PAST = NOW - timedelta(minutes=30)
TARGET = {"url": "http://localhost:1/"}
PAUSEID = UUID(int=7)

#: Everything but the ids that the database gives out.
DUMPS = (
    "SELECT to_jsonb(job) FROM job ORDER BY jobid",
    "SELECT to_jsonb(joblog) - 'logid' FROM joblog ORDER BY jobid, scheduledfor, cause",
    "SELECT to_jsonb(auditevent) - 'changeid' #- '{after,logid}' FROM auditevent ORDER BY jobid, at, before",
)
ORDERS = [
    {"action": "pause", "reason": "Moving", "until": "2030-02-01T00:00:00Z"},
    {"action": "pause", "until": "2030-01-01T00:00:00Z"},
    {"action": "resume"},
    {"action": "resume", "missed": "skip"},
    {"action": "run"},
    {"action": "delete"},
    {"action": "delete", "history": "remove"},
]


async def add_all_kinds(database: Database) -> None:
    """One job of each kind."""

    async def paused(name: str, goes_on: datetime | None, **values: Any) -> None:
        await add_job(
            database, jobname=name, due=None, active=False, pausedat=PAST, resumefrom=goes_on, **values
        )

    every: dict[str, Any] = {"interval": 3600}
    await add_job(database, jobname="active", **every)
    await add_job(database, jobname="active, by cron", startdate=None, starttime=None, repeat=True,
                  cron="0 12 * * *", timezone="Europe/Berlin")  # fmt: skip
    await add_job(database, jobname="active, calls", target=TARGET, jitter=30, tags=["a"], **every)
    await add_job(database, jobname="active, due", due=PAST, **every)
    await add_job(database, jobname="active, bounded", maxruns=5, **every)
    await add_job(database, jobname="active, once")
    await add_job(database, jobname="active, of no known zone", timezone="Mars/Olympus", **every)
    await paused("paused", NOON, lastrun=PAST, runs=3, laststatus="finished", **every)
    await paused("paused, missed", PAST, **every)
    await paused("paused, missed and skips", PAST, misfire="skip", **every)
    await paused("paused, missed and skips late", PAST, misfire="skip", grace=7200, **every)
    await paused("paused, bounded", NOON, maxruns=5, **every)
    await paused("paused, of no known zone", NOON, timezone="Mars/Olympus", **every)
    await paused("paused, with nothing to come", None, **every)
    busy = await add_job(database, jobname="paused, running", active=False, pausedat=PAST, resumefrom=NOON,
                         target=TARGET, **every)  # fmt: skip
    running = await add_job(database, jobname="running", target=TARGET, **every)
    waiting = await add_job(database, jobname="waiting for its next attempt", target=TARGET, **every)
    asked = await add_job(database, jobname="asked for", **every)
    asked_and_runs = await add_job(database, jobname="asked for, and running", target=TARGET, **every)
    followed = await add_job(database, jobname="followed", **every)
    follows = {"jobid": followed, "on": "finished"}
    await add_job(database, jobname="follows", due=None, startdate=None, starttime=None, after=follows,
                  afterjobid=followed)  # fmt: skip
    ahead = await add_job(database, jobname="skipped ahead", **every)
    await add_job(database, jobname="completed", due=None, active=False, **every)
    await add_job(database, jobname="deleted", due=None, active=False, deletedat=PAST, **every)
    for statement in (
        "UPDATE joblog SET status = 'running', startedat = scheduledfor, nextrun = NULL,"
        " leasetoken = gen_random_uuid(), leaseuntil = 'infinity', following = '2030-01-31T13:00Z'"
        f" WHERE jobid IN ({running}, {busy})",
        f"UPDATE joblog SET laststatus = 'finished' WHERE jobid = {running}",
        f"UPDATE joblog SET following = NULL WHERE jobid = {busy}",
        f"UPDATE joblog SET attempt = 2, following = '2030-01-31T13:00Z' WHERE jobid = {waiting}",
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, cause)"
        f" VALUES ({asked}, '2030-01-31T11:00Z', '2030-01-31T11:00Z', 'manual')",
        "INSERT INTO joblog (jobid, scheduledfor, status, cause, startedat, leasetoken, leaseuntil, kind,"
        " host) SELECT jobid, createdat, 'running', 'manual', createdat, gen_random_uuid(), 'infinity', kind,"
        f" host FROM job WHERE jobid = {asked_and_runs}",
        "INSERT INTO joblog (jobid, scheduledfor, status, reason, finishedat)"
        f" VALUES ({ahead}, '2030-01-31T13:00Z', 'skipped', 'request', '2030-01-31T11:00Z')",
        "UPDATE joblog SET lastrun = '2030-01-31T11:00Z', runs = 4, laststatus = 'failed', failures = 2,"
        f" failingsince = '2030-01-31T10:00Z' WHERE jobid < {running} OR jobid = {waiting}",
    ):
        await execute(database, statement)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(map(str, order.values())))
async def test_many_at_once_become_what_each_becomes_by_itself(
    database: Database, order: dict[str, Any]
) -> None:
    await add_all_kinds(database)
    asked = bulk.Asked(BulkOrder.model_validate({**order, "all": True}), ACTOR, PAUSEID)

    async def singly(session: Session, jobids: Sequence[int]) -> bulk.BatchReport:
        report = await bulk.run_singly(session, NOW, asked, jobids)
        assert not report.left
        return report

    async def dumped(session: Session) -> list[list[Any]]:
        return [list((await session.execute(text(dump))).scalars()) for dump in DUMPS]

    async def as_one(session: Session, _: datetime) -> tuple[list[list[Any]], set[int], int]:
        report = await bulk.run_batch(session, NOW, asked, await bulk.matching(session, asked, 0))
        at_once = len(report.done)
        rest = await singly(session, report.left)
        return await dumped(session), {*report.done, *rest.done}, at_once

    async def each(session: Session, _: datetime) -> tuple[list[list[Any]], set[int]]:
        everything = await lists.lookup(session, JobFilter())
        jobids = [row.jobid for row in await lists.positions(session, everything, "jobid", None, 100)]
        states = await lists.states(session, jobids)
        wanted = [jobid for jobid in jobids if not bulk._is_so(asked.order.action, states[jobid])]
        done = (await singly(session, wanted)).done
        return await dumped(session), {*done}

    found, done, at_once = await database.rehearse(as_one)
    expected, done_singly = await database.rehearse(each)
    assert done == done_singly
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == theirs
    # All that is ordinary is done at once, but for what cannot be: an end that is over, history to remove.
    assert bool(at_once) == (order not in (ORDERS[1], ORDERS[-1])), at_once


@pytest.mark.parametrize("held", ["joblog", "job"])
@pytest.mark.parametrize("action", ["pause", "delete"])
async def test_what_others_hold_is_left_and_not_waited_for(
    database: Database, action: str, held: str
) -> None:
    jobids = [await add_job(database, interval=3600) for _ in range(2)]
    asked = bulk.Asked(BulkOrder.model_validate({"action": action, "all": True}), ACTOR, PAUSEID)

    async def meanwhile(session: Session, _: datetime) -> bulk.BatchReport:
        await session.execute(text(f"SELECT FROM {held} WHERE jobid = {jobids[1]} FOR UPDATE"))
        return await database.transact(bulk.run_batch, asked, jobids)

    report = await database.transact(meanwhile)
    assert (report.done, report.left) == ([1], [2])


async def test_a_run_that_others_hold_is_not_left_behind_by_a_deletion(database: Database) -> None:
    jobid = await add_job(database, interval=3600)
    await database.transact(actions.run_now, ACTOR, jobid)
    asked = bulk.Asked(BulkOrder.model_validate({"action": "delete", "all": True}), ACTOR, None)

    async def meanwhile(session: Session, _: datetime) -> bulk.BatchReport:
        await session.execute(text("SELECT FROM joblog WHERE cause = 'manual' FOR UPDATE"))
        return await database.transact(bulk.run_batch, asked, [jobid])

    assert (await database.transact(meanwhile)).left == [jobid]


async def test_what_is_not_meant_any_more_is_left_alone(database: Database) -> None:
    """Jobs are looked for some thousands at once, and looked at again when it is their turn."""
    for _ in range(2):
        await add_job(database, interval=3600, tags=["a"])
    order = BulkOrder.model_validate({"action": "pause", "filter": {"tag": "a"}})
    asked = bulk.Asked(order, ACTOR, PAUSEID)
    jobids = await database.read(bulk.matching, asked, 0)
    await execute(database, "UPDATE job SET tags = '{b}' WHERE jobid = 1")
    report = await database.transact(bulk.run_batch, asked, jobids)
    assert (jobids, report.done, report.left, report.unchanged) == ([1, 2], [2], [], 0)


@pytest.mark.parametrize(("change", "projects"), [("tags = '{b}'", None), ("project = 'bank'", ["default"])])
@pytest.mark.parametrize("action", ["pause", "run", "delete"])
async def test_a_job_that_its_holder_made_match_no_more_is_left_alone(
    database: Database, action: str, change: str, projects: list[str] | None
) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    await add_job(database, interval=3600, tags=["a"])
    order = BulkOrder.model_validate({"action": action, "filter": {"tag": "a"}})
    async with database.transactional.connect() as holder:
        await holder.exec_driver_sql("SELECT FROM job FOR UPDATE")
        await holder.exec_driver_sql(f"UPDATE job SET {change}")
        task = asyncio.create_task(Runner(database, 10).run_bulk(order, ACTOR, projects))
        await until_it_waits_or_ends(database, task)
        await holder.commit()
    report = await task
    assert (report.done, report.failed) == (0, [])
    assert await scalar(database, "SELECT active AND deletedat IS NULL FROM job")
    assert await scalar(database, "SELECT count(*) FROM joblog") == 1


async def beside_a_holder(
    database: Database, url: URL, condition: str, order: BulkOrder, seconds: float
) -> BulkReport:
    """What an order does while somebody else holds the jobs for which a condition is true.

    Its statements may take so many seconds.
    """
    async with pooler.hurried(url, seconds) as hurried, database.transactional.connect() as holder:
        await holder.exec_driver_sql(f"SELECT FROM job WHERE {condition} FOR UPDATE")
        report = await Runner(hurried, 10).run_bulk(order, ACTOR)
        await holder.rollback()
    return report


@pytest.mark.parametrize("action", ["pause", "run", "delete"])
async def test_a_job_that_somebody_keeps_held_fails_alone(
    database: Database, worker_database: URL, action: str
) -> None:
    """It is waited for once; the answer says what was done, and what was not."""
    for _ in range(4):
        await add_job(database, interval=3600)
    order = BulkOrder.model_validate({"action": action, "all": True})
    report = await beside_a_holder(database, worker_database, "jobid IN (2, 3)", order, 1.0)
    assert report.jobids == [1, 4]
    assert [(one.jobid, one.code) for one in report.failed] == [(2, "database_busy"), (3, "database_busy")]


async def test_very_many_jobs_that_somebody_holds_are_not_waited_for_one_by_one(
    database: Database, worker_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_WAITS", 2)
    patient = 0

    async def counted(session: Session, sql: str, share: float = 1.0) -> str:
        nonlocal patient
        patient += sql == HURRY
        return await command(session, sql, share)

    monkeypatch.setattr(bulk, "command", counted)
    # So that there is one job in each transaction.
    monkeypatch.setattr(bulk, "BATCH_SECONDS", 0.0)
    for _ in range(6):
        await add_job(database, interval=3600)
    order = BulkOrder.model_validate({"action": "run", "all": True})
    report = await beside_a_holder(database, worker_database, "jobid < 6", order, 0.5)
    assert (report.jobids, len(report.failed), patient) == ([6], 5, 1)
