"""Ways to change evidence, so that something is wrong with it."""

from dataclasses import replace
from datetime import timedelta

from tests.chaos.evidence import (
    Change,
    Evidence,
    Fault,
    Log,
    Order,
    Request,
)
from tests.chaos.example import (
    CALLERS,
    EDITED,
    PLAIN,
    SLOW,
    at,
    id_of,
)

HOUR = timedelta(hours=1)


def but(evidence: Evidence, jobid: int, second: float, **changes: object) -> Evidence:
    """With the log of an occurrence changed."""
    logid = id_of(jobid, second)
    logs = [log._replace(**changes) if log.logid == logid else log for log in evidence.logs]  # type: ignore[arg-type]  # of any field
    return replace(evidence, logs=logs)


def without(evidence: Evidence, jobid: int, *seconds: float) -> Evidence:
    """Without the logs of some occurrences."""
    logids = {id_of(jobid, second) for second in seconds}
    return replace(evidence, logs=[log for log in evidence.logs if log.logid not in logids])


def with_log(evidence: Evidence, *logs: Log) -> Evidence:
    return replace(evidence, logs=[*evidence.logs, *logs])


def with_order(evidence: Evidence, order: Order) -> Evidence:
    return replace(evidence, orders=[*evidence.orders, order])


def with_change(evidence: Evidence, *changes: Change) -> Evidence:
    return replace(evidence, changes=[*evidence.changes, *changes])


def with_request(evidence: Evidence, one: Request) -> Evidence:
    return replace(evidence, requests=[*evidence.requests, one])


def with_alert(evidence: Evidence, alertid: int, **changes: object) -> Evidence:
    """With an alert changed."""
    alerts = [
        one._replace(**changes) if one.alertid == alertid else one  # type: ignore[arg-type]  # of any field
        for one in evidence.alerts
    ]
    return replace(evidence, alerts=alerts)


def without_alert(evidence: Evidence, alertid: int) -> Evidence:
    return replace(evidence, alerts=[one for one in evidence.alerts if one.alertid != alertid])


def with_fault(evidence: Evidence, fault: Fault) -> Evidence:
    return replace(evidence, faults=[*evidence.faults, fault])


def resent(evidence: Evidence, jobid: int, second: float, number: int = 1, **changes: object) -> Evidence:
    """With a request changed."""
    key = id_of(jobid, second), number
    requests = [
        one._replace(**changes) if (one.logid, one.attempt) == key else one  # type: ignore[arg-type]  # of any field
        for one in evidence.requests
    ]
    return replace(evidence, requests=requests)


def unsent(evidence: Evidence, jobid: int, second: float) -> Evidence:
    """Without the requests of a run."""
    logid = id_of(jobid, second)
    return replace(evidence, requests=[one for one in evidence.requests if one.logid != logid])


def retried(evidence: Evidence, jobid: int, second: float, number: int = 1, **changes: object) -> Evidence:
    """With an attempt changed."""
    key = id_of(jobid, second), number
    attempts = [
        one._replace(**changes) if (one.logid, one.attempt) == key else one  # type: ignore[arg-type]  # of any field
        for one in evidence.attempts
    ]
    return replace(evidence, attempts=attempts)


def uncalled(evidence: Evidence, jobid: int, second: float) -> Evidence:
    """Without anything that tells of the call of a run."""
    logid = id_of(jobid, second)
    attempts = [one for one in evidence.attempts if one.logid != logid]
    return replace(unsent(evidence, jobid, second), attempts=attempts)


def each_plain(evidence: Evidence, **changes: object) -> Evidence:
    """With all that the plain job has run changed."""
    logs = [
        log._replace(**changes) if log.jobid == PLAIN and log.status == "finished" else log  # type: ignore[arg-type]  # of any field
        for log in evidence.logs
    ]
    return replace(evidence, logs=logs)


def shifted(evidence: Evidence, by: timedelta) -> Evidence:
    """With each plain run at another time than it was."""
    logs = [
        log
        if log.startedat is None or log.finishedat is None or log.jobid in CALLERS
        else log._replace(
            startedat=log.startedat + by, lastrun=log.startedat + by, finishedat=log.finishedat + by
        )
        for log in evidence.logs
    ]
    return replace(evidence, logs=logs)


def times(second: float) -> dict[str, object]:
    """Of a plain run that was at another time."""
    return {"startedat": at(second), "lastrun": at(second), "finishedat": at(second)}


def skipped(evidence: Evidence, jobid: int, second: float, reason: str) -> Evidence:
    """With a run skipped."""
    return but(evidence, jobid, second, status="skipped", reason=reason, startedat=None)


def caught_up(evidence: Evidence) -> Evidence:
    """With a pause at whose end what was missed was to run."""
    changes = [
        change._replace(after={"missed": "policy"}) if change.action == "resumed" else change
        for change in evidence.changes
    ]
    return replace(evidence, changes=changes)


def keeping(evidence: Evidence) -> Evidence:
    """With the run at 3 s due still as its job was edited: the new schedule calls for it, too."""
    kept = [at(2).isoformat(), at(4.5).isoformat()]
    changes = [
        change._replace(after={**change.after, "kept": kept}) if change.jobid == EDITED else change
        for change in evidence.changes
    ]
    return but(replace(evidence, changes=changes), EDITED, 3, **times(4.6))


def refused(evidence: Evidence) -> Evidence:
    """With each new name refused."""
    orders = [order._replace(status=503) if order.kind == "rename" else order for order in evidence.orders]
    return replace(evidence, orders=orders)


def stalled(evidence: Evidence) -> Evidence:
    """The plain job stood still from 12 s to the end."""
    evidence = without(evidence, PLAIN, *range(13, 21))
    return but(evidence, PLAIN, 12, missed=8, through=at(20), **times(20))


def all_skipped(evidence: Evidence) -> Evidence:
    return each_plain(evidence, status="skipped", reason="misfire", startedat=None)


def mostly_missed(evidence: Evidence, start: float) -> Evidence:
    """One run for ten seconds' occurrences."""
    evidence = without(evidence, PLAIN, *range(6, 15))
    return but(evidence, PLAIN, 5, missed=9, through=at(14), **times(start))


def unexplained_loss(evidence: Evidence) -> Evidence:
    """A call that was lost although its replica was well."""
    return retried(evidence, SLOW, 0, outcome="lost", failure="lost", httpstatus=None)


def frozen(since: float, to: float, **struck: object) -> Fault:
    return Fault("freeze the database", at(since), at(to), **struck)  # type: ignore[arg-type]  # of any field


def late(evidence: Evidence) -> Evidence:
    """Nothing ran from 5 s to 14 s, and then once for all of it."""
    return mostly_missed(evidence, 14.2)
