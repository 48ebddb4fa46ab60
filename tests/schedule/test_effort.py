"""What schedules cost: sparse ones look at few years, long absences are counted and not walked through.

What is counted here is work, not time: the machine may be busy.
"""

from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import (
    Budget,
    Cron,
    Definition,
    Gap,
    Misfire,
    Reason,
    Schedule,
    Status,
    decide,
    expression,
    instant_of,
    occurrences,
    schedule_of,
    tick_of,
    zone_names,
    zones,
)
from scheduler_api.schedule.misfire import MAX_CAUGHT_UP

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Honolulu", "America/New_York", "Asia/Tehran"]


def cron(text: str, zone: str = "Europe/Berlin", **others: Any) -> Schedule:
    return schedule_of(Definition(None, None, zone, cron=text)._replace(**others))


@pytest.mark.parametrize("year", [2129, 2400, 2477, 9996])
def test_years_with_one_calendar_have_one_set_of_clocks(year: int) -> None:
    for zone in sorted(zone_names()):
        assert zones.stretches(zone, year) == zones._walked.__wrapped__(zone, year), zone


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("text", "month", "day", "hour"),
    [("0 0 */31 1 MON", 1, 1, 0), ("0 23 */31 1 MON", 1, 1, 23), ("0 0 */30 12 MON", 12, 31, 0),
     ("0 23 */30 12 MON", 12, 31, 23)],
)  # fmt: skip
def test_no_year_is_left_out_that_clocks_of_some_zone_show(
    zone: str, text: str, month: int, day: int, hour: int
) -> None:
    # The turn of the year, where it is a Monday: in most years, in UTC, there is nothing else.
    walls = [datetime(year, month, day, hour) for year in range(2020, 2060)]
    expected = [instant_of(wall, zone) for wall in walls if wall.weekday() == 0]
    grid = cron(text, zone)
    found = [
        instant
        for instant in occurrences(grid, expected[0], expected[-1] + timedelta(days=1))
        if instant.astimezone(ZoneInfo(zone)).day == day
    ]
    assert found == expected
    assert all(grid.count_between(instant, instant + timedelta(hours=1)) == 1 for instant in expected)
    assert all(grid.last_before(instant + timedelta(hours=1)) == instant for instant in expected)


def test_a_leap_day_on_a_monday_costs_few_years() -> None:
    grid = cron("0 0 * 2 MON#5")
    zones._walked.cache_clear()
    found = list(islice(occurrences(grid, NOW, datetime(9990, 1, 1, tzinfo=UTC)), 250))
    assert len(found) == 250
    assert all(instant.astimezone(UTC).year > 2040 for instant in found)
    # Of seven thousand years; beyond the tables there are fourteen kinds.
    assert zones._walked.cache_info().misses < 40


def test_what_is_always_jumped_over_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last Sunday of March at half past two: the clocks never show it.
    grid = cron("30 2 * 3 0L", dstgap=Gap.SKIP)
    first = grid.next_after(NOW)
    assert first is not None
    assert grid.block(first) is not None
    looks, original = count(), Schedule.block
    monkeypatch.setattr(Schedule, "block", lambda self, at: (next(looks), original(self, at))[1])
    assert grid.first_free(first) is None
    assert next(looks) < 100
    # Where only some are, the next one is found.
    other = cron("30 2 * 3,4 0L", dstgap=Gap.SKIP)
    assert other.first_free(first) == instant_of(datetime(2027, 4, 25, 2, 30), "Europe/Berlin")


DAYS = st.integers(0, 1500).map(lambda days: date(2023, 1, 1) + timedelta(days=days))
EXCLUDED = st.lists(st.tuples(DAYS, st.integers(0, 40)), max_size=12).map(
    lambda found: tuple((first, first + timedelta(days=length)) for first, length in found)
)
DENSE = st.sampled_from(["* * * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15,45 1-3 * * SUN"])


@given(
    DENSE,
    st.sampled_from(ZONES),
    EXCLUDED,
    st.sampled_from(Gap),
    st.integers(0, 40_000),
    st.integers(1, 200_000),
)
def test_ticks_are_the_occurrences(
    text: str, zone: str, exclude: Any, gap: Gap, hours: int, length: int
) -> None:
    grid = cron(text, zone, exclude=exclude, dstgap=gap)
    since = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    before = since + timedelta(seconds=length * 50)
    some = list(islice(occurrences(grid, since, before), 300))
    before = some[-1] + timedelta(seconds=1) if some else before
    assert list(grid.ticks(since, before)) == [tick_of(instant) for instant in some]
    free, blocked = (grid.ticks_that(since, before, are_blocked=blocked) for blocked in (False, True))
    assert free == [tick_of(instant) for instant in some if grid.block(instant) is None]
    assert blocked == [tick_of(instant) for instant in some if grid.block(instant) is not None]


@given(DENSE, EXCLUDED, st.integers(0, 1400))
def test_of_a_long_absence_the_newest_thousand_are_caught_up(text: str, exclude: Any, days: int) -> None:
    grid = cron(text, exclude=exclude)
    first = grid.next_after(NOW - timedelta(days=days))
    assert first is not None
    if first > NOW or grid.block(first) is not None:
        return
    decision = decide(grid, first, NOW, Misfire.ALL, timedelta(seconds=60))
    behind = grid.count_between(first, NOW + datetime.resolution)
    if behind <= MAX_CAUGHT_UP:
        assert decision.status is Status.FINISHED
    else:
        assert (decision.status, decision.reason) == (Status.SKIPPED, Reason.MISFIRE)
        assert decision.next is not None
        assert grid.count_between(decision.next, NOW + datetime.resolution) == MAX_CAUGHT_UP


def test_a_budget_counts_and_asks() -> None:
    budget = Budget(3)
    assert list(budget.within(count())) == [0, 1, 2]
    assert budget.is_spent
    assert not budget.allows()
    asked = iter([False, False, True, False])
    budget = Budget(10**9, lambda: next(asked))
    assert list(budget.within(count())) == [0, 1]
    # Once over, it stays over, whoever asks.
    assert not budget.allows()


def test_a_budget_that_suffices_is_not_spent() -> None:
    budget = Budget(3)
    assert list(budget.within([7, 8, 9])) == [7, 8, 9]
    assert not budget.is_spent


def test_expressions_keep_fourteen_calendars_at_most() -> None:
    read = expression("0 0 1 1 *")
    grid = Cron(read, "UTC", datetime(1900, 1, 1, tzinfo=UTC))
    assert grid.count_between(datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)) == 7100
    assert len(read._days) == 14


def test_starts_in_the_first_years_of_the_calendar_are_counted() -> None:
    grid = schedule_of(Definition(date(1, 1, 2), time(0), "UTC", cron="@yearly"))
    assert grid.count_between(datetime(1, 1, 1, tzinfo=UTC), datetime(11, 1, 2, tzinfo=UTC)) == 10
