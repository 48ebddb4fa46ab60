"""What is left after a run, as plain values: the checker reads nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A job whose creation was acknowledged, as its author wrote it."""

    jobid: int
    start: datetime
    interval: int
    misfire: str


class Log(NamedTuple):
    """A row of joblog."""

    logid: int
    jobid: int
    scheduledfor: datetime
    status: str
    cause: str = "schedule"
    attempt: int = 1
    missed: int = 0
    through: datetime | None = None
    nextrun: datetime | None = None
    startedat: datetime | None = None
    finishedat: datetime | None = None
    following: datetime | None = None
    host: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has its verdict."""
        return self.status in {"finished", "failed", "skipped"}

    @property
    def is_promise(self) -> bool:
        """Whether it stands for what is to come, and accounts for nothing yet."""
        return self.cause == "schedule" and self.status == "pending" and self.attempt == 1


class Attempt(NamedTuple):
    """A row of logattempt."""

    logid: int
    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: str
    replica: str


class Change(NamedTuple):
    """A row of jobchange."""

    jobid: int
    at: datetime
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Rewrite(NamedTuple):
    """A log that had its verdict, and was changed or removed all the same."""

    logid: int
    was: str
    became: str


class Request(NamedTuple):
    """What the receiver wrote down before it answered."""

    messageid: str
    logid: int
    attempt: int
    answer: int | None
    """The status of its answer, where that was whole and in time."""


class Order(NamedTuple):
    """A request to the service, and its answer."""

    kind: str
    status: int | None
    """None: no answer came."""
    code: str = ""
    marker: str = ""
    """A text that the order leaves in the database, and no other order does."""
    logid: int | None = None
    """Of the run that was asked for."""


class Audit(NamedTuple):
    """What the service says of a job's ledger."""

    jobid: int
    clean: bool
    said: str


class Connections(NamedTuple):
    """The service's connections once everything is at rest."""

    allowed: int
    open: int
    idle: int
    """Left in a transaction, doing nothing."""


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of a run."""

    now: datetime
    """Up to then everything had to be accounted for."""
    made: Sequence[Made]
    names: Sequence[str]
    """Of all jobs."""
    logs: Sequence[Log]
    attempts: Sequence[Attempt]
    changes: Sequence[Change]
    rewrites: Sequence[Rewrite]
    requests: Sequence[Request]
    orders: Sequence[Order]
    audits: Sequence[Audit]
    connections: Connections
    deaths: Sequence[str] = ()
    """Replicas that ended without being told to, or not as they should."""
