"""The checker finds what it is there to find: each kind of damage, planted once in evidence that is clean."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.chaos.checker import check
from tests.chaos.damage import (
    HOUR,
    all_skipped,
    but,
    caught_up,
    each_plain,
    frozen,
    keeping,
    late,
    mostly_missed,
    refused,
    resent,
    retried,
    shifted,
    skipped,
    stalled,
    times,
    uncalled,
    unexplained_loss,
    unsent,
    with_alert,
    with_change,
    with_fault,
    with_log,
    with_order,
    with_request,
    without,
    without_alert,
)
from tests.chaos.evidence import (
    Audit,
    Change,
    Connections,
    Evidence,
    Fault,
    Message,
    Order,
    Rewrite,
    deletion,
)
from tests.chaos.example import (
    CALLING,
    DELETED,
    DROPPING,
    EDITED,
    LIMITED,
    PLAIN,
    SLOW,
    at,
    attempt,
    clean,
    id_of,
    promise,
    request,
    run,
    skip,
)

Plant = Callable[[Evidence], Evidence]
#: What is planted, and the kind of what has to be found.
DAMAGE: dict[str, tuple[Plant, str]] = {
    "lost occurrence": (lambda e: without(e, PLAIN, 5), "lost"),
    "lost first occurrence": (lambda e: without(e, PLAIN, 0), "lost"),
    "lost at the end": (lambda e: replace(e, now=at(30)), "lost"),
    "lost before an edit": (lambda e: without(e, EDITED, 4), "lost"),
    "lost though an edit kept it": (lambda e: without(keeping(e), EDITED, 3), "lost"),
    "kept by an edit, and run twice": (
        lambda e: with_log(keeping(e), run(EDITED, 3)._replace(logid=1)),
        "doubled",
    ),
    "skipped by an edit that kept it": (lambda e: skipped(keeping(e), EDITED, 3, "superseded"), "skipped"),
    "lost before a deletion": (lambda e: without(e, DELETED, 5), "lost"),
    "lost before the limit": (lambda e: with_log(without(e, LIMITED, 1), run(LIMITED, 3)), "lost"),
    "catch-up run for many, where each was to run": (
        lambda e: but(without(e, CALLING, 8), CALLING, 6, missed=1, through=at(8)),
        "lost",
    ),
    "doubled row": (lambda e: with_log(e, run(PLAIN, 5)._replace(logid=1)), "doubled"),
    "doubled run on request": (
        lambda e: with_log(e, run(PLAIN, 7.5, cause="manual")._replace(logid=1)),
        "doubled",
    ),
    "occurrence told of by an earlier row": (lambda e: with_log(e, run(PLAIN, 3)), "doubled"),
    "reach over an edit": (lambda e: but(e, EDITED, 3, missed=3, through=at(6)), "doubled"),
    "wrong number of missed": (lambda e: but(e, PLAIN, 1, missed=1), "miscounted"),
    "wrong last of the missed": (lambda e: but(e, PLAIN, 1, through=at(2)), "miscounted"),
    "run off the schedule": (lambda e: with_log(e, run(PLAIN, 5.5)), "stray"),
    "run by the schedule from before an edit": (lambda e: with_log(e, run(EDITED, 7)), "stray"),
    "no future row": (lambda e: without(e, PLAIN, 21), "promise"),
    "two future rows": (lambda e: with_log(e, promise(PLAIN, 22)), "promise"),
    "future row beside a run that carries the future": (
        lambda e: with_log(e, promise(CALLING, 20)),
        "promise",
    ),
    "future row of the wrong occurrence": (lambda e: but(e, PLAIN, 21, scheduledfor=at(22)), "promise"),
    "future of a deleted job": (lambda e: with_log(e, promise(DELETED, 6)), "promise"),
    "future of a job that ran as often as it may": (lambda e: with_log(e, promise(LIMITED, 3)), "promise"),
    "every plain run skipped, where late ones run once": (all_skipped, "skipped"),
    "every plain run failed": (lambda e: each_plain(e, status="failed"), "failed"),
    "one run, and nine counted as missed ahead": (lambda e: mostly_missed(e, 5), "counted"),
    "one run, and nine counted as missed, late without a reason": (late, "late"),
    "all an hour late": (lambda e: shifted(e, HOUR), "late"),
    "all an hour early": (lambda e: shifted(e, -HOUR), "early"),
    "call failed without a request": (lambda e: unsent(e, CALLING, 4), "failed"),
    "call failed without an attempt": (
        lambda e: but(uncalled(e, CALLING, 6), CALLING, 6, status="failed"),
        "failed",
    ),
    "call skipped without a reason": (
        lambda e: skipped(uncalled(e, CALLING, 6), CALLING, 6, "misfire"),
        "skipped",
    ),
    "call skipped as its job was paused, which it was not": (
        lambda e: skipped(uncalled(e, SLOW, 6), SLOW, 6, "paused"),
        "skipped",
    ),
    "skipped while it was not late enough": (lambda e: but(e, DROPPING, 12, finishedat=at(14.5)), "skipped"),
    "skipped by a pause whose runs were to be caught up": (caught_up, "skipped"),
    "skipped by an edit that there was not": (lambda e: but(e, EDITED, 4, finishedat=at(4.6)), "skipped"),
    "skipped by a deletion that there was not": (lambda e: skipped(e, PLAIN, 5, "deleted"), "skipped"),
    "skipped by a run that was not under way": (lambda e: but(e, SLOW, 2, finishedat=at(4.9)), "skipped"),
    "skipped for a rule that the job does not have": (
        lambda e: but(e, DROPPING, 12, reason="excluded"),
        "skipped",
    ),
    "skipped though asked for": (lambda e: skipped(e, PLAIN, 7.5, "misfire"), "skipped"),
    "skip that reaches beyond its moment": (
        lambda e: but(without(e, DROPPING, 7), DROPPING, 3, missed=4, through=at(7)),
        "skipped",
    ),
    "plain run left running": (lambda e: but(e, PLAIN, 5, status="running", finishedat=None), "running"),
    "finished before it began": (lambda e: but(e, PLAIN, 5, finishedat=at(4.9)), "time"),
    "attempt that ended before it began": (lambda e: retried(e, SLOW, 6, finishedat=at(5.9)), "time"),
    "finished without having begun": (lambda e: but(e, PLAIN, 5, startedat=None), "time"),
    "last run before its instant": (lambda e: but(e, PLAIN, 5, lastrun=at(4)), "early"),
    "request before its instant": (lambda e: resent(e, SLOW, 6, at=at(5.9)), "early"),
    "attempt before its instant": (lambda e: retried(e, SLOW, 6, startedat=at(5.9)), "early"),
    "run while paused": (
        lambda e: with_log(but(e, DROPPING, 3, scheduledfor=at(4), missed=2), run(DROPPING, 3)),
        "paused",
    ),
    "run after the deletion": (lambda e: with_log(e, run(DELETED, 6)), "deleted"),
    "attempt after the deletion": (
        lambda e: with_change(e, Change(SLOW, at(2.5), "deleted", {}, {})),
        "deleted",
    ),
    "one run more than allowed": (lambda e: with_log(e, run(LIMITED, 3)), "exceeded"),
    "late start": (stalled, "late"),
    "late start on request": (lambda e: but(e, PLAIN, 7.5, **times(14)), "late"),
    "attempt that took too long": (lambda e: retried(e, CALLING, 16, finishedat=at(28)), "late"),
    "late next attempt": (
        lambda e: retried(retried(e, SLOW, 0, 1, finishedat=at(0.1)), SLOW, 0, 2, startedat=at(8)),
        "late",
    ),
    "alert that was not sent": (lambda e: with_alert(e, 3, sentat=None, messageid=None), "untold"),
    "alert that counts as sent, and did not arrive": (
        lambda e: with_alert(e, 3, messageid="msg-c"),
        "untold",
    ),
    "issue that nothing tells of": (lambda e: without_alert(e, 3), "untold"),
    "issue that one of the channels is not told of": (lambda e: replace(e, channels=[1, 2]), "untold"),
    "end of an issue that nothing tells of": (lambda e: without_alert(e, 2), "untold"),
    "alerts that arrived late": (
        lambda e: replace(e, messages=[one._replace(at=one.at + timedelta(minutes=3)) for one in e.messages]),
        "late",
    ),
    "message that no alert explains": (
        lambda e: replace(e, messages=[*e.messages, Message("msg-d", at(8))]),
        "unexplained",
    ),
    "call lost by a replica that was well": (unexplained_loss, "needless"),
    "request without an attempt": (lambda e: with_request(e, request(CALLING, 6, 2)), "unexplained"),
    "same attempt sent twice": (lambda e: with_request(e, request(CALLING, 6)), "sent twice"),
    "finished without a 2xx": (lambda e: resent(e, CALLING, 6, answer=500), "unfounded"),
    "finished without a request": (lambda e: unsent(e, CALLING, 6), "unfounded"),
    "failed by an answer that was never given": (lambda e: resent(e, CALLING, 4, answer=500), "unfounded"),
    "success of an attempt that was not answered so": (
        lambda e: resent(e, CALLING, 0, 2, answer=None),
        "unfounded",
    ),
    "finished without an attempt": (lambda e: uncalled(e, CALLING, 6), "uncalled"),
    "finished as if it had no target": (
        lambda e: but(uncalled(e, CALLING, 6), CALLING, 6, host=None),
        "uncalled",
    ),
    "call of a plain job": (lambda e: replace(e, attempts=[*e.attempts, attempt(PLAIN, 5)]), "called"),
    "different delivery ids of one run": (lambda e: resent(e, CALLING, 0, 2, messageid="x"), "two ids"),
    "one delivery id for two runs": (
        lambda e: resent(e, CALLING, 6, messageid=f"msg {id_of(CALLING, 8)}"),
        "shared id",
    ),
    "two successes of one run": (lambda e: retried(e, CALLING, 0, outcome="finished"), "verdict"),
    "failed though an attempt succeeded": (lambda e: but(e, CALLING, 6, status="failed"), "verdict"),
    "attempt left open": (lambda e: retried(e, CALLING, 0, finishedat=None), "open attempt"),
    "attempt missing": (lambda e: replace(e, attempts=e.attempts[1:], requests=e.requests[1:]), "gap"),
    "acknowledged job missing": (lambda e: with_order(e, Order("create", 201, "", "gone")), "forgotten"),
    "acknowledged edit missing": (lambda e: with_order(e, Order("rename", 200, "", "gone")), "forgotten"),
    "acknowledged deletion missing": (
        lambda e: with_order(e, Order("delete", 204, "", deletion(PLAIN))),
        "forgotten",
    ),
    "acknowledged run missing": (lambda e: with_order(e, Order("run now", 202, logid=99)), "forgotten"),
    "acknowledged job without a single row": (
        lambda e: replace(e, logs=[log for log in e.logs if log.jobid != PLAIN]),
        "lost",
    ),
    "refused edit that was made": (refused, "refused but done"),
    "creation done twice": (lambda e: replace(e, names=[*e.names, "calling"]), "shared name"),
    "one job for two creations": (lambda e: replace(e, made=[*e.made, e.made[0]]), "shared job"),
    "500 answer": (lambda e: with_order(e, Order("run", 500, "internal_error")), "answer"),
    "refusal without a reason": (lambda e: with_order(e, Order("pause", 409, "job_has_no_future")), "answer"),
    "leaked connection": (lambda e: replace(e, connections=Connections(17, 18, 0)), "leaked"),
    "open transaction": (lambda e: replace(e, connections=Connections(17, 15, 1)), "leaked"),
    "call left running": (lambda e: but(e, CALLING, 18, status="running", nextrun=None), "stuck"),
    "run overdue": (lambda e: but(e, CALLING, 18, nextrun=at(2)), "stuck"),
    "result changed": (lambda e: replace(e, rewrites=[Rewrite(1, "finished", "failed")]), "rewritten"),
    "replica that died": (lambda e: replace(e, deaths=["vm:1 ended by itself"]), "died"),
    "the service's own finding": (lambda e: replace(e, audits=[Audit(PLAIN, False, "hole")]), "audit"),
}


def test_clean_evidence_is_clean() -> None:
    verdict = check(clean())
    assert verdict.violations == []
    assert verdict.occurrences == 21 + 10 + 21 + 3 + 6 + 11 + 10


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_found(name: str) -> None:
    plant, kind = DAMAGE[name]
    violations = check(plant(clean())).violations
    assert any(violation.startswith(f"{kind}: ") for violation in violations), violations


@pytest.mark.parametrize(("again", "is_explained"), [(184, True), (100, False)])
def test_a_channel_waits_for_a_sender_that_could_not_tell_what_it_has_sent(
    again: float, is_explained: bool
) -> None:
    """What is sent right after a message that was sent twice is late for a reason."""
    messages = [Message("msg-a", at(4.6)), Message("msg-a", at(again)), Message("msg-b", at(185))]
    assert (check(replace(clean(), messages=messages)).violations == []) == is_explained


@pytest.mark.parametrize(
    ("fault", "is_explained"),
    [
        (frozen(5, 14), True),
        (frozen(5, 8, aftermath=6), True),
        (frozen(5, 8, aftermath=2), True),
        (frozen(5, 8), False),
        (frozen(15, 20), False),
        (frozen(5, 14, jobid=PLAIN), True),
        (frozen(5, 14, jobid=CALLING), False),
        (frozen(5, 14, replica="vm:1"), False),
        (frozen(5, 14, calls=True), False),
    ],
)
def test_only_the_faults_of_its_time_explain_why_something_is_late(fault: Fault, is_explained: bool) -> None:
    assert (check(with_fault(late(clean()), fault)).violations == []) == is_explained


def test_a_call_is_lost_with_its_replica_and_with_no_other() -> None:
    own = Fault("kill a replica", at(1), at(1), replica="vm:1")
    other = own._replace(replica="vm:3")
    lost = unexplained_loss(clean())
    assert check(with_fault(lost, own)).violations == []
    assert check(with_fault(lost, other)).violations != []


def hours_ahead() -> Evidence:
    """At 10 s the database's clock went five hours ahead, and back at 12 s; one job ran."""
    false = at(18_010.5)
    evidence = without(clean(), PLAIN, 10, 11, 12)
    jump = run(PLAIN, 10, missed=18_000, through=at(18_010), startedat=false, lastrun=false, finishedat=false)
    return with_log(with_fault(evidence, Fault("clock forward", at(10), at(12), offset=18_000)), jump)


def test_what_a_wrong_clock_counted_ahead_is_run_all_the_same() -> None:
    assert check(hours_ahead()).violations == []


def test_a_job_that_waits_for_an_instant_which_a_wrong_clock_has_shown_is_asleep() -> None:
    evidence = without(hours_ahead(), PLAIN, *range(13, 22))
    violations = check(with_log(evidence, promise(PLAIN, 18_011))).violations
    assert [violation.partition(":")[0] for violation in violations] == ["asleep"]


def test_what_nobody_ran_long_after_the_clock_was_right_again_is_lost() -> None:
    evidence = replace(without(hours_ahead(), PLAIN, *range(13, 22)), now=at(200))
    violations = check(with_log(evidence, promise(PLAIN, 201))).violations
    assert any(violation.startswith("lost: job 1: ") for violation in violations)


def test_nobody_looks_at_a_job_that_was_paused_while_the_clock_was_wrong() -> None:
    """Its pause is recorded at an instant that the clock showed."""
    evidence = replace(without(hours_ahead(), PLAIN, *range(13, 22)), now=at(200))
    for when, action in ((18_011, "paused"), (199, "resumed")):
        evidence = with_change(evidence, Change(PLAIN, at(when), action, {}, {"missed": "policy"}))
    violations = check(with_log(evidence, promise(PLAIN, 201))).violations
    assert not any(violation.startswith("lost: job 1: ") for violation in violations)


def test_early_by_a_clock_that_was_ahead_is_not_early() -> None:
    early = resent(clean(), SLOW, 6, at=at(2))
    ahead = Fault("clock forward", at(1), at(3), offset=5)
    assert check(early).violations != []
    assert not any(found.startswith("early") for found in check(with_fault(early, ahead)).violations)


def test_a_skip_that_was_asked_for_is_clean() -> None:
    skipped = but(clean(), PLAIN, 9, status="skipped", reason="request", startedat=None, finishedat=at(8.5))
    asked = Change(PLAIN, at(8.5), "skipped", {}, {"scheduledfor": at(9).isoformat()})
    assert check(skipped).violations != []
    assert check(with_change(skipped, asked)).violations == []


def test_what_both_schedules_call_for_may_be_kept_by_an_edit() -> None:
    assert check(keeping(clean())).violations == []


def test_an_edit_that_the_ledger_does_not_follow_is_found() -> None:
    after = {"interval": 3, "validfrom": at(4.5).isoformat()}
    edited = with_change(clean(), Change(PLAIN, at(4.5), "edited", {"interval": 1}, after))
    assert any(violation.startswith("stray: job 1") for violation in check(edited).violations)


def test_nothing_else_is_found_than_what_was_planted() -> None:
    violations = check(with_log(clean(), skip(LIMITED, 3, "misfire", 3.5))).violations
    assert [violation.partition(":")[0] for violation in violations] == ["skipped"]
