"""The evidence of one job, put together."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tests.chaos.calm import Span
from tests.chaos.evidence import Attempt, Change, Evidence, Log, Made, Request


@dataclass(frozen=True)
class Case:
    """A job, and all that is known of it, in order."""

    made: Made
    logs: Sequence[Log]
    """Of its schedule."""
    others: Sequence[Log]
    """Asked for beside its schedule."""
    changes: Sequence[Change]
    attempts: dict[int, list[Attempt]]
    requests: dict[int, list[Request]]

    @property
    def all_logs(self) -> list[Log]:
        """Whatever asked for them."""
        return [*self.logs, *self.others]

    def changes_at(self, at: datetime | None, action: str) -> list[Change]:
        """What people changed at an instant."""
        return [change for change in self.changes if change.at == at and change.action == action]

    @cached_property
    def deletedat(self) -> datetime | None:
        """When it was deleted; None: it was not."""
        return next((change.at for change in self.changes if change.action == "deleted"), None)

    @cached_property
    def pauses(self) -> list[Span]:
        """When it was paused; a pause that never ended goes on to the end of time."""
        found: list[Span] = []
        since = None
        for change in self.changes:
            if change.action == "paused":
                since = since or change.at
            elif change.action == "resumed" and since is not None:
                found.append(Span(since, change.at))
                since = None
        return found if since is None else [*found, Span(since, datetime.max.replace(tzinfo=since.tzinfo))]

    @cached_property
    def ran(self) -> int:
        """How often its schedule has made it run."""
        return sum(not log.is_promise and (log.status != "skipped" or log.attempt > 1) for log in self.logs)

    @property
    def is_completed(self) -> bool:
        """Whether it has run as often as it may."""
        return self.made.maxruns is not None and self.ran >= self.made.maxruns

    def first_start(self, log: Log) -> datetime | None:
        """When a log began to run; None: it did not. A run that was handed back has begun all the same.

        What it stands for was decided then, maybe by a clock that was ahead of what comes after.
        """
        attempts = self.attempts.get(log.logid)
        return attempts[0].startedat if attempts else log.startedat

    def settled(self, log: Log) -> datetime | None:
        """When it was decided what becomes of a log."""
        return log.finishedat if log.status == "skipped" else self.first_start(log)

    def runs(self, now: datetime) -> list[Span]:
        """The time that its runs took."""
        starts = ((self.first_start(log), log.finishedat or now) for log in self.logs)
        return [Span(start, end) for start, end in starts if start is not None]


def cases(evidence: Evidence) -> Iterator[Case]:
    """Of each job whose creation was acknowledged."""
    logs: dict[int, list[Log]] = defaultdict(list)
    changes: dict[int, list[Change]] = defaultdict(list)
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    requests: dict[int, list[Request]] = defaultdict(list)
    for log in sorted(evidence.logs, key=lambda log: (log.scheduledfor, log.logid)):
        logs[log.jobid].append(log)
    for change in evidence.changes:
        changes[change.jobid].append(change)
    for attempt in sorted(evidence.attempts, key=lambda attempt: attempt.attempt):
        attempts[attempt.logid].append(attempt)
    for request in evidence.requests:
        requests[request.logid].append(request)
    for made in evidence.made:
        mine = logs[made.jobid]
        yield Case(
            made,
            [log for log in mine if log.cause == "schedule"],
            [log for log in mine if log.cause != "schedule"],
            changes[made.jobid],
            {log.logid: attempts[log.logid] for log in mine if log.logid in attempts},
            {log.logid: requests[log.logid] for log in mine if log.logid in requests},
        )
