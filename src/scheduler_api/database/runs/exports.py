"""Statements that tell which days of history can be exported, what is in them, and how far that was done."""

from collections.abc import Mapping
from datetime import date
from io import BufferedIOBase
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from scheduler_api.database.connections import Connection
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.history import history
from scheduler_api.database.tables.runs import PARTITIONED

#: Any number that no other user of the same database takes; spells "jobexpo". Two exports at once
#: would write the same days twice.
EXPORT_KEY = 0x6A6F626578706F
#: The tables that are exported.
TABLES = {table.name: table for table in PARTITIONED}
_ORDERS = {"joblog": "logid", "logattempt": "logid, attempt", "logline": "lineid"}


class Exported(NamedTuple):
    """Which days there are, and how far they were exported."""

    firstday: date
    """The first day that is kept."""
    closedto: date
    """The day up to which days are closed: nothing is added to those any more."""
    exportedto: date
    """The day up to which an export has released days; `date.min`: none has."""


EXPORTED = Statement(select(*columns(history, Exported)), Exported)
EXPORT = Statement(update(history).values(exportedto=func.greatest(history.c.exportedto, bindparam("end"))))


def rows_of(table: str, day: date) -> str:
    """A query of all that a table holds under a day, without parameters: a COPY takes none."""
    names = ", ".join(column.name for column in TABLES[table].columns)
    return f"SELECT {names} FROM {table} WHERE day = DATE '{day}' ORDER BY {_ORDERS[table]}"


async def copy_day(
    driver: Connection, day: date, files: Mapping[str, BufferedIOBase]
) -> dict[str, int] | None:
    """Write what each table holds under a day to its file, as CSV, all at one moment; how many rows.

    None: the day is no longer kept.
    """
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        # No part that is seen goes until all of them are read.
        await driver.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS SHARE MODE")
        if not await driver.fetchval("SELECT firstday <= $1 FROM history", day):
            return None
        counts = {}
        for table, file in files.items():
            query = rows_of(table, day)
            tag = await driver.copy_from_query(query, output=file, format="csv", header=True)
            counts[table] = int(tag.removeprefix("COPY "))
    return counts


async def exported(session: Session) -> Exported:
    """Which days there are, and how far they were exported."""
    return await session.one(EXPORTED)


async def export_to(session: Session, end: date) -> None:
    """All days before that one may go: they were exported."""
    await session.all(EXPORT, end=end)
