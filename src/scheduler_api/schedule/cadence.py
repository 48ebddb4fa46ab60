"""The instants that a schedule calls for: its grid, and steps along it in both directions.

All instants are aware datetimes. An interval counts elapsed seconds from its start, so the grid never
drifts and knows nothing of daylight saving.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from scheduler_api.schedule.cron import Cron
from scheduler_api.schedule.zones import tick_of


class Grid(Protocol):
    """Instants in order, of which one can ask for the neighbours of any other."""

    def next_after(self, instant: datetime) -> datetime | None:
        """The first occurrence strictly later than `instant`; None where schedule or calendar end."""

    def last_before(self, instant: datetime) -> datetime | None:
        """The last occurrence strictly earlier than `instant`; None where there was none yet."""

    def count_between(self, since: datetime, before: datetime) -> int:
        """How many occurrences there are from `since` up to, and not including, `before`."""

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:
        """The occurrences from `since` up to `before`, in order, in microseconds since 1970."""


class Once(NamedTuple):
    """A schedule that calls for one instant; and for `again`, where the clocks show its time twice."""

    start: datetime
    again: datetime | None = None

    def next_after(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if instant < self.start:
            return self.start
        return self.again if self.again is not None and instant < self.again else None

    def last_before(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if self.again is not None and instant > self.again:
            return self.again
        return self.start if instant > self.start else None

    def count_between(self, since: datetime, before: datetime) -> int:
        """See Grid."""
        return (since <= self.start < before) + (self.again is not None and since <= self.again < before)

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:
        """See Grid."""
        return [tick_of(at) for at in (self.start, self.again) if at is not None and since <= at < before]


class Every(NamedTuple):
    """A schedule that calls for `start` and then for every `interval`, which is positive, after it."""

    start: datetime
    interval: timedelta

    def next_after(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if instant < self.start:
            return self.start
        try:
            return self.start + ((instant - self.start) // self.interval + 1) * self.interval
        except OverflowError:
            return None

    def last_before(self, instant: datetime) -> datetime | None:
        """See Grid."""
        if instant <= self.start:
            return None
        return self.start + ((instant - self.start - datetime.resolution) // self.interval) * self.interval

    def count_between(self, since: datetime, before: datetime) -> int:
        """See Grid."""
        return self._earlier_than(before) - self._earlier_than(since) if since < before else 0

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:
        """See Grid."""
        step = self.interval // datetime.resolution
        first = tick_of(self.start) + self._earlier_than(since) * step
        return range(first, tick_of(before), step)

    def _earlier_than(self, instant: datetime) -> int:
        # -(-a // b) rounds up.
        return max(0, -((self.start - instant) // self.interval))


class Never(NamedTuple):
    """No schedule: the job runs when something else asks for it."""

    def next_after(self, instant: datetime) -> datetime | None:  # noqa: ARG002 - as Grid has it
        """See Grid."""
        return None

    def last_before(self, instant: datetime) -> datetime | None:  # noqa: ARG002 - as Grid has it
        """See Grid."""
        return None

    def count_between(self, since: datetime, before: datetime) -> int:  # noqa: ARG002 - as Grid has it
        """See Grid."""
        return 0

    def ticks(self, since: datetime, before: datetime) -> Sequence[int]:  # noqa: ARG002 - as Grid has it
        """See Grid."""
        return ()


Cadence = Once | Every | Cron | Never


def occurrences(grid: Grid, since: datetime, before: datetime) -> Iterator[datetime]:
    """The occurrences from `since` up to, and not including, `before`, in order."""
    try:
        occurrence = grid.next_after(since - datetime.resolution)
    except OverflowError:
        occurrence = grid.next_after(since)
    while occurrence is not None and occurrence < before:
        yield occurrence
        occurrence = grid.next_after(occurrence)
