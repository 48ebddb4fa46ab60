"""Cron by brute force: walk minute by minute, look at the clock, and do what Debian's cron does.

Written apart from the code under test and from cronsim: nothing is computed, everything is tried.
"""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
NAMES = {
    name: number
    for names in ("SUN MON TUE WED THU FRI SAT", "- JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")
    for number, name in enumerate(names.split())
}


Clock = list[tuple[datetime, datetime]]


def clock(zone: str, since: datetime, until: datetime) -> Clock:
    """Each minute from `since` up to `until`, and what the clocks show then."""
    info = ZoneInfo(zone)
    minutes = (since + count * MINUTE for count in range((until - since) // MINUTE))
    return [(instant, instant.astimezone(info).replace(tzinfo=None)) for instant in minutes]


def fires(cron: str, shown: Clock, *, both: bool = False) -> list[datetime]:
    """The instants at which cron starts a job; all fields to the minute."""
    fields = cron.upper().split()
    meets = _meeting(cron)
    follows_clock = fields[0].startswith("*") or fields[1].startswith("*")
    found = []
    before = latest = shown[0][1] - MINUTE
    for instant, wall in shown:
        if follows_clock:
            due = meets(wall)
        else:
            due = meets(wall) and (both or wall > latest)
            skipped = before + MINUTE
            while not due and skipped < wall:
                due = meets(skipped) and (both or skipped > latest)
                skipped += MINUTE
        if due:
            found.append(instant)
        before, latest = wall, max(latest, wall)
    return found


@lru_cache(maxsize=32)
def _meeting(cron: str) -> Callable[[datetime], bool]:
    """Whether an expression meets a minute of the clock; each is looked at once."""
    return cache(partial(_meets, cron.upper().split()))


def _meets(fields: list[str], wall: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    if not (
        _listed(minute, wall.minute, 59) and _listed(hour, wall.hour, 23) and _listed(month, wall.month, 12)
    ):
        return False
    on_day = any(_is_day(part, wall) for part in day.split(","))
    on_weekday = any(_is_weekday(part, wall) for part in weekday.split(","))
    if day.startswith("*") or weekday.startswith("*"):
        return on_day and on_weekday
    return on_day or on_weekday


def _is_day(part: str, wall: datetime) -> bool:
    if part == "L":
        return wall.day == monthrange(wall.year, wall.month)[1]
    return _listed(part, wall.day, 31, lower=1)


def _is_weekday(part: str, wall: datetime) -> bool:
    of_week = wall.isoweekday() % 7
    if part.endswith("L"):
        return _number(part[:-1]) % 7 == of_week and (wall + timedelta(days=7)).month != wall.month
    if "#" in part:
        name, nth = part.split("#")
        return _number(name) % 7 == of_week and (wall.day - 1) // 7 + 1 == int(nth)
    return _listed(part, of_week, 7) or (of_week == 0 and _listed(part, 7, 7))


def _listed(field: str, value: int, upper: int, lower: int = 0) -> bool:
    return any(_in_part(part, value, upper, lower) for part in field.split(","))


def _in_part(part: str, value: int, upper: int, lower: int) -> bool:
    span, _, step = part.partition("/")
    if span == "*":
        low, high = lower, upper
    elif "-" in span:
        low, high = (_number(end) for end in span.split("-"))
    else:
        low = _number(span)
        high = upper if step else low
    return low <= value <= high and (value - low) % int(step or 1) == 0


def _number(text: str) -> int:
    return NAMES[text] if text in NAMES else int(text)


def around(zone: str, day: str, days: int) -> tuple[datetime, datetime]:
    """The instants `days` before and after midnight of a day in the zone, roughly: to the UTC hour."""
    middle = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    middle = middle.replace(minute=0, second=0)
    return middle - timedelta(days=days), middle + timedelta(days=days)
