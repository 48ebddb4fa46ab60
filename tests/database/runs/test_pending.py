"""What next runs cost, beside a history."""

from datetime import date

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import pending
from tests.factories import NOON, add_job, execute, lay_out_days
from tests.plans import MODES, explained, rows_of


@pytest.mark.parametrize("mode", MODES)
async def test_the_runs_of_other_jobs_are_not_read_for_those_that_go_on(fresh: Database, mode: str) -> None:
    """Not even those of a day of which there are few, whatever the planner would take for cheaper."""
    await lay_out_days(fresh, date(2030, 1, 1), 10)
    busy = await add_job(fresh, interval=60)
    await execute(
        fresh,
        "INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status)"
        " SELECT CAST(at AT TIME ZONE 'UTC' AS date), :jobid, at, at, at, 'finished'"
        " FROM generate_series(timestamptz '2030-01-01Z', '2030-01-10Z', interval '20 s') AS at",
        jobid=busy,
    )
    jobids = [await add_job(fresh, due=None, active=False, pausedat=NOON, interval=60) for _ in range(20)]
    await execute(fresh, "ANALYZE joblog")
    wanted = {
        "jobids": jobids,
        "occurrences": [NOON] * len(jobids),
        "trieds": [NOON] * len(jobids),
        "lastruns": [None] * len(jobids),
        "counts": [0] * len(jobids),
    }
    async with fresh.transactional.begin() as connection:
        # As requests have it.
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        await connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
        plan = await explained(connection, pending.ADD, **wanted)
        await connection.rollback()
    assert rows_of(plan) <= 200, plan
