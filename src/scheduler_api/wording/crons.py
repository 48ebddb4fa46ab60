"""Cron expressions in words. They are made from what an expression matches, not from how it is written."""

from collections.abc import Callable, Collection, Iterable, Sequence

from cronsim import CronSim

from scheduler_api.schedule.expressions import Expression
from scheduler_api.schedule.monthdays import BeforeLast, MonthDay

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", CronSim.LAST: "last"}
WORKDAYS = {1, 2, 3, 4, 5}
#: Up to so many times of a day are listed.
MAX_TIMES = 6


def words(expression: Expression) -> str:
    """When the expression matches: `at 02:30 on weekdays`, `every 15 minutes from 09:00 to 17:59`."""
    parts = expression.parts
    seconds, minutes, hours = (sorted(values) for values in (parts.seconds, parts.minutes, parts.hours))
    is_listed = len(seconds) == 1 and len(minutes) * len(hours) <= MAX_TIMES
    when = f"at {_all(_times(seconds[0], minutes, hours))}" if is_listed else _clock(seconds, minutes, hours)
    days = _days(expression) or ("every day" if is_listed else "")
    return " ".join(part for part in (when, days, _months(sorted(parts.months))) if part)


def _times(second: int, minutes: Sequence[int], hours: Sequence[int]) -> Iterable[str]:
    for hour in hours:
        for minute in minutes:
            yield f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _clock(seconds: Sequence[int], minutes: Sequence[int], hours: Sequence[int]) -> str:
    if seconds == [0] and minutes == [0] and (every := _every(hours, 24, "hour")):
        return every
    within = _hours(hours)
    if seconds == [0]:
        every = _every(minutes, 60, "minute")
        return f"{every}{within}" if every else f"at {_named(minutes, 'minute')}{within or ' of every hour'}"
    said = _every(seconds, 60, "second") or f"at {_named(seconds, 'second')}"
    if len(minutes) == 60:  # noqa: PLR2004 - all of an hour
        return f"{said}{' of every minute' if len(seconds) == 1 else ''}{within}"
    return f"{said} of {_named(minutes, 'minute')}{within}"


def _every(values: Sequence[int], size: int, unit: str) -> str:
    """Values of a field that comes round after `size`, where they are evenly apart from 0 on; else empty."""
    step = size // len(values)
    if len(values) == 1 or list(values) != list(range(0, size, step)):
        return ""
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _hours(hours: Sequence[int]) -> str:
    """In which hours."""
    if len(hours) == 24:  # noqa: PLR2004 - a whole day
        return ""
    if list(hours) == list(range(hours[0], hours[-1] + 1)):
        return f" from {hours[0]:02}:00 to {hours[-1]:02}:59"
    return f" of {_named(hours, 'hour')}"


def _days(expression: Expression) -> str:
    parts = expression.parts
    of_month = _month_days(expression)
    weekdays = {day % 7 if isinstance(day, int) else (day[0] % 7, day[1]) for day in parts.weekdays}
    of_week = "" if weekdays >= set(range(7)) else _week_days(weekdays)
    if of_month and of_week:
        # Debian's cron: either will do, unless one of the fields begins with a star.
        return f"{of_week}, if it is {of_month}" if parts.day_and else f"on {of_month}, or {of_week}"
    return f"on {of_month}" if of_month else of_week


def _month_days(expression: Expression) -> str:
    """The days of a month, to follow "on"; empty: all."""
    plain = {day for day in expression.parts.days if expression.has_plain_days}
    if plain >= set(range(1, 32)):
        return ""
    numbers = sorted(day for day in plain if day > 0)
    step = numbers[1] - numbers[0] if len(numbers) > MAX_TIMES else 1
    said = [f"the {_all(_runs(numbers, _ordinal))} of the month"] if numbers else []
    if step > 1 and numbers == list(range(numbers[0], 32, step)):
        said = [f"every {_ordinal(step)} day of the month from the {_ordinal(numbers[0])}"]
    said += ["the last day of the month"] if CronSim.LAST in plain else []
    said += ["the last weekday of the month"] if CronSim.LAST_WEEKDAY in plain else []
    said += [_own(day) for day in expression.own_days]
    return _all(said)


def _own(day: MonthDay) -> str:
    if isinstance(day, BeforeLast):
        days = "day" if day.days == 1 else "days"
        return f"the day {day.days} {days} before the last of the month"
    return f"the weekday nearest the {_ordinal(day.day)} of the month"


def _week_days(weekdays: Collection[int | tuple[int, int]]) -> str:
    plain = sorted(day for day in weekdays if isinstance(day, int))
    if set(plain) == WORKDAYS and len(weekdays) == len(WORKDAYS):
        return "on weekdays"
    # A week is said from Monday on.
    ordered = sorted(plain, key=lambda day: (day - 1) % 7)
    said = list(_runs([(day - 1) % 7 for day in ordered], lambda day: WEEKDAYS[(day + 1) % 7]))
    said += [
        f"the {NTH[nth]} {WEEKDAYS[day]} of the month"
        for day, nth in sorted(pair for pair in weekdays if isinstance(pair, tuple))
    ]
    return f"on {_all(said)}"


def _months(months: Sequence[int]) -> str:
    if len(months) == len(MONTHS):
        return ""
    return f"in {_all(_runs(months, lambda month: MONTHS[month - 1]))}"


def _named(values: Sequence[int], unit: str) -> str:
    """`minutes 5, 20 and 35`."""
    return f"{unit}{'' if len(values) == 1 else 's'} {_all(_runs(values, str))}"


def _runs(values: Sequence[int], name: Callable[[int], str]) -> Iterable[str]:
    """Names of values, those of three and more in a row as a range."""
    begin = 0
    while begin < len(values):
        end = begin
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        if end - begin > 1:
            yield f"{name(values[begin])} to {name(values[end])}"
        else:
            yield from map(name, values[begin : end + 1])
        begin = end + 1


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number % 10, 'th')}"


def _all(parts: Iterable[str]) -> str:
    *rest, last = parts
    return f"{', '.join(rest)} and {last}" if rest else last
