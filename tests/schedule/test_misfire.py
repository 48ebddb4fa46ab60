"""What becomes of occurrences that are found late."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import Every, Misfire, Once, Plan, Reason, Schedule, Verdict, occurrences, plan
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
        fate = plan(MINUTE, START, after(0.5), misfire, GRACE)
        assert fate == Plan(Verdict.FINISHED, None, 0, None, after(1))


def test_once_runs_once_for_all_that_were_missed() -> None:
    assert plan(MINUTE, START, after(10.5), Misfire.ONCE, GRACE) == Plan(
        Verdict.FINISHED, None, 10, after(10), after(11)
    )


def test_once_counts_an_occurrence_that_falls_on_now() -> None:
    assert plan(MINUTE, START, after(10), Misfire.ONCE, GRACE) == Plan(
        Verdict.FINISHED, None, 10, after(10), after(11)
    )


def test_all_runs_each_in_order() -> None:
    assert plan(MINUTE, START, after(10.5), Misfire.ALL, GRACE) == Plan(
        Verdict.FINISHED, None, 0, None, after(1)
    )


def test_all_is_no_storm() -> None:
    """Of more than a thousand, the newest thousand run; the others are told in one row."""
    found_at = after(2500.5)
    dropped = plan(MINUTE, START, found_at, Misfire.ALL, GRACE)
    assert dropped == Plan(Verdict.SKIPPED, Reason.MISFIRE, 1500, after(1500), after(1501))
    assert plan(MINUTE, after(1501), found_at, Misfire.ALL, GRACE).verdict is Verdict.FINISHED
    exactly = plan(MINUTE, after(1501), after(2500), Misfire.ALL, GRACE)
    assert exactly == Plan(Verdict.FINISHED, None, 0, None, after(1502))


def test_skip_drops_those_later_than_grace_and_goes_on_with_the_rest() -> None:
    # At 10:30 after the start, 9:00 is exactly 90 s late: not later than grace.
    assert plan(MINUTE, START, after(10.5), Misfire.SKIP, GRACE) == Plan(
        Verdict.SKIPPED, Reason.MISFIRE, 8, after(8), after(9)
    )


def test_skip_runs_what_is_within_grace_each_in_order() -> None:
    assert plan(MINUTE, after(9), after(10.5), Misfire.SKIP, GRACE) == Plan(
        Verdict.FINISHED, None, 0, None, after(10)
    )


def test_a_single_occurrence_has_nothing_after_it() -> None:
    late = after(10.5)
    assert plan(Schedule(Once(START)), START, late, Misfire.ONCE, GRACE) == Plan(
        Verdict.FINISHED, None, 0, None, None
    )
    assert plan(Schedule(Once(START)), START, late, Misfire.ALL, GRACE) == Plan(
        Verdict.FINISHED, None, 0, None, None
    )
    assert plan(Schedule(Once(START)), START, late, Misfire.SKIP, GRACE) == Plan(
        Verdict.SKIPPED, Reason.MISFIRE, 0, None, None
    )


def test_the_end_of_the_calendar_ends_the_schedule() -> None:
    end = datetime(9999, 12, 31, 23, 59, 30, tzinfo=UTC)
    for misfire in (Misfire.ONCE, Misfire.ALL):
        assert plan(Schedule(Every(end, timedelta(minutes=1))), end, end, misfire, GRACE) == (
            Plan(Verdict.FINISHED, None, 0, None, None)
        )


@given(everys, delays, st.sampled_from(Misfire), graces)
def test_every_occurrence_is_accounted_for_exactly_once(
    cadence: Every, delay: timedelta, misfire: Misfire, grace: timedelta
) -> None:
    """1 + missed adds up to the schedule, and what comes next is the occurrence after those."""
    fate = plan(Schedule(cadence), cadence.start, cadence.start + delay, misfire, grace)
    assert fate.next == cadence.start + (1 + fate.missed) * cadence.interval


@given(everys, delays, graces)
def test_catching_up_never_repeats_the_past(cadence: Every, delay: timedelta, grace: timedelta) -> None:
    now = cadence.start + delay
    once = plan(Schedule(cadence), cadence.start, now, Misfire.ONCE, grace)
    assert once.next is not None
    assert once.next > now
    skip = plan(Schedule(cadence), cadence.start, now, Misfire.SKIP, grace)
    assert skip.next is not None
    if skip.verdict is Verdict.SKIPPED:
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
        fate = plan(Schedule(cadence), occurrence, now, misfire, timedelta(seconds=grace))
        covered += [occurrence + k * cadence.interval for k in range(1 + fate.missed)]
        occurrence = fate.next
    assert covered == list(occurrences(cadence, START, now + datetime.resolution))
