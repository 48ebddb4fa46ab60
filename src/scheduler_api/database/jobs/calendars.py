"""Statements on calendars, and on the jobs that go by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import any_, bindparam, delete, select, update

from scheduler_api.database.jobs.definitions import OF_PROJECTS, SCHEDULE, Projects
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import calendar, job


class CalendarRow(NamedTuple):
    """A calendar, and how many jobs go by it."""

    name: str
    description: str
    days: list[str]
    changedat: datetime
    jobs: int


class CalendarDaysRow(NamedTuple):
    """What jobs go by, of a calendar."""

    name: str
    days: list[str]
    version: int


class LockedCalendar(NamedTuple):
    """A calendar that nobody else changes meanwhile."""

    name: str
    description: str
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

LISTING = Statement(
    f"""
    SELECT calendar.name, description, days, changedat, coalesce(jobs, 0) AS jobs
    FROM calendar LEFT JOIN (
        SELECT unnest(calendars) AS name, count(*) AS jobs FROM job
        WHERE {GOES_BY_CALENDARS} AND {OF_PROJECTS} GROUP BY 1
    ) AS used ON used.name = calendar.name
    WHERE calendar.name > :after ORDER BY calendar.name LIMIT :limit
    """,
    CalendarRow,
)
ONE = Statement(
    f"""
    SELECT name, description, days, changedat, (
        SELECT count(*) FROM job
        WHERE {GOES_BY_CALENDARS} AND job.calendars @> ARRAY[calendar.name] AND {OF_PROJECTS}
    ) AS jobs
    FROM calendar WHERE name = :name
    """,
    CalendarRow,
)
_DAYS = (
    select(*columns(calendar, CalendarDaysRow))
    .where(calendar.c.name == any_(bindparam("names")))
    .order_by(calendar.c.name)
)
DAYS = Statement(_DAYS, CalendarDaysRow)
#: Nobody changes or removes them until the transaction ends.
KEPT_DAYS = Statement(_DAYS.with_for_update(read=True), CalendarDaysRow)
ADD = Statement(
    """
    INSERT INTO calendar (name, days, version, changedat)
    VALUES (:name, '{}', nextval('calendarversion'), :now) ON CONFLICT (name) DO NOTHING RETURNING name
    """
)
PUT = Statement(
    """
    UPDATE calendar SET description = :description, days = :days, changedat = :now,
        version = CASE WHEN days = CAST(:days AS text[]) THEN version ELSE nextval('calendarversion') END
    WHERE name = :name
    """
)
LOCK = Statement("SELECT name, description, days FROM calendar WHERE name = :name FOR UPDATE", LockedCalendar)
REMOVE = Statement(delete(calendar).where(calendar.c.name == bindparam("name")))
# Without the days that they go by: those of their calendars are known.
USERS = Statement(
    f"""
    SELECT {SCHEDULE.replace('job."calendardays"', "CAST('{}' AS text[]) AS calendardays")},
           job.jobname, job.calendars
    FROM job
    WHERE {GOES_ON} AND job.calendars @> ARRAY[CAST(:name AS text)]
    ORDER BY job.jobid LIMIT :limit
    """,
    CalendarUser,
)
USER_IDS = Statement(
    f"""
    SELECT jobid FROM job
    WHERE {GOES_BY_CALENDARS} AND job.calendars @> ARRAY[CAST(:name AS text)] AND {OF_PROJECTS}
    ORDER BY jobid LIMIT :limit
    """
)
#: Jobs that have not looked up the days of their calendars, or of this one, since these have changed.
BEHIND = f"""
    FROM job WHERE {GOES_ON} AND EXISTS (
        SELECT FROM calendar WHERE name = ANY (job.calendars) AND version > job.calendarversion
          AND (CAST(:name AS text) IS NULL OR name = :name)
    )
"""
FIRST_BEHIND = Statement(f"SELECT job.jobid {BEHIND} AND job.jobid > :after ORDER BY job.jobid LIMIT :limit")
COUNT_BEHIND = Statement(f"SELECT count(*) {BEHIND}")
LOOKED = Statement(
    update(job).where(job.c.jobid == bindparam("jobid")).values(calendarversion=bindparam("version"))
)


async def listing(session: Session, after: str, limit: int, projects: Projects) -> list[CalendarRow]:
    """Up to `limit` calendars, in order of their names, after one; with how many jobs of the projects."""
    return await session.all(LISTING, after=after, limit=limit, projects=projects)


async def stored(session: Session, name: str, projects: Projects) -> CalendarRow | None:
    """The calendar; with how many jobs of the projects."""
    return await session.one_or_none(ONE, name=name, projects=projects)


async def days(session: Session, names: Sequence[str]) -> dict[str, CalendarDaysRow]:
    """Those of the calendars that there are, by name."""
    return {row.name: row for row in await session.all(DAYS, names=names)}


async def keep_days(session: Session, names: Sequence[str]) -> dict[str, CalendarDaysRow]:
    """The same; they stay as they are until the transaction ends."""
    return {row.name: row for row in await session.all(KEPT_DAYS, names=names)}


async def add(session: Session, now: datetime, name: str) -> bool:
    """Add a calendar without days; False: it is there."""
    return await session.one_or_none(ADD, now=now, name=name) is not None


async def lock(session: Session, name: str) -> LockedCalendar | None:
    """The calendar, for whoever changes it; None: there is none."""
    return await session.one_or_none(LOCK, name=name)


async def put(session: Session, now: datetime, name: str, description: str, days: Sequence[str]) -> None:
    """Write a calendar anew."""
    await session.all(PUT, now=now, name=name, description=description, days=[*days])


async def remove(session: Session, name: str) -> None:
    """Remove a calendar."""
    await session.all(REMOVE, name=name)


async def users(session: Session, name: str, limit: int) -> list[CalendarUser]:
    """Up to `limit` jobs with a future that go by a calendar, in order."""
    return await session.all(USERS, name=name, limit=limit)


async def user_ids(session: Session, name: str, limit: int, projects: Projects) -> list[int]:
    """Up to `limit` jobs of the projects that go by a calendar, completed ones too, in order."""
    return await session.values(USER_IDS, name=name, limit=limit, projects=projects)


async def behind(session: Session, name: str | None, after: int, limit: int) -> list[int]:
    """Up to `limit` jobs above a jobid that do not go by their calendars, or by this one, as they are."""
    return await session.values(FIRST_BEHIND, name=name, after=after, limit=limit)


async def count_behind(session: Session, name: str) -> int:
    """How many do not go by this calendar as it is now."""
    return int(await session.value(COUNT_BEHIND, name=name))


async def looked(session: Session, jobid: int, version: int) -> None:
    """The job goes by its calendars up to this version."""
    await session.all(LOOKED, jobid=jobid, version=version)
