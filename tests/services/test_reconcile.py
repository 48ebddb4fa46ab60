"""Jobs that lost their promise get it back."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from scheduler_api.database.engine import Database
from scheduler_api.runner import Runner
from scheduler_api.services import reconcile
from tests.factories import NOON, add_job, execute, is_active, logs

END = datetime(9999, 12, 1, tzinfo=UTC)
FINISH = (
    "UPDATE joblog SET status = 'finished', nextrun = NULL, lastrun = :now, startedat = :now,"
    " finishedat = :now, missed = :missed, through = :through WHERE jobid = :jobid"
)


async def heal(database: Database) -> int:
    return await database.transact(reconcile.heal, 100)


async def finish(
    database: Database, jobid: int, missed: int = 0, through: datetime | None = None
) -> datetime:
    now = NOON + timedelta(seconds=1)
    await execute(database, FINISH, jobid=jobid, now=now, missed=missed, through=through)
    return now


async def test_where_nothing_is_missing_nothing_is_done(database: Database) -> None:
    await add_job(database, interval=60)
    await add_job(database, active=False, due=None)
    assert await heal(database) == 0


async def test_a_lost_promise_comes_back_where_the_ledger_ended(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    ran_at = await finish(database, jobid, missed=2, through=NOON + timedelta(minutes=2))
    assert await heal(database) == 1
    _, promise = await logs(database, jobid)
    assert (promise.status, promise.scheduledfor, promise.nextrun) == (
        "pending",
        NOON + timedelta(minutes=3),
        NOON + timedelta(minutes=3),
    )
    assert promise.lastrun == ran_at
    assert await heal(database) == 0


async def test_a_first_promise_that_was_never_made_is_made(database: Database) -> None:
    jobid = await add_job(
        database, due=None, startdate=date(2030, 7, 1), starttime=time(12), timezone="Europe/Berlin"
    )
    assert await heal(database) == 1
    (promise,) = await logs(database, jobid)
    assert promise.scheduledfor.isoformat() == "2030-07-01T10:00:00+00:00"


async def test_a_job_that_ran_for_the_last_time_is_retired(database: Database) -> None:
    jobid = await add_job(database)
    await finish(database, jobid)
    assert await heal(database) == 1
    assert not await is_active(database, jobid)
    assert len(await logs(database, jobid)) == 1


async def test_a_job_whose_schedule_makes_no_sense_any_more_is_retired(database: Database) -> None:
    gone = await add_job(database, due=None, timezone="Mars/Olympus")
    beyond = await add_job(database, interval=2**31 - 1)
    await finish(database, beyond, missed=2**40, through=END)
    assert await heal(database) == 2
    assert not await is_active(database, gone)
    assert not await is_active(database, beyond)


async def test_a_running_log_is_no_hole(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, leasetoken = gen_random_uuid(),"
        " leaseuntil = now() WHERE jobid = :jobid",
        jobid=jobid,
    )
    assert await heal(database) == 0


async def test_two_healers_make_one_promise(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await finish(database, jobid)
    await asyncio.gather(*(heal(database) for _ in range(6)))
    assert [log.status for log in await logs(database, jobid)] == ["finished", "pending"]


async def test_a_promise_is_given_anew_where_the_rules_of_its_zone_have_changed(database: Database) -> None:
    ahead = datetime(2030, 7, 1, 10, tzinfo=UTC)
    values: dict[str, Any] = {"cron": "0 12 * * *", "repeat": True, "startdate": None, "starttime": None}
    values |= {"timezone": "Europe/Berlin", "validfrom": datetime(2030, 6, 30, 20, tzinfo=UTC)}
    right = await add_job(database, due=ahead, **values)
    # As it would have been promised if Berlin had kept its winter time.
    wrong = await add_job(database, due=ahead + timedelta(hours=1), **values)
    once = await add_job(database, due=NOON, timezone="Europe/Berlin", validfrom=NOON - timedelta(days=1))
    await Runner(database, 10).realign()
    assert [log.scheduledfor for log in await logs(database, right)] == [ahead]
    assert [(log.scheduledfor, log.nextrun) for log in await logs(database, wrong)] == [(ahead, ahead)]
    assert [log.scheduledfor for log in await logs(database, once)] == [NOON - timedelta(hours=1)]


async def test_a_job_that_has_no_run_left_under_new_rules_is_retired(database: Database) -> None:
    values: dict[str, Any] = {"cron": "0 12 * * *", "repeat": True, "startdate": None, "starttime": None}
    values |= {"timezone": "Europe/Berlin", "until": NOON - timedelta(days=9), "validfrom": NOON}
    jobid = await add_job(database, **values)
    await Runner(database, 10).realign()
    assert (await logs(database, jobid), await is_active(database, jobid)) == ([], False)
