"""What an attempt amounts to: a result or another attempt, and with what the job goes on."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from scheduler_api.contracts.jobs.targets import Target, target_of
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.results import Result, Skipped
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import Misfire, Reason
from scheduler_api.services.jobs.planning import Carried, future_of, written_off
from scheduler_api.targets import Failure, backoff


class Ended(NamedTuple):
    """What came of an attempt."""

    logid: int
    token: UUID
    outcome: str
    """`finished`, `failed`, `accepted`, `lost`, `cancelled`; or `released`: no request was made."""
    failure: Failure | None = None
    error: str | None = None
    again: bool = False
    """Whether another attempt may do better."""
    after: float | None = None
    """Seconds that the target asks to wait."""
    httpstatus: int | None = None
    timing: str | None = None
    excerpt: str | None = None

    @property
    def answer(self) -> tuple[int | None, str | None, str | None]:
        """What the target answered: status, timing, excerpt."""
        return self.httpstatus, self.timing, self.excerpt


def seconds_to(instant: datetime | None, now: datetime) -> float | None:
    """How many seconds there are to an instant that there may be."""
    return None if instant is None else (instant - now).total_seconds()


def target_in(document: str | None) -> Target | None:
    """The target that a job's row holds; None: it has none, or none that can be understood."""
    try:
        return None if document is None else target_of(document)
    except ValueError:
        return None


def judge(now: datetime, log: LeasedLog, end: Ended) -> tuple[Result, Sequence[Skipped]]:
    """What becomes of a run, and the rows for what its job skips."""
    again, why = (None, None) if end.outcome == "finished" else _again_at(now, log, end)
    result = Result(log.logid, "pending", retry=again, released=end.outcome == "released")
    if again is not None:
        return result, ()
    if end.outcome == "finished":
        result = result._replace(status="finished")
    else:
        result = result._replace(status="failed", error=f"{end.error} {why}" if why else end.error)
    if log.following is None:
        return result, ()
    following, tried, skipped = _following(now, log, log.following)
    return result._replace(next=following, tried=tried), skipped


def _again_at(now: datetime, log: LeasedLog, end: Ended) -> tuple[datetime | None, str | None]:
    """When the next attempt is due; None: there is none, and why, where the end itself does not say so."""
    target = target_in(log.target)
    why = _why_last(now, log, end, target)
    if why is not None:
        return None, why
    # That a replica went away is no fault of the target, which need not be spared.
    lost = end.failure is Failure.LOST and end.outcome == "lost"
    if target is None or lost or end.outcome == "released":
        return now, None
    share = random.random()  # noqa: S311 - spreads load
    pause = backoff.pause(log.attempt - log.spent, target.backoff, target.maxbackoff, share)
    return now + timedelta(seconds=max(pause, end.after or 0)), None


def _why_last(now: datetime, log: LeasedLog, end: Ended, target: Target | None) -> str | None:
    """Why no attempt follows, empty where the end says why itself; None: one follows.

    Whether one follows is judged when the one before has ended, and not by when it would begin: so what a
    target asks to wait is waited for, however near the end of the time to retry for.
    """
    if log.deletedat is not None:
        return "The job was deleted meanwhile, so it is not retried."
    if end.outcome == "released":
        return None
    if not end.again:
        return ""
    name = f"That was attempt {log.attempt}"
    if target is None or log.attempt - log.spent > target.retries:
        return f"{name}."
    assert log.startedat is not None
    if now > log.startedat + timedelta(seconds=target.retryfor):
        return f"{name}, and the last one: more than {target.retryfor} seconds have passed since the first."
    return None


def _following(
    now: datetime, log: LeasedLog, occurrence: datetime | None
) -> tuple[datetime | None, datetime | None, Sequence[Skipped]]:
    """The occurrence that the job goes on with, when it is tried, and the rows for what is skipped before.

    What came while the run was in progress is a misfire like any other; where those are skipped, the ledger
    says that it was the overlap.
    """
    if not log.refined and log.misfire != Misfire.SKIP:
        return occurrence, occurrence, ()
    skipped: Sequence[Skipped] = ()
    try:
        future = future_of(log, Carried(log.lastrun, log.runs))
        occurrence = future.admit(occurrence)
        horizon = now - timedelta(seconds=log.grace)
        if occurrence is not None and log.misfire == Misfire.SKIP and occurrence < horizon:
            last = horizon - datetime.resolution
            skipped, occurrence = written_off(log.jobid, future, occurrence, last, Reason.OVERLAP)
        return occurrence, occurrence and future.tried_at(occurrence), skipped
    except ScheduleUnusable:
        # The claim of the next run will say so.
        return occurrence, occurrence, skipped
