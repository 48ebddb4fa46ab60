"""Schedules and instants for property tests."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from scheduler_api.schedule import Every, Once

EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2900, 1, 1)

instants = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))
intervals = st.one_of(
    st.integers(1, 120), st.integers(1, 2**31 - 1), st.sampled_from([3600, 86_400, 604_800])
).map(lambda seconds: timedelta(seconds=seconds))
onces = st.builds(Once, instants, st.none())
everys = st.builds(Every, instants, intervals)
cadences = st.one_of(onces, everys)
