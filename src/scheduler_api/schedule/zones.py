"""Time zones: which names there are, and which instant a wall-clock time means."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


class UnknownZone(ValueError):
    """There is no time zone of that name."""


@cache
def zone_names() -> frozenset[str]:
    """The IANA names that this system knows."""
    return frozenset(available_timezones())


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone, judged by membership.

    `ZoneInfo(name)` would raise four different errors for names that are none, among them for a
    folder of the database such as `America`.
    """
    return name in zone_names()


def instant_of(wall: datetime, zone: str) -> datetime:
    """The instant, in UTC, at which clocks in `zone` show the naive `wall` time.

    A time that the clocks jump over means the end of the jump; one that comes twice means its first
    coming (the rule of Debian's cron). Raises UnknownZone, and OverflowError at the calendar's ends.
    """
    if not is_zone(zone):
        raise UnknownZone(zone)
    info = ZoneInfo(zone)
    instant = _to_utc(wall, info, fold=0)
    if _wall_clock(instant, info) == wall:
        return instant
    return _end_of_jump(wall, info)


def _to_utc(wall: datetime, info: ZoneInfo, fold: int) -> datetime:
    return wall.replace(tzinfo=info, fold=fold).astimezone(UTC)


def _wall_clock(instant: datetime, info: ZoneInfo) -> datetime:
    return instant.astimezone(info).replace(tzinfo=None, fold=0)


def _end_of_jump(wall: datetime, info: ZoneInfo) -> datetime:
    """The first instant at which the clocks show a later time than `wall`, to the second."""
    # In a gap the fold picks the offset before (0) or after (1) the jump: the jump lies between.
    early, late = sorted((_to_utc(wall, info, fold=0), _to_utc(wall, info, fold=1)))
    second = timedelta(seconds=1)
    early = early.replace(microsecond=0) - second
    while late - early > second:
        middle = early + (late - early) // 2 // second * second
        if _wall_clock(middle, info) < wall:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
