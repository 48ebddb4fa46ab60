"""Databases whose tables were counted before they were filled, and what statements read by such statistics.

Such is each new installation, and each after an outage, until autovacuum comes by: to read all of a table, or
of an index, seems to cost as much as to find one row of it, and a connection goes on with the plans it has.
"""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from scheduler_api.database.engine import Database
from tests.factories import NOON, execute

#: When the tables were counted.
STATES = ("never", "when they were new", "when they were empty", "when nothing was under way")
#: Twice so many jobs, one half calls: so many of each half are due at an instant, the others an hour later.
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
#: Let the server tell how each statement was carried out, once EXPLAINED is 0 milliseconds.
EXPLAINED = "auto_explain.log_min_duration"
EXPLAINING = {
    "auto_explain.log_analyze": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "client_min_messages": "notice",
}


async def count(database: Database, when: str, due: int, others: int) -> None:
    """Count the tables at one of the STATES; then they can be filled."""
    if when == "when they were empty":
        # What was there has left pages: the planner counts by them, and by rows a page.
        await fill(database, due + others, due)
        for statement in ("DELETE FROM joblog", "DELETE FROM jobissue", "ANALYZE joblog, jobissue"):
            await execute(database, statement)
    elif when == "when nothing was under way":
        await fill(database, others, 0)
    if when in {"when they were new", "when nothing was under way"}:
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql("VACUUM ANALYZE")


async def fill(database: Database, count: int, due: int) -> None:
    """Make jobs."""
    async with database.transactional.begin() as connection:
        await connection.exec_driver_sql(FILL, (count, due, NOON))


def plans_in(message: asyncpg.PostgresLogMessage) -> Iterator[Any]:
    """The plan that the server tells of; none: it tells of something else."""
    _, is_plan, plan = message.message.partition("plan:\n")
    if is_plan:
        yield json.loads(plan)
