"""Instants and schedules in words, for people."""

from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler_api.contracts import Job, Log
from scheduler_api.schedule import is_zone
from scheduler_api.schedule.wording import cadence, duration, relative

__all__ = ["duration", "local", "note", "relative", "schedule"]

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


def schedule(job: Job) -> str:
    """When a job runs: `every 1 minute 30 seconds`, `once`, or what its cron expression says."""
    return cadence(job.interval, job.cron, job.timezone)


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
