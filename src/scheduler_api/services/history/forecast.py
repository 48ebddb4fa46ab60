"""The load that is to come, minute by minute, where it collides, and how to spread it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from scheduler_api.contracts.history.forecast import CollidingJob, Collision, Forecast
from scheduler_api.database.jobs import forecasts
from scheduler_api.database.jobs.forecasts import ForecastRow
from scheduler_api.database.runs import history
from scheduler_api.database.statements import Session
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import Budget, Every, Schedule, tick_of
from scheduler_api.services.jobs import planning

MINUTES = 24 * 60
MINUTE = timedelta(minutes=1)
MINUTE_TICKS = MINUTE // datetime.resolution
#: How many jobs are looked at, and of how many of them single runs; busy minutes named, and jobs in each.
MAX_JOBS, MAX_TIMED, BUSIEST, NAMED = 20_000, 1000, 5, 10
#: Seconds of work of a run of which it is not known.
UNKNOWN = 1.0
#: The longest offset that is offered, in seconds.
MAX_OFFER = 600


class Pattern(NamedTuple):
    """In which minutes a schedule runs, and how often in each: many jobs share one."""

    minutes: Sequence[int]
    each: float
    gap: float
    """Seconds between two runs, about."""


@dataclass
class _Group:
    """The jobs of one pattern."""

    pattern: Pattern
    rows: list[tuple[ForecastRow, float]] = field(default_factory=list)
    load: float = 0.0


class Seen(NamedTuple):
    """What a forecast rests on."""

    now: datetime
    rows: Sequence[ForecastRow]
    """The schedules of active jobs."""
    medians: Mapping[int, timedelta]
    """How long a run of each takes."""
    every: int
    """For how many jobs each of these stands."""


async def look(session: Session, now: datetime, projects: Sequence[str] | None = None) -> Seen:
    """Read what a forecast rests on: of these projects; None: of all."""
    every = max(1, ceil(await forecasts.count_active(session, projects) / MAX_JOBS))
    rows = await forecasts.active_definitions(session, every, 2 * MAX_JOBS, projects)
    calling = [row.jobid for row in rows if row.calls]
    known = await history.tallied(session, calling)
    new = [jobid for jobid in calling if jobid not in known][:MAX_TIMED]
    return Seen(now, rows, known | await history.medians(session, new), every)


def forecast(budget: Budget, seen: Seen) -> Forecast:
    """The load of the next 24 hours."""
    since = seen.now.replace(second=0, microsecond=0)
    groups = _grouped(budget, seen, since)
    runs, load = [0.0] * MINUTES, [0.0] * MINUTES
    for group in groups:
        count = len(group.rows) * group.pattern.each * seen.every
        work = group.load * group.pattern.each * seen.every
        for minute in group.pattern.minutes:
            runs[minute] += count
            load[minute] += work
    return Forecast(
        since=since,
        runs=[round(count) for count in runs],
        load=[round(work, 3) for work in load],
        collisions=_collisions(groups, since, runs, load, seen.every),
        every=seen.every,
        complete=not budget.is_spent,
    )


def _grouped(budget: Budget, seen: Seen, since: datetime) -> list[_Group]:
    """The jobs by pattern, as far as the budget reaches: each counts as one instant, a pattern as its own."""
    groups: dict[object, _Group] = {}
    for row in budget.within(seen.rows):
        try:
            schedule = planning.schedule_in(row)
        except ScheduleUnusable:
            continue
        delay = planning.spread(row.jobid, row.jitter)
        runs_left = None if row.maxruns is None else max(0, row.maxruns - (row.runs or 0))
        key = (_key(schedule, row, since, delay), runs_left)
        group = groups.get(key)
        if group is None:
            group = _Group(_pattern(schedule, since, delay, runs_left))
            if not budget.allows(len(group.pattern.minutes)):
                break
            groups[key] = group
        known = seen.medians.get(row.jobid)
        work = UNKNOWN if known is None else known.total_seconds()
        group.rows.append((row, work))
        group.load += work
    return list(groups.values())


def _key(schedule: Schedule, row: ForecastRow, since: datetime, delay: timedelta) -> object:
    """What schedules of one pattern have in common."""
    cadence = schedule.cadence
    if isinstance(cadence, Every) and schedule.is_plain and cadence.start < since:
        # When it runs first is all that matters: to the minute, if all others are whole minutes later.
        first = (cadence.start + delay - since) % cadence.interval
        return cadence.interval, first // MINUTE if not cadence.interval % MINUTE else first
    return planning.definition_of(row), delay


def _pattern(schedule: Schedule, since: datetime, delay: timedelta, left: int | None) -> Pattern:
    until = since + MINUTES * MINUTE
    cadence = schedule.cadence
    if isinstance(cadence, Every) and cadence.interval < MINUTE:
        first = schedule.next_after(since) or until
        begins, ends = max(0, (first - since) // MINUTE), MINUTES
        if schedule.until is not None:
            ends = min(MINUTES, max(0, (schedule.until - since) // MINUTE))
        free = [minute for minute in range(begins, ends) if schedule.block(since + minute * MINUTE) is None]
        return Pattern(free, MINUTE / cadence.interval, cadence.interval.total_seconds())
    free = schedule.ticks_that(since - delay, until, are_blocked=False)
    begin = tick_of(since - delay)
    minutes = [(tick - begin) // MINUTE_TICKS for tick in free[:left]]
    inside = [minute for minute in minutes if minute < MINUTES]
    gaps = (later - earlier for earlier, later in pairwise(inside))
    return Pattern(inside, 1.0, min(gaps, default=MINUTES) * MINUTE.total_seconds())


def _collisions(
    groups: Sequence[_Group], since: datetime, runs: Sequence[float], load: Sequence[float], every: int
) -> list[Collision]:
    """The busiest minutes in which more than one job runs."""
    busiest = sorted(range(MINUTES), key=lambda minute: -load[minute])[: 4 * BUSIEST]
    found: defaultdict[int, list[tuple[ForecastRow, float, Pattern]]] = defaultdict(list)
    wanted = set(busiest)
    for group in groups:
        # What runs every minute makes no minute busier than another.
        if group.pattern.gap > MINUTE.total_seconds():
            for minute in wanted.intersection(group.pattern.minutes):
                found[minute] += [(row, work, group.pattern) for row, work in group.rows]
    return [
        _collision(since + minute * MINUTE, round(runs[minute]), load[minute], found[minute], every)
        for minute in busiest
        if len(found[minute]) > 1
    ][:BUSIEST]


def _collision(
    at: datetime, runs: int, load: float, found: list[tuple[ForecastRow, float, Pattern]], every: int
) -> Collision:
    heaviest = sorted(found, key=lambda one: (-one[1], one[0].jobid))[:NAMED]
    return Collision(
        at=at,
        runs=runs,
        load=round(load, 3),
        count=len(found) * every,
        jobs=[
            CollidingJob(
                jobid=row.jobid,
                jobname=row.jobname,
                project=row.project,
                load=round(work, 3),
                jitter=row.jitter,
                offer=_offer(row.jitter, pattern.gap),
            )
            for row, work, pattern in heaviest
        ],
    )


def _offer(jitter: int, gap: float) -> int | None:
    """By how much a start can be spread: at most half of the way to the next run."""
    offer = int(min(MAX_OFFER, gap / 2))
    return offer if offer > jitter and offer >= MINUTE.total_seconds() else None
