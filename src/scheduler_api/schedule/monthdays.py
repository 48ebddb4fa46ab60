"""Days of a month as Quartz has them: `L-3`, three days before the last; `15W`, the nearest weekday."""

import calendar
import re
from datetime import date
from typing import NamedTuple

BEFORE_LAST, NEAREST = re.compile(r"L-(\d{1,2})", re.ASCII), re.compile(r"(\d{1,2})W", re.ASCII)
SATURDAY, SUNDAY = 5, 6


class BeforeLast(NamedTuple):
    """So many days before the last of the month."""

    days: int

    def matches(self, day: date) -> bool:
        """Whether a day is it."""
        return day.day == calendar.monthrange(day.year, day.month)[1] - self.days


class Nearest(NamedTuple):
    """The weekday nearest to a day, in the same month; none where the month has no such day."""

    day: int

    def matches(self, day: date) -> bool:
        """Whether a day is it."""
        last = calendar.monthrange(day.year, day.month)[1]
        if self.day > last:
            return False
        weekday = day.replace(day=self.day).weekday()
        moved = self.day
        if weekday == SATURDAY:
            moved = self.day - 1 if self.day > 1 else self.day + 2
        elif weekday == SUNDAY:
            moved = self.day + 1 if self.day < last else self.day - 2
        return day.day == moved


MonthDay = BeforeLast | Nearest


def apart(field: str) -> tuple[str, list[MonthDay]]:
    """A field of days without such days, and those. Raises ValueError for days that no month has."""
    plain, own = [], list[MonthDay]()
    for term in field.upper().split(","):
        if found := BEFORE_LAST.fullmatch(term):
            own.append(BeforeLast(_within(int(found.group(1)), 1, 30)))
        elif found := NEAREST.fullmatch(term):
            own.append(Nearest(_within(int(found.group(1)), 1, 31)))
        else:
            plain.append(term)
    return ",".join(plain), own


def _within(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ValueError(value)
    return value
