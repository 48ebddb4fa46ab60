"""Looking ahead: a schedule before a job has it, jobs' next runs, an edit before it is made.

What is read and what is computed are apart: computing takes long for some schedules, so it has a budget,
and no connection waits for it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Condition
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.schedules import (
    EditPreview,
    Occurrence,
    ScheduleDraft,
    SchedulePreview,
    Upcoming,
)
from scheduler_api.database.jobs import definitions, lists
from scheduler_api.database.jobs.lists import JobFilter
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    JobIsDeleted,
    JobNotFound,
    ScheduleUnusable,
    StaleVersion,
)
from scheduler_api.schedule import Budget, Schedule
from scheduler_api.services.jobs import planning
from scheduler_api.services.jobs.documents import written
from scheduler_api.services.jobs.drafts import patched, resolved, schedule_of_draft
from scheduler_api.services.jobs.reading import MAX_COUNTED, MAX_SORTED
from scheduler_api.services.jobs.retiming import succession
from scheduler_api.wording.schedules import describe, local, note, relative

#: How far an edit is compared, and how many occurrences of each schedule at most.
HORIZON, COMPARED_LIMIT = timedelta(days=30), 5000
#: How far a list of all jobs looks, unless it is told; and at most.
HOUR, DAY, MAX_AHEAD = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
#: How many jobs are looked at for those that run within some time of the future.
MAX_JOBS = 5000
#: How many occurrences of one job a list of all jobs looks at.
LISTED_LIMIT = 5000
#: How many changed runs an edit's preview names.
NAMED_LIMIT = 100

Shown = TypeVar("Shown", bound=Occurrence)


class Window(NamedTuple):
    """How much of the future to list."""

    until: datetime
    limit: int
    each: int
    """Occurrences of one job."""
    since: datetime | None = None
    """The first instant; None: now, with what is overdue."""


class Listed(NamedTuple, Generic[Shown]):
    """Occurrences to come, in order."""

    occurrences: list[Shown]
    complete: bool
    """Whether all that were asked for are there; else the time for it ran out."""


async def job_now(session: Session, now: datetime, jobid: int) -> tuple[datetime, JobRow]:
    """The instant, and what `upcoming` knows of a job. Raises JobNotFound."""
    return now, _there(jobid, await definitions.summary(session, jobid))


async def draft_to_preview(
    session: Session, now: datetime, draft: ScheduleDraft
) -> tuple[datetime, ScheduleDraft]:
    """The instant, and the schedule with all that `preview` needs of it. Raises InvalidInput."""
    return now, await resolved(session, now, draft)


async def job_to_edit(
    session: Session, now: datetime, jobid: int, patch: JobPatch, version: int | None = None
) -> tuple[datetime, JobRow, JobDraft]:
    """The instant, a job with all of its target, and what the edit would make of it.

    Raises InvalidInput, JobNotFound, JobIsDeleted, and StaleVersion where the job is not at `version`.
    """
    row = _there(jobid, await definitions.one(session, jobid))
    if row.state == "deleted":
        raise JobIsDeleted(jobid)
    if version is not None and row.version != version:
        raise StaleVersion(jobid, row.version)
    return now, row, await patched(session, now, written(vars(row)), patch)


def _there(jobid: int, row: JobRow | None) -> JobRow:
    if row is None:
        raise JobNotFound(jobid)
    return row


async def jobs_until(
    session: Session,
    now: datetime,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    wanted: JobFilter,
) -> tuple[datetime, datetime, Sequence[JobRow]]:
    """The instant; until when to look, a day by default; and up to `limit` jobs that run by then.

    From an instant on, it is an hour by default, and up to 5,000 jobs: which of them run then, their
    schedules tell. Raises InvalidInput for a time that is over, or too far.
    """
    usual = now + DAY if since is None else since + HOUR
    end = usual if until is None else until
    if since is not None and not now - HOUR <= since < now + MAX_AHEAD:
        raise InvalidInput(FieldError(("?since",), f"Must lie in the next {MAX_AHEAD.days} days."))
    if not max(now, since or now) < end <= now + MAX_AHEAD:
        raise InvalidInput(FieldError(("?until",), f"Must lie in the next {MAX_AHEAD.days} days."))
    most = limit if since is None else MAX_JOBS
    asked = await lists.lookup(session, wanted._replace(state=Condition.ACTIVE))
    is_narrow = await lists.is_narrow(session, asked, MAX_SORTED)
    few = MAX_SORTED if is_narrow else 0 if wanted.projects is None else MAX_COUNTED
    some = await lists.some(session, asked, few + 1) if few else ()
    # A few that match are put in order; otherwise those that come next are looked at until enough match.
    if few and len(some) <= few:
        found = await lists.in_order(session, some, "nextrun", None, most)
    else:
        found = await lists.next_until(session, asked, end, most)
    jobids = [place.jobid for place in found if place.key is not None and place.key <= end]
    return now, end, await lists.of_ids(session, jobids)


def preview(budget: Budget, now: datetime, draft: ScheduleDraft) -> SchedulePreview:
    """A schedule in words, and its next occurrences. Raises InvalidInput."""
    schedule = schedule_of_draft(draft)
    found = budget.within(islice(_from(schedule, now), draft.count))
    zone = draft.timezone
    occurrences = [occurrence_of(schedule, zone, instant, now) for instant in found]
    return SchedulePreview(
        words=describe(draft.definition),
        timezone=zone,
        occurrences=occurrences,
        complete=not budget.is_spent,
    )


def upcoming(budget: Budget, now: datetime, row: JobRow, count: int) -> Listed[Occurrence]:
    """The job's next `count` occurrences, those that must not run among them. Raises ScheduleUnusable."""
    # With its last run in progress, a job is active still, and has nothing to come.
    if not row.active or row.nextoccurrence is None:
        return Listed([], True)
    schedule, delay = planning.schedule_in(row), planning.spread(row.jobid, row.jitter)
    found = budget.within(islice(_from(schedule, _open_after(row, now)), _left(row, count)))
    listed = [occurrence_of(schedule, row.timezone, instant, now, delay) for instant in found]
    return Listed(listed, not budget.is_spent)


def upcoming_of_all(
    budget: Budget, now: datetime, rows: Sequence[JobRow], window: Window
) -> Listed[Upcoming]:
    """The occurrences of these jobs within a window, in order.

    A job whose schedule cannot be computed has none; its page says so.
    """
    ways = [islice(_of_job(budget, row, now, window), window.each) for row in rows]
    found = merge(*ways, key=lambda found: (found.scheduledfor, found.jobid))
    listed = list(islice(found, window.limit))
    return Listed(listed, not budget.is_spent and len(rows) < MAX_JOBS)


def preview_edit(budget: Budget, now: datetime, row: JobRow, draft: JobDraft) -> EditPreview:
    """What an edit would change. Raises InvalidInput."""
    new = schedule_of_draft(draft)
    try:
        old: Schedule | None = planning.schedule_in(row)
    except ScheduleUnusable:
        old = None
    before, after = (_Ahead(budget, schedule, now) for schedule in (old, new))
    until = min(before.until, after.until)
    gone = sorted(before.runs(until) - after.runs(until))
    come = sorted(after.runs(until) - before.runs(until))
    zone = draft.timezone
    changed = old is None or draft.definition != planning.definition_of(row)
    return EditPreview(
        words=describe(draft.definition),
        until=until,
        complete=until == now + HORIZON,
        disappear=[occurrence_of(old, zone, instant, now) for instant in gone[:NAMED_LIMIT] if old],
        appear=[occurrence_of(new, zone, instant, now) for instant in come[:NAMED_LIMIT]],
        disappearing=len(gone),
        appearing=len(come),
        superseded=_superseded(row, new, now) if changed else 0,
    )


class _Ahead:
    """The occurrences of a schedule up to a horizon, or as many of them as may be looked at."""

    def __init__(self, budget: Budget, schedule: Schedule | None, now: datetime) -> None:
        self._schedule = schedule
        self._instants: list[datetime] = []
        self.until = now + HORIZON
        """How far they are known."""
        if schedule is None:
            return
        for instant in _from(schedule, now):
            if instant > self.until:
                break
            if len(self._instants) == COMPARED_LIMIT or not budget.allows():
                self.until = self._instants[-1] if self._instants else now
                break
            self._instants.append(instant)

    def runs(self, until: datetime) -> set[datetime]:
        """Those up to an instant that nothing keeps from running."""
        schedule = self._schedule
        return {at for at in self._instants if at <= until and schedule and schedule.block(at) is None}


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
        runs=schedule.block(instant) is None,
    )


def _from(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    instant = schedule.next_after(after)
    while instant is not None:
        yield instant
        instant = schedule.next_after(instant)


def _open_after(row: JobRow, now: datetime) -> datetime:
    """The instant after which the job's open occurrences come: a due one is still to run."""
    first: datetime | None = row.nextoccurrence
    return now if first is None else first - datetime.resolution


def _left(row: JobRow, count: int) -> int:
    return count if row.maxruns is None else min(count, max(0, row.maxruns - (row.runs or 0)))


def _of_job(budget: Budget, row: JobRow, now: datetime, window: Window) -> Iterator[Upcoming]:
    # The first one takes longest: the schedule has to be read.
    if not budget.allows():
        return
    try:
        schedule, zone = planning.schedule_in(row), row.timezone
    except ScheduleUnusable:
        return
    delay = planning.spread(row.jobid, row.jitter)
    first = _open_after(row, now)
    if window.since is not None and row.maxruns is None:
        # How many are left need not be counted: what comes before is passed over.
        first = max(first, window.since - datetime.resolution)
    for instant in budget.within(islice(_from(schedule, first), _left(row, LISTED_LIMIT))):
        if instant >= window.until:
            return
        if window.since is not None and instant < window.since:
            continue
        known = occurrence_of(schedule, zone, instant, now, delay).model_dump()
        yield Upcoming(**known, jobid=row.jobid, jobname=row.jobname, timezone=zone)


def _superseded(row: JobRow, schedule: Schedule, now: datetime) -> int:
    change = succession(row, schedule, row.goes_on, now)
    return 0 if change is None else change.gone.counts(change.since, now + datetime.resolution)[0]
