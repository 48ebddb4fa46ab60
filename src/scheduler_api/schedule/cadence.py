"""The instants that a schedule calls for: its grid, and steps along it in both directions.

All instants are aware datetimes. An interval counts elapsed seconds from its start, so the grid never
drifts and knows nothing of daylight saving.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple


class Once(NamedTuple):
    """A schedule that calls for one instant."""

    start: datetime


class Every(NamedTuple):
    """A schedule that calls for `start` and then for every `interval`, which is positive, after it."""

    start: datetime
    interval: timedelta


Cadence = Once | Every


def next_after(cadence: Cadence, instant: datetime) -> datetime | None:
    """The first occurrence strictly later than `instant`; None where the schedule or the calendar ends."""
    if instant < cadence.start:
        return cadence.start
    match cadence:
        case Once():
            return None
        case Every(start, interval):
            try:
                return start + ((instant - start) // interval + 1) * interval
            except OverflowError:
                return None


def last_before(cadence: Cadence, instant: datetime) -> datetime | None:
    """The last occurrence strictly earlier than `instant`; None where there was none yet."""
    if instant <= cadence.start:
        return None
    match cadence:
        case Once(start):
            return start
        case Every(start, interval):
            return start + ((instant - start - datetime.resolution) // interval) * interval


def occurrences(cadence: Cadence, since: datetime, until: datetime) -> Iterator[datetime]:
    """The occurrences from `since` up to, and not including, `until`, in order."""
    try:
        occurrence = next_after(cadence, since - datetime.resolution)
    except OverflowError:
        occurrence = next_after(cadence, since)
    while occurrence is not None and occurrence < until:
        yield occurrence
        occurrence = next_after(cadence, occurrence)
