"""Parts of time, and what is left of some without others."""

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
        for away in taken:
            if away.last < first or away.first > part.last:
                continue
            if away.first > first:
                left.append(Part(first, away.first - TICK))
            first = away.last + TICK
        if first <= part.last:
            left.append(Part(first, part.last))
    return tuple(left)


def shared(parts: Sequence[Part], others: Sequence[Part]) -> tuple[Part, ...]:
    """What lies in one of `parts` and in one of `others`; both are in order, and none overlap."""
    found = (
        Part(max(part.first, other.first), min(part.last, other.last)) for part in parts for other in others
    )
    return tuple(part for part in found if part.first <= part.last)


def holds(parts: Iterable[Part], instant: datetime) -> bool:
    """Whether the instant lies in one of the parts."""
    return any(part.first <= instant <= part.last for part in parts)
