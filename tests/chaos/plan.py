"""What a run of faults is to be, and what it did."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

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


@dataclass(frozen=True)
class Plan:
    """How long, how much, and from which seed; the same seed gives the same faults in the same order."""

    seconds: float = 180.0
    seed: int = 1
    replicas: int = 4
    jobs: int = 200
    callers: int = 2
    editors: int = 4
    pace: tuple[float, float] = (0.3, 1.0)
    """Seconds between two faults."""
    edits: tuple[float, float] = (0.1, 0.8)
    """Seconds between two requests of people."""
    grace: float = 90.0
    """Seconds that everything has to come to rest once the faults have stopped."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the replicas: a PYTHONPATH with a planted bug."""
    folder: Path | None = None
    """Where the replicas' logs and the receiver's file stay; None: nowhere."""


class Kill(NamedTuple):
    """A replica that was killed."""

    at: datetime
    replica: str
    """As the attempts name it."""


@dataclass
class Deeds:
    """What was done to the service."""

    faults: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    """The same, each with its time."""
    kills: list[Kill] = field(default_factory=list)
    crashes: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from each crash of the database until it answered again."""

    def tell(self, what: str) -> None:
        """Remember that something happens now."""
        self.story.append(f"{datetime.now(UTC):%H:%M:%S.%f} {what}")
