"""Statements on calendars, and on the jobs that go by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import any_, bindparam, delete, select

from scheduler_api.database.jobs.definitions import SCHEDULE
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import calendar, columns


class CalendarRow(NamedTuple):
    """A calendar, and how many jobs go by it."""

    name: str
    description: str
    days: list[str]
    changedat: datetime
    jobs: int


class CalendarDaysRow(NamedTuple):
    """The days of a calendar."""

    name: str
    days: list[str]


@dataclass
class CalendarUser(ScheduleRow):
    """A job that goes by a calendar and has a future."""

    jobname: str
    calendars: list[str]


#: Jobs that do not run on days of their calendars. The index says the same.
GOES_BY_CALENDARS = "cardinality(job.calendars) > 0 AND job.deletedat IS NULL"
#: Those whose schedule goes on. What a completed job goes by is looked up when it gets a future.
GOES_ON = f"{GOES_BY_CALENDARS} AND (job.active OR job.pausedat IS NOT NULL)"

_CALENDAR = f"""
    SELECT name, description, days, changedat, (
        SELECT count(*) FROM job WHERE {GOES_BY_CALENDARS} AND job.calendars @> ARRAY[calendar.name]
    ) AS jobs
    FROM calendar
"""
LISTING = Statement(f"{_CALENDAR} WHERE name > :after ORDER BY name LIMIT :limit", CalendarRow)
ONE = Statement(f"{_CALENDAR} WHERE name = :name", CalendarRow)
#: Nobody changes or removes them until the transaction ends.
DAYS = Statement(
    select(*columns(calendar, CalendarDaysRow))
    .where(calendar.c.name == any_(bindparam("names")))
    .order_by(calendar.c.name)
    .with_for_update(read=True),
    CalendarDaysRow,
)
PUT = Statement(
    """
    INSERT INTO calendar (name, description, days, changedat) VALUES (:name, :description, :days, :now)
    ON CONFLICT (name) DO UPDATE
        SET description = excluded.description, days = excluded.days, changedat = excluded.changedat
    """
)
LOCK = Statement("SELECT name, days FROM calendar WHERE name = :name FOR UPDATE", CalendarDaysRow)
REMOVE = Statement(delete(calendar).where(calendar.c.name == bindparam("name")))
USERS = Statement(
    f"""
    SELECT {SCHEDULE}, job.jobname, job.calendars FROM job
    WHERE {GOES_ON} AND job.calendars @> ARRAY[CAST(:name AS text)]
    ORDER BY job.jobid LIMIT :limit
    """,
    CalendarUser,
)
USER_IDS = Statement(
    f"""
    SELECT jobid FROM job
    WHERE {GOES_BY_CALENDARS} AND job.calendars @> ARRAY[CAST(:name AS text)] ORDER BY jobid LIMIT :limit
    """
)
#: Jobs whose calendars have other days by now than those that they go by.
BEHIND = f"""
    FROM job WHERE {GOES_ON} AND job.calendardays <> ARRAY(
        SELECT DISTINCT day COLLATE "C" FROM calendar, unnest(days) AS day
        WHERE name = ANY (job.calendars) ORDER BY 1
    )
"""
FIRST_BEHIND = Statement(f"SELECT job.jobid {BEHIND} AND job.jobid > :after ORDER BY job.jobid LIMIT :limit")
COUNT_BEHIND = Statement(f"SELECT count(*) {BEHIND} AND job.calendars @> ARRAY[CAST(:name AS text)]")


async def listing(session: Session, after: str, limit: int) -> list[CalendarRow]:
    """Up to `limit` calendars, in order of their names, after one."""
    return await session.all(LISTING, after=after, limit=limit)


async def stored(session: Session, name: str) -> CalendarRow | None:
    """The calendar."""
    return await session.one_or_none(ONE, name=name)


async def days(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """The days of those of the calendars that there are; they stay until the transaction ends."""
    return {row.name: row.days for row in await session.all(DAYS, names=names)}


async def lock(session: Session, name: str) -> list[str] | None:
    """The days of a calendar, for whoever changes it; None: there is none."""
    row = await session.one_or_none(LOCK, name=name)
    return None if row is None else row.days


async def put(session: Session, now: datetime, name: str, description: str, days: Sequence[str]) -> None:
    """Add a calendar, or write it anew."""
    await session.all(PUT, now=now, name=name, description=description, days=[*days])


async def remove(session: Session, name: str) -> None:
    """Remove a calendar."""
    await session.all(REMOVE, name=name)


async def users(session: Session, name: str, limit: int) -> list[CalendarUser]:
    """Up to `limit` jobs with a future that go by a calendar, in order."""
    return await session.all(USERS, name=name, limit=limit)


async def user_ids(session: Session, name: str, limit: int) -> list[int]:
    """Up to `limit` jobs that go by a calendar, completed ones too, in order."""
    return await session.values(USER_IDS, name=name, limit=limit)


async def behind(session: Session, after: int, limit: int) -> list[int]:
    """Up to `limit` jobs above a jobid that do not go by their calendars as these are now."""
    return await session.values(FIRST_BEHIND, after=after, limit=limit)


async def count_behind(session: Session, name: str) -> int:
    """How many of them go by this calendar."""
    return int(await session.value(COUNT_BEHIND, name=name))
