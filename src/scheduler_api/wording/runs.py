"""Runs in words: why they were skipped, what made them run, how their attempts ended."""

from typing import NamedTuple

from scheduler_api.contracts.jobs.job import Job, JobState
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.schedule import Reason
from scheduler_api.wording.instants import local
from scheduler_api.wording.targets import UNDER_WAY


class Skip(NamedTuple):
    """Why a run was skipped, in words."""

    label: str
    because: str
    """The end of a sentence."""


SKIPS = {
    Reason.MISFIRE: Skip(
        "missed its grace period", "it missed its grace period, and the misfire policy is `skip`"
    ),
    Reason.PAUSED: Skip("the job was paused", "the job was paused"),
    Reason.EXCLUDED: Skip("excluded date", "the date is excluded"),
    Reason.OVERLAP: Skip("previous run still running", "the previous run was still running"),
    Reason.DST_GAP: Skip("skipped hour (DST)", "the clock skipped that time"),
    Reason.UNTIL: Skip("after the end of the schedule", "it was found after the end of the schedule"),
    Reason.SUPERSEDED: Skip("the job was edited", "the job was edited before it ran"),
    Reason.DELETED: Skip("the job was deleted", "the job was deleted before it ran"),
    Reason.REQUEST: Skip("skipped manually", "it was skipped manually"),
    Reason.CANCELLED: Skip("cancelled", "it was cancelled"),
    Reason.UNREPORTED: Skip("no report", "no report of it arrived in time"),
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


def note(log: Log, zone: str = "UTC") -> str:
    """What else there is to say of a log: what went wrong, what is to come, what it stands for."""
    said = _said(log, f"attempt {log.attempt}", "at", zone)
    if log.cause != "schedule":
        said.append(CAUSES.get(log.cause, log.cause).lower())
    if log.kind == "http" and log.status != "skipped":
        said.append(f"{'calls' if log.status in UNDER_WAY else 'called'} {log.host}")
    return _joined(said)


def remark(log: Log, zone: str = "UTC") -> str:
    """The same, beside columns that tell the attempt and the cause."""
    return _joined(_said(log, None, "next attempt at", zone))


def _said(log: Log, tried: str | None, ahead: str, zone: str) -> list[str]:
    said = []
    if log.error is not None:
        said.append(log.error)
    if log.reason is not None:
        said.append(SKIPS[log.reason].label)
    if log.attempt > 1 and log.error is None:
        when = f"{ahead} {local(log.nextrun, zone)}" if log.nextrun is not None else None
        said += [" ".join(part for part in (tried, when) if part)] if tried or when else []
    if log.missed:
        kind = "missed run" if log.reason in {None, "misfire"} else "run"
        said.append(f"covers {log.missed:,} {kind}{'' if log.missed == 1 else 's'}")
    return said


def _joined(said: list[str]) -> str:
    return "; ".join([part.removesuffix(".") for part in said[:-1]] + said[-1:])


def retriable(log: Log, job: Job) -> bool:
    """Whether the log's call can be made again by request."""
    is_there = job.target is not None and job.state is not JobState.DELETED
    return is_there and log.kind == "http" and log.status == "failed"


def cancelling(log: Log) -> str | None:
    """What happens if the log is cancelled; None: there is nothing to cancel."""
    if log.status == "running":
        return "The run is marked failed. The target may keep working."
    if log.status == "pending" and log.attempt > 1:
        return "The run is marked failed. It is not retried."
    if log.status == "pending" and log.cause != "schedule":
        return "The run is skipped. The schedule is unchanged."
    return None


_HELD_BACK = "a limit or another transaction holds it back, or the database refuses its result"


def what_ran(ran: int, retried: int, running: int, *, more: bool, waiting: bool) -> str:
    """What a request to run everything that is due did."""
    said = []
    if retried + running:
        said.append(f"Ran {ran}; {retried} will be retried, {running} are still in progress.")
    elif ran or more:
        said.append(f"Ran {ran} due {'run' if ran == 1 else 'runs'}.")
    if waiting:
        said.append(f"{'What else' if said else 'What'} is due cannot run now: {_HELD_BACK}.")
    if more:
        said.append("More are due: call again.")
    return " ".join(said) or "Nothing was due."
