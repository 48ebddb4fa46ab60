"""Which instant a wall-clock time means."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import UnknownZone, instant_of, is_pseudo, is_zone, zone_names

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
]


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("UTC", "2026-03-08 02:30", "2026-03-08 02:30"),
        ("Europe/Berlin", "2026-07-01 12:00", "2026-07-01 10:00"),
        # The clocks jump over it: right after the jump.
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30"),
        ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00"),
        ("Asia/Beirut", "2026-03-29 00:30", "2026-03-28 22:00"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),
        # It comes twice: the first time.
        ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
    ],
)
def test_wall_clock_to_instant(zone: str, wall: str, instant: str) -> None:
    expected = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert instant_of(datetime.fromisoformat(wall), zone) == expected


@given(
    st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1)).map(lambda wall: wall.replace(microsecond=0)),
    st.sampled_from(ZONES),
)
def test_the_clocks_show_the_time_or_have_just_jumped_over_it(wall: datetime, zone: str) -> None:
    instant = instant_of(wall, zone)
    info = ZoneInfo(zone)
    shown = instant.astimezone(info).replace(tzinfo=None)
    assert shown >= wall
    if shown > wall:
        a_second_before = (instant - timedelta(seconds=1)).astimezone(info).replace(tzinfo=None)
        assert a_second_before < wall


@pytest.mark.parametrize(
    "name", ["", "America", "Mars/Olympus", "../../etc/passwd", "UTC\0", "u" * 5000, "utc"]
)
def test_names_that_are_no_zone(name: str) -> None:
    assert not is_zone(name)
    with pytest.raises(UnknownZone):
        instant_of(datetime(2030, 1, 1), name)


@pytest.mark.parametrize(
    "name", ["localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/UTC", "posix/localtime"]
)
def test_names_that_mean_another_zone_on_each_machine(name: str) -> None:
    assert is_pseudo(name)
    assert not is_zone(name)
    with pytest.raises(UnknownZone):
        instant_of(datetime(2030, 1, 1), name)


def test_there_are_zones() -> None:
    assert set(ZONES) <= zone_names()
    assert not any(map(is_pseudo, zone_names()))


def test_the_calendar_ends_somewhere() -> None:
    with pytest.raises(OverflowError):
        instant_of(datetime(9999, 12, 31, 23, 59), "America/New_York")
