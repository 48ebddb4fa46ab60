"""Cron expressions: which wall-clock times they match. cronsim reads them."""

import contextlib
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache

from cronsim import CronSim, CronSimError

from scheduler_api.schedule.dialects import advice
from scheduler_api.schedule.monthdays import MonthDay, apart
from scheduler_api.schedule.zones import SECOND, alike

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: Years with each of the calendars that there are: a leap day of each weekday among them.
CALENDARS = range(2000, 2029)
#: For how many days around the turn of the year, in UTC, clocks of some zone may show the other year; and
#: how many days that has at least.
YEAR_MARGIN, MIN_YEAR = 2, 365
#: All values of a field, each so many.
STEP = re.compile(r"\*/(\d{1,9})", re.ASCII)
#: A longer step never comes round: such a field has one value. And what its values are, in seconds.
ROUNDS = {"second": (60, 1), "minute": (60, 60), "hour": (24, 3600)}
EPOCH, MICROSECONDS_A_DAY = date(1970, 1, 1).toordinal(), 86_400_000_000
FIELDS = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last), L-3 (three days before it), LW (the last weekday), 15W (the "
    "weekday nearest the 15th)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT, 5L (the last Friday), 1#2 (the second Monday)",
}


class InvalidCron(ValueError):
    """An expression that cannot be read, or that never matches; the text says why, to its author."""


class Expression:
    """A cron expression, read: the wall-clock times that it matches."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sim, self.own_days, self.has_plain_days = _read(_fields(text))
        self._hours, self._minutes = sorted(self._sim.hours), sorted(self._sim.minutes)
        self._seconds = sorted(self._sim.seconds)
        self._each_day = len(self._hours) * len(self._minutes) * len(self._seconds)
        self.follows_clock = self._follows_clock()
        # The days that match, as numbers within their year, by a year with the same calendar: there are 14.
        self._days: dict[int, Sequence[int]] = {}
        if not any(self.days_of(year) for year in CALENDARS):
            raise InvalidCron("This expression never matches: that date does not exist.")

    @property
    def parts(self) -> CronSim:
        """The fields as sets of values."""
        return self._sim

    def matches_day(self, day: date) -> bool:
        """Whether a day in one of the months matches."""
        if not self.own_days:
            return self._sim.match_day(day)
        in_month = any(own.matches(day) for own in self.own_days)
        in_month |= self.has_plain_days and self._sim.match_dom(day)
        on_weekday = self._sim.match_dow(day)
        return in_month and on_weekday if self._sim.day_and else in_month or on_weekday

    def matches(self, wall: datetime) -> bool:
        """Whether clocks that show `wall` meet the expression."""
        return self.first(wall, wall + SECOND) is not None

    def first(self, since: datetime, before: datetime) -> datetime | None:
        """The first matching time from `since` up to, and not including, `before`."""
        first_day = since.toordinal()
        for eve, days in self._parts(since, before):
            for day in days:
                at = self._rank(since) if eve + day == first_day else 0
                if at < self._each_day:
                    wall = self._time(eve + day, at)
                    return wall if wall < before else None
        return None

    def last(self, since: datetime, before: datetime) -> datetime | None:
        """The last matching time from `since` up to, and not including, `before`."""
        last_day = before.toordinal()
        for eve, days in reversed([*self._parts(since, before)]):
            for day in reversed(days):
                at = self._rank(before) if eve + day == last_day else self._each_day
                if at:
                    wall = self._time(eve + day, at - 1)
                    return wall if wall >= since else None
        return None

    def count(self, since: datetime, before: datetime) -> int:
        """How many matching times there are from `since` up to, and not including, `before`."""
        if since >= before:
            return 0
        total, first_day, last_day = 0, since.toordinal(), before.toordinal()
        for eve, days in self._parts(since, before):
            total += len(days) * self._each_day
            if days and eve + days[0] == first_day:
                total -= self._rank(since)
            if days and eve + days[-1] == last_day:
                total -= self._each_day - self._rank(before)
        return total

    def ticks(self, since: datetime, before: datetime) -> Iterator[int]:
        """The matching times from `since` up to `before`, in microseconds since 1970."""
        first_day, last_day = since.toordinal(), before.toordinal()
        for eve, days in self._parts(since, before):
            for day in days:
                ordinal = eve + day
                begin = self._rank(since) if ordinal == first_day else 0
                end = self._rank(before) if ordinal == last_day else self._each_day
                midnight = (ordinal - EPOCH) * MICROSECONDS_A_DAY
                yield from [midnight + clock for clock in self._clocks[begin:end]]

    @cached_property
    def _clocks(self) -> Sequence[int]:
        """The matching times of a day, in microseconds since midnight."""
        minutes = [hour * 60 + minute for hour in self._hours for minute in self._minutes]
        return [(minute * 60 + second) * 1_000_000 for minute in minutes for second in self._seconds]

    def days_of(self, year: int) -> Sequence[int]:
        """The days of a year that match, in order: 1 is the first of January."""
        model = alike(year)
        found = self._days.get(model)
        if found is None:
            found = self._days[model] = array("H", self._matching(model))
        return found

    def is_quiet(self, year: int) -> bool:
        """Whether clocks of no zone can show a matching time while it is that year in UTC."""
        if self.days_of(year):
            return False
        before, after = self.days_of(year - 1), self.days_of(year + 1)
        late = before and before[-1] > MIN_YEAR - YEAR_MARGIN
        return not late and not (after and after[0] <= YEAR_MARGIN)

    def _matching(self, year: int) -> Iterator[int]:
        day, eve = date(year, 1, 1), date(year, 1, 1).toordinal() - 1
        while day.year == year:
            if day.month not in self._sim.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self.matches_day(day):
                yield day.toordinal() - eve
            day += timedelta(days=1)

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

    def _time(self, ordinal: int, rank: int) -> datetime:
        """The matching time of a day, by its ordinal, that `rank` others of that day come before."""
        rank, second = divmod(rank, len(self._seconds))
        hour, minute = divmod(rank, len(self._minutes))
        clock = time(self._hours[hour], self._minutes[minute], self._seconds[second])
        return datetime.combine(date.fromordinal(ordinal), clock)

    def _parts(self, since: datetime, before: datetime) -> Iterator[tuple[int, Sequence[int]]]:
        """The matching days from that of `since` to that of `before`: the ordinal of each New Year's Eve
        before, and days as numbers within the year.
        """
        for year in range(since.year, before.year + 1):
            days, eve = self.days_of(year), date(year, 1, 1).toordinal() - 1
            begin = bisect_left(days, since.toordinal() - eve) if year == since.year else 0
            end = bisect_left(days, before.toordinal() - eve + 1) if year == before.year else len(days)
            yield eve, days[begin:end]

    def _follows_clock(self) -> bool:
        fields = NICKNAMES.get(self.text.lower(), self.text).split()
        return len(fields) > len(FIELDS) - 1 or fields[0].startswith("*") or fields[1].startswith("*")


@lru_cache(maxsize=4096)
def expression(text: str) -> Expression:
    """The expression that `text` writes. Raises InvalidCron."""
    return Expression(text)


def _fields(text: str) -> list[str]:
    """The five fields, or six with seconds first. Raises InvalidCron."""
    fields = NICKNAMES.get(text.lower(), text).split()
    if len(fields) not in {len(FIELDS) - 1, len(FIELDS)}:
        nicknames = ", ".join(NICKNAMES)
        raise InvalidCron(
            advice(text)
            or "Must have five fields (minute, hour, day of month, month, day of week), or six with "
            f"seconds first, or be one of {nicknames}."
        )
    return fields


def _read(fields: list[str]) -> tuple[CronSim, Sequence[MonthDay], bool]:
    """The expression but for days that are not cronsim's; those; and whether there are others.

    Raises InvalidCron.
    """
    *clock, day, month, weekday = fields
    # Quartz writes a question mark where the other field of days counts.
    day, weekday = ("*" if field == "?" else field for field in (day, weekday))
    try:
        plain, own = apart(day)
    except ValueError:
        raise InvalidCron(_complaint(fields, "day-of-month")) from None
    try:
        read = [*clock, plain or "1", month, weekday]
        sim = _parsed(read)
        _require_round(read)
    except CronSimError as error:
        wrong = str(error).removeprefix("Bad ")
        raise InvalidCron(advice(" ".join(fields)) or _complaint(fields, wrong)) from None
    except InvalidCron:
        raise
    except (ValueError, IndexError, AssertionError, TypeError, RecursionError):
        raise InvalidCron(advice(" ".join(fields)) or "Is no cron expression.") from None
    return sim, own, bool(plain)


def _require_round(fields: list[str]) -> None:
    """Refuse steps over the end of a field: they look like an interval, and are none."""
    for name, field in zip(list(FIELDS)[-len(fields) :], fields, strict=True):
        size, unit = ROUNDS.get(name, (0, 0))
        found = STEP.fullmatch(field)
        if size and found and int(found.group(1)) >= size:
            step = int(found.group(1))
            raise InvalidCron(
                f"A step of {step} never comes round within {size} {name}s; for that, set `interval` to "
                f"{step * unit} seconds."
            )


def _parsed(fields: list[str]) -> CronSim:
    return CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))


def _complaint(fields: list[str], invalid: str) -> str:
    """What is wrong with the field that cronsim complains of."""
    with contextlib.suppress(CronSimError):
        # A day that would do in other months is valid, but never comes.
        _parsed([*fields[:-2], "*", fields[-1]])
        if invalid == "day-of-month":
            return "This expression never matches: these months have no such date."
    return f"The {invalid} is not valid: {FIELDS.get(invalid, invalid)}; or *, lists, ranges, steps."
