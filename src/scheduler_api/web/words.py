"""Instants and schedules in words, for people."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler_api.contracts import Log
from scheduler_api.schedule import is_zone

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def duration(seconds: int, parts: int = 2) -> str:
    """A length of time in its largest units, `parts` at most: 90 is `1 minute 30 seconds`."""
    said = []
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            said.append(f"{count:,} {unit}{'' if count == 1 else 's'}")
    return " ".join(said[:parts]) or "0 seconds"


def schedule(interval: int | None) -> str:
    """When a job runs: `every 1 minute 30 seconds`, or `once`."""
    if interval is None:
        return "once"
    length = duration(interval, parts=4)
    return f"every {length.removeprefix('1 ') if interval in dict(UNITS).values() else length}"


def relative(instant: datetime, now: datetime) -> str:
    """How far `instant` is from `now`: `in 5 minutes`, `2 hours ago`."""
    seconds = round((instant - now) / timedelta(seconds=1))
    if abs(seconds) < 1:
        return "now"
    text = duration(abs(seconds), parts=1)
    return f"in {text}" if seconds > 0 else f"{text} ago"


def local(instant: datetime, zone: str) -> str:
    """The instant on the clocks of `zone`, to the second, with the zone's name."""
    shown = zone if is_zone(zone) else "UTC"
    return f"{instant.astimezone(ZoneInfo(shown)):%Y-%m-%d %H:%M:%S} {shown}"


def note(log: Log) -> str:
    """What else there is to say of a log: what went wrong, why it was skipped, what it stands for."""
    said = []
    if log.error is not None:
        said.append(log.error)
    if log.reason == "misfire":
        said.append("found too late")
    if log.missed:
        said.append(f"stands for {log.missed:,} more missed {'run' if log.missed == 1 else 'runs'}")
    return "; ".join(said)
