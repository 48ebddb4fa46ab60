"""What becomes of occurrences that are found late."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import (
    Decision,
    Every,
    Misfire,
    Once,
    Reason,
    Schedule,
    Status,
    decide,
    occurrences,
)
from tests.schedule.strategies import everys

START = datetime(2030, 1, 31, 12, tzinfo=UTC)
MINUTE = Schedule(Every(START, timedelta(minutes=1)))
GRACE = timedelta(seconds=90)

delays = st.timedeltas(timedelta(0), timedelta(days=900))
graces = st.integers(1, 10_000_000).map(lambda seconds: timedelta(seconds=seconds))


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_an_occurrence_on_time_finishes_and_the_next_follows_on_the_grid() -> None:
    for misfire in Misfire:
        decision = decide(MINUTE, START, after(0.5), misfire, GRACE)
        assert decision == Decision(Status.FINISHED, None, 0, None, after(1))


def test_once_runs_once_for_all_that_were_missed() -> None:
    assert decide(MINUTE, START, after(10.5), Misfire.ONCE, GRACE) == Decision(
        Status.FINISHED, None, 10, after(10), after(11)
    )


def test_once_counts_an_occurrence_that_falls_on_now() -> None:
    assert decide(MINUTE, START, after(10), Misfire.ONCE, GRACE) == Decision(
        Status.FINISHED, None, 10, after(10), after(11)
    )


def test_all_runs_each_in_order() -> None:
    assert decide(MINUTE, START, after(10.5), Misfire.ALL, GRACE) == Decision(
        Status.FINISHED, None, 0, None, after(1)
    )


def test_all_is_no_storm() -> None:
    """Of more than a thousand, the newest thousand run; the others are told in one row."""
    found_at = after(2500.5)
    dropped = decide(MINUTE, START, found_at, Misfire.ALL, GRACE)
    assert dropped == Decision(Status.SKIPPED, Reason.MISFIRE, 1500, after(1500), after(1501))
    assert decide(MINUTE, after(1501), found_at, Misfire.ALL, GRACE).status is Status.FINISHED
    exactly = decide(MINUTE, after(1501), after(2500), Misfire.ALL, GRACE)
    assert exactly == Decision(Status.FINISHED, None, 0, None, after(1502))


def test_skip_drops_those_later_than_grace_and_goes_on_with_the_rest() -> None:
    # At 10:30 after the start, 9:00 is exactly 90 s late: not later than grace.
    assert decide(MINUTE, START, after(10.5), Misfire.SKIP, GRACE) == Decision(
        Status.SKIPPED, Reason.MISFIRE, 8, after(8), after(9)
    )


def test_skip_runs_what_is_within_grace_each_in_order() -> None:
    assert decide(MINUTE, after(9), after(10.5), Misfire.SKIP, GRACE) == Decision(
        Status.FINISHED, None, 0, None, after(10)
    )


def test_a_single_occurrence_has_nothing_after_it() -> None:
    late = after(10.5)
    assert decide(Schedule(Once(START)), START, late, Misfire.ONCE, GRACE) == Decision(
        Status.FINISHED, None, 0, None, None
    )
    assert decide(Schedule(Once(START)), START, late, Misfire.ALL, GRACE) == Decision(
        Status.FINISHED, None, 0, None, None
    )
    assert decide(Schedule(Once(START)), START, late, Misfire.SKIP, GRACE) == Decision(
        Status.SKIPPED, Reason.MISFIRE, 0, None, None
    )


def test_the_end_of_the_calendar_ends_the_schedule() -> None:
    end = datetime(9999, 12, 31, 23, 59, 30, tzinfo=UTC)
    for misfire in (Misfire.ONCE, Misfire.ALL):
        assert decide(Schedule(Every(end, timedelta(minutes=1))), end, end, misfire, GRACE) == (
            Decision(Status.FINISHED, None, 0, None, None)
        )


@given(everys, delays, st.sampled_from(Misfire), graces)
def test_every_occurrence_is_accounted_for_exactly_once(
    cadence: Every, delay: timedelta, misfire: Misfire, grace: timedelta
) -> None:
    """1 + missed adds up to the schedule, and what comes next is the occurrence after those."""
    decision = decide(Schedule(cadence), cadence.start, cadence.start + delay, misfire, grace)
    assert decision.next == cadence.start + (1 + decision.missed) * cadence.interval


@given(everys, delays, graces)
def test_catching_up_never_repeats_the_past(cadence: Every, delay: timedelta, grace: timedelta) -> None:
    now = cadence.start + delay
    once = decide(Schedule(cadence), cadence.start, now, Misfire.ONCE, grace)
    assert once.next is not None
    assert once.next > now
    skip = decide(Schedule(cadence), cadence.start, now, Misfire.SKIP, grace)
    assert skip.next is not None
    if skip.status is Status.SKIPPED:
        assert skip.next >= now - grace
        assert skip.next - cadence.interval < now - grace
    else:
        assert delay <= grace


@given(st.integers(1, 600), st.integers(0, 3000), st.integers(1, 900), st.sampled_from(Misfire))
def test_the_plans_of_a_backlog_cover_it_without_gap_or_double(
    interval: int, delay: int, grace: int, misfire: Misfire
) -> None:
    cadence = Every(START, timedelta(seconds=interval))
    now = START + timedelta(seconds=delay)
    covered: list[datetime] = []
    occurrence: datetime | None = START
    while occurrence is not None and occurrence <= now:
        decision = decide(Schedule(cadence), occurrence, now, misfire, timedelta(seconds=grace))
        covered += [occurrence + k * cadence.interval for k in range(1 + decision.missed)]
        occurrence = decision.next
    assert covered == list(occurrences(cadence, START, now + datetime.resolution))
