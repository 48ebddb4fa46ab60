"""Instants and lengths of time in words."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler_api.schedule.wording import cadence
from scheduler_api.web import words

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (3600, "1 hour"),
        (90_061, "1 day 1 hour"),
        (8_640_000_000, "100,000 days"),
    ],
)
def test_durations(seconds: int, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (0.4, "now"),
        (-0.4, "now"),
        (1, "in 1 second"),
        (-59, "59 seconds ago"),
        (3700, "in 1 hour"),
        (-200_000, "2 days ago"),
    ],
)
def test_relative_times(seconds: float, said: str) -> None:
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == said


def test_local_times_name_their_zone() -> None:
    assert words.local(NOW, "America/New_York") == "2030-01-31 07:00:00 America/New_York"


def test_a_zone_that_is_no_more_is_shown_as_utc() -> None:
    assert words.local(NOW, "Mars/Olympus") == "2030-01-31 12:00:00 UTC"


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (None, "once"),
        (1, "every second"),
        (60, "every minute"),
        (90, "every 1 minute 30 seconds"),
        (7200, "every 2 hours"),
        (86_400, "every day"),
        (90_061, "every 1 day 1 hour 1 minute 1 second"),
    ],
)
def test_schedules(interval: int | None, said: str) -> None:
    assert cadence(interval, None, "UTC") == said
