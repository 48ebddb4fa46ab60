"""Ways to run everything that is due: the service's, and the limit that it is measured against."""

import asyncio
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import due, passes, settling
from scheduler_api.database.runs.due import DueLog
from scheduler_api.database.runs.results import Result
from scheduler_api.database.statements import Session
from scheduler_api.services.system import health
from scheduler_api.workers.runner import LANES, Runner

BATCH = 1000
#: Far more seconds than any pass takes.
NO_LIMIT = 600.0

#: Nothing is due then.
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

#: The least that the work takes: a table of jobs and one of logs, one key, one partial index.
BARE_TABLES = """
    CREATE TABLE barejob (
        jobid bigint PRIMARY KEY, jobname text NOT NULL, startdate date, starttime time,
        repeat boolean NOT NULL, interval integer, active boolean NOT NULL
    );
    CREATE TABLE barelog (
        logid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        jobid bigint NOT NULL REFERENCES barejob,
        scheduledfor timestamptz NOT NULL, nextrun timestamptz, lastrun timestamptz,
        status text NOT NULL DEFAULT 'pending', missed integer NOT NULL DEFAULT 0,
        UNIQUE (jobid, scheduledfor)
    );
    CREATE INDEX ON barelog (nextrun, logid) WHERE status = 'pending';
"""
#: What is due, in these tables.
BARE_REFILL = """
    TRUNCATE barejob, barelog RESTART IDENTITY;
    INSERT INTO barejob SELECT jobid, jobname, startdate, starttime, repeat, interval, active FROM job;
    INSERT INTO barelog (jobid, scheduledfor, nextrun)
    SELECT jobid, scheduledfor, nextrun FROM joblog ORDER BY logid
"""
#: The same work in one statement: claim, result with what it stands for, next row. The insert reads what
#: the update returns, since sibling statements run in no set order.
BARE_PASS = f"""
    WITH due AS (
        SELECT logid, jobid, scheduledfor FROM barelog
        WHERE status = 'pending' AND nextrun <= $1
        ORDER BY nextrun, logid LIMIT {BATCH}
        FOR UPDATE SKIP LOCKED
    ), planned AS (
        SELECT logid, make_interval(secs => barejob.interval) AS step,
               floor(extract(epoch FROM $1 - scheduledfor) / barejob.interval)::int AS missed
        FROM due JOIN barejob USING (jobid)
    ), settled AS (
        UPDATE barelog SET status = 'finished', missed = planned.missed, nextrun = NULL, lastrun = $1
        FROM planned WHERE barelog.logid = planned.logid
        RETURNING jobid, scheduledfor + (planned.missed + 1) * step AS next
    ), added AS (
        INSERT INTO barelog (jobid, scheduledfor, nextrun, lastrun)
        SELECT jobid, next, next, $1 FROM settled WHERE next IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM settled
"""
#: The planner's best for this statement: indexes, no time spent on compiling, planned once.
BEST_PLAN = {"random_page_cost": "1.1", "jit": "off", "plan_cache_mode": "force_generic_plan"}


async def service_pass(database: Database) -> float:
    """Everything due, as the ticker and POST /jobs/run do it; runs per second."""
    runner = Runner(database, BATCH)
    await asyncio.gather(*(database.transact(_plan_statements) for _ in range(LANES)))
    began = perf_counter()
    now = await database.read(health.clock)
    done = (await runner.run_due(now, NO_LIMIT)).total
    seconds = perf_counter() - began
    assert done.finished == done.claimed > 0, done
    return done.finished / seconds


async def _plan_statements(session: Session, now: datetime) -> None:
    """What fills the tables anew makes the server plan anew, which no contestant is to pay for."""
    await passes.claim_due(session, LONG_AGO, BATCH)
    await due.rules_of(session, [DueLog(0, 0, now, "schedule", 1, None, None, 0, now, None)])
    await settling.ran(session, now, [Result(0, "finished", missed=0)], looking=False)


async def bare_refill(connection: Any) -> None:
    """What is due in the service's tables is due in the least ones."""
    await connection.execute(BARE_REFILL)
    await connection.execute("VACUUM (ANALYZE) barejob, barelog")
    await connection.execute("CHECKPOINT")


async def bare_pass(connection: Any) -> float:
    """Everything due in the least tables, by the one statement in one connection; runs per second."""
    statement = await connection.prepare(BARE_PASS)
    await statement.fetchval(LONG_AGO)
    began = perf_counter()
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    total = 0
    while done := await statement.fetchval(now):
        total += done
    seconds = perf_counter() - began
    return total / seconds
