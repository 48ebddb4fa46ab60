"""Calendars: named lists of days on which the jobs that name them do not run.

Each job keeps the days that it goes by, as a part of its definition, so that its history says what held when.
A change of a calendar is first written down, then made job by job, each as a whole: whoever stops in between,
the next look at the calendars goes on.
"""

import contextlib
from datetime import datetime
from typing import NamedTuple

import structlog

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.calendars import Calendar, CalendarDraft, CalendarSummary
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import calendars, changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.singly import one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.errors import CalendarInUse, CalendarNotFound, InvalidInput, JobIsDeleted, JobNotFound
from scheduler_api.services.jobs import editing

log = structlog.get_logger(__name__)

#: Jobs that are changed in one transaction.
BATCH = 50


class Followed(NamedTuple):
    """Jobs that were behind their calendars."""

    jobs: int
    last: int | None
    """The last one that was looked at; None: there was none left."""


async def listing(session: Session, after: str, limit: int) -> list[CalendarSummary]:
    """Calendars in order of their names, after one."""
    rows = await calendars.listing(session, after, limit)
    return [CalendarSummary.model_validate(row._asdict()) for row in rows]


async def get(session: Session, name: str) -> Calendar:
    """A calendar. Raises CalendarNotFound."""
    row = await calendars.stored(session, name)
    if row is None:
        raise CalendarNotFound(name)
    return Calendar.model_validate(row._asdict())


async def users(session: Session, name: str, limit: int) -> dict[int, str]:
    """Names of up to `limit` jobs that go by the calendar, by jobid."""
    jobids = await calendars.user_ids(session, name, limit)
    return {jobid: row.jobname for jobid, row in (await definitions.names(session, jobids)).items()}


async def put(session: Session, now: datetime, actor: Actor, name: str, draft: CalendarDraft) -> None:
    """Add a calendar, or write it anew; the jobs that go by it are to `follow`."""
    before = await calendars.lock(session, name) or []
    await calendars.put(session, now, name, draft.description, draft.days)
    removed, added = _without(before, draft.days), _without(draft.days, before)
    event = Event(
        ChangeAction.CALENDAR_SET, before={"name": name, "days": removed}, after={"name": name, "days": added}
    )
    await changes.record(session, now, actor, event)


async def remove(session: Session, now: datetime, actor: Actor, name: str) -> None:
    """Remove a calendar. Raises CalendarNotFound, CalendarInUse."""
    if await calendars.lock(session, name) is None:
        raise CalendarNotFound(name)
    row = await get(session, name)
    if row.jobs:
        (first,) = await calendars.user_ids(session, name, 1)
        raise CalendarInUse(name, row.jobs, first)
    await calendars.remove(session, name)
    event = Event(ChangeAction.CALENDAR_REMOVED, before={"name": name, "days": row.days})
    await changes.record(session, now, actor, event)


async def follow(session: Session, now: datetime, actor: Actor, after: int) -> Followed:
    """Let the next jobs that are behind go by their calendars; one that somebody holds is left for later."""
    jobids = await calendars.behind(session, after, BATCH)
    done: list[int] = []

    async def follow_one(jobid: int) -> None:
        # It is gone, has run as often as it may, or cannot be computed: no day matters to it any more.
        with contextlib.suppress(JobNotFound, JobIsDeleted, InvalidInput):
            if await editing.follow_calendars(session, now, actor, jobid):
                done.append(jobid)

    await one_by_one(session, jobids, follow_one)
    if done:
        log.info("jobs go by the new days of their calendars", jobids=done)
    return Followed(len(done), jobids[-1] if jobids else None)


async def behind(session: Session, name: str) -> int:
    """How many jobs do not go by this calendar as it is now."""
    return await calendars.count_behind(session, name)


def _without(days: list[str], others: list[str]) -> list[str]:
    return sorted(set(days) - set(others))
