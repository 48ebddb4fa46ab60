"""One schedule after another: what both call for, against a plain comparison of all occurrences."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_api.schedule import (
    END,
    Definition,
    Fold,
    Gap,
    Part,
    Schedule,
    after,
    occurrences,
    schedule_of,
    succeed,
)

BEGIN, END_OF_IT = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
DAYS = [date(2026, 3, day) for day in (28, 29, 30)]

kinds: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(["*/30 * * * *", "*/45 * * * *", "30 2 * * *", "0 * * * *", "0 */2 * * *"]).map(
        lambda cron: {"cron": cron, "startdate": None, "starttime": None}
    ),
    st.sampled_from([1800, 3600, 5400]).map(
        lambda interval: {"interval": interval, "startdate": date(2026, 3, 26), "starttime": time(23)}
    ),
)
definitions = st.builds(
    lambda kind, more: Definition(**kind, **more),
    kinds,
    st.fixed_dictionaries(
        {
            "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
            "until": st.none() | st.sampled_from([END_OF_IT - timedelta(hours=30), END_OF_IT]),
            "exclude": st.sets(st.sampled_from(DAYS), max_size=2).map(
                lambda days: tuple((day, day) for day in sorted(days))
            ),
            "dstgap": st.sampled_from(Gap),
            "dstfold": st.sampled_from(Fold),
        }
    ),
)
hours = st.integers(0, 95)


def decisions(schedule: Schedule, since: datetime, before: datetime) -> dict[datetime, object]:
    return {instant: schedule.block(instant) for instant in occurrences(schedule, since, before)}


@settings(deadline=None)
@given(old=definitions, middle=definitions, new=definitions, first=hours, length=hours, then=hours)
def test_what_both_call_for_stays_and_the_rest_is_gone(
    old: Definition, middle: Definition, new: Definition, first: int, length: int, then: int
) -> None:
    since = BEGIN + timedelta(hours=first)
    at, later = since + timedelta(hours=length), since + timedelta(hours=length + then)
    schedule, due = schedule_of(old), decisions(schedule_of(old), since, at + datetime.resolution)
    for definition, now, until in ((middle, at, later), (new, later, later)):
        change = succeed(schedule, schedule_of(definition), Part(since, now))
        base = schedule_of(definition)
        kept = {t: block for t, block in due.items() if base.calls_for(t) and base.block(t) == block}
        gone = {t: block for t, block in due.items() if t not in kept}
        assert decisions(change.gone, since, now + timedelta(days=30)) == gone
        schedule = base._replace(within=(*change.kept, after(now)))
        due = kept | decisions(base, now + datetime.resolution, until + datetime.resolution)
        assert decisions(schedule, since, until + datetime.resolution) == due
        _is_a_grid(schedule, sorted(due), since, until)


def _is_a_grid(schedule: Schedule, known: list[datetime], since: datetime, until: datetime) -> None:
    """Steps, counts and spans agree with the list of all occurrences."""
    before = until + datetime.resolution
    assert schedule.count_between(since, before) == len(known)
    backwards, instant = [], schedule.last_before(before)
    while instant is not None and instant >= since:
        backwards.append(instant)
        instant = schedule.last_before(instant)
    assert backwards[::-1] == known
    if known:
        assert sum(span.size for span in schedule.spans(known[0], known[-1])) == len(known)


def test_all_of_a_long_time_stays_where_nothing_of_it_changes() -> None:
    old = schedule_of(Definition(None, None, "UTC", cron="* * * * * *"))
    new = schedule_of(Definition(None, None, "UTC", cron="* * * * * *", exclude=((date(2031, 1, 1),) * 2,)))
    year = Part(BEGIN, BEGIN + timedelta(days=365))
    change = succeed(old, new, year)
    assert change.kept == (year,)
    assert change.gone.next_after(BEGIN - timedelta(days=1)) is None
    assert year.last < END
