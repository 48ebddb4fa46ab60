"""What is left after a run, as plain values: the checker reads nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple


class Made(NamedTuple):
    """A job whose creation was acknowledged, as its author wrote it."""

    jobid: int
    start: datetime
    interval: int
    misfire: str
    grace: int = 60
    """Seconds; of the policy `skip`."""
    calls: bool = False
    """Whether its runs call a target."""
    overlap: bool = False
    maxruns: int | None = None


class Fault(NamedTuple):
    """Harm that was done, and for how long it may hold something up."""

    kind: str
    since: datetime
    to: datetime
    """When the harm itself was over, by the clock of this machine."""
    aftermath: float = 0.0
    """Seconds after that in which the service may still be recovering."""
    replica: str | None = None
    """Whom it struck, so that only their attempts suffer; None: what follows says whom."""
    jobid: int | None = None
    """Whose rows it struck; None: everybody's."""
    calls: bool = False
    """Whether only runs that call something suffer."""
    offset: float = 0.0
    """Seconds by which the database's clock was ahead meanwhile."""

    @property
    def ends(self) -> datetime:
        """When nothing can be blamed on it any more."""
        return self.to + timedelta(seconds=self.aftermath)


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
    reason: str | None = None
    lastrun: datetime | None = None

    @property
    def settled(self) -> datetime | None:
        """When it was decided what becomes of it: when it began to run, or was skipped."""
        return self.finishedat if self.status == "skipped" else self.startedat

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
    failure: str | None = None
    httpstatus: int | None = None


class Change(NamedTuple):
    """A row of auditevent."""

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
    at: datetime | None = None
    """When it arrived, by the clock of this machine; None: nobody looked."""


class Issue(NamedTuple):
    """A row of jobissue."""

    issueid: int
    jobid: int
    kind: str
    flapping: bool
    endedat: datetime | None


class Alert(NamedTuple):
    """A row of the outbox."""

    alertid: int
    channelid: int
    issueid: int
    event: str
    at: datetime
    messageid: str | None
    sentat: datetime | None


class Message(NamedTuple):
    """What the receiver of alerts wrote down before it answered."""

    messageid: str
    at: datetime


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
    allowed: str = ""
    """The code of a refusal that would be right."""


def deletion(jobid: int) -> str:
    """The marker of an order to delete a job."""
    return f"deletion of job {jobid}"


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
    issues: Sequence[Issue] = ()
    channels: Sequence[int] = ()
    """Each of them is told of all jobs."""
    alerts: Sequence[Alert] = ()
    messages: Sequence[Message] = ()
    deaths: Sequence[str] = ()
    """Replicas that ended without being told to, or not as they should."""
    faults: Sequence[Fault] = ()
    slack: timedelta = timedelta(seconds=5)
    """How late anything may be, on a machine as busy as it was, while nothing is wrong."""

    @property
    def steps(self) -> list[Fault]:
        """The times for which the database's clock was wrong."""
        return [fault for fault in self.faults if fault.offset]
