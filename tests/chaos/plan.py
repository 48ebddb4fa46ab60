"""What a run of faults is to be, and what it did."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.evidence import Fault

#: The settings of the replicas: everything happens sooner than in earnest.
SPEED = {
    "SCHEDULER_TICKER_INTERVAL": "0.2",
    "SCHEDULER_LEASE": "3",
    "SCHEDULER_SHUTDOWN_GRACE": "2",
    "SCHEDULER_HOST_CONCURRENCY": "1000",
    "SCHEDULER_CONCURRENCY": "50",
    "SCHEDULER_LOG_FORMAT": "json",
}
LEASE = float(SPEED["SCHEDULER_LEASE"])
#: The most connections that one replica holds: requests, ticker, deliveries.
POOLS = 10 + 3 + 4


#: Ends of replicas, and how often each comes up in one shuffled deck of them.
ENDS = {"kill a replica": 9, "stop a replica": 1}
#: Small faults, some of them at once.
SMALL = {
    "freeze a replica": 3,
    "end connections": 4,
    "slow network": 2,
    "silent network": 2,
    "broken connections": 3,
    "late answer": 3,
    "lock a run": 2,
    "lock a job": 2,
    "bad target": 4,
}
#: Those that strike the whole database, one at a time.
GREAT = {
    "kill the database": 1,
    "quit the database": 1,
    "kill a backend": 1,
    "freeze the database": 2,
    "lock the ledger": 1,
    "share the ledger": 1,
    "fill the disk": 1,
    "fail over": 2,
    "clock forward": 1,
    "clock back": 1,
}
#: What happens by itself: no replica serves, the machine stands still.
NOBODY, STALL = "nobody serves", "machine stands still"
#: Seconds after each fault in which the service may still be recovering: connections are made anew, the
#: ticker tries again after a pause that grows with each failure, leases run out.
AFTERMATH = {
    "kill a replica": LEASE + 3,
    "stop a replica": LEASE + 3,
    "freeze a replica": LEASE + 3,
    "end connections": 3,
    "slow network": 3,
    "silent network": 5,
    "broken connections": 3,
    "late answer": 5,
    "lock a run": 3,
    "lock a job": 3,
    "bad target": 10,
    "kill the database": 5,
    "quit the database": 5,
    "kill a backend": 5,
    "freeze the database": 8,
    "lock the ledger": 3,
    "share the ledger": 3,
    "fill the disk": 8,
    "fail over": 8,
    "clock forward": 5,
    "clock back": 5,
    NOBODY: 3,
    STALL: 1,
}


#: Seconds that anything may be late on a machine with nothing else to do.
SLACK = 5.0


@dataclass(frozen=True)
class Plan:
    """How long, how much, and from which seed; the same seed gives the same faults in the same order."""

    seconds: float = 180.0
    seed: int = 1
    replicas: int = 4
    jobs: int = 200
    callers: int = 2
    editors: int = 4
    ends: tuple[float, float] = (0.6, 2.0)
    """Seconds between two ends of replicas."""
    pace: tuple[float, float] = (0.7, 2.4)
    """Seconds between two small faults."""
    rests: tuple[float, float] = (1.0, 3.0)
    """Seconds between two great ones."""
    storm: float = 20.0
    """Seconds of faults, after which nothing but replicas ends for a while: then nothing may be late."""
    calm: float = 6.0
    """Seconds of that, from when all faults before must be forgotten."""
    faults: frozenset[str] = frozenset({*ENDS, *SMALL, *GREAT})
    """The kinds that may come up."""
    load: int = 0
    """How many busy processes run beside it; so much more time everything may take."""
    edits: tuple[float, float] = (0.1, 0.8)
    """Seconds between two requests of people."""
    grace: float = 90.0
    """Seconds that everything has to come to rest once the faults have stopped."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the replicas: a PYTHONPATH with a planted bug."""
    cells: int | None = None
    """Over how many cells the tables are distributed; None: they are not."""
    folder: Path | None = None
    """Where all that it writes stays; None: only where something was wrong, in a temporary folder."""

    @property
    def strain(self) -> float:
        """How many times as long as on an idle machine things may take."""
        return 1 + self.load / (os.cpu_count() or 1)

    @property
    def lease(self) -> float:
        """Seconds after which a silent replica is given up."""
        return LEASE * self.strain

    @property
    def settings(self) -> dict[str, str]:
        """Of the replicas."""
        return SPEED | {"SCHEDULER_LEASE": f"{self.lease:g}"}


class Kill(NamedTuple):
    """A replica that was killed."""

    at: datetime
    replica: str
    """As the attempts name it."""


@dataclass
class Deeds:
    """What was done to the service."""

    strain: float = 1.0
    """How many times as long as on an idle machine things may take."""
    faults: Counter[str] = field(default_factory=Counter)
    done: list[Fault] = field(default_factory=list)
    """Each with the time for which it may be blamed."""
    story: list[str] = field(default_factory=list)
    """What happened, each with its time."""
    kills: list[Kill] = field(default_factory=list)
    crashes: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from each crash of the database until it answered again."""
    clock_is_wrong: bool = False
    """Whether the database's clock is, at the moment."""
    omitted: dict[str, str] = field(default_factory=dict)
    """Kinds of faults that this machine does not allow, and why."""

    @property
    def has_settled(self) -> bool:
        """Whether the runs of all that were killed can have been taken over."""
        aftermath = timedelta(seconds=AFTERMATH["kill a replica"])
        return not self.kills or datetime.now(UTC) - self.kills[-1].at > aftermath

    def tell(self, what: str) -> None:
        """Remember that something happens now."""
        self.story.append(f"{datetime.now(UTC):%H:%M:%S.%f} {what}")

    @contextlib.contextmanager
    def harming(self, kind: str, **struck: Any) -> Iterator[None]:
        """Do harm for as long as the context lasts; `struck` says whom (see Fault)."""
        since = datetime.now(UTC)
        self.tell(" ".join([kind, *(f"{name} {value}" for name, value in struck.items())]))
        try:
            yield
        finally:
            self.note(kind, since, **struck)
            self.tell(f"{kind}: over")

    def note(self, kind: str, since: datetime, **struck: Any) -> None:
        """Remember harm that began then, and ends now."""
        aftermath = AFTERMATH[kind] * self.strain
        self.done.append(Fault(kind, since, datetime.now(UTC), aftermath, **struck))
