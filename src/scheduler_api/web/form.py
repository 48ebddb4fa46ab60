"""The form for a job: what it suggests, what it holds of a job, and where its messages stand."""

import json
from calendar import day_abbr, month_name
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.credentials import MASK, NamedSecret, masked
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.fields import Ending, Record
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.schedules import EditPreview, SchedulePreview
from scheduler_api.contracts.jobs.targets import Method, Target
from scheduler_api.errors import FieldError
from scheduler_api.schedule import Fold, Gap, Misfire, is_zone
from scheduler_api.wording.schedules import UNITS

#: How far ahead the suggested start lies at least; it is a full hour.
SUGGESTED_START = timedelta(minutes=10)

KINDS = {
    "once": "Once",
    "every": "Interval",
    "cron": "Cron",
    "after": "After another job",
}
MISFIRES = {
    Misfire.ONCE: "run once for all of them",
    Misfire.ALL: "run each of them, in order",
    Misfire.SKIP: "skip those later than the grace period",
}
GAPS = {Gap.AFTER: "run right after", Gap.SKIP: "skip"}
FOLDS = {Fold.ONCE: "run once", Fold.BOTH: "run twice"}
RECORDS = {Record.ALL: "all runs", Record.FAILURES: "failures only; successes are counted"}
ENDINGS = {
    Ending.FINISHED: "success",
    Ending.FAILED: "failure",
    Ending.ANY: "any result",
}
METHODS = list(Method)
#: The units of an interval, the smallest first, by their seconds.
LENGTHS = {seconds: f"{unit}s" for unit, seconds in reversed(UNITS)}


@dataclass(frozen=True)
class Typed:
    """What was typed into the form, and what came of it."""

    fields: Mapping[str, str]
    field_errors: Sequence[FieldError] = ()
    preview: SchedulePreview | None = None
    change: EditPreview | None = None
    """What it would change."""
    meanwhile: Sequence[Change] = ()
    """What others have changed since the form was shown."""
    previewing: bool = False
    """Whether only the preview was asked for."""


#: Some cron expressions to choose from.
CRONS = {
    "@hourly": "every hour",
    "@daily": "every day at midnight",
    "*/15 * * * *": "every 15 minutes",
    "30 2 * * *": "every day at 02:30",
    "0 9 * * MON-FRI": "at 09:00 on weekdays",
    "0 12 L * *": "at noon on the last day of the month",
}
#: What can be picked for each part of a cron expression but the last: the part, and what it means.
CRON_PARTS = {
    "Minute": {
        "*": "every minute",
        **{f"*/{step}": f"every {step} minutes" for step in (2, 5, 10, 15, 20, 30)},
        **{str(minute): f":{minute:02}" for minute in range(60)},
    },
    "Hour": {
        "*": "every hour",
        **{f"*/{step}": f"every {step} hours" for step in (2, 3, 4, 6, 8, 12)},
        "9-17": "09 to 17",
        **{str(hour): f"{hour:02}" for hour in range(24)},
    },
    "Day of the month": {"*": "any", **{str(day): str(day) for day in range(1, 32)}, "L": "last"},
    "Month": {"*": "any", **{str(number): name for number, name in enumerate(month_name) if name}},
}
WEEKDAYS = tuple(day_abbr)
#: What is suggested for a target: what holds if nothing is said.
TARGET = {
    "target_method": Method.POST.value,
    "target_timeout": str(Target.model_fields["timeout"].default),
    "target_success": " ".join(Target.model_fields["success"].get_default(call_default_factory=True)),
    "target_retries": str(Target.model_fields["retries"].default),
    "target_keepresponse": "true",
}
#: Parts of a target that are typed as they are.
PLAIN = (
    "url",
    "method",
    "timeout",
    "pattern",
    "retries",
    "backoff",
    "maxbackoff",
    "retryfor",
    "heartbeattimeout",
)
#: What holds where a field of the form is left empty, and can be said in a word.
DEFAULTS = {
    name: " ".join(default) if isinstance(default, list) else str(default)
    for prefix, model in (("", JobDraft), ("target_", Target))
    for name, default in (
        (f"{prefix}{name}", field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if not field.is_required()
    )
    # Of a monitor, the grace is another one.
    if not (default is None or isinstance(default, bool) or default in ([], {}, "")) and name != "grace"
}
YES_NO = {True: "true", False: "false"}


def fields_for(now: datetime, zone: str, editing: Job | None, like: Job | None) -> dict[str, str]:
    """What the fields hold at first; `zone` is suggested."""
    if editing is not None:
        return _suggestions(now, zone) | _fields_of(editing) | {"version": str(editing.version)}
    if like is None:
        return _suggestions(now, zone)
    fields = _suggestions(now, zone) | _fields_of(like) | {"from": str(like.jobid), "active": "true"}
    fields["jobname"] = f"Copy of {like.jobname}"[:100]
    # What has begun cannot begin anew; an interval without a start begins when it is saved.
    start = _suggested(now, clock_of(like.timezone))
    if like.startdate is None or like.startdate <= start.date():
        fields |= _start(None if like.interval is not None else start)
        fields |= {"cronstartdate": "", "cronstarttime": ""}
    return fields


def with_kind(fields: Mapping[str, str]) -> dict[str, str]:
    """What was typed; forms of before there were kinds say by their other fields which one they mean."""
    kind = "cron" if fields.get("cron") else "every" if fields.get("repeat") == "true" else "once"
    return {"kind": "after" if fields.get("after_jobid") else kind, "unit": "1", **fields}


def messages(field_errors: Sequence[FieldError], kind: str | None) -> dict[str, list[str]]:
    """What is wrong, by the field that shows it."""
    found: dict[str, list[str]] = {}
    for field_error in field_errors:
        texts = found.setdefault(_field(field_error.path, kind), [])
        if field_error.detail not in texts:
            texts.append(field_error.detail)
    return found


def definition(job: Job) -> str:
    """What the author wrote, as JSON to send again; values of headers are masked."""
    written = job.model_dump(mode="json", include={*JobDraft.model_fields} - {"active"}, exclude_none=True)
    target = written.get("target")
    if target is not None and target.get("headers"):
        target["headers"] = masked(target["headers"])
    return json.dumps(written, indent=2, ensure_ascii=False)


def _field(path: Sequence[str | int], kind: str | None) -> str:
    """The field that shows what is wrong at a place in a job."""
    name, *inner = path or ("",)
    if kind == "cron" and name in {"startdate", "starttime"}:
        return f"cron{name}"
    first_inside = {"target": "url", "after": "jobid", "monitor": "timeout"}
    if name not in first_inside:
        return str(name)
    if inner[:1] == ["oauth2"] and inner[1:]:
        return f"{name}_oauth2_{inner[1]}"
    return f"{name}_{inner[0] if inner else first_inside[str(name)]}"


def _suggestions(now: datetime, zone: str) -> dict[str, str]:
    return {
        "kind": "once",
        "interval": "5",
        "unit": "60",
        "timezone": zone,
        "active": "true",
        "misfire": Misfire.ONCE,
        "grace": "",
        "dstgap": Gap.AFTER,
        "dstfold": Fold.ONCE,
        **_start(_suggested(now, ZoneInfo(zone))),
        **TARGET,
    }


def _suggested(now: datetime, clock: ZoneInfo) -> datetime:
    """The first full hour that leaves time to fill in the form."""
    ahead = now + SUGGESTED_START + timedelta(hours=1)
    return ahead.astimezone(clock).replace(minute=0, second=0, microsecond=0)


def _start(start: datetime | None) -> dict[str, str]:
    if start is None:
        return {"startdate": "", "starttime": ""}
    return {"startdate": f"{start:%Y-%m-%d}", "starttime": f"{start:%H:%M:%S}"}


#: The fields of the form in their order: those at the top; those of the request, with what is folded there;
#: those of a monitor; and all others.
FIRST = (
    "jobname", "tags", "after_jobid", "after_on", "cron", "cronstartdate", "cronstarttime", "startdate",
    "starttime", "timezone", "repeat", "interval", "delay",
)  # fmt: skip
RETRIES = (
    "target_retryon",
    "target_backoff",
    "target_maxbackoff",
    "target_retryfor",
    "target_heartbeattimeout",
)
SIGNING_IN = (
    "target_clientcert",
    "target_cacert",
    "target_oauth2",
    "target_oauth2_tokenurl",
    "target_oauth2_clientid",
    "target_oauth2_clientsecret",
    "target_oauth2_scope",
)
CALLS = (
    "target_url", "target_method", "target_headers", "target_body", "target_timeout", "target_success",
    "target_pattern", "target_keepresponse", "target_retries", "overlap", "concurrency", "autopause",
    *RETRIES, *SIGNING_IN,
)  # fmt: skip
MONITOR = ("monitor", "monitor_timeout")
REST = tuple(
    name for name in JobDraft.model_fields if name not in {*FIRST, *CALLS, "target", "after", "monitor"}
)
#: The fields of a job that the form shows in a way of their own; all others it shows as they are.
SHAPED = {
    "delay", "startdate", "starttime", "repeat", "interval", "cron", "after", "target", "monitor", "active",
}  # fmt: skip


def _fields_of(job: Job) -> dict[str, str]:
    plain = {name: _text(getattr(job, name)) for name in JobDraft.model_fields if name not in SHAPED}
    shaped = {
        "until": until_text(job),
        "exclude": " ".join(job.exclude),
        "calendars": " ".join(job.calendars),
        "jitter": str(job.jitter) if job.jitter else "",
        "tags": ", ".join(job.tags),
        "overlap": "true" if job.overlap else "",
    }
    if job.monitor is not None:
        shaped |= {"monitor": "true", "monitor_timeout": str(job.monitor.timeout)}
    return plain | shaped | _schedule_fields(job) | ({} if job.target is None else _target_fields(job.target))


def until_text(job: Job) -> str:
    """The end of a job's schedule on the clocks of its zone."""
    return "" if job.until is None else f"{job.until.astimezone(clock_of(job.timezone)):%Y-%m-%dT%H:%M:%S}"


def clock_of(zone: str) -> ZoneInfo:
    """The rules of a zone; those of UTC where it has gone from the rules of zones."""
    return ZoneInfo(zone if is_zone(zone) else "UTC")


def _schedule_fields(job: Job) -> dict[str, str]:
    if job.after is not None:
        return {"kind": "after", "after_jobid": str(job.after.jobid), "after_on": job.after.on}
    start = {"startdate": _text(job.startdate), "starttime": _text(job.starttime)}
    if job.cron is not None:
        return {"kind": "cron", "cron": job.cron} | {f"cron{name}": text for name, text in start.items()}
    if job.interval is None:
        return {"kind": "once"} | start
    unit = max(seconds for seconds in LENGTHS if job.interval % seconds == 0)
    return {"kind": "every", "interval": str(job.interval // unit), "unit": str(unit)} | start


def _target_fields(target: Target) -> dict[str, str]:
    written = target.model_dump(mode="json")
    fields = {f"target_{name}": _text(written[name]) for name in PLAIN}
    fields["target_headers"] = "\n".join(
        f"{name}: {MASK if isinstance(value, str) else reference(value)}"
        for name, value in target.headers.items()
    )
    for name, secret in (("clientcert", target.clientcert), ("cacert", target.cacert)):
        fields[f"target_{name}"] = "" if secret is None else secret.secret
    if target.oauth2 is not None:
        client = target.oauth2.model_dump() | {"clientsecret": target.oauth2.clientsecret.secret}
        fields |= {f"target_oauth2_{name}": value for name, value in client.items()}
    fields["target_body"] = body_text(target.body)
    fields["target_keepresponse"] = YES_NO[target.keepresponse]
    return fields | {f"target_{name}": " ".join(written[name]) for name in ("success", "retryon")}


def reference(named: NamedSecret) -> str:
    """How a line of headers names a secret."""
    return f"{{{{secret:{named.secret}}}}}"


def body_text(body: Any) -> str:
    """A target's body as one types it."""
    if body is None or isinstance(body, str):
        return body or ""
    return json.dumps(body, indent=2, ensure_ascii=False)


def _text(value: object) -> str:
    return "" if value is None else str(value)
