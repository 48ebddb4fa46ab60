"""Instants, schedules, targets and what came of runs in words, for people."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scheduler_api.contracts import After, Attempt, Change, Ending, Job, Log, State, Target, days_of
from scheduler_api.schedule import Definition, is_zone
from scheduler_api.schedule.wording import cadence, describe, duration, relative

__all__ = [
    "attempt",
    "autopause",
    "body",
    "cancelling",
    "differences",
    "duration",
    "is_web",
    "local",
    "milliseconds",
    "note",
    "outlook",
    "overlap",
    "relative",
    "retriable",
    "retry_plan",
    "schedule",
    "success",
    "whole_schedule",
]

REASONS = {
    "misfire": "found too late",
    "paused": "the job was paused",
    "excluded": "excluded day",
    "overlap": "the run before was still going",
    "dst-gap": "the clocks jumped over it",
    "until": "found after the end of the schedule",
    "superseded": "the job was edited",
    "deleted": "the job was deleted",
    "request": "skipped by request",
    "cancelled": "cancelled",
}
CAUSES = {
    "schedule": "by the schedule",
    "manual": "by request",
    "backfill": "made up for later",
    "after": "after another job’s run",
}
#: What became of an attempt, where the word itself does not say it.
OUTCOMES = {
    "running": "under way",
    "accepted": "the target goes on by itself",
    "released": "handed back, as the service was stopped",
}
FAILURES = {
    "connect": "no connection",
    "dns": "host name not found",
    "timeout": "no answer in time",
    "tls": "no encrypted connection",
    "protocol": "no valid HTTP",
    "blocked": "address not allowed",
    "redirect": "redirected",
    "status": "status means failure",
    "pattern": "answer lacks the pattern",
    "gone": "gone for good",
    "lost": "its replica went away",
    "silent": "silent for too long",
    "cancelled": "cancelled",
    "reported": "reported by the target",
    "template": "the request could not be made",
}
#: The phases of a call, in order.
PHASES = {
    "dns": "name lookup",
    "connect": "connection",
    "tls": "encryption",
    "firstbyte": "first byte",
    "rest": "the rest",
    "wait": "no answer",
}
#: What stands for a secret.
MASK = "•••"
#: What is so late is called overdue.
LATE = timedelta(seconds=5)
#: Characters of one value in the list of changes.
LONGEST_SHOWN = 200
SECOND = 1000.0
WEB = re.compile(r"https?://[^\s{}]+", re.IGNORECASE)


def whole_schedule(job: Job) -> str:
    """All that there is to say of a job's schedule; of one that can not be computed, that."""
    if job.after is not None:
        return _following(job.after)
    try:
        return describe(definition(job))
    except ValueError:
        return "can not be computed"


def is_overdue(instant: datetime, now: datetime) -> bool:
    """Whether what should have been at an instant is late; a moment is not."""
    return now - instant > LATE


def _following(after: After) -> str:
    return {
        Ending.FINISHED: f"after each run of job {after.jobid} that finished",
        Ending.FAILED: f"after each run of job {after.jobid} that failed",
        Ending.ANY: f"after each run of job {after.jobid}",
    }[after.on]


def definition(job: Job) -> Definition:
    """The job's definition."""
    days = tuple(days_of(text) for text in job.exclude)
    rest = (job.interval, job.cron, job.until, days, job.dstgap, job.dstfold)
    return Definition(job.startdate, job.starttime, job.timezone, *rest)


def differences(change: Change) -> list[str]:
    """A change, field by field; of a creation, nothing: the job shows it. Values of headers are masked."""
    if change.action == "created" or change.after is None:
        return []
    before, after = _fields(change.before, change.after), _fields(change.after, change.before)
    names = [name for name in (*after, *before) if before.get(name) != after.get(name)]
    return [_difference(name, before, after) for name in dict.fromkeys(names)]


def _fields(document: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a side of a change has to show, under the names to show it by."""
    fields = {name: value for name, value in (document or {}).items() if name != "validfrom"}
    target = fields.get("target")
    if target is None:
        return fields
    del fields["target"]
    if (other or {}).get("target") is None:
        return fields | {"target": f"{target.get('method', 'POST')} {target.get('url')}"}
    headers = target.get("headers") or {}
    parts = {f"target {name}": value for name, value in target.items() if name != "headers"}
    return fields | parts | {f"{HEADER}{name}": value for name, value in headers.items()}


HEADER = "target header "


def _difference(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    was, became = (
        MASK if name.startswith(HEADER) and name in side else _shown(side.get(name))
        for side in (before, after)
    )
    return f"{name}: {was} → {became}" if name in before or name not in after else f"{name}: {became}"


def _shown(value: object) -> str:
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        text = ", ".join(map(str, value)) or "none"
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def schedule(job: Job) -> str:
    """When a job runs: `every 1 minute 30 seconds`, `once`, or what its cron expression says."""
    if job.after is not None:
        return _following(job.after)
    try:
        return cadence(job.interval, job.cron, job.timezone)
    except ValueError:
        return "can not be computed"


def local(instant: datetime, zone: str) -> str:
    """The instant on the clocks of `zone`, to the second, with the zone's name."""
    shown = zone if is_zone(zone) else "UTC"
    return f"{instant.astimezone(ZoneInfo(shown)):%Y-%m-%d %H:%M:%S} {shown}"


def note(log: Log, zone: str = "UTC") -> str:
    """What else there is to say of a log: what went wrong, what is to come, what it stands for."""
    said = []
    if log.error is not None:
        said.append(log.error)
    if log.reason is not None:
        said.append(REASONS.get(log.reason, log.reason))
    if log.attempt > 1 and log.error is None:
        ahead = f" at {local(log.nextrun, zone)}" if log.nextrun is not None else ""
        said.append(f"attempt {log.attempt}{ahead}")
    if log.missed:
        kind = "missed run" if log.reason in {None, "misfire"} else "run"
        said.append(f"stands for {log.missed:,} more {kind}{'' if log.missed == 1 else 's'}")
    if log.cause != "schedule":
        said.append(CAUSES.get(log.cause, log.cause))
    if log.host is not None and log.status != "skipped":
        said.append(f"{'calls' if log.status in UNDER_WAY else 'called'} {log.host}")
    return "; ".join([part.removesuffix(".") for part in said[:-1]] + said[-1:])


UNDER_WAY = {"pending", "running"}


def retriable(log: Log, job: Job) -> bool:
    """Whether the log's call can be made again by request."""
    is_there = job.target is not None and job.state is not State.DELETED
    return is_there and log.host is not None and log.status == "failed"


def cancelling(log: Log) -> str | None:
    """What happens if the log is cancelled; None: there is nothing to cancel."""
    if log.status == "running":
        return (
            "The run ends now and counts as failed; what its target still answers is dropped. A target that "
            "had accepted the run may go on with it: it is told that it is over when it reports again."
        )
    if log.status == "pending" and log.attempt > 1:
        return "There is no further attempt: the run counts as failed."
    if log.status == "pending" and log.cause != "schedule":
        return "It does not run; its log says that it was cancelled. The schedule is not touched."
    return None


def attempt(log: Log, attempts: Sequence[Attempt], target: Target | None) -> str:
    """Which attempt a log is at: `3 of at most 4`."""
    if target is None or log.host is None:
        return f"{log.attempt}"
    most = _spent(log, attempts) + target.retries + 1
    # It is handed back when the service stops, or the target was edited meanwhile.
    return f"{log.attempt} of at most {most}" if log.attempt <= most else f"{log.attempt}"


def outlook(log: Log, attempts: Sequence[Attempt], target: Target | None, zone: str) -> str | None:
    """What follows if the attempt that is to come, or under way, fails; None: it is over, or has none."""
    if target is None or log.host is None or log.status not in UNDER_WAY:
        return None
    tried = log.attempt - _spent(log, attempts)
    if tried > target.retries:
        return "If it fails, the run has failed: there is no further attempt."
    longest = min(target.maxbackoff, target.backoff * 2 ** (tried - 1))
    said = f"If it fails, the next one follows after a pause of up to {duration(longest)}"
    if log.startedat is None:
        return f"{said}."
    last = log.startedat + timedelta(seconds=target.retryfor)
    return f"{said}, but not after {local(last, zone)}."


def _spent(log: Log, attempts: Sequence[Attempt]) -> int:
    """How many attempts were made before somebody asked to try the log again: they count no more."""
    if log.startedat is None:
        return log.attempt - 1
    return sum(one.startedat < log.startedat for one in attempts)


def retry_plan(target: Target) -> str:
    """What follows a failed attempt."""
    if not target.retries:
        return "No further attempt after a failed one."
    least = min(target.backoff, target.maxbackoff)
    longest = min(target.maxbackoff, target.backoff * 2 ** (target.retries - 1))
    many = f"{target.retries} further attempt{'' if target.retries == 1 else 's'}"
    pauses = f"up to {duration(least)}"
    if longest > least:
        pauses += f", doubled each time, in the end up to {duration(longest)}"
    return (
        f"At most {many}, on {_listed([*target.retryon, 'no answer'])}. Pauses of {pauses}; "
        f"none later than {duration(target.retryfor)} after the first."
    )


def success(target: Target) -> str:
    """What an answer must be for a run to have finished."""
    said = f"Status {_listed(target.success)}"
    if target.pattern is None:
        return f"{said}."
    stands = " (* stands for anything)" if "*" in target.pattern else ""
    return f"{said}, and the answer contains “{target.pattern}”{stands}."


def _listed(items: Iterable[str]) -> str:
    *most, last = items
    return f"{', '.join(most)} or {last}" if most else last


def overlap(job: Job) -> str:
    """How many runs of a job may be under way at once."""
    if not job.overlap:
        return "One run at a time; the next one waits, and is late then."
    if job.concurrency is None:
        return "Runs may overlap, any number of them."
    if job.concurrency == 1:
        return "The schedule goes on while a run is under way, but one runs at a time."
    return f"Runs may overlap, at most {job.concurrency:,} at once."


def autopause(job: Job) -> str:
    """When failures pause a job."""
    if job.autopause is None:
        return "Never, but for an answer 410 Gone."
    if job.autopause == 1:
        return "After a run that failed."
    return f"After {job.autopause:,} runs in a row that failed."


def body(value: Any) -> str:
    """A target's body as it was written; JSON with indentation."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def is_web(url: str) -> bool:
    """Whether an address can be a link: http or https, and no values are to be filled in."""
    return WEB.fullmatch(url) is not None


def milliseconds(value: float) -> str:
    """A length of time that is given in milliseconds: `3.2 ms`, `145 ms`, `1.45 s`."""
    if value < 10:  # noqa: PLR2004
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if round(value) < SECOND else f"{value / SECOND:,.2f} s"
