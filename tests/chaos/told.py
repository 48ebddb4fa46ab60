"""Who was told: what the outbox holds against what the receiver of alerts has written down."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import product

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


def delays(evidence: Evidence) -> list[float]:
    """Seconds from when an alert was written until it arrived first."""
    first: dict[str, datetime] = {}
    for message in evidence.messages:
        first[message.messageid] = min(message.at, first.get(message.messageid, message.at))
    return [_delay(alert, first) for alert in evidence.alerts if alert.messageid in first]


def _delay(alert: Alert, first: dict[str, datetime]) -> float:
    assert alert.messageid is not None
    return max((first[alert.messageid] - alert.at).total_seconds(), 0.0)
