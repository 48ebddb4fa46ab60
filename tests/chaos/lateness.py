"""Whether everything happened in time, but for as long as a fault explains."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tests.chaos.calm import Blame, Calm, Clock, Span
from tests.chaos.cases import Case
from tests.chaos.evidence import Attempt, Evidence, Log
from tests.chaos.receiver import TIMEOUT

#: A call may take so long, and a pause before the next attempt.
MAX_CALL, MAX_PAUSE = timedelta(seconds=TIMEOUT), timedelta(seconds=2)


class Lateness:
    """Judges the times of one job after the other."""

    def __init__(self, evidence: Evidence) -> None:
        self._blame = Blame.of(evidence.faults)
        self._clock = Clock(evidence.steps)
        self._now = evidence.now
        self._slack = evidence.slack

    def check(self, case: Case) -> Iterator[str]:
        """Everything that came later than the faults of that time explain."""
        for log, late in self.starts(case):
            if late > self._slack:
                yield (
                    f"late: log {log.logid} of {log.scheduledfor} was {log.status} at {case.settled(log)},"
                    f" and no fault explains {late.total_seconds():.1f} s of that"
                )
        for log in case.all_logs:
            yield from self._attempts(case, log)

    def starts(self, case: Case) -> Iterator[tuple[Log, timedelta]]:
        """By how much each log was late without any reason."""
        calm = self._calm(case)
        before = None
        for log in [*case.logs, *case.others]:
            settled = case.settled(log)
            if settled is None or self._clock.is_false(settled):
                continue
            since = log.scheduledfor
            if log.cause == "schedule":
                # Those that are caught up one by one come one after the other.
                if case.made.misfire == "all" and before is not None:
                    since = max(since, before)
                before = settled if before is None else max(before, settled)
            yield log, calm.between(since, settled)

    def _calm(self, case: Case) -> Calm:
        """The time in which nothing keeps this job from running, not even itself."""
        calm = self._blame.calling if case.made.calls else self._blame.everybody
        own: list[Span] = [*case.pauses, *self._blame.jobs.get(case.made.jobid, [])]
        if not case.made.overlap and case.made.calls:
            own += case.runs(self._now)
        return calm.but(own) if own else calm

    def _attempts(self, case: Case, log: Log) -> Iterator[str]:
        calm = self._blame.calling.but(self._blame.jobs.get(case.made.jobid, []))
        ended: datetime | None = None
        for attempt in case.attempts.get(log.logid, []):
            mine = calm.but(self._blame.replicas.get(attempt.replica, []))
            if ended is not None and not self._clock.is_false(attempt.startedat):
                waited = calm.between(ended, attempt.startedat)
                if waited > self._slack + MAX_PAUSE:
                    yield (
                        f"late: log {log.logid} waited for attempt {attempt.attempt} from {ended} to"
                        f" {attempt.startedat}"
                    )
            yield from self._attempt(log, attempt, mine)
            ended = attempt.finishedat

    def _attempt(self, log: Log, attempt: Attempt, calm: Calm) -> Iterator[str]:
        end = attempt.finishedat or self._now
        if self._clock.is_false(attempt.startedat) or self._clock.is_false(end):
            return
        if calm.between(attempt.startedat, end) > self._slack + MAX_CALL:
            yield (
                f"late: attempt {attempt.attempt} of log {log.logid}, of {attempt.replica}, took from"
                f" {attempt.startedat} to {end}"
            )
        if attempt.outcome == "lost" and not calm.touches(attempt.startedat - self._slack, end):
            yield (
                f"needless: attempt {attempt.attempt} of log {log.logid} was lost at {end}, and nothing had"
                f" happened to {attempt.replica}"
            )
