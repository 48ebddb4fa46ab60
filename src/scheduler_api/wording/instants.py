"""Instants and lengths of time in words."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler_api.contracts.runs.logs import Log
from scheduler_api.schedule import is_zone
from scheduler_api.wording.schedules import duration

MILLISECOND = timedelta(milliseconds=1)
SECOND = 1000.0
MINUTE = timedelta(minutes=1)


def local(instant: datetime, zone: str) -> str:
    """The instant on the clocks of `zone`, to the second, with the zone's name."""
    shown = zone if is_zone(zone) else "UTC"
    return f"{instant.astimezone(ZoneInfo(shown)):%Y-%m-%d %H:%M:%S} {shown}"


def short(instant: datetime, zone: str, beside: datetime | None = None) -> str:
    """The same where there is little room: `Nov 25, 02:00`, or `02:00` `beside` an instant of that day."""
    clock = ZoneInfo(zone if is_zone(zone) else "UTC")
    at = instant.astimezone(clock)
    if beside is not None and beside.astimezone(clock).date() == at.date():
        return f"{at:%H:%M}"
    return f"{at:%b} {at.day}, {at:%H:%M}"


def typed(instant: datetime, zone: str) -> str:
    """As a form takes a date with a time, on the clocks of `zone`."""
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S}"


def milliseconds(value: float) -> str:
    """A length of time that is given in milliseconds: `3.2 ms`, `145 ms`, `1.45 s`."""
    if value < 10:  # noqa: PLR2004 - one digit
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if round(value) < SECOND else f"{value / SECOND:,.2f} s"


def taken(log: Log, now: datetime) -> str | None:
    """How long a run took, with its pauses; None: it has not run, or calls nothing."""
    if log.startedat is None or log.kind == "plain":
        return None
    if log.finishedat is None:
        return f"{_length(now - log.startedat)} so far" if log.status == "running" else None
    return _length(log.finishedat - log.startedat)


def _length(length: timedelta) -> str:
    """A length of time: precise below a minute, where that matters."""
    length = max(length, timedelta(0))
    return milliseconds(length / MILLISECOND) if length < MINUTE else duration(int(length.total_seconds()))
