"""A schedule as its author defines it, and as it is computed with."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from scheduler_api.schedule.cadence import Cadence, Every, Never, Once
from scheduler_api.schedule.cron import Cron
from scheduler_api.schedule.expressions import expression
from scheduler_api.schedule.parts import Part, beginning_before, ending_after, overlapping
from scheduler_api.schedule.zones import Fold, Gap, UnknownZone, comings, instant_of, is_zone, wall_clock

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
#: How many times in a row that the clocks jump over a schedule may call for, before it counts as one that
#: calls for no others: there are one or two such times a year.
GAPS_IN_A_ROW = 50

_start = itemgetter(0)


class StartInGap(ValueError):
    """The clocks jump over the start, and the policy is not to run then."""


class Block(StrEnum):
    """Why a schedule's own rules keep an occurrence from running."""

    EXCLUDED = "excluded"
    """It lies on a day that is excluded."""
    DST_GAP = "dst-gap"
    """The clocks jump over its time."""


class BlockedSpan(NamedTuple):
    """Occurrences in a row that share one fate, from `first` to `last`."""

    first: datetime
    last: datetime
    size: int
    block: Block | None

    @property
    def reaches(self) -> datetime | None:
        """The last occurrence, where it is not also the first."""
        return self.last if self.size > 1 else None


class Schedule(NamedTuple):
    """A cadence, its end, and what keeps its occurrences from running. Itself a Grid."""

    cadence: Cadence
    until: datetime | None = None
    """The last instant at which there may be an occurrence."""
    excluded: tuple[tuple[datetime, datetime], ...] = ()
    """Parts of time in which nothing runs, each up to and not including its end; sorted, apart."""
    gap: Gap = Gap.AFTER
    within: tuple[Part, ...] | None = None
    """Parts of time outside of which it calls for nothing, since another schedule did or does; None: none."""
    displaced: datetime | None = None
    """The start of a job without cron, where clocks jump over its time: it comes right after the jump."""

    @property
    def is_plain(self) -> bool:
        """Whether the cadence is all there is."""
        return self.until is None and not self.excluded and self.gap is Gap.AFTER and self.within is None

    def next_after(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if self.within is None:
            return self._next_after(instant)
        for part in ending_after(self.within, instant):
            found = self._next_after(max(instant, part.first - datetime.resolution))
            if found is None or found <= part.last:
                return found
        return None

    def last_before(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if self.within is None:
            return self._last_before(instant)
        for part in reversed(beginning_before(self.within, instant)):
            found = self._last_before(min(instant, part.last + datetime.resolution))
            if found is None or found >= part.first:
                return found
        return None

    def count_between(self, since: datetime, before: datetime) -> int:
        """See Grid."""
        if self.within is None:
            return self._count_between(since, before)
        return sum(
            self._count_between(max(since, part.first), min(before, part.last + datetime.resolution))
            for part in overlapping(self.within, since, before)
        )

    def _next_after(self, instant: datetime) -> datetime | None:
        found = self.cadence.next_after(instant)
        return None if found is None or (self.until is not None and found > self.until) else found

    def _last_before(self, instant: datetime) -> datetime | None:
        if self.until is not None and instant > self.until:
            instant = self.until + datetime.resolution
        return self.cadence.last_before(instant)

    def _count_between(self, since: datetime, before: datetime) -> int:
        if self.until is not None:
            before = min(before, self.until + datetime.resolution)
        return self.cadence.count_between(since, before) if since < before else 0

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:
        """See Grid."""
        if self.until is not None:
            before = min(before, self.until + datetime.resolution)
        return self.cadence.ticks(since, before)

    def ticks_that(self, since: datetime, before: datetime, *, are_blocked: bool) -> list[int]:
        """The same of those that are free, or of those that are blocked."""
        found: list[int] = []
        first = self.next_after(since - datetime.resolution)
        if first is not None and first < before:
            for span in self.spans(first, before - datetime.resolution):
                if (span.block is not None) == are_blocked:
                    found += self.cadence.ticks(span.first, span.last + datetime.resolution)
        return found

    def calls_for(self, instant: datetime) -> bool:
        """Whether `instant` is an occurrence."""
        return self.next_after(instant - datetime.resolution) == instant

    def excludes(self, instant: datetime) -> bool:
        """Whether the instant lies on a day that is excluded."""
        at = bisect_right(self.excluded, instant, key=_start) - 1
        return at >= 0 and instant < self.excluded[at][1]

    def block(self, occurrence: datetime) -> Block | None:
        """What keeps the occurrence from running; None: nothing."""
        if self.excludes(occurrence):
            return Block.EXCLUDED
        if self.gap is Gap.SKIP and isinstance(self.cadence, Cron) and self.cadence.is_displaced(occurrence):
            return Block.DST_GAP
        return None

    def first_free(self, occurrence: datetime) -> datetime | None:
        """The first occurrence from this one on that nothing keeps from running; None: there is none.

        Nor is there one that can be waited for, where half a century of occurrences are jumped over.
        """
        found: datetime | None = occurrence
        gaps = 0
        while found is not None and (block := self.block(found)) is not None:
            gaps += block is Block.DST_GAP
            if gaps > GAPS_IN_A_ROW:
                return None
            found = self.next_after(self._end_of(found, block) - datetime.resolution)
        return found

    def spans(self, first: datetime, last: datetime) -> Iterator[BlockedSpan]:
        """The occurrences from `first` to `last` inclusive, in spans of one fate.

        Raises ValueError where `first` is none: the row of it was made by hand, or for another schedule.
        """
        after = last + datetime.resolution
        occurrence: datetime | None = first
        while occurrence is not None and occurrence < after:
            block = self.block(occurrence)
            before = min(after, self._end_of(occurrence, block))
            end = self.last_before(before)
            if end is None or end < occurrence:
                raise ValueError(f"it does not call for {occurrence:%Y-%m-%d %H:%M:%S%z}")
            size = 1 if end == occurrence else self.count_between(occurrence, before)
            yield BlockedSpan(occurrence, end, size, block)
            occurrence = None if before == after else self.next_after(end)

    def counts(self, since: datetime, before: datetime) -> tuple[int, int]:
        """How many occurrences from `since` up to, not including, `before` are free, and how many blocked."""
        first = self.next_after(since - datetime.resolution)
        if first is None or first >= before:
            return 0, 0
        free = blocked = 0
        for span in self.spans(first, before - datetime.resolution):
            if span.block is None:
                free += span.size
            else:
                blocked += span.size
        return free, blocked

    def _end_of(self, occurrence: datetime, block: Block | None) -> datetime:
        """An instant after `occurrence` up to which others share its fate."""
        if block is Block.DST_GAP:
            return occurrence + datetime.resolution
        if block is Block.EXCLUDED:
            return self.excluded[bisect_right(self.excluded, occurrence, key=_start) - 1][1]
        following = bisect_right(self.excluded, occurrence, key=_start)
        end = self.excluded[following][0] if following < len(self.excluded) else LAST_INSTANT
        if self.gap is Gap.SKIP and isinstance(self.cadence, Cron):
            limit = min(end, occurrence + timedelta(days=366))
            end = self.cadence.displaced(occurrence, limit) or limit
        return end


class Definition(NamedTuple):
    """What a job says about when it runs."""

    startdate: date | None
    starttime: time | None
    timezone: str
    interval: int | None = None
    cron: str | None = None
    until: datetime | None = None
    exclude: tuple[tuple[date, date], ...] = ()
    """First and last days, in the job's zone, of times in which it does not run."""
    dstgap: Gap = Gap.AFTER
    dstfold: Fold = Fold.ONCE


@lru_cache(maxsize=4096)
def schedule_of(definition: Definition) -> Schedule:
    """The schedule that a definition means.

    Raises UnknownZone, InvalidCron, StartInGap, and OverflowError beyond the calendar's ends.
    """
    if not is_zone(definition.timezone):
        raise UnknownZone(f"there is no time zone {definition.timezone!r}")
    return Schedule(
        _cadence(definition),
        definition.until,
        _excluded(definition.exclude, definition.timezone),
        definition.dstgap,
        displaced=_displaced(definition),
    )


def _cadence(definition: Definition) -> Cadence:
    starts = _starts(definition)
    if definition.cron is not None:
        start = starts[0] if starts else BEGINNING
        return Cron(expression(definition.cron), definition.timezone, start, definition.dstfold)
    if not starts:
        return Never()
    if definition.interval is not None:
        return Every(starts[0], timedelta(seconds=definition.interval))
    both = definition.dstfold is Fold.BOTH
    return Once(starts[0], starts[-1] if both and len(starts) > 1 else None)


def _starts(definition: Definition) -> list[datetime]:
    """The instants that the start means: one, or two where the clocks show it twice; none without one."""
    if definition.startdate is None:
        return []
    wall = datetime.combine(definition.startdate, definition.starttime or time())
    found = comings(wall, definition.timezone)
    if found:
        return found
    if definition.dstgap is Gap.SKIP and definition.cron is None:
        raise StartInGap
    return [instant_of(wall, definition.timezone)]


def _displaced(definition: Definition) -> datetime | None:
    if definition.startdate is None or definition.cron is not None:
        return None
    wall = datetime.combine(definition.startdate, definition.starttime or time())
    start = instant_of(wall, definition.timezone)
    return start if wall_clock(start, definition.timezone) != wall else None


def _excluded(days: tuple[tuple[date, date], ...], zone: str) -> tuple[tuple[datetime, datetime], ...]:
    """The days as parts of time: sorted, and merged where they touch."""
    merged: list[tuple[datetime, datetime]] = []
    for first, last in sorted(days):
        start = _midnight(first, zone)
        end = _midnight(last + timedelta(days=1), zone)
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged[-1][1])
            merged.pop()
        if start < end:
            merged.append((start, end))
    return tuple(merged)


# Few days are excluded by many jobs: holidays.
@lru_cache(maxsize=16_384)
def _midnight(day: date, zone: str) -> datetime:
    return instant_of(datetime.combine(day, time()), zone)
