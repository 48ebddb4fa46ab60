"""Runs Alembic's commands: on the connection of the service that migrates, or, by hand, on one of their own.

By hand they use the database of SCHEDULER_DATABASE_URL, or the embedded one.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from alembic import context
from alembic.operations import MigrationScript
from sqlalchemy import Connection

from scheduler_api.database import migrations
from scheduler_api.database.tables import metadata
from scheduler_api.database.tables.runs import PARTITIONED
from scheduler_api.databases import database_server, requests_database
from scheduler_api.settings import Settings


def number(_: Any, __: Any, scripts: Iterable[MigrationScript]) -> None:
    """Give a new revision the next number."""
    for script in scripts:
        script.rev_id = f"{int(migrations.needed()) + 1:04}"


def is_own(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    """Whether a part of the schema is compared: what is written in SQL is not named in the models."""
    tables = tuple(f"{table.name}_" for table in PARTITIONED)
    is_part = kind == "table" and name is not None and name.startswith(tables)
    return not (is_part or (kind == "index" and name == "ix_job_words"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        include_object=is_own,
        target_metadata=metadata,
        compare_server_default=True,
        process_revision_directives=number,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_by_hand() -> None:
    settings = Settings()
    async with database_server(settings) as url:
        database = requests_database(settings, url)
        try:
            await migrations.under_lock(database, run)
        finally:
            await database.close()


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_by_hand())
else:
    run(given)
