"""The checker: what a run must not leave behind. It shares no code with the service."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tests.chaos.calm import Blame, Clock
from tests.chaos.cases import cases
from tests.chaos.coverage import Coverage, can_be_judged, twice
from tests.chaos.evidence import Attempt, Evidence, Order, Request, deletion
from tests.chaos.lateness import Lateness
from tests.chaos.statuses import Statuses
from tests.chaos.told import check_alerts, check_delays

UNAVAILABLE = 503
#: Who repeats a request with its key may find the first still under way; what comes of that is open.
IN_FLIGHT = "idempotency_key_in_flight"
#: The status of an answer to what the target never saw.
UNSEEN = 0
OPEN = ("outcome_unknown", IN_FLIGHT)


class Verdict(NamedTuple):
    """What came of a check."""

    occurrences: int
    """How many the ledger accounts for."""
    violations: list[str]
    """Each begins with its kind."""
    unjudged: int = 0
    """Jobs whose occurrences could not be counted, as they were edited while the clock was wrong."""


def check(evidence: Evidence) -> Verdict:
    """Find everything that is wrong; nothing, if no occurrence was lost or doubled and no promise broken."""
    clock, lateness = Clock(evidence.steps), Lateness(evidence)
    judged = Statuses(clock, Blame.of(evidence.faults).everybody, evidence.slack)
    found, occurrences, unjudged = list(twice(evidence.logs)), 0, 0
    for case in cases(evidence):
        if can_be_judged(case, clock):
            coverage = Coverage(case, clock, evidence.slack)
            found += coverage.check(evidence.now)
            occurrences += coverage.accounted
        else:
            unjudged += 1
        found += judged.check(case)
        found += lateness.check(case)
    for rule in (
        _unsettled,
        _rewritten,
        _deliveries,
        _successes,
        _attempts,
        _orders,
        _orders_kept,
        _rest,
        check_alerts,
        check_delays,
    ):
        found += rule(evidence)
    return Verdict(occurrences, found, unjudged)


def _unsettled(evidence: Evidence) -> Iterator[str]:
    late = evidence.now - evidence.slack
    for log in evidence.logs:
        if log.status == "running":
            yield f"stuck: log {log.logid} still runs, and nobody holds it"
        elif log.status == "pending" and log.nextrun is not None and log.nextrun < late:
            yield f"stuck: log {log.logid} was due at {log.nextrun}"


def _rewritten(evidence: Evidence) -> Iterator[str]:
    for logid, was, became in evidence.rewrites:
        # What a wrong clock has counted or skipped ahead is put right afterwards; what ran has run.
        if evidence.steps and (was == became or (was, became) == ("skipped", "gone")):
            continue
        yield f"rewritten: log {logid} was {was}, and became {became}"


def _deliveries(evidence: Evidence) -> Iterator[str]:
    """The receiver's account against the ledger's."""
    written = {(attempt.logid, attempt.attempt) for attempt in evidence.attempts}
    requests: dict[int, list[Request]] = defaultdict(list)
    owners: dict[str, int] = {}
    sent: set[tuple[int, int]] = set()
    for request in evidence.requests:
        requests[request.logid].append(request)
        key = request.logid, request.attempt
        if key not in written:
            yield f"unexplained: no attempt tells of the request of log {key[0]}, attempt {key[1]}"
        if key in sent:
            yield f"sent twice: log {key[0]}, attempt {key[1]}"
        sent.add(key)
        owner = owners.setdefault(request.messageid, request.logid)
        if owner != request.logid:
            yield f"shared id: {request.messageid} is of logs {owner} and {request.logid}"
    for logid, several in requests.items():
        if len(ids := {request.messageid for request in several}) > 1:
            yield f"two ids: log {logid} was sent as {sorted(ids)}"


def _successes(evidence: Evidence) -> Iterator[str]:
    """Whatever counts as a success is founded on an answer that says so."""
    answered = {(request.logid, request.attempt): request.answer for request in evidence.requests}
    good = {request.logid for request in evidence.requests if _is_good(request.answer)}
    for attempt in evidence.attempts:
        logid, number = attempt.logid, attempt.attempt
        said = answered.get((logid, number))
        if attempt.outcome == "finished" and not _is_good(said):
            yield f"unfounded: log {logid} succeeded at attempt {number}, but the target said {said}"
        elif attempt.httpstatus is not None and _contradicts(answered.get((logid, number), UNSEEN), attempt):
            yield f"unfounded: log {logid} tells of {attempt.httpstatus}, but the target said {said}"
    for log in evidence.logs:
        if log.status == "finished" and log.host is not None and log.logid not in good:
            yield f"unfounded: log {log.logid} is finished, but no request of it succeeded"


def _contradicts(answer: int | None, attempt: Attempt) -> bool:
    """Whether the target did not say what an attempt tells of; how it began where it broke off is open."""
    return answer is not None and answer != attempt.httpstatus


def _is_good(answer: int | None) -> bool:
    return answer is not None and 200 <= answer < 300


def _attempts(evidence: Evidence) -> Iterator[str]:
    """Each log that calls something has its attempts, one after the other, and one success at most."""
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in evidence.attempts:
        attempts[attempt.logid].append(attempt)
    for log in evidence.logs:
        mine = sorted(attempts[log.logid], key=lambda attempt: attempt.attempt)
        if log.is_over and any(attempt.finishedat is None for attempt in mine):
            yield f"open attempt: log {log.logid} is {log.status}, but an attempt of it is not over"
        good = [attempt.attempt for attempt in mine if attempt.outcome == "finished"]
        if log.host is not None and (log.status == "finished") != (good == [log.attempt]):
            yield f"verdict: log {log.logid} is {log.status} at attempt {log.attempt}; successes: {good}"
        if [attempt.attempt for attempt in mine] != list(range(1, len(mine) + 1)):
            yield f"gap: the attempts of log {log.logid} are {[attempt.attempt for attempt in mine]}"


def _orders(evidence: Evidence) -> Iterator[str]:
    """Nobody was told anything but a success, or to come back."""
    for order in evidence.orders:
        done = order.status is None or 200 <= order.status < 300
        if not done and order.status != UNAVAILABLE and order.code not in {IN_FLIGHT, order.allowed}:
            yield f"answer: {order.kind} was answered {order.status} {order.code}"


def _orders_kept(evidence: Evidence) -> Iterator[str]:
    """What was acknowledged is there; what was refused is not."""
    there = _traces(evidence)
    for name, count in Counter(evidence.names).items():
        if count > 1:
            yield f"shared name: {count} jobs came of the creation of {name}"
    logids = {log.logid for log in evidence.logs}
    by_marker: dict[str, list[Order]] = defaultdict(list)
    for order in evidence.orders:
        if order.marker:
            by_marker[order.marker].append(order)
        if order.logid is not None and order.logid not in logids:
            yield f"forgotten: log {order.logid} was acknowledged"
    for marker, orders in by_marker.items():
        acknowledged = any(order.status is not None and order.status < 300 for order in orders)
        in_doubt = any(order.status is None or order.code in OPEN for order in orders)
        if acknowledged and marker not in there:
            yield f"forgotten: {orders[-1].kind} {marker} was acknowledged"
        if not acknowledged and not in_doubt and marker in there:
            yield f"refused but done: {orders[-1].kind} {marker}"


def _traces(evidence: Evidence) -> set[str]:
    """The markers that orders have left."""
    there = set(evidence.names)
    for change in evidence.changes:
        there |= {str(change.before.get("jobname", ""))}
        there |= {str(change.after.get("jobname", "")), str(change.after.get("reason", ""))}
        if change.action == "deleted":
            there.add(deletion(change.jobid))
    return there


def _rest(evidence: Evidence) -> Iterator[str]:
    """Nothing is left open, nobody died, and the service's own check agrees."""
    allowed, opened, idle = evidence.connections
    if opened > allowed:
        yield f"leaked: {opened} connections, where {allowed} would do"
    if idle:
        yield f"leaked: {idle} connections are left in a transaction"
    for death in evidence.deaths:
        yield f"died: {death}"
    for audit in evidence.audits:
        # After the clock was wrong, the ledger does tell of instants twice.
        if not audit.clean and not evidence.steps:
            yield f"audit: the service finds of job {audit.jobid}: {audit.said}"
    made = [made.jobid for made in evidence.made]
    for jobid in {jobid for jobid in made if made.count(jobid) > 1}:
        yield f"shared job: job {jobid} is the answer to two creations"


#: What is looked for beside each job's own history.
RULES = (
    _unsettled,
    _rewritten,
    _deliveries,
    _successes,
    _attempts,
    _orders,
    _orders_kept,
    _rest,
    check_alerts,
    check_delays,
)
