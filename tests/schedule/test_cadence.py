"""The grid of a schedule, and steps along it."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from timeit import repeat

from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler_api.schedule import Cadence, Every, Once, occurrences
from tests.schedule.strategies import cadences, everys, instants, intervals

START = datetime(2030, 1, 31, 12, tzinfo=UTC)
MINUTE = Every(START, timedelta(minutes=1))
END_OF_CALENDAR = datetime.max.replace(tzinfo=UTC)


@given(cadences, instants)
def test_the_next_occurrence_is_strictly_later(cadence: Cadence, instant: datetime) -> None:
    following = cadence.next_after(instant)
    assert following is None or following > instant


@given(cadences, instants)
def test_the_last_occurrence_is_strictly_earlier(cadence: Cadence, instant: datetime) -> None:
    previous = cadence.last_before(instant)
    assert previous is None or previous < instant


@given(everys, instants)
def test_occurrences_lie_on_the_grid_and_none_is_left_out(cadence: Every, instant: datetime) -> None:
    following = cadence.next_after(instant)
    assume(following is not None)
    assert following is not None
    assert following >= cadence.start
    assert (following - cadence.start) % cadence.interval == timedelta(0)
    assert following == cadence.start or following - cadence.interval <= instant


@given(cadences, instants, instants)
def test_a_later_question_has_no_earlier_answer(cadence: Cadence, one: datetime, other: datetime) -> None:
    first, second = (cadence.next_after(instant) for instant in sorted((one, other)))
    assert second is None or (first is not None and first <= second)


@given(cadences, instants)
def test_next_and_last_mirror_each_other(cadence: Cadence, instant: datetime) -> None:
    following = cadence.next_after(instant)
    assume(following is not None)
    assert following is not None
    assert cadence.last_before(following + datetime.resolution) == following
    before = cadence.last_before(following)
    assert before is None or before <= instant
    assert before is None or cadence.next_after(before) == following


@given(everys, st.integers(0, 50), st.timedeltas(timedelta(0), timedelta(days=400)))
def test_the_occurrences_of_a_range_are_those_of_single_steps(
    cadence: Every, count: int, offset: timedelta
) -> None:
    since = cadence.start + offset
    stepwise: list[datetime] = []
    instant: datetime | None = since - datetime.resolution
    while len(stepwise) < count and instant is not None and (instant := cadence.next_after(instant)):
        stepwise.append(instant)
    assert list(islice(occurrences(cadence, since, END_OF_CALENDAR), count)) == stepwise


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), intervals)
def test_no_drift_after_any_number_of_steps(start: datetime, interval: timedelta) -> None:
    cadence = Every(start, interval)
    steps = min(1_000, (END_OF_CALENDAR - start) // interval)
    instant: datetime | None = start
    for _ in range(steps):
        assert instant is not None
        instant = cadence.next_after(instant)
    assert instant == start + steps * interval


def test_no_drift_after_100_000_steps() -> None:
    cadence = Every(START, timedelta(seconds=7))
    instant: datetime | None = START
    for _ in range(100_000):
        assert instant is not None
        instant = cadence.next_after(instant)
    assert instant == START + timedelta(seconds=700_000)


def test_a_jump_over_a_year_of_seconds_is_arithmetic() -> None:
    every_second = Every(START, timedelta(seconds=1))
    near, far = START + timedelta(seconds=10), START + timedelta(days=365)
    assert every_second.next_after(far) == far + timedelta(seconds=1)
    # A loop over the year would be 31 million steps; the same work for both distances is within noise.
    short = min(repeat(lambda: every_second.next_after(near), number=200, repeat=20))
    long = min(repeat(lambda: every_second.next_after(far), number=200, repeat=20))
    assert long < 100 * short


def test_once_is_one_instant() -> None:
    assert Once(START).next_after(START - timedelta(seconds=1)) == START
    assert Once(START).next_after(START) is None
    assert Once(START).last_before(START) is None
    assert Once(START).last_before(START + timedelta(seconds=1)) == START


def test_a_range_includes_its_start_and_not_its_end() -> None:
    assert list(occurrences(MINUTE, START, START + timedelta(minutes=2))) == [
        START,
        START + timedelta(minutes=1),
    ]


def test_the_calendar_ends_a_schedule() -> None:
    assert Every(START, timedelta(days=365 * 400)).next_after(END_OF_CALENDAR) is None
    assert MINUTE.next_after(END_OF_CALENDAR) is None
    dawn = datetime.min.replace(tzinfo=UTC)
    assert next(occurrences(Every(dawn + timedelta(days=1), timedelta(days=1)), dawn, START)) == (
        dawn + timedelta(days=1)
    )
