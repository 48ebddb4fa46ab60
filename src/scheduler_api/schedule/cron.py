"""Cron schedules: the instants at which clocks meet an expression.

They are found here, on stretches of constant offset, by the rules of Debian's cron (cron.c,
"handle_jumps"): where both the minute and the hour are fixed, a time that the clocks jump over comes right
after the jump, and one that they show twice comes once; a pattern whose minute or hour starts with a star, or
that has seconds, follows the clocks. cronsim 2.8 itself loses occurrences of such patterns in the hour that a
half-hour fold repeats.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from scheduler_api.schedule.expressions import Expression
from scheduler_api.schedule.zones import FIRST_YEAR, LAST_YEAR, Fold, Stretch, stretches, tick_of

#: How far apart two occurrences may be: 29 February on a given weekday can take 40 years.
MAX_SEARCH = 50


class Cron(NamedTuple):
    """A schedule that calls for each time at which clocks in `zone` meet the expression."""

    expression: Expression
    zone: str
    start: datetime
    """No occurrence is earlier."""
    fold: Fold = Fold.ONCE

    def next_after(self, instant: datetime) -> datetime | None:
        """The first occurrence strictly later than `instant`; None where there is none for 50 years."""
        since = max(instant + datetime.resolution, self.start)
        for stretch in self._stretches(since):
            found = self._first(stretch, since)
            if found is not None:
                return found
        return None

    def last_before(self, instant: datetime) -> datetime | None:
        """The last occurrence strictly earlier than `instant`; None where there was none yet."""
        earliest = max(self.start.year, instant.year - MAX_SEARCH, FIRST_YEAR)
        for year in range(min(instant.year, LAST_YEAR), earliest - 1, -1):
            if self.expression.is_quiet(year):
                continue
            for stretch in reversed(stretches(self.zone, year)):
                if stretch.start < instant:
                    found = self._last(stretch, instant)
                    if found is not None:
                        return found if found >= self.start else None
        return None

    def count_between(self, since: datetime, before: datetime) -> int:
        """How many occurrences there are from `since` up to, and not including, `before`."""
        since = max(since, self.start)
        total = 0
        for year in self._years(since, before):
            for stretch in stretches(self.zone, year):
                total += self._count(stretch, since, before)
        return total

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:
        """See Grid."""
        since = max(since, self.start)
        found: list[int] = []
        for year in self._years(since, before):
            for stretch in stretches(self.zone, year):
                if stretch.end <= since or stretch.start >= before:
                    continue
                jumped = self._jumped(stretch)
                if jumped is not None and since <= jumped < before:
                    found.append(tick_of(jumped))
                begin, end = self._walls(stretch)
                offset = stretch.offset // datetime.resolution
                begin, end = (
                    max(begin, _naive(since, stretch.offset)),
                    min(end, _naive(before, stretch.offset)),
                )
                if begin < end:
                    found += [tick - offset for tick in self.expression.ticks(begin, end)]
        return found

    def is_displaced(self, occurrence: datetime) -> bool:
        """Whether the occurrence stands, after a jump, for times that the clocks jumped over."""
        if self.expression.follows_clock:
            return False
        return any(self._jumped(stretch) == occurrence for stretch in stretches(self.zone, occurrence.year))

    def displaced(self, since: datetime, before: datetime) -> datetime | None:
        """The first such occurrence from `since` up to, and not including, `before`."""
        if self.expression.follows_clock:
            return None
        for year in self._years(since, before):
            for stretch in stretches(self.zone, year):
                found = self._jumped(stretch)
                if found is not None and since <= found < before:
                    return found
        return None

    def _years(self, since: datetime, before: datetime) -> Iterator[int]:
        """The years in which there may be an occurrence."""
        for year in range(max(since.year, FIRST_YEAR), min(before.year, LAST_YEAR) + 1):
            if not self.expression.is_quiet(year):
                yield year

    def _stretches(self, since: datetime) -> Iterator[Stretch]:
        for year in range(max(since.year, FIRST_YEAR), min(since.year + MAX_SEARCH, LAST_YEAR) + 1):
            if self.expression.is_quiet(year):
                continue
            for stretch in stretches(self.zone, year):
                if stretch.end > since:
                    yield stretch

    def _jumped(self, stretch: Stretch) -> datetime | None:
        """The stretch's start, if the clocks came there by a jump over a time that matches."""
        if self.expression.follows_clock or stretch.offset <= stretch.earlier:
            return None
        shown, lost = _naive(stretch.start, stretch.offset), _naive(stretch.start, stretch.earlier)
        if self.expression.matches(shown) or self.expression.first(lost, shown) is None:
            return None
        return stretch.start

    def _walls(self, stretch: Stretch) -> tuple[datetime, datetime]:
        """The wall-clock times of a stretch that count: not those that the clocks showed before."""
        first = _naive(stretch.start, stretch.offset)
        if self.fold is Fold.ONCE and not self.expression.follows_clock:
            first = max(first, _naive(stretch.start, stretch.earlier))
        return first, _naive(stretch.end, stretch.offset)

    def _within(self, stretch: Stretch, since: datetime, before: datetime) -> tuple[datetime, datetime]:
        """The same between two instants; where nothing is left, they are in no order."""
        begin, end = self._walls(stretch)
        return max(begin, _naive(since, stretch.offset)), min(end, _naive(before, stretch.offset))

    def _first(self, stretch: Stretch, since: datetime) -> datetime | None:
        jumped = self._jumped(stretch)
        if jumped is not None and jumped >= since:
            return jumped
        begin, end = self._walls(stretch)
        wall = self.expression.first(max(begin, _naive(since, stretch.offset)), end)
        return None if wall is None else _instant(wall, stretch)

    def _last(self, stretch: Stretch, before: datetime) -> datetime | None:
        begin, end = self._walls(stretch)
        wall = self.expression.last(begin, min(end, _naive(before, stretch.offset)))
        if wall is not None:
            return _instant(wall, stretch)
        jumped = self._jumped(stretch)
        return jumped if jumped is not None and jumped < before else None

    def _count(self, stretch: Stretch, since: datetime, before: datetime) -> int:
        if stretch.end <= since or stretch.start >= before:
            return 0
        total = self.expression.count(*self._within(stretch, since, before))
        jumped = self._jumped(stretch)
        return total + (jumped is not None and since <= jumped < before)


def _naive(instant: datetime, offset: timedelta) -> datetime:
    return instant.replace(tzinfo=None) + offset


def _instant(wall: datetime, stretch: Stretch) -> datetime:
    return (wall - stretch.offset).replace(tzinfo=UTC)
