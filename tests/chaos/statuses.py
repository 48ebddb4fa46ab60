"""Whether each log has the status that the policies give it, at a time at which they may."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tests.chaos.calm import Calm, Clock
from tests.chaos.cases import Case
from tests.chaos.evidence import Attempt, Log

#: The receiver's clock and the database's are one, but are not looked at in the same microsecond.
TOLERANCE = timedelta(milliseconds=10)
#: Of more than so many that were missed, the policy `all` skips the oldest.
CAUGHT_UP = 1000


class Statuses:
    """Judges the logs of one job after the other; `calm` is the time outside of faults."""

    def __init__(self, clock: Clock, calm: Calm, slack: timedelta) -> None:
        self._clock = clock
        self._calm = calm
        # How long a transaction may wait for another one.
        self._wait = slack / 5

    def check(self, case: Case) -> Iterator[str]:
        """Everything about the statuses of a job's logs that no policy says."""
        for log in case.all_logs:
            yield from _order_of_time(case, log, self._clock)
            yield from self._allowed(case, log)
            if log.status == "skipped" and (wrong := _wrong_skip(case, log)):
                yield f"skipped: log {log.logid} of {log.scheduledfor} is skipped: {log.reason}, but {wrong}"
            elif log.status == "failed":
                yield from _failure(case, log)
            yield from _kind(case, log)
            yield from _counted(case, log)
        if case.made.maxruns is not None and case.ran > case.made.maxruns:
            yield f"exceeded: job {case.made.jobid} ran {case.ran} times, and may {case.made.maxruns} times"

    def _allowed(self, case: Case, log: Log) -> Iterator[str]:
        """Nothing begins while its job is paused, but on request; nothing at all once it is deleted.

        A run begins at the instant of its transaction, which may have waited for the end of the pause.
        """
        start = case.first_start(log)
        if start is None or self._clock.is_false(start) or self._clock.is_repeated(start):
            return
        pauses = [pause for pause in case.pauses if pause.since < start < pause.to]
        if log.cause == "schedule" and any(self._calm.between(start, p.to) > self._wait for p in pauses):
            yield f"paused: log {log.logid} began at {start}, while its job was paused"
        latest = _latest(case, log, start)
        if case.deletedat is not None and latest > case.deletedat and not self._clock.is_false(latest):
            yield f"deleted: log {log.logid} began after its job was deleted at {case.deletedat}"


def _order_of_time(case: Case, log: Log, clock: Clock) -> Iterator[str]:
    """Nothing begins before its instant, or ends before it begins."""
    attempts = case.attempts.get(log.logid, [])
    ran = [log.startedat, *(attempt.startedat for attempt in attempts)]
    if log.is_over and log.status != "skipped":
        ran.append(log.lastrun)
        if log.startedat is None:
            yield f"time: log {log.logid} is {log.status}, and never began"
    first = min((instant for instant in ran if instant is not None), default=log.scheduledfor)
    # What a wrong clock has begun is sent, or tried again, when it is right again, too.
    begun = case.first_start(log)
    if begun is None or not clock.is_false(begun):
        if first + clock.ahead(first) < log.scheduledfor:
            yield f"early: log {log.logid} of {log.scheduledfor} ran at {first}"
        for request in case.requests.get(log.logid, []):
            if request.at and request.at + clock.ahead(request.at) + TOLERANCE < log.scheduledfor:
                yield f"early: a request of log {log.logid} of {log.scheduledfor} was sent at {request.at}"
    times = [(log.startedat, log.finishedat), *((one.startedat, one.finishedat) for one in attempts)]
    for start, end in times:
        if start and end and end < start and not clock.was_wrong:
            yield f"time: log {log.logid} began at {start}, and ended at {end}"


def _latest(case: Case, log: Log, start: datetime) -> datetime:
    return max((attempt.startedat for attempt in case.attempts.get(log.logid, [])), default=start)


def _kind(case: Case, log: Log) -> Iterator[str]:
    """Runs of plain jobs are over at once, and never fail; those of others make calls."""
    attempts = case.attempts.get(log.logid, [])
    if case.made.calls:
        if log.status == "finished" and not any(attempt.outcome == "finished" for attempt in attempts):
            yield f"uncalled: log {log.logid} is finished, and none of its attempts is"
        return
    if log.status in {"failed", "running"}:
        yield f"{log.status}: log {log.logid} is {log.status}, and calls nothing"
    if attempts or case.requests.get(log.logid) or log.host is not None:
        yield f"called: log {log.logid} made a call, and its job has no target"


def _failure(case: Case, log: Log) -> Iterator[str]:
    """A run fails with its last attempt, and that one because of what the target answered."""
    attempts: list[Attempt] = case.attempts.get(log.logid, [])
    if not case.made.calls:
        return
    if not attempts or attempts[-1].attempt != log.attempt:
        yield f"failed: log {log.logid} failed at attempt {log.attempt}, of which nothing tells"
        return
    if attempts[-1].outcome not in {"failed", "lost"}:
        yield f"failed: log {log.logid} failed with an attempt that {attempts[-1].outcome}"
    if attempts[-1].outcome == "failed" and not _was_asked(case, log):
        yield f"failed: log {log.logid} failed at attempt {log.attempt}, which the target never saw"


def _was_asked(case: Case, log: Log) -> bool:
    return any(request.attempt == log.attempt for request in case.requests.get(log.logid, []))


def _counted(case: Case, log: Log) -> Iterator[str]:
    """Only catching up once counts others as missed, and only those that have passed."""
    settled = case.settled(log)
    if log.through is not None and settled is not None and log.through > settled:
        yield f"counted: log {log.logid} of {settled} counts what was to come, up to {log.through}"
    if log.missed and log.status != "skipped" and case.made.misfire != "once":
        yield f"lost: log {log.logid} stands for {log.missed} that were to run one by one, or be skipped"


def _wrong_skip(case: Case, log: Log) -> str | None:
    """What speaks against the reason for which a log was skipped; None: nothing."""
    at, last = log.finishedat, log.through or log.scheduledfor
    if at is None:
        return "nobody knows when"
    if log.reason == "deleted":
        was_there = case.deletedat is None or at < case.deletedat
        return "its job was not deleted then" if was_there else None
    if log.cause != "schedule":
        return "it was asked for"
    if log.reason == "request":
        return None if case.changes_at(at, "skipped") else "nobody asked for that"
    if last > at:
        return f"it reaches beyond that moment, to {last}"
    rules = {
        "misfire": _wrong_misfire,
        "paused": _wrong_pause,
        "superseded": _wrong_edit,
        "overlap": _wrong_overlap,
    }
    rule = rules.get(str(log.reason))
    return "its job has no such rule" if rule is None else rule(case, at, last)


def _is_dropped(case: Case, at: datetime, last: datetime) -> bool:
    """Whether the policy drops an occurrence that is found so late."""
    return case.made.misfire == "skip" and at - last > timedelta(seconds=case.made.grace)


def _wrong_misfire(case: Case, at: datetime, last: datetime) -> str | None:
    storm = case.made.misfire == "all" and at - last >= timedelta(seconds=CAUGHT_UP - 1)
    return None if storm or _is_dropped(case, at, last) else f"it was {at - last} late: {case.made.misfire}"


def _wrong_pause(case: Case, at: datetime, last: datetime) -> str | None:
    resumed = case.changes_at(at, "resumed")
    if not resumed:
        return "no pause ended then"
    asked = any(change.after.get("missed") == "skip" for change in resumed)
    return None if asked or _is_dropped(case, at, last) else "it was to be caught up"


def _wrong_edit(case: Case, at: datetime, last: datetime) -> str | None:
    edits = [change for change in case.changes_at(at, "edited") if "validfrom" in change.after]
    return None if edits else f"its schedule was not edited then ({last})"


def _wrong_overlap(case: Case, at: datetime, last: datetime) -> str | None:
    if case.made.overlap or not case.made.calls:
        return "its runs do not wait for each other"
    before = [log for log in case.logs if log.status in {"finished", "failed"} and log.finishedat == at]
    if not any(log.scheduledfor < last for log in before):
        return "no run of it ended then"
    return None if _is_dropped(case, at, last) else "it was to be caught up"
