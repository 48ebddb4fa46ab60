"""Only the database's clock decides: here it is a day ahead of the service's own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import URL

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.errors import InvalidInput
from scheduler_api.services.jobs import actions, creating
from scheduler_api.services.system import health
from scheduler_api.workers.runner import Runner
from tests.factories import ACTOR, CIPHER, add_job, execute, logs

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
async def ahead(database: Database, worker_database: URL) -> AsyncIterator[Database]:
    """The same database, whose clock_timestamp() is another function on these connections."""
    await execute(database, "CREATE SCHEMA tomorrow")
    await execute(
        database,
        "CREATE FUNCTION tomorrow.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 day' $$",
    )
    # First of all where tables are made: a part of history that is added tomorrow is to stay.
    path = {"search_path": "public, tomorrow, pg_catalog"}
    shifted = Database(worker_database, name="tests", pool=PoolOptions(4, 0, 5.0, path))
    yield shifted
    await shifted.close()
    await execute(database, "DROP SCHEMA tomorrow CASCADE")


def is_tomorrow(instant: datetime) -> bool:
    return abs(instant - datetime.now(UTC) - DAY) < HOUR


async def test_a_unit_of_work_is_told_the_time_of_the_database(ahead: Database) -> None:
    async def now(_: Session, now: datetime) -> datetime:
        return now

    assert is_tomorrow(await ahead.transact(now))
    assert is_tomorrow((await ahead.read(health.next_due)).now)


async def test_what_is_due_is_what_the_database_says(ahead: Database) -> None:
    due, later = (datetime.now(UTC) + DAY + shift for shift in (-HOUR, HOUR))
    first, second = await add_job(ahead, due=due), await add_job(ahead, due=later)
    report = await Runner(ahead, 10).run_call()
    assert report.total.finished == 1
    (ran,) = await logs(ahead, first)
    assert is_tomorrow(ran.startedat)
    assert [log.status for log in await logs(ahead, second)] == ["pending"]


async def test_the_past_is_what_the_database_says(ahead: Database) -> None:
    soon = datetime.now(UTC) + HOUR
    draft = JobDraft.model_validate(
        {"jobname": "Too late", "startdate": f"{soon:%Y-%m-%d}", "starttime": f"{soon:%H:%M:%S}"}
    )
    with pytest.raises(InvalidInput, match="must be in the future"):
        await ahead.transact(creating.create, ACTOR, CIPHER, draft)


async def test_a_run_by_request_is_of_the_time_of_the_database(ahead: Database) -> None:
    jobid = await add_job(ahead, due=None)
    assert is_tomorrow((await ahead.transact(actions.run_now, ACTOR, jobid)).scheduledfor)
