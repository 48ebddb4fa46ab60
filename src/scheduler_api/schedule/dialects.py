"""What people write who know cron by another name: a sentence on what to write here."""

import re

#: A length in other dialects: `5m`, `5 minutes`, `1h30m`.
LENGTH = re.compile(r"(\d+)\s*(seconds?|minutes?|hours?|days?|[smhd])", re.IGNORECASE)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ASSIGNMENT = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.+)", re.IGNORECASE)
CALL = re.compile(r"(cron|rate)\((.*)\)", re.IGNORECASE)
YEAR = re.compile(r"\d{4}([-,/]\d+)*|\*|\?")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
RANGE = re.compile(r"(\w+)-(\w+)", re.ASCII)
#: Names, first and last value of each field but that of the seconds.
FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, DAYS),
)


def advice(text: str) -> str | None:
    """What to write instead of an expression of another dialect; None: it is of none that is known."""
    return _whole(text.strip()) or _of_fields(text.split())


def _whole(text: str) -> str | None:
    if text.lower() == "@reboot":
        return "Jobs do not run when the service starts; give a time, or an interval."
    if text.lower().startswith("@every"):
        return f"Instead of @every, {_interval(text)}."
    if found := ASSIGNMENT.fullmatch(text):
        return f"Instead of {text.partition('=')[0]}=, set `timezone` to {found.group(1)}."
    if found := CALL.fullmatch(text):
        if found.group(1).lower() == "rate":
            return f"Instead of rate(…), {_interval(found.group(2))}."
        return "Leave out cron( and ), and the year at the end."
    return None


def _interval(text: str) -> str:
    seconds = sum(int(count) * SECONDS[unit[0].lower()] for count, unit in LENGTH.findall(text))
    return f"set `interval` to {seconds} seconds" if seconds else "set `interval`, in seconds"


def _of_fields(fields: list[str]) -> str | None:
    if len(fields) in {6, 7} and fields[-1] != "*" and YEAR.fullmatch(fields[-1]) and fields[-1] != "?":
        return "Leave out the year at the end; `until` ends a schedule."
    if len(fields) == 7:  # noqa: PLR2004 - seconds, the usual five, and a year
        return "Leave out the year at the end; `until` ends a schedule."
    for field in fields:
        if "~" in field:
            return "Instead of ~, write one value, and set `jitter` to spread the runs."
        if re.fullmatch(r"H(\(.*\))?(/\d+)?", field, re.IGNORECASE):
            return "Instead of H, write one value, and set `jitter` to spread the runs."
    for field, (name, first, last, names) in zip(fields[-5:], FIELDS, strict=False):
        if wrong := _backward(field.upper(), name, (first, last), names):
            return wrong
    return None


def _backward(field: str, name: str, bounds: tuple[int, int], names: tuple[str, ...]) -> str | None:
    """Where a range runs over the end: the two that it stands for."""
    first, last = bounds
    for begin, end in RANGE.findall(field):
        numbers = [_number(text, first, names) for text in (begin, end)]
        if None not in numbers and numbers[0] > numbers[1]:  # type: ignore[operator]  # no None among them
            last_of_week = 6 if names is DAYS else last
            end_of = names[last_of_week - first] if names and begin in names else str(last_of_week)
            start_of = names[0] if names and end in names else str(first)
            two = [f"{a}-{b}" if a != b else a for a, b in ((begin, end_of), (start_of, end))]
            return f"The {name} {begin}-{end} runs backward; write {two[0]},{two[1]}."
    return None


def _number(text: str, first: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + first
    return int(text) if text.isdigit() else None
