"""Looking ahead: a schedule before a job has it, a job's next runs, an edit before it is made."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import (
    EditPreview,
    JobPatch,
    Occurrence,
    ScheduleDraft,
    SchedulePreview,
    Upcoming,
)
from scheduler_api.database import jobs
from scheduler_api.errors import JobIsDeleted, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Schedule
from scheduler_api.schedule.wording import describe, local, note, relative
from scheduler_api.services import standing
from scheduler_api.services.drafts import schedule_of_draft
from scheduler_api.services.jobs import patched, written
from scheduler_api.services.retiming import succession

#: How far an edit is compared, and how many occurrences of each schedule at most.
HORIZON, MOST_COMPARED = timedelta(days=30), 5000
#: How many changed runs an edit's preview names.
MOST_NAMED = 100


def preview(now: datetime, draft: ScheduleDraft) -> SchedulePreview:
    """A schedule in words, and its next occurrences. Raises InvalidInput."""
    schedule = schedule_of_draft(draft)
    found = islice(_from(schedule, now), draft.count)
    zone = draft.timezone
    return SchedulePreview(
        words=describe(draft.definition),
        timezone=zone,
        occurrences=[occurrence_of(schedule, zone, instant, now) for instant in found],
    )


async def upcoming(session: AsyncSession, now: datetime, jobid: int, count: int) -> list[Occurrence]:
    """The job's next `count` occurrences, those that must not run among them. Raises JobNotFound."""
    row = await _row(session, jobid)
    # With its last run under way, a job is active still, and has nothing to come.
    if not row["active"] or row["promised"] is None:
        return []
    schedule, delay = standing.schedule_in(row), standing.spread(jobid, row["jitter"])
    found = islice(_from(schedule, _open_after(row, now)), _left(row, count))
    return [occurrence_of(schedule, row["timezone"], instant, now, delay) for instant in found]


async def upcoming_of_all(
    session: AsyncSession, now: datetime, hours: int, most: int, each: int
) -> list[Upcoming]:
    """Up to `most` occurrences of all active jobs within the next hours, `each` of one at most, in order.

    A job whose schedule can not be computed has none; its page says so.
    """
    until = now + timedelta(hours=hours)
    rows = await jobs.active_until(session, until, most)
    ways = [islice(_of_job(row, now, until), each) for row in rows]
    return list(islice(merge(*ways, key=lambda found: (found.scheduledfor, found.jobid)), most))


async def preview_edit(session: AsyncSession, now: datetime, jobid: int, patch: JobPatch) -> EditPreview:
    """What an edit would change. Raises InvalidInput, JobNotFound, JobIsDeleted."""
    row = await _row(session, jobid)
    if row["state"] == "deleted":
        raise JobIsDeleted(jobid)
    draft = patched(written(row), patch)
    new = schedule_of_draft(draft)
    try:
        old: Schedule | None = standing.schedule_in(row)
    except ScheduleUnusable:
        old = None
    until = min([now + HORIZON, *(_end(schedule, now) for schedule in (old, new) if schedule)])
    before, after = (_runs(schedule, now, until) if schedule else set() for schedule in (old, new))
    gone, come = sorted(before - after), sorted(after - before)
    zone = draft.timezone
    changed = old is None or draft.definition != standing.definition_of(row)
    return EditPreview(
        words=describe(draft.definition),
        until=until,
        disappear=[occurrence_of(old, zone, instant, now) for instant in gone[:MOST_NAMED] if old],
        appear=[occurrence_of(new, zone, instant, now) for instant in come[:MOST_NAMED]],
        disappearing=len(gone),
        appearing=len(come),
        superseded=_superseded(row, new, now) if changed else 0,
    )


def occurrence_of(
    schedule: Schedule, zone: str, instant: datetime, now: datetime, delay: timedelta = timedelta(0)
) -> Occurrence:
    """An occurrence with what there is to say of it."""
    return Occurrence(
        scheduledfor=instant,
        startsat=instant + delay,
        local=local(instant, zone),
        relative=relative(instant + delay, now),
        note=note(schedule, zone, instant),
        runs=schedule.bar(instant) is None,
    )


async def _row(session: AsyncSession, jobid: int) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await jobs.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return row


def _from(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    instant = schedule.next_after(after)
    while instant is not None:
        yield instant
        instant = schedule.next_after(instant)


def _open_after(row: Mapping[str, Any], now: datetime) -> datetime:
    """The instant after which the job's open occurrences come: a due one is still to run."""
    first: datetime | None = row["promised"]
    return now if first is None else first - datetime.resolution


def _left(row: Mapping[str, Any], count: int) -> int:
    return count if row["maxruns"] is None else min(count, max(0, row["maxruns"] - (row["runs"] or 0)))


def _of_job(row: Mapping[str, Any], now: datetime, until: datetime) -> Iterator[Upcoming]:
    try:
        schedule, zone = standing.schedule_in(row), row["timezone"]
    except ScheduleUnusable:
        return
    delay = standing.spread(row["jobid"], row["jitter"])
    for instant in islice(_from(schedule, _open_after(row, now)), _left(row, MOST_COMPARED)):
        if instant > until:
            return
        known = occurrence_of(schedule, zone, instant, now, delay).model_dump()
        yield Upcoming(**known, jobid=row["jobid"], jobname=row["jobname"], timezone=zone)


def _end(schedule: Schedule, now: datetime) -> datetime:
    """How far as many occurrences reach as are compared."""
    instants = list(islice(_from(schedule, now), MOST_COMPARED))
    return instants[-1] if len(instants) == MOST_COMPARED else now + HORIZON


def _runs(schedule: Schedule, now: datetime, until: datetime) -> set[datetime]:
    instants = islice(_from(schedule, now), MOST_COMPARED)
    return {instant for instant in instants if instant <= until and schedule.bar(instant) is None}


def _superseded(row: Mapping[str, Any], schedule: Schedule, now: datetime) -> int:
    change = succession(row, schedule, row["promised"] or row["resumefrom"], now)
    return 0 if change is None else change.gone.counts(change.since, now + datetime.resolution)[0]
