"""What runs cost by plans of the time when there was hardly anything, on a server that counted nothing.

Such is each new installation until autovacuum comes by: to read all of a table seems to cost as much as to
find one row of it, and a connection goes on with the plans that it has.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Started
from scheduler_api.database.statements import DRIVER, Session
from scheduler_api.services.runs import claims, holding, passes
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Room
from scheduler_api.targets import Failure
from tests.factories import NOON, execute
from tests.plans import MODES, rows_of
from tests.services.runs.test_claims import TERMS, after

#: Jobs that are due, of each kind, and so many others.
DUE, OTHERS = 100, 3000
#: Rows that a statement may look at: each table some times, but nothing anew for each run.
MOST = 10 * 2 * (DUE + OTHERS)
FILL = """
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, timezone, repeat, interval, active, createdat,
                         validfrom, kind, host, target, openissues)
        SELECT lpad(CAST(n AS text), 5, '0'), '2030-01-31', '12:00', 'UTC', true, 3600, true, '2030-01-01',
               '2030-01-01',
               CASE n % 2 WHEN 0 THEN CAST('plain' AS runkind) ELSE 'http' END,
               CASE n % 2 WHEN 1 THEN name END,
               CASE n % 2 WHEN 1 THEN jsonb_build_object('url', 'http://' || name || '/') END, 1
        FROM generate_series(1, 2 * CAST($1 AS int)) AS n,
             LATERAL (SELECT n % 50 || '.example') AS host (name)
        RETURNING jobid, kind, host, CAST(jobname AS int) AS n
    ), issues AS (
        INSERT INTO jobissue (jobid, kind, since, seenat, times, remindat)
        SELECT jobid, 'failed', at, at, 1, at + interval '1 day'
        FROM made, LATERAL (SELECT CAST($3 AS timestamptz) AS at) AS instant
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, at, at, kind, host FROM made, LATERAL (
        SELECT CAST($3 AS timestamptz) + CASE WHEN n > 2 * CAST($2 AS int) THEN interval '1 hour' ELSE '0' END
    ) AS occurrence (at)
"""
#: Tell how each statement was carried out.
EXPLAINING = (
    "LOAD 'auto_explain'",
    "SET LOCAL auto_explain.log_min_duration = 0",
    "SET LOCAL auto_explain.log_analyze = on",
    "SET LOCAL auto_explain.log_timing = off",
    "SET LOCAL auto_explain.log_format = json",
    "SET LOCAL auto_explain.log_level = notice",
    "SET LOCAL client_min_messages = notice",
)


@pytest.fixture(params=["never", "when they were empty"])
async def counted(request: pytest.FixtureRequest, fresh: Database) -> Database:
    """A database whose tables of what comes and goes were counted so."""
    if request.param == "when they were empty":
        # What was there has left pages: the planner counts by them, and by rows a page.
        async with fresh.transactional.begin() as connection:
            await connection.exec_driver_sql(FILL, (DUE + OTHERS, DUE, NOON))
        for statement in ("DELETE FROM joblog", "DELETE FROM jobissue", "ANALYZE joblog, jobissue"):
            await execute(fresh, statement)
    return fresh


async def taken(database: Database, mode: str, *steps: Callable[[Session, Any], Awaitable[Any]]) -> Any:
    """What comes of the last of some steps, each of which gets what came of the one before.

    They are taken with hardly anything first; then with many jobs, and none looks at all these for each run.
    """
    plans: list[Any] = []

    def note(_: Any, message: asyncpg.PostgresLogMessage) -> None:
        _, is_plan, plan = message.message.partition("plan:\n")
        if is_plan:
            plans.append(json.loads(plan))

    async def measured(session: Session, _: datetime) -> Any:
        driver = session.info[DRIVER]
        for statement in (*EXPLAINING, f"SET LOCAL plan_cache_mode = {mode}"):
            await driver.execute(statement)
        driver.add_log_listener(note)
        for others in (1, OTHERS):
            await driver.execute(FILL, DUE + others, DUE, NOON)
            plans.clear()
            found = None
            for step in steps:
                found = await step(session, found)
        driver.remove_log_listener(note)
        assert len(plans) > 5
        for plan in plans:
            assert rows_of(plan["Plan"]) <= MOST, plan["Query Text"]
        return found

    return await database.transact(measured)


@pytest.mark.parametrize("mode", MODES)
async def test_a_pass(counted: Database, mode: str) -> None:
    async def run(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(1), DUE, after(1))

    report = await taken(counted, mode, run)
    assert report.finished == DUE


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outcome", ["finished", "failed", "retried"])
async def test_a_claim_and_its_ends(counted: Database, mode: str, outcome: str) -> None:
    def end(started: Started) -> Ended:
        if outcome == "finished":
            return Ended(started.logid, started.token, "finished", httpstatus=200)
        again = outcome == "retried"
        return Ended(started.logid, started.token, "failed", Failure.STATUS, "No.", again=again)

    async def claim(session: Session, _: Any) -> Any:
        return await claims.claim(session, after(1), Room.of(DUE), TERMS)

    async def settle(session: Session, claimed: Any) -> Any:
        ends = [end(started) for started in claimed.started]
        return await holding.settle_ends(session, after(2), ends, frozenset())

    assert len((await taken(counted, mode, claim, settle)).settled) == DUE
