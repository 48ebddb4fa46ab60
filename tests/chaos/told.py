"""Who was told: what the outbox holds against what the receiver of alerts has written down."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import product

from scheduler_api.services.alerts import sending
from tests.chaos.calm import Blame, Clock, Span
from tests.chaos.evidence import Alert, Evidence

#: What the channel's rule leaves out.
UNTOLD = {"late"}


def check_alerts(evidence: Evidence) -> Iterator[str]:
    """Every issue is told, no alert is lost, and nothing is told that there was not."""
    received = {message.messageid for message in evidence.messages}
    told: dict[tuple[int, int], set[str]] = defaultdict(set)
    for alert in evidence.alerts:
        told[alert.channelid, alert.issueid].add(alert.event)
        if alert.messageid is None or alert.sentat is None:
            yield f"untold: alert {alert.alertid} of issue {alert.issueid} was not sent"
        elif alert.messageid not in received:
            yield f"untold: alert {alert.alertid} counts as sent as {alert.messageid}, which did not arrive"
    for channelid, issue in product(evidence.channels, evidence.issues):
        if issue.flapping or issue.kind in UNTOLD:
            continue
        heard = told[channelid, issue.issueid]
        what = f"the {issue.kind} issue {issue.issueid} of job {issue.jobid}"
        if "opened" not in heard:
            yield f"untold: nothing tells channel {channelid} of {what}"
        elif issue.endedat is not None and "ended" not in heard:
            yield f"untold: nothing tells channel {channelid} that {what} is over"
    known = {alert.messageid for alert in evidence.alerts}
    for message in evidence.messages:
        if message.messageid not in known:
            yield f"unexplained: no alert was sent as {message.messageid}"


def check_delays(evidence: Evidence) -> Iterator[str]:
    """Of 100 alerts, 99 arrive within seconds."""
    late = percentile(unexplained(evidence), 0.99)
    if late > evidence.slack.total_seconds():
        yield f"late: one of 100 alerts arrived {late:.1f} s after it was written, which no fault explains"


def delays(evidence: Evidence) -> list[float]:
    """Seconds from when an alert was written until it arrived first."""
    return [max((at - alert.at).total_seconds(), 0.0) for alert, at in _arrivals(evidence)]


def unexplained(evidence: Evidence) -> list[float]:
    """The same without the time in which nothing could be sent, or the channel waited.

    It waits for more to come, and for a sender that could not write down what it has sent: until its lease is
    over, and that is sent again.
    """
    everybody, clock = Blame.of(evidence.faults).everybody, Clock(evidence.steps)
    calm = {channelid: everybody.but(_pauses(evidence, channelid)) for channelid in evidence.channels}
    return [
        calm[alert.channelid].between(alert.at, at).total_seconds()
        for alert, at in _arrivals(evidence)
        if alert.channelid in calm and not clock.is_false(alert.at)
    ]


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all does not exceed; 0: there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def _arrivals(evidence: Evidence) -> list[tuple[Alert, datetime]]:
    first: dict[str, datetime] = {}
    for message in evidence.messages:
        first[message.messageid] = min(message.at, first.get(message.messageid, message.at))
    return [(alert, first[alert.messageid]) for alert in evidence.alerts if alert.messageid in first]


def _pauses(evidence: Evidence, channelid: int) -> Iterator[Span]:
    """When a channel waited: it had been told of much within a minute, or nobody knew that it was told."""
    sent = sorted(
        alert.sentat for alert in evidence.alerts if alert.channelid == channelid and alert.sentat is not None
    )
    for index, at in enumerate(sent):
        if index + 1 - bisect_right(sent, at - sending.MINUTE) > sending.MANY:
            yield Span(at, at + sending.MINUTE)
    own = {alert.messageid for alert in evidence.alerts if alert.channelid == channelid}
    arrived: dict[str, list[datetime]] = defaultdict(list)
    for message in evidence.messages:
        if message.messageid in own:
            arrived[message.messageid].append(message.at)
    yield from (Span(min(times), max(times)) for times in arrived.values() if len(times) > 1)
