"""Runs by when they ended, and by when they are due: a list reads what it shows, however much there is."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import ordered
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.statements import Statement
from scheduler_api.pools import REQUESTS_SETTINGS
from tests.database.runs.test_lists import first, indexes_of
from tests.factories import NOON, add_job, execute
from tests.plans import MODES, analyze_logs, explained, renew_logs, rows_of

__all__ = ["first"]
MINUTE = timedelta(minutes=1)


async def plan_of_a_request(database: Database, statement: Statement[Any], mode: str, **values: Any) -> Any:
    """The plan as connections of requests make it."""
    async with database.transactional.begin() as connection:
        for name, value in (REQUESTS_SETTINGS | {"plan_cache_mode": mode}).items():
            await connection.execute(text(f"SET LOCAL {name} = {value}"))
        return await explained(connection, statement, **values)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wanted", [LogFilter(), LogFilter(status="skipped"), LogFilter(tag="none")])
async def test_what_ended_in_a_stretch_is_read_alone(
    database: Database,
    first: datetime,
    mode: str,
    wanted: LogFilter,
) -> None:
    # Those to come are not read for it.
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, cause)"
        " SELECT 1, at, at, 'manual' FROM generate_series(1, 20000) AS n,"
        " LATERAL (SELECT CAST(:at AS timestamptz) + n * interval '1 s' AS at) AS due",
        at=NOON,
    )
    await analyze_logs(database)
    place = {"since_end": first + 9000 * MINUTE, "at": first + 9010 * MINUTE, "logid": 0}
    statement = ordered.ended_statement(wanted.conditions)
    plan = await plan_of_a_request(database, statement, mode, **wanted.given, **place, among=100, limit=10)
    # Ranges of 32 blocks have some three thousand of the twenty thousand.
    assert rows_of(plan) < 8000, plan
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 150
    assert "joblog_live_finishedat_idx" not in indexes_of(plan)


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_due_first_is_read_alone(database: Database, mode: str) -> None:
    await renew_logs(database)
    await add_job(database, interval=60, due=NOON)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, cause, kind, host)"
        " SELECT 1, at, at, 'manual', CAST(CASE WHEN n % 2 = 0 THEN 'http' ELSE 'plain' END AS runkind),"
        " CASE WHEN n % 2 = 0 THEN 'x' END FROM generate_series(1, 20000) AS n,"
        " LATERAL (SELECT CAST(:at AS timestamptz) + n * interval '1 s' AS at) AS due",
        at=NOON,
    )
    await analyze_logs(database)
    statement = ordered.due_statement(())
    place = {"at": NOON + 5000 * timedelta(seconds=1), "logid": 0}
    plan = await plan_of_a_request(database, statement, mode, **place, among=50, limit=10)
    assert {"ix_joblog_live_passes", "ix_joblog_live_calls"} <= indexes_of(plan)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60
