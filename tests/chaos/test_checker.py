"""The checker finds what it is there to find: each anomaly, planted once in evidence that is clean."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.checker import check
from tests.chaos.evidence import (
    Attempt,
    Audit,
    Change,
    Connections,
    Evidence,
    Log,
    Made,
    Order,
    Request,
    Rewrite,
)

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
PLAIN, CALLING = 1, 2
HOST = "127.0.0.1:8000"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def log(logid: int, second: float, **more: object) -> Log:
    """A run of the plain job, which is to run every second."""
    values = {"status": "finished", "startedat": at(second), "finishedat": at(second)} | more
    return Log(logid, PLAIN, at(second), **values)  # type: ignore[arg-type]


def call(logid: int, second: float, **more: object) -> Log:
    """A run of the job that calls something, which is to run every two seconds."""
    return log(logid, second, **({"host": HOST} | more))._replace(jobid=CALLING)


def attempt(logid: int, number: int, outcome: str) -> Attempt:
    return Attempt(logid, number, at(number), at(number + 1), outcome, "replica:1")


def clean() -> Evidence:
    """Ten seconds of two jobs: a run for three, an edit, a call that was made twice, one that failed."""
    return Evidence(
        now=at(9),
        made=[Made(PLAIN, START, 1, "once"), Made(CALLING, START, 2, "all")],
        names=["renamed", "calling"],
        logs=[
            log(1, 0),
            log(2, 1, missed=2, through=at(3)),
            *(log(second - 1, second) for second in range(4, 10)),
            log(9, 10, status="pending", nextrun=at(10), startedat=None, finishedat=None),
            call(11, 0, attempt=2),
            call(12, 2),
            call(13, 4, status="failed"),
            call(14, 6, following=at(8), status="pending", attempt=2, nextrun=at(9), finishedat=None),
        ],
        attempts=[
            attempt(11, 1, "lost"),
            attempt(11, 2, "finished"),
            attempt(12, 1, "finished"),
            attempt(13, 1, "failed"),
            attempt(14, 1, "failed"),
        ],
        changes=[Change(PLAIN, at(3), "edited", {"jobname": "plain"}, {"jobname": "renamed"})],
        rewrites=[],
        requests=[
            Request("a", 11, 1, 200),
            Request("a", 11, 2, 200),
            Request("b", 12, 1, 200),
            Request("c", 13, 1, 302),
            Request("d", 14, 1, None),
        ],
        orders=[
            Order("create", 503, "outcome_unknown", "plain"),
            Order("create", 201, "", "plain"),
            Order("create", 201, "", "calling"),
            Order("rename", 200, "", "renamed"),
            Order("rename", 503, "database_busy", "never"),
            Order("rename", None, "", "perhaps"),
        ],
        audits=[Audit(PLAIN, True, "[]"), Audit(CALLING, True, "[]")],
        connections=Connections(17, 15, 0),
    )


def changed_log(evidence: Evidence, logid: int, **changes: object) -> Evidence:
    logs = [log._replace(**changes) if log.logid == logid else log for log in evidence.logs]  # type: ignore[arg-type]
    return replace(evidence, logs=logs)


def without_log(evidence: Evidence, logid: int) -> Evidence:
    return replace(evidence, logs=[log for log in evidence.logs if log.logid != logid])


def resent(evidence: Evidence, logid: int, **changes: object) -> Evidence:
    """With the last request of a log changed."""
    requests = list(evidence.requests)
    last = max(index for index, request in enumerate(requests) if request.logid == logid)
    requests[last] = requests[last]._replace(**changes)  # type: ignore[arg-type]
    return replace(evidence, requests=requests)


def with_request(evidence: Evidence, request: Request) -> Evidence:
    return replace(evidence, requests=[*evidence.requests, request])


def with_order(evidence: Evidence, order: Order) -> Evidence:
    return replace(evidence, orders=[*evidence.orders, order])


def retimed(evidence: Evidence) -> Evidence:
    """The plain job was told at 4.5 s to run every 3 seconds; its ledger goes on as before."""
    after = {"interval": 3, "validfrom": at(4.5).isoformat()}
    return replace(
        evidence, changes=[*evidence.changes, Change(PLAIN, at(4.5), "edited", {"interval": 1}, after)]
    )


Plant = Callable[[Evidence], Evidence]
#: What is planted, and the kind of what has to be found.
ANOMALIES: dict[str, tuple[Plant, str]] = {
    "lost occurrence": (lambda e: without_log(e, 4), "lost"),
    "lost first occurrence": (lambda e: without_log(e, 1), "lost"),
    "lost at the end": (lambda e: replace(e, now=at(16)), "lost"),
    "catch-up run for many, where each was to run": (
        lambda e: changed_log(without_log(e, 12), 11, missed=1, through=at(2)),
        "lost",
    ),
    "doubled occurrence": (lambda e: replace(e, logs=[*e.logs, log(20, 5)]), "doubled"),
    "occurrence told of by an earlier row": (lambda e: replace(e, logs=[*e.logs, log(20, 3)]), "doubled"),
    "miscounted missed": (lambda e: changed_log(e, 2, missed=1), "miscounted"),
    "run off the schedule": (lambda e: replace(e, logs=[*e.logs, log(20, 5.5)]), "stray"),
    "edit that the ledger does not follow": (retimed, "stray"),
    "no promise": (lambda e: without_log(e, 9), "promise"),
    "two promises": (lambda e: changed_log(e, 8, following=at(10)), "promise"),
    "promise of the wrong occurrence": (lambda e: changed_log(e, 9, scheduledfor=at(11)), "promise"),
    "request without an attempt row": (lambda e: with_request(e, Request("b", 12, 2, 200)), "unexplained"),
    "same attempt sent twice": (lambda e: with_request(e, Request("b", 12, 1, 200)), "sent twice"),
    "finished without a 2xx": (lambda e: resent(e, 12, answer=500), "unfounded"),
    "success of an attempt that was not answered so": (lambda e: resent(e, 11, answer=None), "unfounded"),
    "two ids for one log": (lambda e: resent(e, 11, messageid="x"), "two ids"),
    "one id for two logs": (lambda e: resent(e, 12, messageid="a"), "shared id"),
    "two successes of one log": (
        lambda e: replace(e, attempts=[attempt(11, 1, "finished"), *e.attempts[1:]]),
        "verdict",
    ),
    "attempt left open": (
        lambda e: replace(e, attempts=[e.attempts[0]._replace(finishedat=None), *e.attempts[1:]]),
        "open attempt",
    ),
    "attempt missing": (lambda e: replace(e, attempts=e.attempts[1:], requests=e.requests[1:]), "gap"),
    "acknowledged job missing": (lambda e: with_order(e, Order("create", 201, "", "gone")), "forgotten"),
    "acknowledged edit missing": (lambda e: with_order(e, Order("rename", 200, "", "gone")), "forgotten"),
    "acknowledged run missing": (lambda e: with_order(e, Order("run now", 202, logid=99)), "forgotten"),
    "refused edit that was made": (
        lambda e: replace(e, orders=[o._replace(status=503) if o.kind == "rename" else o for o in e.orders]),
        "refused but done",
    ),
    "creation done twice": (lambda e: replace(e, names=[*e.names, "calling"]), "shared name"),
    "500 answer": (lambda e: with_order(e, Order("run", 500, "internal_error")), "answer"),
    "leaked connection": (lambda e: replace(e, connections=Connections(17, 18, 0)), "leaked"),
    "open transaction": (lambda e: replace(e, connections=Connections(17, 15, 1)), "leaked"),
    "log stuck running": (lambda e: changed_log(e, 14, status="running", nextrun=None), "stuck"),
    "log overdue": (lambda e: changed_log(e, 14, nextrun=at(2)), "stuck"),
    "verdict changed": (lambda e: replace(e, rewrites=[Rewrite(1, "finished", "failed")]), "rewritten"),
    "replica that died": (lambda e: replace(e, deaths=["replica:1 ended by itself"]), "died"),
    "the service's own finding": (lambda e: replace(e, audits=[Audit(PLAIN, False, "hole")]), "audit"),
}


def test_clean_evidence_is_clean() -> None:
    assert check(clean()) == (14, [])


def test_an_edit_that_the_ledger_follows_is_clean() -> None:
    assert check(with_edited_grid()).violations == []


def with_edited_grid() -> Evidence:
    """The plain job's rows until its edit, and those of every third second, at 6 s and at 9 s."""
    evidence = retimed(clean())
    logs = [one for one in evidence.logs if one.jobid == CALLING or one.scheduledfor <= at(4)]
    promise = log(22, 12, status="pending", nextrun=at(12), startedat=None, finishedat=None)
    return replace(evidence, logs=[*logs, log(20, 6), log(21, 9), promise])


def late_at_its_edit(evidence: Evidence) -> Evidence:
    """The plain job is retimed while its runs of 3 and 4 s are due: both schedules call for that of 3 s."""
    evidence = retimed(evidence)
    *earlier, edit = evidence.changes
    kept: dict[str, object] = {"kept": [at(3).isoformat(), at(3).isoformat()]}
    logs = [
        *(one for one in evidence.logs if one.jobid == CALLING),
        *(log(16 + second, second) for second in range(3)),
        log(19, 3, missed=1, through=at(6)),
        log(20, 4, status="skipped", startedat=None),
        log(21, 9),
        log(22, 12, status="pending", nextrun=at(12), startedat=None, finishedat=None),
    ]
    return replace(evidence, logs=logs, changes=[*earlier, edit._replace(after={**edit.after, **kept})])


def test_what_an_edit_kept_is_accounted_for_by_the_schedule_after_it() -> None:
    assert check(late_at_its_edit(clean())).violations == []


@pytest.mark.parametrize("logid", [18, 19, 20])
def test_what_is_missing_around_an_edit_is_found(logid: int) -> None:
    violations = check(without_log(late_at_its_edit(clean()), logid)).violations
    assert any(violation.startswith("lost: ") for violation in violations), violations


@pytest.mark.parametrize("name", ANOMALIES)
def test_each_anomaly_is_found(name: str) -> None:
    plant, kind = ANOMALIES[name]
    violations = check(plant(clean())).violations
    assert any(violation.startswith(f"{kind}: ") for violation in violations), violations
