"""Parts of time, and what is left of some without others."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

#: No part reaches further.
END = datetime(9999, 1, 1, tzinfo=UTC)
#: The distance of two instants that nothing lies between.
TICK = datetime.resolution


class Part(NamedTuple):
    """A part of time; both ends belong to it."""

    first: datetime
    last: datetime


def after(instant: datetime) -> Part:
    """All that comes after an instant."""
    return Part(instant + TICK, END)


def without(parts: Iterable[Part], taken: Sequence[Part]) -> tuple[Part, ...]:
    """What is left of `parts` without what is `taken`; both are in order, and none overlap."""
    left: list[Part] = []
    for part in parts:
        first = part.first
        for away in overlapping(taken, part.first, part.last):
            if away.first > first:
                left.append(Part(first, away.first - TICK))
            first = away.last + TICK
        if first <= part.last:
            left.append(Part(first, part.last))
    return tuple(left)


def shared(parts: Sequence[Part], others: Sequence[Part]) -> tuple[Part, ...]:
    """What lies in one of `parts` and in one of `others`; both are in order, and none overlap."""
    return tuple(
        Part(max(part.first, other.first), min(part.last, other.last))
        for part in parts
        for other in overlapping(others, part.first, part.last)
    )


def overlapping(parts: Sequence[Part], first: datetime, last: datetime) -> Sequence[Part]:
    """Those of `parts`, in order and apart, that hold an instant between two, both included.

    There may be hundreds, and hundreds of questions about them.
    """
    return parts[bisect_left(parts, first, key=_last) : bisect_right(parts, last, key=_first)]


def ending_after(parts: Sequence[Part], instant: datetime) -> Sequence[Part]:
    """Those of `parts`, in order and apart, that something later than the instant belongs to."""
    return parts[bisect_right(parts, instant, key=_last) :]


def beginning_before(parts: Sequence[Part], instant: datetime) -> Sequence[Part]:
    """Those of `parts`, in order and apart, that something earlier than the instant belongs to."""
    return parts[: bisect_left(parts, instant, key=_first)]


def holds(parts: Sequence[Part], instant: datetime) -> bool:
    """Whether the instant lies in one of the parts, which are in order and do not overlap."""
    return bool(overlapping(parts, instant, instant))


def _first(part: Part) -> datetime:
    return part.first


def _last(part: Part) -> datetime:
    return part.last
