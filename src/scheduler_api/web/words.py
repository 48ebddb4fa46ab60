"""Instants and schedules in words, for people."""

from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler_api.contracts import Change, Job, Log, days_of
from scheduler_api.schedule import Definition, is_zone
from scheduler_api.schedule.wording import cadence, describe, duration, relative

__all__ = ["differences", "duration", "local", "note", "relative", "schedule", "whole_schedule"]

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
}


def whole_schedule(job: Job) -> str:
    """All that there is to say of a job's schedule; of one that can not be computed, that."""
    try:
        return describe(definition(job))
    except ValueError:
        return "can not be computed"


def definition(job: Job) -> Definition:
    """The job's definition."""
    days = tuple(days_of(text) for text in job.exclude)
    rest = (job.interval, job.cron, job.until, days, job.dstgap, job.dstfold)
    return Definition(job.startdate, job.starttime, job.timezone, *rest)


def differences(change: Change) -> list[str]:
    """A change, field by field; of a creation, nothing: the job shows it."""
    if change.action == "created" or change.after is None:
        return []
    before = change.before or {}
    fields = {
        name: value for name, value in change.after.items() if name != "validfrom" and value is not None
    }
    lost = {name: None for name in before if change.after.get(name) is None}
    return [
        f"{name}: {_shown(before[name])} → {_shown(value)}" if name in before else f"{name}: {_shown(value)}"
        for name, value in (fields | lost).items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def schedule(job: Job) -> str:
    """When a job runs: `every 1 minute 30 seconds`, `once`, or what its cron expression says."""
    try:
        return cadence(job.interval, job.cron, job.timezone)
    except ValueError:
        return "can not be computed"


def local(instant: datetime, zone: str) -> str:
    """The instant on the clocks of `zone`, to the second, with the zone's name."""
    shown = zone if is_zone(zone) else "UTC"
    return f"{instant.astimezone(ZoneInfo(shown)):%Y-%m-%d %H:%M:%S} {shown}"


def note(log: Log) -> str:
    """What else there is to say of a log: what went wrong, why it was skipped, what it stands for."""
    said = []
    if log.error is not None:
        said.append(log.error)
    if log.reason is not None:
        said.append(REASONS[log.reason])
    if log.missed:
        kind = "missed run" if log.reason in {None, "misfire"} else "run"
        said.append(f"stands for {log.missed:,} more {kind}{'' if log.missed == 1 else 's'}")
    if log.cause != "schedule":
        said.append({"manual": "by request", "backfill": "made up for later"}[log.cause])
    return "; ".join(said)
