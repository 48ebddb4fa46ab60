"""Alerts in words: what is told of an issue, one by one or many together, and what a rule says."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from scheduler_api.contracts.alerts.alerts import AlertEvent, Facts, ServiceFacts
from scheduler_api.contracts.alerts.channels import ChannelKind
from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssue, JobIssueKind, ServiceIssueKind
from scheduler_api.database.alerts.channels import RuleRow
from scheduler_api.database.alerts.mutes import MuteRow
from scheduler_api.database.alerts.outbox import WaitingAlert
from scheduler_api.database.runs.watching import SuspectRun
from scheduler_api.wording.instants import local
from scheduler_api.wording.schedules import duration

#: Alerts that a message spells out, and characters of an error in one of many.
SPELLED_OUT, MAX_ERROR = 10, 300
#: Kinds of issues in words: as a label, and as what a rule tells of.
KINDS = {
    JobIssueKind.FAILED: "Failed",
    JobIssueKind.MISSED: "Missed",
    JobIssueKind.LATE: "Late",
    JobIssueKind.STUCK: "Stuck",
    JobIssueKind.SILENT: "Silent",
    JobIssueKind.PAUSED: "Paused automatically",
}
TOLD_OF = {
    JobIssueKind.FAILED: "failures",
    JobIssueKind.MISSED: "missed runs",
    JobIssueKind.LATE: "late runs",
    JobIssueKind.STUCK: "stuck runs",
    JobIssueKind.SILENT: "silent jobs",
    JobIssueKind.PAUSED: "automatic pauses",
}
SERVICE_KINDS = {
    ServiceIssueKind.DATABASE: "Database",
    ServiceIssueKind.REPLICA: "Replica",
    ServiceIssueKind.CROWDED: "At capacity",
    ServiceIssueKind.DISK: "Disk",
    ServiceIssueKind.EXPORT: "Export",
    ServiceIssueKind.TRANSACTION: "Transaction",
    ServiceIssueKind.CHANNEL: "Channel",
    ServiceIssueKind.RESTORED: "Restored",
}
#: What jobs do of which many alerts tell.
_MANY = {
    JobIssueKind.FAILED: "failing",
    JobIssueKind.MISSED: "missing runs",
    JobIssueKind.LATE: "late",
    JobIssueKind.STUCK: "stuck",
    JobIssueKind.SILENT: "silent",
    JobIssueKind.PAUSED: "paused automatically",
}
_BEGUN = {
    JobIssueKind.FAILED: "{name} failed{times}",
    JobIssueKind.MISSED: "{name} missed {runs}",
    JobIssueKind.LATE: "{name} is late",
    JobIssueKind.STUCK: "A run of {name} is stuck",
    JobIssueKind.SILENT: "{name} is silent",
    JobIssueKind.PAUSED: "{name} was paused automatically",
}
_STILL = {
    JobIssueKind.FAILED: "{name} is still failing ({times:,} in a row)",
    JobIssueKind.MISSED: "{name} still misses runs ({times:,} so far)",
    JobIssueKind.LATE: "{name} is still late",
    JobIssueKind.STUCK: "A run of {name} is still stuck",
    JobIssueKind.SILENT: "{name} is still silent",
    JobIssueKind.PAUSED: "{name} is still paused",
}
_ENDED = {
    IssueEnding.EDITED: "was edited",
    IssueEnding.PAUSED: "was paused",
    IssueEnding.RESUMED: "was resumed",
    IssueEnding.DELETED: "was deleted",
    IssueEnding.CLOSED: "was closed by hand",
}


#: What channels are called.
CHANNEL_KINDS = {
    ChannelKind.WEBHOOK: "Webhook",
    ChannelKind.EMAIL: "E-mail",
    ChannelKind.SLACK: "Slack",
    ChannelKind.DISCORD: "Discord",
    ChannelKind.TEAMS: "Microsoft Teams",
    ChannelKind.TELEGRAM: "Telegram",
    ChannelKind.NTFY: "ntfy",
    ChannelKind.PAGERDUTY: "PagerDuty",
    ChannelKind.OPSGENIE: "Opsgenie",
    ChannelKind.APPRISE: "Apprise API",
}


FLAPPING = (
    "It has gone wrong and recovered several times within an hour. No further alerts are sent until it is "
    "stable for 30 minutes."
)


class Entry(NamedTuple):
    """One alert of a message."""

    event: AlertEvent
    kind: JobIssueKind | ServiceIssueKind | None
    title: str
    lines: list[str]
    """What else there is to say: the error, occurrences, since when."""
    url: str
    """Where to look: the run, the job, or the overview."""
    issueurl: str | None
    """Where to acknowledge it."""
    issue: str | None
    """By what services know that several alerts are about one issue."""
    issueid: int | None
    jobid: int | None
    facts: Facts | None

    @property
    def is_good(self) -> bool:
        """Whether it says that something is over, or nothing."""
        return self.event in {AlertEvent.ENDED, AlertEvent.TEST}


class Message(NamedTuple):
    """What a channel is told at once."""

    messageid: UUID
    title: str
    entries: list[Entry]
    """The first of them, spelled out."""
    more: int
    """How many further ones there are."""
    url: str
    """Where all of them are."""
    every: list[Entry]
    """All of them."""

    @property
    def is_good(self) -> bool:
        """Whether all of it is."""
        return all(entry.is_good for entry in self.every)

    @property
    def text(self) -> str:
        """All of it but the title, as plain text."""
        blocks = [entry_text(entry, titled=len(self.entries) > 1) for entry in self.entries]
        if self.more:
            blocks.append(f"And {self.more:,} more: {self.url}")
        return "\n\n".join(blocks)


def entry_text(entry: Entry, *, titled: bool = True) -> str:
    """An alert as lines of plain text."""
    links = [entry.url] if entry.issueurl is None else [entry.url, f"Acknowledge: {entry.issueurl}"]
    return "\n".join([*([entry.title] if titled else []), *entry.lines, *links])


def message_of(alerts: Sequence[WaitingAlert], base_url: str) -> Message:
    """The message in which a channel is told of these alerts."""
    is_alone = len(alerts) == 1
    # What is wrong comes before what is over.
    every = sorted(
        (_entry(alert, base_url, is_alone=is_alone) for alert in alerts), key=lambda entry: entry.is_good
    )
    title = every[0].title if is_alone else _title_of_many(alerts)
    shown = every[:SPELLED_OUT]
    return Message(alerts[0].messageid, title, shown, len(every) - len(shown), f"{base_url}/issues", every)


def _entry(alert: WaitingAlert, base_url: str, *, is_alone: bool) -> Entry:
    event = AlertEvent(alert.event)
    if event is AlertEvent.TEST:
        lines = ["If you can read this, alerts reach this channel."]
        return Entry(event, None, "Test alert", lines, f"{base_url}/channels", None, None, None, None, None)
    if alert.serviceissueid is not None:
        return _service_entry(alert, base_url)
    facts = Facts.model_validate(alert.facts)
    lines = _lines(event, facts, MAX_ERROR if not is_alone else None)
    page = f"/logs/{facts.logid}" if _is_of_run(facts) else f"/jobs/{alert.jobid}"
    issue = None if event is AlertEvent.ENDED else f"{base_url}/issues/{alert.issueid}"
    title, url = title_of(event, facts), f"{base_url}{page}"
    name = f"{alert.issueid}"
    return Entry(event, facts.kind, title, lines, url, issue, name, alert.issueid, alert.jobid, facts)


def _service_entry(alert: WaitingAlert, base_url: str) -> Entry:
    event, facts = AlertEvent(alert.event), ServiceFacts.model_validate(alert.facts)
    title, name = service_title(event, facts), f"service-{alert.serviceissueid}"
    if event is AlertEvent.ENDED:
        lines = [f"Since {both(facts.since, 'UTC')}", f"Last seen: {both(facts.seenat, 'UTC')}"]
    else:
        lines = [*([] if facts.why is None else [facts.why]), facts.action]
        lines.append(f"Since {both(facts.since, 'UTC')}")
    return Entry(event, facts.kind, title, lines, f"{base_url}/overview", None, name, None, None, None)


def _is_of_run(facts: Facts) -> bool:
    return facts.logid is not None and facts.kind in {JobIssueKind.FAILED, JobIssueKind.STUCK}


def service_title(event: AlertEvent, facts: ServiceFacts) -> str:
    """What an alert of the service itself says, in a line."""
    if event is AlertEvent.OPENED:
        return facts.what
    return f"{'Resolved' if event is AlertEvent.ENDED else 'Still open'}: {facts.what}"


def title_of(event: AlertEvent, facts: Facts) -> str:
    """What an alert says, in a line."""
    name = f"“{facts.jobname}”"
    if event is AlertEvent.ENDED:
        if facts.flapping:
            return f"{name} is stable"
        how = None if facts.ending is None else _ENDED.get(facts.ending)
        if facts.ending is IssueEnding.CLOSED:
            return f"The issue of {name} {how}"
        return f"{name} recovered" if how is None else f"Closed: {name} {how}"
    if facts.flapping and event is AlertEvent.OPENED:
        return f"{name} is flapping"
    if event is AlertEvent.REMINDER:
        return _STILL[facts.kind].format(name=name, times=facts.times)
    return title_of_issue(facts.kind, facts.jobname, facts.times)


def issue_title(issue: JobIssue) -> str:
    """What is wrong with a job, or was, in a line."""
    return title_of_issue(issue.kind, issue.jobname, issue.times)


def title_of_issue(kind: JobIssueKind, jobname: str, count: int) -> str:
    """What is wrong with a job of that name, and how many runs or occurrences it is about, in a line."""
    times = f" {count:,} times in a row" if count > 1 else ""
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return _BEGUN[kind].format(name=f"“{jobname}”", times=times, runs=runs)


def _lines(event: AlertEvent, facts: Facts, longest: int | None) -> list[str]:
    lines = []
    if facts.flapping and event is AlertEvent.OPENED:
        lines.append(FLAPPING)
    if event is AlertEvent.ENDED:
        lines.append(_was(facts))
    elif facts.error is not None:
        lines.append(facts.error if longest is None else facts.error[:longest])
    if facts.kind is JobIssueKind.MISSED and facts.firstfor is not None:
        lines.append(_occurrences(facts))
    lines.append(f"Since {both(facts.since, facts.timezone)}")
    if facts.owner:
        lines.append(f"Owner: {facts.owner}")
    if facts.runbook and event is not AlertEvent.ENDED:
        lines.append(f"Runbook: {facts.runbook}")
    return lines


def _was(facts: Facts) -> str:
    times = f", {facts.times:,} times" if facts.times > 1 else ""
    lasted = ""
    if facts.endedat is not None:
        lasted = f", for {duration(int((facts.endedat - facts.since).total_seconds()))}"
    return f"Was: {KINDS[facts.kind].lower()}{times}{lasted}."


def _occurrences(facts: Facts) -> str:
    assert facts.firstfor is not None
    first = both(facts.firstfor, facts.timezone)
    if facts.lastfor is None or facts.lastfor == facts.firstfor:
        return f"Missed: {first}"
    return f"Missed: from {first} to {both(facts.lastfor, facts.timezone)}"


def both(instant: datetime, zone: str) -> str:
    """The instant on the clocks of a zone, and in UTC unless that is the same."""
    shown = local(instant, zone)
    return shown if shown.endswith(" UTC") else f"{shown} ({instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _title_of_many(alerts: Sequence[WaitingAlert]) -> str:
    """What many alerts have in common: most of all what is wrong, where, and why."""
    facts = [(alert, Facts.model_validate(alert.facts)) for alert in alerts if alert.jobid is not None]
    service = [alert for alert in alerts if alert.serviceissueid is not None]
    bad = [(alert, fact) for alert, fact in facts if alert.event != AlertEvent.ENDED]
    if service and not bad:
        # What is wrong comes before what is over.
        first = min(service, key=lambda alert: alert.event == AlertEvent.ENDED)
        title = service_title(AlertEvent(first.event), ServiceFacts.model_validate(first.facts))
        return f"{title[:MAX_ERROR]} (and {len(alerts) - 1:,} more)"
    if not bad:
        jobs = len({alert.jobid for alert, _ in facts})
        return "Test alerts" if not jobs else f"{_jobs(jobs)} recovered"
    kinds = Counter(fact.kind for _, fact in bad)
    kind, _ = kinds.most_common(1)[0]
    of_kind = [(alert, fact) for alert, fact in bad if fact.kind is kind]
    jobs = len({alert.jobid for alert, _ in of_kind})
    title = f"{_jobs(jobs)} {'is' if jobs == 1 else 'are'} {_MANY[kind]}"
    causes = Counter((fact.host, fact.error) for _, fact in of_kind if fact.error is not None)
    if causes and kind is JobIssueKind.FAILED:
        (host, error), count = causes.most_common(1)[0]
        if count > 1:
            where = "" if host is None else f" on {host}"
            title += f", {count:,} of them{where}: {error}" if count < jobs else f"{where}: {error}"
    rest = len(alerts) - len(of_kind)
    return title[:MAX_ERROR] + (f" (and {rest:,} more)" if rest else "")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def late_since(now: datetime, due: datetime) -> str:
    """What a run that has not begun says of itself."""
    return f"It was due {duration(int((now - due).total_seconds()))} ago and has not begun."


def stuck_since(now: datetime, run: SuspectRun) -> str:
    """What a run says of itself that takes far longer than usual."""
    took, usual = int((now - run.since).total_seconds()), max(1, round(run.usual))
    if run.limit is not None:
        return f"It has been running for {duration(took)}, longer than the {duration(run.limit)} of its job."
    return f"It has been running for {duration(took)}. 95 of 100 runs take {duration(usual)} at most."


def silent_since(reference: datetime) -> str:
    """What a job says of itself that does not succeed."""
    return f"No run has finished since {reference.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."


def mute_in_words(mute: MuteRow) -> str:
    """A mute as one sentence."""
    of = _of(mute.project, mute.tag, mute.jobid)
    why = f" {mute.reason}" if mute.reason else ""
    if mute.cron is None or mute.minutes is None:
        return f"Hold alerts{of} until {mute.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC.{why}"
    return f"Hold alerts{of} for {duration(60 * mute.minutes)} at {mute.cron} ({mute.timezone}).{why}"


def _of(project: str | None, tag: str | None, jobid: int | None) -> str:
    """Of which jobs something is."""
    where = [
        *([f"job {jobid}"] if jobid is not None else []),
        *([f"jobs tagged {tag}"] if tag is not None else []),
        *([f"project {project}"] if project is not None else []),
    ]
    return f" of {' in '.join(where)}" if where else " of all jobs"


def _failures(rule: RuleRow) -> str:
    failures = "1 failure" if rule.after == 1 else f"{rule.after:,} failures"
    return f"{failures} in a row" if rule.outof is None else f"{failures} in the last {rule.outof:,} runs"


def rule_in_words(rule: RuleRow) -> str:
    """A rule as one sentence."""
    is_any = rule.after == 1 and rule.outof is None
    kinds = [TOLD_OF[JobIssueKind(kind)] for kind in rule.kinds if kind != JobIssueKind.FAILED or is_any]
    if JobIssueKind.FAILED in rule.kinds and not is_any:
        kinds.insert(0, _failures(rule))
    if not kinds:
        whole = "issues of the service itself"
    else:
        what = kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
        if len(rule.kinds) == len(JobIssueKind) and is_any:
            what = "every issue"
        whole = what + _of(rule.project, rule.tag, rule.jobid)
        if rule.service:
            whole += " and of the service itself"
    then = ", again after 6 hours and then daily" if rule.reminds else ""
    over = ", and when it is over" if rule.recovers else ""
    return f"Tell {rule.channel} of {whole}{then}{over}."
