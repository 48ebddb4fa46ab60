"""Jobs in words: their schedules, and what was changed of them."""

import json
from collections.abc import Mapping
from typing import Any

from scheduler_api.contracts.access.audit import AuditEvent
from scheduler_api.contracts.jobs.changes import Change, ChangeAction
from scheduler_api.contracts.jobs.credentials import MASK
from scheduler_api.contracts.jobs.fields import After, Ending
from scheduler_api.contracts.jobs.job import JobSummary
from scheduler_api.contracts.values import days_of
from scheduler_api.schedule import Definition
from scheduler_api.wording.schedules import cadence, describe, duration

#: Characters of one value in the list of changes.
MAX_SHOWN = 200
HEADER = "target header "


def number(count: int, limit: int) -> str:
    """So many, counted up to a limit."""
    return f"more than {limit:,}" if count > limit else f"{count:,}"


def whole_schedule(job: JobSummary) -> str:
    """All that there is to say of a job's schedule; of one that cannot be computed, that."""
    if job.after is not None:
        return _following(job.after)
    try:
        said = describe(definition(job))
        also = "nor" if job.exclude else "but not"
        return f"{said[:-1]}, {also} on the days of {', '.join(job.calendars)}." if job.calendars else said
    except (ValueError, LookupError, ArithmeticError):
        return "cannot be computed"


def watched(job: JobSummary) -> str:
    """When a job is late, stuck or silent, as far as it says so itself."""
    limits = (("late", job.lateafter), ("stuck", job.stuckafter), ("silent", job.silentafter))
    parts = [f"{name} after {duration(limit)}" for name, limit in limits if limit is not None]
    if job.recoverafter > 1:
        parts.append(f"recovered after {job.recoverafter:,} runs in a row")
    said = ", ".join(parts)
    return said[:1].upper() + said[1:]


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


#: What is shown of what was done beside editing.
DONE = {
    ChangeAction.STARTED: "run {logid}",
    ChangeAction.RETRIED: "run {logid}",
    ChangeAction.CANCELLED: "run {logid}",
    ChangeAction.BACKFILLED: "{count} runs, from {since} to {until}",
    ChangeAction.SECRET_ADDED: "secret {secretid}",
    ChangeAction.SECRET_REMOVED: "secret {secret}",
    ChangeAction.SECRET_SET: "secret {secret}, for {origin}",
    ChangeAction.USER_ADDED: "{name}, {role}",
    ChangeAction.USER_REMOVED: "{name}, {role}",
    ChangeAction.LINK_MADE: "for {name}",
    ChangeAction.KEY_ADDED: "{name}, {role}",
    ChangeAction.KEY_REVOKED: "{name}, {role}",
    ChangeAction.PROJECT_REMOVED: "{project}",
    ChangeAction.CHANNEL_ADDED: "{name}, {kind}",
    ChangeAction.CHANNEL_REMOVED: "{name}, {kind}",
    ChangeAction.RULE_ADDED: "{rule}",
    ChangeAction.RULE_REMOVED: "{rule}",
    ChangeAction.MUTE_ADDED: "{mute}",
    ChangeAction.MUTE_REMOVED: "{mute}",
    ChangeAction.ACKNOWLEDGED: "issue {issueid}, {kind}",
    ChangeAction.ISSUE_CLOSED: "issue {issueid}, {kind}",
    ChangeAction.REDRIVEN: "alert {alertid}",
}


#: What was done, where its name is no word.
ACTIONS = {
    ChangeAction.SECRET_ADDED: "secret added",
    ChangeAction.SECRET_REMOVED: "secret removed",
    ChangeAction.SECRET_SET: "secret set",
    ChangeAction.LIMIT_SET: "limit set",
    ChangeAction.LIMIT_REMOVED: "limit removed",
    ChangeAction.CALENDAR_SET: "calendar set",
    ChangeAction.CALENDAR_REMOVED: "calendar removed",
    ChangeAction.RESTORE_CONFIRMED: "restore confirmed",
    ChangeAction.SIGNED_IN: "signed in",
    ChangeAction.SIGN_IN_REFUSED: "sign-in refused",
    ChangeAction.SIGNED_OUT: "signed out",
    ChangeAction.USER_ADDED: "user added",
    ChangeAction.USER_CHANGED: "user changed",
    ChangeAction.USER_REMOVED: "user removed",
    ChangeAction.PASSWORD_SET: "password set",
    ChangeAction.LINK_MADE: "link made",
    ChangeAction.KEY_ADDED: "key added",
    ChangeAction.KEY_REVOKED: "key revoked",
    ChangeAction.PROJECT_ADDED: "project added",
    ChangeAction.PROJECT_CHANGED: "project changed",
    ChangeAction.PROJECT_REMOVED: "project removed",
    ChangeAction.CHANNEL_ADDED: "channel added",
    ChangeAction.CHANNEL_CHANGED: "channel changed",
    ChangeAction.CHANNEL_REMOVED: "channel removed",
    ChangeAction.RULE_ADDED: "rule added",
    ChangeAction.RULE_REMOVED: "rule removed",
    ChangeAction.REDRIVEN: "alert sent again",
    ChangeAction.ADDRESS_CHANGED: "address changed",
    ChangeAction.ISSUE_CLOSED: "issue closed",
    ChangeAction.MUTE_ADDED: "mute added",
    ChangeAction.MUTE_REMOVED: "mute removed",
}


def by_whom(change: Change) -> str:
    """Who made a change: by name, or by program and machine where nobody signs in."""
    if change.client is None:
        return "the system"
    program, _, machine = change.client.rpartition(", ")
    return f"a browser at {machine}" if program.startswith("Mozilla/") else change.client


def action(change: Change | AuditEvent) -> str:
    """What was done, in a word or two."""
    return ACTIONS.get(change.action, change.action.value)


def differences(change: Change | AuditEvent) -> list[str]:
    """A change, field by field; of a creation, nothing: the job shows it. Values of headers are masked."""
    if change.action in DONE:
        said = change.after or change.before or {}
        secret = said.get("secretid") or said.get("name")
        return [DONE[change.action].format_map(said | {"role": _roles(said), "secret": secret})]
    if change.action == "created" or change.after is None:
        return []
    before, after = _fields(change.before, change.after), _fields(change.after, change.before)
    names = [name for name in (*after, *before) if _differs(name, before, after)]
    return [_difference(name, before, after) for name in dict.fromkeys(names)]


def _roles(said: Mapping[str, Any]) -> str:
    """What a user or a key may do: everywhere, and in projects."""
    projects = said.get("projects") or {}
    everywhere = [said["role"]] if said.get("role") else []
    return ", ".join(everywhere + [f"{role} in {name}" for name, role in projects.items()]) or "no role"


def _fields(document: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a side of a change has to show, under the names to show it by."""
    fields = {name: value for name, value in (document or {}).items() if name not in {"validfrom", "kept"}}
    target = fields.get("target")
    if target is None:
        return fields
    del fields["target"]
    if (other or {}).get("target") is None:
        return fields | {"target": f"{target.get('method', 'POST')} {target.get('url')}"}
    headers = target.get("headers") or {}
    parts = {f"target {name}": value for name, value in target.items() if name != "headers"}
    return fields | parts | {f"{HEADER}{name}": value for name, value in headers.items()}


def _differs(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    # Only headers that were changed are kept, and nothing of their values.
    is_masked = name.startswith(HEADER) and before.get(name) == MASK
    return is_masked or before.get(name) != after.get(name)


def _difference(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    was, became = (
        MASK if name.startswith(HEADER) and isinstance(side.get(name), str) else _shown(side.get(name))
        for side in (before, after)
    )
    return f"{name}: {was} → {became}" if name in before or name not in after else f"{name}: {became}"


def _shown(value: object) -> str:
    if isinstance(value, dict) and value.keys() == {"secret"}:
        return f"secret {value['secret']}"
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        text = ", ".join(map(str, value)) or "none"
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def rhythm(job: JobSummary) -> str:
    """The same without a time zone, for lists that name it beside."""
    said = schedule(job)
    return said.removesuffix(f", in {job.timezone}") if job.cron is not None else said


def schedule(job: JobSummary) -> str:
    """When a job runs: `every 1 minute 30 seconds`, `once`, or what its cron expression says."""
    if job.after is not None:
        return _following(job.after)
    try:
        return cadence(job.interval, job.cron, job.timezone)
    except (ValueError, LookupError, ArithmeticError):
        return "cannot be computed"
