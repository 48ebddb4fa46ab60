"""One schedule takes the place of another: which occurrences, due already, both of them call for.

Those stay as they are, as parts of time in which the new schedule calls for exactly what the old one did.
What comes later is the new one's alone; what the new one would have called for earlier was never its own.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from scheduler_api.schedule.cadence import Cadence, Every
from scheduler_api.schedule.cron import Cron
from scheduler_api.schedule.definition import Schedule
from scheduler_api.schedule.parts import TICK, Part, holds, shared, without

#: Of schedules with different cadences, so many of the newest occurrences are compared one by one.
MAX_COMPARED = 1000


class Succession(NamedTuple):
    """What becomes of the occurrences of an old schedule that are due and open."""

    kept: tuple[Part, ...]
    """The parts in which both call for the same, and let the same of it run: the new one holds there, too."""
    gone: Schedule
    """What else the old one calls for."""
    since: datetime
    """The first of them."""


def succeed(old: Schedule, new: Schedule, due: Part) -> Succession:
    """Let `new` take the place of `old`, whose occurrences in the part `due` are all open."""
    if old.gap is new.gap and _is_same(old.cadence, new.cadence, due.first):
        found: Iterable[Part] = _by_edges(old, new, due)
    else:
        found = _one_by_one(old, new, due)
    within = (due,) if old.within is None else shared(old.within, (due,))
    kept = tuple(
        part for part in shared(tuple(found), within) if new.count_between(part.first, part.last + TICK)
    )
    return Succession(kept, old._replace(within=without(within, kept)), due.first)


def _is_same(old: Cadence, new: Cadence, since: datetime) -> bool:
    """Whether two cadences have the same occurrences from `since` on."""
    if isinstance(old, Every) and isinstance(new, Every):
        is_apart = old.interval != new.interval or (old.start - new.start) % new.interval != timedelta(0)
        return not is_apart and max(old.start, new.start) <= since
    if isinstance(old, Cron) and isinstance(new, Cron):
        is_other = old._replace(start=new.start) != new
        return not is_other and max(old.start, new.start) <= since
    return old == new


def _by_edges(old: Schedule, new: Schedule, whole: Part) -> Iterator[Part]:
    """Where only ends, exclusions and parts differ: the stretches between their edges, compared."""
    edges = {whole.first, whole.last + TICK}
    for schedule in (old, new):
        edges.update(edge for start, end in schedule.excluded for edge in (start, end))
        edges.update(edge for part in schedule.within or () for edge in (part.first, part.last + TICK))
        if schedule.until is not None:
            edges.add(schedule.until + TICK)
    inside = sorted(edge for edge in edges if whole.first <= edge <= whole.last + TICK)
    joined: Part | None = None
    for start, end in pairwise(inside):
        if _runs_at(old, start) != _runs_at(new, start):
            continue
        if joined is not None and joined.last + TICK == start:
            joined = Part(joined.first, end - TICK)
            continue
        if joined is not None:
            yield joined
        joined = Part(start, end - TICK)
    if joined is not None:
        yield joined


def _runs_at(schedule: Schedule, instant: datetime) -> bool | None:
    """Whether an occurrence at the instant would run; None: there would be none."""
    if schedule.until is not None and instant > schedule.until:
        return None
    if schedule.within is not None and not holds(schedule.within, instant):
        return None
    return not schedule.excludes(instant)


def _one_by_one(old: Schedule, new: Schedule, whole: Part) -> list[Part]:
    """The same for any two schedules, from the newest occurrence back, as far as they are compared."""
    found: list[Part] = []
    ours, theirs = old.last_before(whole.last + TICK), new.last_before(whole.last + TICK)
    goes_on = False
    for _ in range(MAX_COMPARED):
        if ours is None or ours < whole.first:
            break
        if theirs is not None and theirs > ours:
            theirs, goes_on = new.last_before(ours + TICK), False
        if theirs == ours and old.block(ours) == new.block(ours):
            if goes_on:
                found[-1] = Part(ours, found[-1].last)
            else:
                found.append(Part(ours, ours))
            goes_on = True
        else:
            goes_on = False
        if theirs == ours:
            theirs = new.last_before(ours)
        ours = old.last_before(ours)
    return found[::-1]
