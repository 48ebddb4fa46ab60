"""What people write who know cron by another name: a sentence on what to write here."""

import re
from collections.abc import Callable

#: A length in other dialects: `5m`, `5 minutes`, `1h30m`.
LENGTH = re.compile(r"(\d+)\s*(seconds?|minutes?|hours?|days?|[smhd])", re.IGNORECASE)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
#: What stands behind five fields in a crontab: a user, a command.
COMMAND = re.compile(r"/|[a-z]{4,}")
YEAR = re.compile(r"\d{4}([-,/]\d+)*|\*|\?")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
RANGE = re.compile(r"(\w+)-(\w+)", re.ASCII)
NO_YEAR = "Leave out the year at the end: `until` ends a schedule, and `startdate` without `cron` is one run."
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
    for pattern, said in WHOLE:
        if found := pattern.fullmatch(text):
            return said(found)
    return None


def _interval(text: str) -> str:
    seconds = sum(int(count) * SECONDS[unit[0].lower()] for count, unit in LENGTH.findall(text))
    return f"set `interval` to {seconds} seconds" if seconds else "set `interval`, in seconds"


#: What is another dialect as a whole.
WHOLE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile("@reboot", re.IGNORECASE),
        lambda _: "Jobs do not run when the service starts; give a time, or an interval.",
    ),
    (re.compile("@every.*", re.IGNORECASE), lambda found: f"Instead of @every, {_interval(found[0])}."),
    (
        re.compile(r"((?:CRON_TZ|TZ)=)(\S+)\s+(.+)", re.IGNORECASE),
        lambda found: f"Instead of {found[1]}, set `timezone` to {found[2]}.",
    ),
    (re.compile(r"rate\((.*)\)", re.IGNORECASE), lambda found: f"Instead of rate(…), {_interval(found[1])}."),
    (
        re.compile(r"at\(.*\)", re.IGNORECASE),
        lambda _: "Instead of at(…), set `startdate` and `starttime`.",
    ),
    (
        re.compile(r"cron\(.*\)", re.IGNORECASE),
        lambda _: "Leave out cron( and ), and the year at the end.",
    ),
    (
        re.compile(r"OnCalendar=.*|.*\b[A-Z][a-z]{2}\.\.[A-Z][a-z]{2}\b.*|[\d*]+-[\d*]+-[\d*]+ .*"),
        lambda _: (
            "This is systemd's OnCalendar; write five fields, such as 0 2 * * MON-FRI, and set `timezone`."
        ),
    ),
)


def _of_fields(fields: list[str]) -> str | None:
    if beyond := _beyond(fields):
        return beyond
    for field in fields:
        if "~" in field:
            return "Instead of ~, write one value, and set `jitter` to spread the runs."
        if re.fullmatch(r"H(\(.*\))?(/\d+)?", field, re.IGNORECASE):
            return "Instead of H, write one value, and set `jitter` to spread the runs."
    for field, (name, first, last, names) in zip(fields[-5:], FIELDS, strict=False):
        if wrong := _backward(field.upper(), name, (first, last), names):
            return wrong
    return None


def _beyond(fields: list[str]) -> str | None:
    """What is too much behind the five fields, or six with seconds."""
    if any(COMMAND.search(field) and not field.upper().startswith((*DAYS, *MONTHS)) for field in fields[5:]):
        return "Leave out what stands behind the five fields; what a job does is its `target`."
    has_year = len(fields) > 5 and fields[-1] not in {"*", "?"} and YEAR.fullmatch(fields[-1])  # noqa: PLR2004 - fields of cron
    return NO_YEAR if has_year or len(fields) == 7 else None  # noqa: PLR2004 - seconds, the usual five, a year


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
