"""How long to wait."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets import backoff

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_the_pause_doubles_up_to_the_cap() -> None:
    pauses = [backoff.pause(attempt, 10, 60, 0.5) for attempt in range(1, 6)]
    assert pauses == [5, 10, 20, 30, 30]


@given(
    st.integers(1, 10**30), st.floats(0.001, 1e6), st.floats(0.001, 1e9), st.floats(0, 1, exclude_max=True)
)
def test_the_pause_stays_within_bounds(attempt: int, base: float, cap: float, share: float) -> None:
    assert 0 <= backoff.pause(attempt, base, cap, share) <= cap
    assert backoff.pause(attempt, base, cap, 0) == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 120 ", 120),
        ("00012", 12),
        ("99999", 99999),
        ("86401", 86401),
        ("9" * 5000, math.inf),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Tuesday, 24-Nov-26 12:00:30 GMT", 30),
        ("Tue Nov 24 12:00:05 2026", 5),
        ("Thu, 24 Nov 2726 12:00:00 GMT", 22089801600),
        ("Tue, 24 Nov 2026 13:01:00 +0100", 60),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("soon", None),
        ("Tue, 99 Nov 2026 12:01:00 GMT", None),
        ("Tue, 24 Nov 2026 99:01:00 GMT", None),
        ("2026-11-24T12:01:00Z", None),
        ("10, 20", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert backoff.retry_after(header, NOW) == seconds


@given(st.text(max_size=40) | st.from_regex(r"(Mon|Tue), [0-9 :a-zA-Z+-]{0,30}", fullmatch=True))
def test_nonsense_does_no_harm(header: str) -> None:
    seconds = backoff.retry_after(header, NOW)
    assert seconds is None or seconds >= 0


@given(st.integers(-(10**6), 10**6))
def test_dates(seconds: int) -> None:
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert backoff.retry_after(header, NOW) == max(seconds, 0)
