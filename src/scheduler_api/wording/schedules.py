"""Schedules, lengths of time and changes of the clocks in words, for people."""

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from scheduler_api.schedule.cron import Cron
from scheduler_api.schedule.definition import Block, Definition, Schedule
from scheduler_api.schedule.expressions import expression
from scheduler_api.schedule.zones import comings, stretches, wall_clock
from scheduler_api.wording.crons import words

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
#: For so long what is due is not overdue.
DUE_SECONDS = 5
SHORT = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
BLOCKED = {
    Block.EXCLUDED: "Excluded: the job does not run on this day.",
    Block.DST_GAP: "The clock skips this time; the job does not run.",
}


def duration(seconds: int, parts: int = 2) -> str:
    """A length of time in its largest units, `parts` at most: 90 is `1 minute 30 seconds`."""
    said = []
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            said.append(f"{count:,} {unit}{'' if count == 1 else 's'}")
    return " ".join(said[:parts]) or "0 seconds"


def relative(instant: datetime, now: datetime) -> str:
    """How far `instant` is from `now`: `in 5 minutes`, `2 hours ago`."""
    seconds = round((instant - now) / timedelta(seconds=1))
    if abs(seconds) < 1:
        return "now"
    text = duration(abs(seconds), parts=1)
    return f"in {text}" if seconds > 0 else f"{text} ago"


def brief(instant: datetime, now: datetime, how: Literal["ago", "due", "for"] = "ago") -> str:
    """The same where there is little room: `in 5 min`, `2 h ago`; what is `due` becomes `overdue 5 min`.

    `for` says how long it has been: `12 min`.
    """
    seconds = round((instant - now) / timedelta(seconds=1))
    size, unit = next((size, unit) for size, unit in SHORT if abs(seconds) >= size or size == 1)
    text = f"{abs(seconds) // size:,} {unit}"
    if how == "for":
        return text
    if how == "due" and seconds <= 0:
        return f"overdue {text}" if seconds < -DUE_SECONDS else "due now"
    if seconds == 0:
        return "now"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def city(zone: str) -> str:
    """The name of a zone where there is little room: `Berlin`."""
    return zone.rpartition("/")[2].replace("_", " ")


def cadence(interval: int | None, cron: str | None, zone: str) -> str:
    """How often a job runs: `every 1 minute 30 seconds`, `at 02:30 every day, in UTC`, or `once`."""
    if cron is not None:
        return f"{words(expression(cron))}, in {zone}"
    if interval is None:
        return "once"
    length = duration(interval, parts=4)
    return f"every {length.removeprefix('1 ') if interval in dict(UNITS).values() else length}"


def describe(definition: Definition) -> str:
    """A whole schedule in one sentence."""
    zone = definition.timezone
    if definition.startdate is None and definition.cron is None:
        return "no schedule of its own"
    said = cadence(definition.interval, definition.cron, zone)
    if definition.startdate is not None:
        start = f"{definition.startdate:%Y-%m-%d}"
        if definition.starttime is not None:
            start += f" {definition.starttime:%H:%M:%S}".removesuffix(":00")
        once = definition.interval is None and definition.cron is None
        said += f", {'at' if once else 'from'} {start}"
        said += "" if definition.cron is not None else f" {zone}"
    if definition.until is not None:
        said += f", until {wall_clock(definition.until, zone):%Y-%m-%d %H:%M}"
    if definition.exclude:
        days = sum((last - first).days + 1 for first, last in definition.exclude)
        said += f", but not on {days:,} excluded {'day' if days == 1 else 'days'}"
    return f"{said[0].upper()}{said[1:]}."


def local(instant: datetime, zone: str) -> str:
    """The instant on the clocks of `zone`, with the offset: `2030-01-31 02:30:00 +01:00`."""
    shown = instant.astimezone(ZoneInfo(zone))
    offset = shown.isoformat()[-6:]
    return f"{shown:%Y-%m-%d %H:%M:%S} {offset}"


def note(schedule: Schedule, zone: str, occurrence: datetime) -> str | None:
    """What is special about an occurrence; None: nothing."""
    block = schedule.block(occurrence)
    if block is not None:
        return BLOCKED[block]
    grid = schedule.cadence
    if occurrence == schedule.displaced or (isinstance(grid, Cron) and grid.is_displaced(occurrence)):
        lost, shown = jump(zone, occurrence)
        return f"The clock skips {lost:%H:%M} to {shown:%H:%M}: the job runs right after."
    both = comings(wall_clock(occurrence, zone), zone)
    if len(both) == 2:  # noqa: PLR2004 - a pair
        which = "first" if occurrence == both[0] else "second"
        return f"This time occurs twice: this is the {which} one."
    return None


def jump(zone: str, instant: datetime) -> tuple[datetime, datetime]:
    """What the clocks would have shown, and what they show, at an instant at which they change."""
    (found,) = (stretch for stretch in stretches(zone, instant.year) if stretch.start == instant)
    plain = instant.replace(tzinfo=None)
    return plain + found.earlier, plain + found.offset
