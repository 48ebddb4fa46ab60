"""What a statement reads: its plan, as Postgres carried it out."""

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Statement

#: As a statement is planned for values that are not known, and for those it gets.
MODES = ("force_generic_plan", "force_custom_plan")


async def renew_logs(database: Database) -> None:
    """Begin with a new table of logs: in the old one, dead rows of earlier tests would be read, too."""
    async with database.transactional.begin() as connection:
        await connection.execute(text("TRUNCATE joblog"))


async def analyze_logs(database: Database) -> None:
    """Let the planner know what the logs are like."""
    async with database.engine.connect() as connection:
        await connection.execute(text("VACUUM ANALYZE joblog"))


async def plan_of(database: Database, statement: Statement[Any], mode: str, **values: Any) -> Any:
    """The plan of a statement with these values, and what each part of it read."""
    async with database.transactional.begin() as connection:
        await connection.execute(text(f"SET LOCAL plan_cache_mode = {mode}"))
        return await explained(connection, statement, **values)


async def explained(connection: AsyncConnection, statement: Statement[Any], **values: Any) -> Any:
    """The plan of a statement as this connection makes it now."""
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}"
    found = (await connection.exec_driver_sql(query, tuple(statement.arguments(values)))).scalar_one()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def blocks_of(plan: Any) -> int:
    """How many blocks were read, from memory or disk."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def scans_of(plan: Any) -> list[Any]:
    """The parts of a plan that read logs."""
    inner = [found for part in plan.get("Plans", []) for found in scans_of(part)]
    return [plan, *inner] if str(plan.get("Relation Name")).startswith("joblog_") else inner


def rows_of(plan: Any) -> int:
    """How many rows all parts of a plan have looked at."""
    own = sum(
        plan.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    )
    return int(own * plan["Actual Loops"]) + sum(map(rows_of, plan.get("Plans", [])))
