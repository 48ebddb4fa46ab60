"""How the places of a replica are shared: what nobody else wants is lent, but some stay for newcomers.

A place is given back when its call ends, and a call may hang for an hour: what was lent to a host that hangs
cannot be called back. So the last places are kept for runs of whose job, host and tags nothing is under
way. No single job, host or tag ever takes all places then; see decision 20.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.runs.shares import Named


class Reach(IntEnum):
    """How far into the places a run may go: the farther, the less it shares with the calls in progress."""

    LENT = 0
    """Its job has calls in progress."""
    JOB = 1
    """Its host has, but not its job."""
    HOST = 2
    """One of its tags has, but neither its job nor its host."""
    NEWCOMER = 3
    """Nothing of it has."""


#: By `Reach`: up to how many calls in progress such a run may begin, or how many more may.
PerReach = tuple[int, int, int, int]


def thresholds(places: int) -> PerReach:
    """Below how many calls in progress a run may begin in a replica with so many places, by its reach.

    A tenth, and one at least, is for newcomers alone. In front of it lie a twentieth where a busy tag does
    no harm, and a twentieth where a busy host does none either.
    """
    newcomers = max(1, places // 10) if places > 1 else 0
    twentieth = places // 20
    host = places - newcomers
    return host - 2 * twentieth, host - twentieth, host, places


class Passed(NamedTuple):
    """What a look passes over: those right before it found that nothing of it can start just now."""

    jobids: frozenset[int] = frozenset()
    """Jobs that somebody else holds."""
    hosts: frozenset[str] = frozenset()
    """Hosts, as what is due there is held back by jobs, tags, projects or places."""
    limits: frozenset[Named] = frozenset()
    """Limits that another claim counts, or somebody changes."""


class Room(NamedTuple):
    """What a replica has room for, and where it looks for it."""

    free: PerReach
    """How many runs more may be claimed, by their reach: never fewer with a farther one."""
    after: str = ""
    """The host behind which the look through the hosts goes on, where there are too many for one look."""
    floor: datetime = BEGINNING
    """From when on it looks."""
    passed: Passed = Passed()
    """What it leaves alone."""
    ahead: int = 0
    """How many of them would wait for a place at first."""

    @property
    def limit(self) -> int:
        """How many runs may be claimed in all."""
        return self.free[Reach.NEWCOMER]

    def is_tight(self, wanted: int) -> bool:
        """Whether so many would take places, now or later, in which a busy tag counts."""
        return self.free[Reach.HOST] - self.ahead < wanted

    @classmethod
    def of(cls, places: int) -> "Room":
        """Room of which nothing is kept for newcomers."""
        return cls((places, places, places, places))


class Asking(NamedTuple):
    """A host with due runs."""

    host: str
    since: datetime
    """When the oldest of them was due."""
    calls: int
    """How many calls to it are in progress."""
    limit: int
    """How many more it may have."""


def share_out(asking: Sequence[Asking], places: int) -> dict[str, int]:
    """How many of the places each host gets: those with the fewest calls in progress first, then the oldest.

    Places go up level by level, as water fills a vessel with an uneven floor: no host gets one while another
    that could take it has fewer calls in progress.
    """
    level = _level(asking, places)
    shares = {one.host: _up_to(one, level) for one in asking}
    left = places - sum(shares.values())
    for one in sorted(asking, key=lambda one: one.since):
        if left > 0 and _up_to(one, level + 1) > shares[one.host]:
            shares[one.host] += 1
            left -= 1
    return {host: share for host, share in shares.items() if share > 0}


def _level(asking: Sequence[Asking], places: int) -> int:
    """The highest level to which the places fill all hosts."""
    low, high = 0, max((one.calls + one.limit for one in asking), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_up_to(one, middle) for one in asking) <= places:
            low = middle
        else:
            high = middle - 1
    return low


def _up_to(one: Asking, level: int) -> int:
    return min(max(0, level - one.calls), one.limit)
