"""Calendars: named lists of days on which the jobs that name them do not run.

Each job keeps the days that it goes by, as a part of its definition, so that its history says what held when.
A change of a calendar is first written down, then made job by job, each as a whole: whoever stops in between,
the next look at the calendars goes on.
"""

import contextlib
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import structlog

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.calendars import Calendar, CalendarDraft, CalendarSummary
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import calendars, changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.definitions import Projects
from scheduler_api.database.singly import one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    CalendarInUse,
    CalendarNotFound,
    DatabaseBusy,
    InvalidInput,
    JobIsDeleted,
    JobNotFound,
    ScheduleUnusable,
)
from scheduler_api.services.jobs import editing
from scheduler_api.services.jobs.documents import lacking

log = structlog.get_logger(__name__)

#: Jobs that are changed in one transaction, and seconds after which it takes no further one.
BATCH, BATCH_SECONDS = 50, 1.0


class Followed(NamedTuple):
    """Jobs that were behind their calendars."""

    jobs: int
    last: int | None
    """The last one that was looked at; None: there was none left."""


async def listing(session: Session, after: str, limit: int, projects: Projects) -> list[CalendarSummary]:
    """Calendars in order of their names, after one; with how many jobs of the projects."""
    rows = await calendars.listing(session, after, limit, projects)
    return [CalendarSummary.model_validate(row._asdict()) for row in rows]


async def get(session: Session, name: str, projects: Projects = None) -> Calendar:
    """A calendar, with how many jobs of the projects go by it. Raises CalendarNotFound."""
    row = await calendars.stored(session, name, projects)
    if row is None:
        raise CalendarNotFound(name)
    return Calendar.model_validate(row._asdict())


async def is_there(session: Session, name: str) -> bool:
    """Whether there is a calendar of that name."""
    return await calendars.stored(session, name, None) is not None


async def users(session: Session, name: str, limit: int, projects: Projects) -> dict[int, str]:
    """Names of up to `limit` jobs of the projects that go by the calendar, by jobid."""
    jobids = await calendars.user_ids(session, name, limit, projects)
    return {jobid: row.jobname for jobid, row in (await definitions.names(session, jobids)).items()}


async def put(session: Session, now: datetime, actor: Actor, name: str, draft: CalendarDraft) -> None:
    """Add a calendar, or write it anew; the jobs that go by it are to `follow`.

    A description that is left out stays.
    """
    is_new = await calendars.add(session, now, name)
    before = await calendars.lock(session, name)
    if before is None:
        raise DatabaseBusy("The calendar was just removed; try again.")
    description = draft.description if "description" in draft.model_fields_set else before.description
    if not is_new and (before.days, before.description) == (draft.days, description):
        return
    await calendars.put(session, now, name, description, draft.days)
    removed, added = lacking(before.days, draft.days), lacking(draft.days, before.days)
    event = Event(
        ChangeAction.CALENDAR_SET,
        before={"name": name, "days": removed, "description": before.description},
        after={"name": name, "days": added, "description": description},
    )
    await changes.record(session, now, actor, event)


async def remove(session: Session, now: datetime, actor: Actor, name: str) -> None:
    """Remove a calendar. Raises CalendarNotFound, CalendarInUse."""
    if await calendars.lock(session, name) is None:
        raise CalendarNotFound(name)
    row = await get(session, name)
    if row.jobs:
        (first,) = await calendars.user_ids(session, name, 1, None)
        raise CalendarInUse(name, row.jobs, first)
    await calendars.remove(session, name)
    before = {"name": name, "days": row.days, "description": row.description}
    event = Event(ChangeAction.CALENDAR_REMOVED, before=before)
    await changes.record(session, now, actor, event)


async def follow(session: Session, now: datetime, actor: Actor, name: str | None, after: int) -> Followed:
    """Let the next jobs go by their calendars, or by this one, for about a second.

    One that somebody holds is left for later, and one that cannot follow: it is gone, or cannot be computed.
    """
    jobids = await calendars.behind(session, name, after, BATCH)
    done: list[int] = []
    last: int | None = None
    give_up = monotonic() + BATCH_SECONDS

    async def follow_one(jobid: int) -> None:
        with contextlib.suppress(JobNotFound, JobIsDeleted, InvalidInput, ScheduleUnusable):
            if await editing.follow_calendars(session, now, actor, jobid):
                done.append(jobid)

    for last in jobids:
        await one_by_one(session, [last], follow_one)
        if monotonic() >= give_up:
            break
    if done:
        log.info("jobs go by the new days of their calendars", jobids=done)
    return Followed(len(done), last)


async def behind(session: Session, name: str) -> int:
    """How many jobs do not go by this calendar as it is now."""
    return await calendars.count_behind(session, name)
