"""What a change of a calendar does to the runs of the jobs that go by it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, pairwise
from typing import NamedTuple

from scheduler_api.contracts.jobs.calendars import (
    NAMED_JOBS,
    NAMED_RUNS,
    CalendarDraft,
    CalendarEffect,
    CalendarReport,
)
from scheduler_api.contracts.values import days_of
from scheduler_api.database.jobs import calendars
from scheduler_api.database.jobs.calendars import CalendarUser
from scheduler_api.database.statements import Session
from scheduler_api.schedule import TICK, Budget, Schedule, schedule_of
from scheduler_api.services.history.upcoming import occurrence_of
from scheduler_api.services.jobs import planning
from scheduler_api.services.jobs.drafts import union


class Affected(NamedTuple):
    """What a report on a change rests on."""

    now: datetime
    name: str
    days: list[str]
    """Those that the calendar has had."""
    users: Sequence[CalendarUser]
    others: Mapping[str, list[str]]
    """The days of all other calendars that these jobs go by."""


async def gather(session: Session, now: datetime, name: str) -> Affected:
    """Read what a report on a change of the calendar rests on; nothing, if it is new."""
    users = await calendars.users(session, name, NAMED_JOBS + 1)
    names = set(chain.from_iterable(user.calendars for user in users)) | {name}
    known = await calendars.keep_days(session, sorted(names))
    others = {other: row.days for other, row in known.items() if other != name}
    return Affected(now, name, known[name].days if name in known else [], users, others)


def report(budget: Budget, affected: Affected, draft: CalendarDraft, *, dryrun: bool) -> CalendarReport:
    """What becomes of the runs of the jobs, once the calendar is the draft."""
    effects = []
    for user in affected.users[:NAMED_JOBS]:
        effect = _effect(budget, affected, user, draft.days)
        if budget.is_spent:
            break
        if effect is not None:
            effects.append(effect)
    return CalendarReport(
        name=affected.name,
        dryrun=dryrun,
        added=sorted(set(draft.days) - set(affected.days)),
        removed=sorted(set(affected.days) - set(draft.days)),
        jobs=effects,
        complete=not budget.is_spent and len(affected.users) <= NAMED_JOBS,
        behind=0,
    )


def _effect(budget: Budget, affected: Affected, user: CalendarUser, days: list[str]) -> CalendarEffect | None:
    """What becomes of a job's runs; None: nothing, or its schedule cannot be computed."""
    others = [affected.others[name] for name in user.calendars if name in affected.others]
    definition = planning.definition_of(user)
    was, becomes = (
        definition._replace(exclude=tuple(days_of(text) for text in (*user.exclude, *union([*others, own]))))
        for own in (affected.days, days)
    )
    try:
        old, new = schedule_of(was), schedule_of(becomes)
    except (ArithmeticError, ValueError):
        return None
    gone, come = _lost(budget, old, new, affected.now), _lost(budget, new, old, affected.now)
    if not gone.runs and not come.runs:
        return None
    return CalendarEffect(
        jobid=user.jobid,
        jobname=user.jobname,
        timezone=user.timezone,
        disappearing=gone.runs,
        disappear=[occurrence_of(old, user.timezone, at, affected.now) for at in gone.first],
        appearing=come.runs,
        appear=[occurrence_of(new, user.timezone, at, affected.now) for at in come.first],
    )


class _Lost(NamedTuple):
    """Runs of a schedule that another one does not have."""

    runs: int
    first: list[datetime]


def _lost(budget: Budget, schedule: Schedule, other: Schedule, now: datetime) -> _Lost:
    """The runs from now on that fall on days that only the `other` excludes."""
    count, first = 0, list[datetime]()
    for start, end in _only_excluded_by(other, schedule, now):
        if not budget.allows():
            break
        count += schedule.counts(start, end)[0]
        at = schedule.next_after(start - TICK)
        while at is not None and at < end and len(first) < NAMED_RUNS and budget.allows():
            if schedule.block(at) is None:
                first.append(at)
            at = schedule.next_after(at)
    return _Lost(count, first)


def _only_excluded_by(
    schedule: Schedule, other: Schedule, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Parts of time from now on, each up to and not including its end."""
    edges = {edge for part in (*schedule.excluded, *other.excluded) for edge in part if edge > now} | {now}
    for start, end in pairwise(sorted(edges)):
        if schedule.excludes(start) and not other.excludes(start):
            yield start, end
