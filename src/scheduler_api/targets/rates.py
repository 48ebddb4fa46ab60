"""How many calls a minute: exact, over all replicas, from one instant that is kept for each rate.

Each call uses up its share of the minute. `busyuntil` is when all shares given out so far are used up; up to
a burst of calls may run ahead of it. So no minute, wherever it begins, sees more calls than the rate says.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

MINUTE = timedelta(minutes=1)


class Rate(NamedTuple):
    """A limit in calls a minute, and how far it is used."""

    calls: int
    """How many calls a minute may begin."""
    busyuntil: datetime | None
    """When all that have begun are paid for; None: none has."""

    @property
    def burst(self) -> int:
        """How many may begin at once after a pause: about what a second allows."""
        return max(1, self.calls // 60)

    @property
    def share(self) -> timedelta:
        """How much of a minute a call uses up, rounded up.

        The burst comes at once, all others one share apart; together they are no more than the rate.
        """
        spread = self.calls - self.burst + 1
        return -(-MINUTE // timedelta.resolution // spread) * timedelta.resolution

    def free(self, now: datetime) -> int:
        """How many calls may begin now."""
        if self.busyuntil is None or self.busyuntil <= now:
            return self.burst
        return max(0, (now + self.burst * self.share - self.busyuntil) // self.share)

    def used(self, now: datetime, calls: int) -> datetime:
        """`busyuntil`, once so many calls have begun now."""
        since = now if self.busyuntil is None else max(now, self.busyuntil)
        return since + calls * self.share

    def next(self, now: datetime) -> datetime:
        """When the next call may begin; now, if one may."""
        if self.busyuntil is None:
            return now
        return max(now, self.busyuntil - (self.burst - 1) * self.share)
