"""Counting what is asked for, by whom: each of many may ask for so much in a stretch of time."""

from collections.abc import Hashable
from time import monotonic_ns
from typing import NamedTuple

SECOND = 10**9
#: Those who asked lately, of whom it is remembered how much.
MAX_REMEMBERED = 10_000


class Metered(NamedTuple):
    """What came of asking once more, in nanoseconds."""

    ahead: int
    """Until all that was asked for is paid for."""
    wait: int
    """Until it may be asked for once more, where it was not taken; else 0."""


class Meter:
    """Lets each ask as often as a share of time allows; what was saved up in a window can go at once."""

    def __init__(self, window: int) -> None:
        self._window = window * SECOND
        # When all that each has asked for is paid for: each time takes its share.
        self._paid: dict[Hashable, int] = {}

    def take(self, who: Hashable, share: int) -> Metered:
        """Count once, for so many nanoseconds."""
        now = monotonic_ns()
        if len(self._paid) > MAX_REMEMBERED:
            self._paid = {known: paid for known, paid in self._paid.items() if paid > now}
        paid = max(self._paid.get(who, now), now)
        ahead = paid + share - now
        if ahead > self._window:
            return Metered(ahead, ahead - self._window)
        self._paid[who] = paid + share
        return Metered(ahead, 0)
