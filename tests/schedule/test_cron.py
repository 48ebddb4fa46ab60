"""Cron expressions: what they accept, and the instants that they call for around changes of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import Cron, Fold, InvalidCron, expression, occurrences
from scheduler_api.schedule.definition import BEGINNING
from tests.schedule.oracle import around, clock, fires

#: A day in each zone on which, or in the night after which, the clocks change.
CHANGES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("America/St_Johns", "2009-03-08"),
    ("America/St_Johns", "2009-11-01"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("America/Santiago", "2026-09-06"),
    ("America/Santiago", "2026-04-05"),
    ("America/Caracas", "2016-05-01"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Europe/Dublin", "2026-03-29"),
    ("Europe/London", "2026-10-25"),
    ("Europe/Lisbon", "2026-03-29"),
    ("Europe/Moscow", "2014-10-26"),
    ("Europe/Istanbul", "2016-03-27"),
    ("Atlantic/Azores", "2026-03-29"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Africa/Cairo", "2026-04-24"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("Asia/Tehran", "2022-03-22"),
    ("Asia/Tehran", "2022-09-22"),
    ("Asia/Kathmandu", "2026-06-15"),
    ("Asia/Pyongyang", "2018-05-05"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Adelaide", "2026-10-04"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Chatham", "2026-04-05"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Antarctica/Troll", "2026-03-29"),
    ("UTC", "2026-03-29"),
]
PATTERNS = [
    "0 0 * * *",
    "30 0 * * *",
    "15 1 * * *",
    "30 1 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "59 2 * * SUN",
    "0 3 * * *",
    "30 23 * * *",
    "0,30 2,3 * * *",
    "10-50/20 0-3 * * *",
    "0 */6 * * *",
    "30 * * * *",
    "*/20 * * * *",
    "*/10 2 * * *",
    "*/15 0-3 * * SAT,SUN",
    "45 1 1-7 * SUN",
    "30 2 * * SUN#1",
    "0 12 L * *",
]
CASES = [(zone, day, cron) for zone, day in CHANGES for cron in PATTERNS]


def of(cron: str, zone: str, fold: Fold = Fold.ONCE) -> Cron:
    return Cron(expression(cron), zone, BEGINNING, fold)


def test_the_table_is_large() -> None:
    assert len(CASES) * 2 >= 1000
    assert len({zone for zone, _ in CHANGES}) >= 20


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_the_brute_force_oracle_agrees(zone: str, day: str) -> None:
    since, until = around(zone, day, 2)
    # Two days more, so that it knows what the clocks have shown before.
    shown = clock(zone, since - timedelta(days=2), until)
    for cron, fold in product(PATTERNS, Fold):
        fired = fires(cron, shown, both=fold is Fold.BOTH)
        expected = [instant for instant in fired if instant >= since]
        grid = of(cron, zone, fold)
        assert list(occurrences(grid, since, until)) == expected, cron
        assert _backwards(grid, since, until) == expected, cron
        some = expected[:: len(expected) // 12 + 1]
        for first, last in [(since, until), *pairwise(some)]:
            assert grid.count_between(first, last) == sum(first <= instant < last for instant in expected), (
                cron
            )


def _backwards(grid: Cron, since: datetime, until: datetime) -> list[datetime]:
    found = []
    instant = grid.last_before(until)
    while instant is not None and instant >= since:
        found.append(instant)
        instant = grid.last_before(instant)
    return found[::-1]


FIXED = [cron for cron in PATTERNS if not cron.startswith("*") and cron.split()[1][0] != "*"]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_cronsim_agrees_where_it_follows_debian(zone: str, day: str) -> None:
    since, until = around(zone, day, 3)
    for cron in FIXED:
        theirs = CronSim(cron, (since - timedelta(minutes=1)).astimezone(ZoneInfo(zone)))
        expected = set()
        for wall in theirs:
            instant = wall.astimezone(UTC)
            if instant >= until:
                break
            expected.add(instant)
        ours = set(occurrences(of(cron, zone), since, until))
        assert ours == {instant for instant in expected if instant >= since}, cron


numbers = st.integers(0, 59)
anything = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(anything, st.sampled_from(CASES), st.sampled_from(Fold))
def test_steps_in_both_directions_meet(instant: datetime, case: tuple[str, str, str], fold: Fold) -> None:
    zone, _, cron = case
    grid = of(cron, zone, fold)
    after = grid.next_after(instant)
    assert after is not None
    assert after > instant
    before = grid.last_before(after)
    assert before is not None
    assert before <= instant
    assert grid.next_after(before) == after
    assert grid.count_between(before, after) == 1
    assert grid.count_between(before, after + datetime.resolution) == 2


@given(anything, st.integers(0, 400), st.sampled_from(CASES))
def test_counting_adds_up(since: datetime, days: int, case: tuple[str, str, str]) -> None:
    zone, _, cron = case
    grid = of(cron, zone)
    middle, end = since + timedelta(days=days / 3), since + timedelta(days=days)
    assert grid.count_between(since, end) == grid.count_between(since, middle) + grid.count_between(
        middle, end
    )


def test_counting_a_decade_of_seconds_is_arithmetic() -> None:
    grid = of("* * * * * *", "UTC")
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    assert grid.count_between(since, until) == (until - since) // timedelta(seconds=1)


@pytest.mark.parametrize(
    ("cron", "after", "first"),
    [
        ("@daily", "2026-05-01 10:00", "2026-05-02 00:00"),
        ("@HOURLY", "2026-05-01 10:00", "2026-05-01 11:00"),
        ("0 0 29 2 *", "2026-05-01 10:00", "2028-02-29 00:00"),
        ("0 0 29 2 */1", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("0 0 * 2 MON#5", "2026-05-01 10:00", "2044-02-29 00:00"),
        ("0 12 LW * *", "2026-05-01 10:00", "2026-05-29 12:00"),
        ("0 12 * * 5L", "2026-05-01 10:00", "2026-05-29 12:00"),
        ("*/30 * * * * *", "2026-05-01 10:00", "2026-05-01 10:00:30"),
        ("0 9 * * mon-fri", "2026-05-01 10:00", "2026-05-04 09:00"),
    ],
)
def test_what_it_understands(cron: str, after: str, first: str) -> None:
    instant = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert of(cron, "UTC").next_after(instant) == datetime.fromisoformat(first).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "Leave out the year"),
        ("@reboot", "do not run when the service starts"),
        ("61 * * * *", "The minute is not valid: 0 to 59"),
        ("* 24 * * *", "The hour is not valid"),
        ("* * 0 * *", "The day-of-month is not valid"),
        ("* * * FOO *", "The month is not valid"),
        ("* * * * 8", "The day-of-week is not valid"),
        ("*/0 * * * *", "The minute is not valid"),
        ("5-1 * * * *", "The minute 5-1 runs backward; write 5-59,0-1."),
        ("٣ * * * *", "The minute is not valid"),
        ("0 0 30 2 *", "never matches: these months have no such date"),
        ("0 0 31 2,4,6,9,11 *", "never matches"),
        ("0 0 31 2-2 */1", "never matches"),
        ("0 0 32 2 *", "The day-of-month is not valid: 1 to 31"),
        ("0 0 * 2 MON#5,1#5/2", "valid|Is no"),
        ("L/2 L/2 L L L", "valid|Is no"),
    ],
)
def test_what_it_refuses(cron: str, message: str) -> None:
    with pytest.raises(InvalidCron, match=message):
        expression(cron)


@given(st.text("0123456789*/,-#LW@ SUNMOJA", max_size=40))
def test_garbage_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        read = expression(text)
    except InvalidCron:
        return
    assert read.text
    grid = Cron(read, "UTC", BEGINNING)
    assert grid.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is not None


@given(numbers, st.integers(0, 23))
def test_a_daily_time_comes_once_a_day(minute: int, hour: int) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    grid = of(f"{minute} {hour} * * *", "Australia/Lord_Howe")
    assert grid.count_between(since, since + timedelta(days=365)) == 365


def test_the_calendar_ends_somewhere() -> None:
    assert of("0 0 1 1 *", "UTC").next_after(datetime(9998, 6, 1, tzinfo=UTC)) is None
