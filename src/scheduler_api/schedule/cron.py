"""Cron expressions: which wall-clock times they match, and which instants those are.

The expression is read by cronsim. Its instants are found here, on stretches of constant offset, by the
rules of Debian's cron (cron.c, "handle_jumps"): where both the minute and the hour are fixed, a time
that the clocks jump over comes right after the jump, and one that they show twice comes once; a pattern
whose minute or hour starts with a star, or that has seconds, follows the clocks. cronsim 2.8 itself
loses occurrences of such patterns in the hour that a half-hour fold repeats.
"""

import contextlib
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from scheduler_api.schedule.zones import FIRST_YEAR, LAST_YEAR, SECOND, Fold, Stretch, stretches

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: How far apart two occurrences may be: 29 February on a given weekday can take 40 years.
LONGEST_SEARCH = 50
#: The years in which to look whether an expression matches at all; they hold a leap day of each weekday.
SAMPLE_YEARS = range(2000, 2029)
FIELDS = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last), LW (the last weekday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT, 5L (the last Friday), 1#2 (the second Monday)",
}


class InvalidCron(ValueError):
    """An expression that can not be read, or that never matches; the text says why, to its author."""


class Expression:
    """A cron expression, read: the wall-clock times that it matches."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sim = _read(text)
        self._hours, self._minutes = sorted(self._sim.hours), sorted(self._sim.minutes)
        self._seconds = sorted(self._sim.seconds)
        self._each_day = len(self._hours) * len(self._minutes) * len(self._seconds)
        self.follows_clock = self._follows_clock()
        if not any(self.days_of(year) for year in SAMPLE_YEARS):
            raise InvalidCron("Never fires: no such day comes.")

    def explain(self) -> str:
        """The expression in English words."""
        return self._sim.explain()

    def matches(self, wall: datetime) -> bool:
        """Whether clocks that show `wall` meet the expression."""
        return self.first(wall, wall + SECOND) is not None

    def first(self, since: datetime, before: datetime) -> datetime | None:
        """The first matching time from `since` up to, and not including, `before`."""
        for day in self._days(since, before):
            at = self._rank(since) if day == since.date() else 0
            if at < self._each_day:
                wall = self._time(day, at)
                return wall if wall < before else None
        return None

    def last(self, since: datetime, before: datetime) -> datetime | None:
        """The last matching time from `since` up to, and not including, `before`."""
        for year in range(before.year, since.year - 1, -1):
            for day in reversed(self._part(year, since, before)):
                at = self._rank(before) if day == before.date() else self._each_day
                if at:
                    wall = self._time(day, at - 1)
                    return wall if wall >= since else None
        return None

    def count(self, since: datetime, before: datetime) -> int:
        """How many matching times there are from `since` up to, and not including, `before`."""
        if since >= before:
            return 0
        total = 0
        for year in range(since.year, before.year + 1):
            days = self._part(year, since, before)
            total += len(days) * self._each_day
            if days and days[0] == since.date():
                total -= self._rank(since)
            if days and days[-1] == before.date():
                total -= self._each_day - self._rank(before)
        return total

    @lru_cache(maxsize=512)  # noqa: B019  expressions are few: `expression` keeps them
    def days_of(self, year: int) -> tuple[date, ...]:
        """The days of a year that match, in order."""
        days = []
        day = date(year, 1, 1)
        while day.year == year:
            if day.month not in self._sim.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._sim.match_day(day):
                days.append(day)
            day += timedelta(days=1)
        return tuple(days)

    def _rank(self, wall: datetime) -> int:
        """How many matching times of a day come before the time of `wall`."""
        hour = bisect_left(self._hours, wall.hour)
        rank = hour * len(self._minutes) * len(self._seconds)
        if hour == len(self._hours) or self._hours[hour] != wall.hour:
            return rank
        minute = bisect_left(self._minutes, wall.minute)
        rank += minute * len(self._seconds)
        if minute == len(self._minutes) or self._minutes[minute] != wall.minute:
            return rank
        return rank + bisect_left(self._seconds, wall.second + (wall.microsecond > 0))

    def _time(self, day: date, rank: int) -> datetime:
        """The matching time of `day` that `rank` others come before."""
        rank, second = divmod(rank, len(self._seconds))
        hour, minute = divmod(rank, len(self._minutes))
        clock = time(self._hours[hour], self._minutes[minute], self._seconds[second])
        return datetime.combine(day, clock)

    def _days(self, since: datetime, before: datetime) -> Iterator[date]:
        for year in range(since.year, before.year + 1):
            yield from self._part(year, since, before)

    def _part(self, year: int, since: datetime, before: datetime) -> tuple[date, ...]:
        days = self.days_of(year)
        begin = bisect_left(days, since.date()) if year == since.year else 0
        end = bisect_left(days, before.date() + timedelta(days=1)) if year == before.year else len(days)
        return days[begin:end]

    def _follows_clock(self) -> bool:
        fields = NICKNAMES.get(self.text.lower(), self.text).split()
        return len(fields) > len(FIELDS) - 1 or fields[0].startswith("*") or fields[1].startswith("*")


@lru_cache(maxsize=4096)
def expression(text: str) -> Expression:
    """The expression that `text` writes. Raises InvalidCron."""
    return Expression(text)


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
        earliest = max(self.start.year, instant.year - LONGEST_SEARCH, FIRST_YEAR)
        for year in range(min(instant.year, LAST_YEAR), earliest - 1, -1):
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
        for year in range(since.year, min(before.year, LAST_YEAR) + 1):
            for stretch in stretches(self.zone, year):
                total += self._count(stretch, since, before)
        return total

    def is_displaced(self, occurrence: datetime) -> bool:
        """Whether the occurrence stands, after a jump, for times that the clocks jumped over."""
        return any(self._jumped(stretch) == occurrence for stretch in stretches(self.zone, occurrence.year))

    def displaced(self, since: datetime, before: datetime) -> datetime | None:
        """The first such occurrence from `since` up to, and not including, `before`."""
        for year in range(since.year, min(before.year, LAST_YEAR) + 1):
            for stretch in stretches(self.zone, year):
                found = self._jumped(stretch)
                if found is not None and since <= found < before:
                    return found
        return None

    def _stretches(self, since: datetime) -> Iterator[Stretch]:
        for year in range(max(since.year, FIRST_YEAR), min(since.year + LONGEST_SEARCH, LAST_YEAR) + 1):
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
        begin, end = self._walls(stretch)
        offset = stretch.offset
        total = self.expression.count(max(begin, _naive(since, offset)), min(end, _naive(before, offset)))
        jumped = self._jumped(stretch)
        return total + (jumped is not None and since <= jumped < before)


def _read(text: str) -> CronSim:
    fields = NICKNAMES.get(text.lower(), text).split()
    if len(fields) not in {len(FIELDS) - 1, len(FIELDS)}:
        nicknames = ", ".join(NICKNAMES)
        raise InvalidCron(
            "Must have five fields (minute, hour, day of month, month, day of week), or six with "
            f"seconds first, or be one of {nicknames}."
        )
    try:
        return _parsed(fields)
    except CronSimError as error:
        raise InvalidCron(_complaint(fields, str(error).removeprefix("Bad "))) from None
    except (ValueError, IndexError, AssertionError, TypeError, RecursionError):
        raise InvalidCron("Is no cron expression.") from None


def _parsed(fields: list[str]) -> CronSim:
    return CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))


def _complaint(fields: list[str], flawed: str) -> str:
    """What is wrong with the field that cronsim complains of."""
    with contextlib.suppress(CronSimError):
        # A day that would do in other months is valid, but never comes.
        _parsed([*fields[:-2], "*", fields[-1]])
        if flawed == "day-of-month":
            return "Never fires: no such day comes in these months."
    return f"The {flawed} is not valid: {FIELDS.get(flawed, flawed)}; or *, lists, ranges, steps."


def _naive(instant: datetime, offset: timedelta) -> datetime:
    return instant.replace(tzinfo=None) + offset


def _instant(wall: datetime, stretch: Stretch) -> datetime:
    return (wall - stretch.offset).replace(tzinfo=UTC)
