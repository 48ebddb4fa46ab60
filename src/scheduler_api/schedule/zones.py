"""Time zones: which names there are, which instant a wall-clock time means, when the clocks change."""

import hashlib
from calendar import isleap
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from zoneinfo import TZPATH, ZoneInfo, available_timezones

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Beyond these years, local times leave Python's calendar.
FIRST_YEAR, LAST_YEAR = 2, 9997
#: The first of 28 years in a row that each zone treats by a rule alone: what the database lists, year by
#: year, ends before (with the fasts of Morocco and Gaza, in 2087).
FIRST_MODEL = 2101
_MODELS = {(isleap(year), date(year, 1, 1).weekday()): year for year in range(FIRST_MODEL, FIRST_MODEL + 28)}


class UnknownZone(ValueError):
    """There is no time zone of that name."""


class Gap(StrEnum):
    """When to run at a time that does not exist, as daylight saving time begins."""

    AFTER = "after"
    """Run right after the jump (the rule of Debian's cron)."""
    SKIP = "skip"
    """Do not run; say so in the ledger."""


class Fold(StrEnum):
    """When to run at a time that occurs twice, as daylight saving time ends."""

    ONCE = "once"
    """Run the first time (the rule of Debian's cron)."""
    BOTH = "both"
    """Run both times."""


class Stretch(NamedTuple):
    """A part of a year in which the zone's clocks keep one offset from UTC."""

    start: datetime
    end: datetime
    """The first instant after it."""
    offset: timedelta
    earlier: timedelta
    """The offset right before it: less where the clocks jumped forward, more where they went back."""


#: Names that systems have beside those of IANA's zones: they mean what the machine says, or nothing.
PSEUDO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@cache
def zone_names() -> frozenset[str]:
    """The IANA names that this system knows."""
    return frozenset(name for name in available_timezones() if not is_pseudo(name))


def is_pseudo(name: str) -> bool:
    """Whether it names no zone of IANA's, although systems know it."""
    folder, _, rest = name.partition("/")
    return name in PSEUDO_ZONES or rest in PSEUDO_ZONES or folder in {"posix", "right"}


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone, judged by membership.

    `ZoneInfo(name)` would raise four different errors for names that are none, among them for a
    folder of the database such as `America`.
    """
    return name in zone_names()


def digest_of_rules() -> str:
    """A digest of the rules of all zones, as this machine has them: another one where any of them differs.

    Reads some hundred small files, once: a process goes by the rules that it began with.
    """
    return _digest_of(TZPATH)


@cache
def _digest_of(folders: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in sorted(zone_names()):
        found = next((path for folder in folders if (path := Path(folder, name)).is_file()), None)
        packaged = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
        digest.update(name.encode() + (packaged if found is None else found).read_bytes())
    return digest.hexdigest()


def tick_of(instant: datetime) -> int:
    """The instant in microseconds since 1970: integers are compared and counted many times faster."""
    return (instant - EPOCH) // datetime.resolution


def instant_at(tick: int) -> datetime:
    """The instant, so many microseconds after the beginning of 1970."""
    return EPOCH + timedelta(microseconds=tick)


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


def comings(wall: datetime, zone: str) -> list[datetime]:
    """The instants at which clocks in `zone` show `wall`: none, one or two. Raises as `instant_of`."""
    if not is_zone(zone):
        raise UnknownZone(zone)
    info = ZoneInfo(zone)
    instants = sorted({_to_utc(wall, info, fold=fold) for fold in (0, 1)})
    return [instant for instant in instants if _wall_clock(instant, info) == wall]


def wall_clock(instant: datetime, zone: str) -> datetime:
    """What clocks in `zone` show at `instant`, without a zone."""
    return _wall_clock(instant, ZoneInfo(zone))


def alike(year: int) -> int:
    """A year with the same calendar, of the fourteen that there are: weekdays and, if any, the leap day."""
    return _MODELS[isleap(year), date(year, 1, 1).weekday()]


def stretches(zone: str, year: int) -> tuple[Stretch, ...]:
    """The parts of `year` (in UTC), in order, each with its offset."""
    if year < FIRST_MODEL:
        return _walked(zone, year)
    # A rule says in words of the calendar when the clocks change: years with the same one are alike.
    model = alike(year)
    found = _walked(zone, model)
    away = date(year, 1, 1) - date(model, 1, 1)
    if not away:
        return found
    return tuple(Stretch(start + away, end + away, *offsets) for start, end, *offsets in found)


# A year takes half a millisecond; those of a lifetime, in the zones of a service, fit in.
@lru_cache(maxsize=16_384)
def _walked(zone: str, year: int) -> tuple[Stretch, ...]:
    info = ZoneInfo(zone)
    begin = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    found = []
    earlier = _offset(begin - SECOND, info)
    start, offset = begin, _offset(begin, info)
    day = begin
    # No zone changes its clocks twice within a day.
    while day < end:
        after = min(day + DAY, end - SECOND)
        if _offset(after, info) != offset:
            change = _change(day, after, info)
            found.append(Stretch(start, change, offset, earlier))
            start, earlier, offset = change, offset, _offset(change, info)
        day += DAY
    found.append(Stretch(start, end, offset, earlier))
    return tuple(found)


def _change(before: datetime, after: datetime, info: ZoneInfo) -> datetime:
    """The first second of a new offset, between two instants that have different ones."""
    old = _offset(before, info)
    while after - before > SECOND:
        middle = before + (after - before) // 2 // SECOND * SECOND
        if _offset(middle, info) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(instant: datetime, info: ZoneInfo) -> timedelta:
    offset = instant.astimezone(info).utcoffset()
    assert offset is not None
    return offset


def _to_utc(wall: datetime, info: ZoneInfo, fold: int) -> datetime:
    return wall.replace(tzinfo=info, fold=fold).astimezone(UTC)


def _wall_clock(instant: datetime, info: ZoneInfo) -> datetime:
    return instant.astimezone(info).replace(tzinfo=None, fold=0)


def _end_of_jump(wall: datetime, info: ZoneInfo) -> datetime:
    """The first instant at which the clocks show a later time than `wall`, to the second."""
    # In a gap the fold picks the offset before (0) or after (1) the jump: the jump lies between.
    early, late = sorted((_to_utc(wall, info, fold=0), _to_utc(wall, info, fold=1)))
    early, late = early.replace(microsecond=0), late.replace(microsecond=0)
    return _change(early - SECOND, late + SECOND, info)
