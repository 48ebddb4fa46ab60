"""Definitions as schedules: starts, ends, and what keeps occurrences from running."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.schedule import (
    Block,
    Decision,
    Definition,
    Fold,
    Gap,
    Misfire,
    Once,
    Reason,
    Schedule,
    StartInGap,
    Status,
    UnknownZone,
    decide,
    occurrences,
    schedule_of,
    skip_all,
)

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(*texts: str) -> tuple[tuple[date, date], ...]:
    pairs = (text.split("/") for text in texts)
    return tuple((date.fromisoformat(pair[0]), date.fromisoformat(pair[-1])) for pair in pairs)


def cron(expression: str, zone: str = "UTC", **others: Any) -> Schedule:
    return schedule_of(Definition(None, None, zone, cron=expression)._replace(**others))


def listed(schedule: Schedule, since: str, before: str) -> list[str]:
    return [f"{instant:%m-%d %H:%M}" for instant in occurrences(schedule, utc(since), utc(before))]


def test_a_start_bounds_a_cron() -> None:
    schedule = cron("0 12 * * *", startdate=date(2030, 1, 5), starttime=time(12, 30))
    assert listed(schedule, "2030-01-01", "2030-01-08") == ["01-06 12:00", "01-07 12:00"]
    assert schedule.last_before(utc("2030-01-06 12:00")) is None


def test_a_start_date_alone_means_its_midnight() -> None:
    assert listed(cron("0 * * * *", startdate=date(2030, 1, 5)), "2030-01-04", "2030-01-05 02:00") == [
        "01-05 00:00",
        "01-05 01:00",
    ]


def test_until_is_the_last_instant() -> None:
    schedule = cron("0 12 * * *", until=utc("2030-01-02 12:00"))
    assert listed(schedule, "2030-01-01", "2030-02-01") == ["01-01 12:00", "01-02 12:00"]
    assert schedule.next_after(utc("2030-01-02 12:00")) is None
    assert schedule.last_before(utc("2040-01-01")) == utc("2030-01-02 12:00")
    assert schedule.count_between(utc("2030-01-01"), utc("2040-01-01")) == 2


def test_a_single_start_in_a_fold_comes_once_or_twice() -> None:
    definition = Definition(date(2026, 11, 1), time(1, 30), NEW_YORK)
    assert schedule_of(definition).cadence == Once(utc("2026-11-01 05:30"))
    both = schedule_of(definition._replace(dstfold=Fold.BOTH))
    assert listed(both, "2026-11-01", "2026-11-02") == ["11-01 05:30", "11-01 06:30"]
    assert both.last_before(utc("2027-01-01")) == utc("2026-11-01 06:30")
    assert both.last_before(utc("2026-11-01 06:30")) == utc("2026-11-01 05:30")
    assert both.count_between(utc("2026-11-01"), utc("2026-11-02")) == 2


def test_a_single_start_in_a_gap_runs_after_it_or_is_refused() -> None:
    definition = Definition(date(2026, 3, 8), time(2, 30), NEW_YORK)
    assert schedule_of(definition).cadence == Once(utc("2026-03-08 07:00"))
    with pytest.raises(StartInGap):
        schedule_of(definition._replace(dstgap=Gap.SKIP))


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(UnknownZone):
        cron("@daily", "Mars/Olympus")


def test_excluded_days_are_days_of_the_zone() -> None:
    schedule = cron("0 */6 * * *", NEW_YORK, exclude=days("2026-03-08"))
    blocked = [
        f"{i:%m-%d %H}"
        for i in occurrences(schedule, utc("2026-03-07"), utc("2026-03-10"))
        if schedule.block(i)
    ]
    # From midnight to midnight in New York, on a day of 23 hours.
    assert blocked == ["03-08 05", "03-08 10", "03-08 16", "03-08 22"]


def test_ranges_of_excluded_days_are_merged() -> None:
    schedule = cron("@daily", exclude=days("2030-01-03/2030-01-05", "2030-01-01", "2030-01-02", "2030-01-04"))
    assert schedule.excluded == ((utc("2030-01-01"), utc("2030-01-06")),)


def test_a_skipped_gap_is_blocked_and_nothing_else() -> None:
    schedule = cron("30 2 * * *", NEW_YORK, dstgap=Gap.SKIP)
    since, before = utc("2026-01-01"), utc("2027-01-01")
    blocked = {i: schedule.block(i) for i in occurrences(schedule, since, before) if schedule.block(i)}
    assert blocked == {utc("2026-03-08 07:00"): Block.DST_GAP}
    assert schedule.counts(since, before) == (364, 1)


def test_first_free_jumps_over_what_is_blocked() -> None:
    schedule = cron("* * * * *", exclude=days("2030-01-01/2039-12-31"))
    assert schedule.first_free(utc("2030-01-01")) == utc("2040-01-01")
    assert schedule._replace(until=utc("2035-01-01")).first_free(utc("2030-01-01")) is None


def test_a_catch_up_over_a_holiday_runs_once_and_tells_the_holiday_apart() -> None:
    schedule = cron("0 12 * * *", exclude=days("2030-01-03/2030-01-04"))
    decision = decide(
        schedule, utc("2030-01-01 12:00"), utc("2030-01-06 13:00"), Misfire.ONCE, timedelta(minutes=1)
    )
    assert decision[:5] == (Status.FINISHED, None, 3, utc("2030-01-06 12:00"), utc("2030-01-07 12:00"))
    assert [(span.first, span.last, span.size, span.block) for span in decision.blocked] == [
        (utc("2030-01-03 12:00"), utc("2030-01-04 12:00"), 2, Block.EXCLUDED)
    ]


def test_a_blocked_occurrence_is_skipped_with_those_that_share_its_fate() -> None:
    schedule = cron("0 12 * * *", exclude=days("2030-01-03/2030-01-04"))
    decision = decide(
        schedule, utc("2030-01-03 12:00"), utc("2030-01-06 13:00"), Misfire.ALL, timedelta(minutes=1)
    )
    assert decision == Decision(
        Status.SKIPPED, Reason.EXCLUDED, 1, utc("2030-01-04 12:00"), utc("2030-01-05 12:00")
    )


@pytest.mark.parametrize("misfire", Misfire)
def test_what_is_found_after_the_end_is_skipped(misfire: Misfire) -> None:
    schedule = cron("0 12 * * *", until=utc("2030-01-02 18:00"))
    first, grace = utc("2030-01-01 12:00"), timedelta(hours=1)
    decision = decide(schedule, first, utc("2030-01-05"), misfire, grace)
    assert decision == Decision(Status.SKIPPED, Reason.UNTIL, 1, utc("2030-01-02 12:00"), None)
    within = decide(schedule, utc("2030-01-02 12:00"), utc("2030-01-02 18:30"), Misfire.ONCE, grace)
    assert within == Decision(Status.FINISHED, None, 0, None, None)


def test_skipping_all_names_the_reason() -> None:
    decision = skip_all(cron("@hourly"), utc("2030-01-01"), utc("2030-01-02"), Reason.PAUSED)
    assert decision == Decision(Status.SKIPPED, Reason.PAUSED, 24, utc("2030-01-02"), utc("2030-01-02 01:00"))


ranges = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 5)).map(
        lambda pair: (date(2026, 2, 20) + timedelta(pair[0]), date(2026, 2, 20) + timedelta(sum(pair)))
    ),
    max_size=4,
).map(tuple)
definitions = st.builds(
    Definition,
    st.none(),
    st.none(),
    st.sampled_from([NEW_YORK, "UTC", "Australia/Lord_Howe", "Africa/Casablanca"]),
    cron=st.sampled_from(["30 2 * * *", "0 * * * *", "0 0 * * MON", "15 2,3 * * *"]),
    until=st.none() | st.just(utc("2026-03-25 00:00")),
    exclude=ranges,
    dstgap=st.sampled_from(Gap),
    dstfold=st.sampled_from(Fold),
)


@given(definitions, st.integers(0, 80 * 24), st.sampled_from(Misfire), st.integers(1, 48))
def test_plans_cover_a_backlog_without_gap_or_double(
    definition: Definition, hours: int, misfire: Misfire, grace: int
) -> None:
    schedule = schedule_of(definition)
    since = utc("2026-02-20")
    now = since + timedelta(hours=hours)
    expected = list(occurrences(schedule, since, now + datetime.resolution))
    free = [i for i in expected if schedule.block(i) is None]
    covered: list[datetime] = []
    occurrence = schedule.next_after(since - datetime.resolution)
    while occurrence is not None and occurrence <= now:
        decision = decide(schedule, occurrence, now, misfire, timedelta(hours=grace))
        if decision.reason in (Reason.EXCLUDED, Reason.DST_GAP):
            assert schedule.block(occurrence) is not None
            covered += _between(expected, occurrence, decision.through, 1 + decision.missed)
        else:
            covered += _between(free, occurrence, decision.through, 1 + decision.missed)
        for span in decision.blocked:
            assert {schedule.block(i) for i in expected if span.first <= i <= span.last} == {span.block}
            covered += _between(expected, span.first, span.last, span.size)
        occurrence = decision.next
    assert sorted(covered) == expected


def _between(instants: list[datetime], first: datetime, last: datetime | None, count: int) -> list[datetime]:
    found = [i for i in instants if first <= i <= (last or first)]
    assert len(found) == count
    return found
