"""Instants, schedules, targets and what came of runs in words, for people."""

import json
from collections.abc import Mapping
from typing import Any

from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.drafts import After, Ending
from scheduler_api.contracts.jobs.job import Job, JobState, JobSummary
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.contracts.values import days_of
from scheduler_api.schedule import Definition
from scheduler_api.schedule.wording import cadence, describe, duration, relative
from scheduler_api.services.jobs.documents import MASK
from scheduler_api.web.instants import is_overdue, local, milliseconds, taken
from scheduler_api.web.targets import (
    UNDER_WAY,
    attempt,
    autopause,
    body,
    is_web,
    outlook,
    overlap,
    retry_plan,
    success,
)

__all__ = [
    "attempt",
    "autopause",
    "body",
    "cancelling",
    "differences",
    "duration",
    "is_overdue",
    "is_web",
    "local",
    "milliseconds",
    "note",
    "outlook",
    "overlap",
    "relative",
    "remark",
    "retriable",
    "retry_plan",
    "schedule",
    "success",
    "taken",
    "whole_schedule",
]

REASONS = {
    "misfire": "missed its grace period",
    "paused": "the job was paused",
    "excluded": "excluded day",
    "overlap": "previous run still running",
    "dst-gap": "skipped hour (DST)",
    "until": "after the end of the schedule",
    "superseded": "the job was edited",
    "deleted": "the job was deleted",
    "request": "skipped manually",
    "cancelled": "cancelled",
}
CAUSES = {
    "schedule": "Schedule",
    "manual": "Manual",
    "backfill": "Backfill",
    "after": "Chained",
}
#: What became of an attempt, where the word itself does not say it.
OUTCOMES = {
    "running": "in progress",
    "accepted": "running on target",
    "released": "returned before sending",
}
FAILURES = {
    "connect": "no connection",
    "dns": "host name not found",
    "timeout": "timed out",
    "tls": "TLS failed",
    "protocol": "invalid HTTP",
    "blocked": "address not allowed",
    "redirect": "redirected",
    "status": "unsuccessful status",
    "pattern": "pattern not found",
    "gone": "gone (410)",
    "lost": "replica lost",
    "silent": "heartbeat timeout",
    "cancelled": "cancelled",
    "reported": "reported by the target",
    "busy": "at concurrency limit",
    "template": "invalid template",
}
#: The phases of a call, in order.
PHASES = {
    "dns": "name lookup",
    "connect": "connection",
    "tls": "TLS",
    "firstbyte": "first byte",
    "rest": "download",
    "wait": "no response",
}
#: Characters of one value in the list of changes.
MAX_SHOWN = 200


def whole_schedule(job: JobSummary) -> str:
    """All that there is to say of a job's schedule; of one that cannot be computed, that."""
    if job.after is not None:
        return _following(job.after)
    try:
        return describe(definition(job))
    except (ValueError, LookupError, ArithmeticError):
        return "cannot be computed"


def _following(after: After) -> str:
    return {
        Ending.FINISHED: f"after each run of job {after.jobid} that finished",
        Ending.FAILED: f"after each run of job {after.jobid} that failed",
        Ending.ANY: f"after each run of job {after.jobid}",
    }[after.on]


def definition(job: JobSummary) -> Definition:
    """The job's definition."""
    days = tuple(days_of(text) for text in job.exclude)
    rest = (job.interval, job.cron, job.until, days, job.dstgap, job.dstfold)
    return Definition(job.startdate, job.starttime, job.timezone, *rest)


def differences(change: Change) -> list[str]:
    """A change, field by field; of a creation, nothing: the job shows it. Values of headers are masked."""
    if change.action == "created" or change.after is None:
        return []
    before, after = _fields(change.before, change.after), _fields(change.after, change.before)
    names = [name for name in (*after, *before) if _differs(name, before, after)]
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


def _differs(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    # Only headers that were changed are kept, and nothing of their values.
    is_masked = name.startswith(HEADER) and before.get(name) == MASK
    return is_masked or before.get(name) != after.get(name)


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
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def schedule(job: JobSummary) -> str:
    """When a job runs: `every 1 minute 30 seconds`, `once`, or what its cron expression says."""
    if job.after is not None:
        return _following(job.after)
    try:
        return cadence(job.interval, job.cron, job.timezone)
    except (ValueError, LookupError, ArithmeticError):
        return "cannot be computed"


def note(log: Log, zone: str = "UTC") -> str:
    """What else there is to say of a log: what went wrong, what is to come, what it stands for."""
    said = _said(log, f"attempt {log.attempt}", "at", zone)
    if log.host is not None and log.status != "skipped":
        said.append(f"{'calls' if log.status in UNDER_WAY else 'called'} {log.host}")
    return _joined(said)


def remark(log: Log, zone: str = "UTC") -> str:
    """The same, beside columns that tell the attempt and the host."""
    return _joined(_said(log, None, "next attempt at", zone))


def _said(log: Log, tried: str | None, ahead: str, zone: str) -> list[str]:
    said = []
    if log.error is not None:
        said.append(log.error)
    if log.reason is not None:
        said.append(REASONS.get(log.reason, log.reason))
    if log.attempt > 1 and log.error is None:
        when = f"{ahead} {local(log.nextrun, zone)}" if log.nextrun is not None else None
        said += [" ".join(part for part in (tried, when) if part)] if tried or when else []
    if log.missed:
        kind = "missed run" if log.reason in {None, "misfire"} else "run"
        said.append(f"covers {log.missed:,} {kind}{'' if log.missed == 1 else 's'}")
    if log.cause != "schedule":
        said.append(CAUSES.get(log.cause, log.cause).lower())
    return said


def _joined(said: list[str]) -> str:
    return "; ".join([part.removesuffix(".") for part in said[:-1]] + said[-1:])


def retriable(log: Log, job: Job) -> bool:
    """Whether the log's call can be made again by request."""
    is_there = job.target is not None and job.state is not JobState.DELETED
    return is_there and log.host is not None and log.status == "failed"


def cancelling(log: Log) -> str | None:
    """What happens if the log is cancelled; None: there is nothing to cancel."""
    if log.status == "running":
        return "The run is marked failed. The target may keep working."
    if log.status == "pending" and log.attempt > 1:
        return "The run is marked failed. It is not retried."
    if log.status == "pending" and log.cause != "schedule":
        return "The run is skipped. The schedule is unchanged."
    return None
