"""Targets, and what is to come of calls, in words."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from scheduler_api.contracts.jobs.credentials import MASK, NamedSecret
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.runs.attempts import Attempt
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.wording.instants import local
from scheduler_api.wording.schedules import duration

#: A log with such a status is not over.
UNDER_WAY = {"pending", "running"}
#: What secrets are for, by the field that names them.
USES = {"clientcert": "client certificate", "cacert": "private authority", "oauth2": "OAuth 2.0"}
WEB = re.compile(r"https?://[^\s{}]+", re.IGNORECASE)


def attempt(log: Log, attempts: Sequence[Attempt], target: Target | None) -> str:
    """Which attempt a log is at: `3 of at most 4`."""
    if target is None or log.kind == "plain":
        return f"{log.attempt}"
    limit = _spent(log, attempts) + target.retries + 1
    # The target may have been edited meanwhile.
    return f"{log.attempt} of at most {limit}" if log.attempt <= limit else f"{log.attempt}"


def outlook(log: Log, attempts: Sequence[Attempt], target: Target | None, zone: str) -> str | None:
    """What follows if the attempt that is to come, or in progress, fails; None: it is over, or has none."""
    if target is None or log.kind == "plain" or log.status not in UNDER_WAY:
        return None
    tried = log.attempt - _spent(log, attempts)
    if tried > target.retries:
        return "Last attempt."
    longest = min(target.maxbackoff, target.backoff * 2 ** (tried - 1))
    said = f"Retried after up to {duration(longest)}"
    if log.startedat is None:
        return f"{said}."
    last = log.startedat + timedelta(seconds=target.retryfor)
    return f"{said}, unless it ends after {local(last, zone)}."


def _spent(log: Log, attempts: Sequence[Attempt]) -> int:
    """How many attempts count no more: made before somebody asked to try the log again, or handed back."""
    if log.startedat is None:
        return log.attempt - 1
    return sum(one.startedat < log.startedat or one.outcome == "released" for one in attempts)


def retry_plan(target: Target) -> str:
    """What follows a failed attempt."""
    if not target.retries:
        return "No retries."
    least = min(target.backoff, target.maxbackoff)
    longest = min(target.maxbackoff, target.backoff * 2 ** (target.retries - 1))
    many = f"{target.retries} {'retry' if target.retries == 1 else 'retries'}"
    pauses = f"up to {duration(least)}"
    if longest > least:
        pauses += f", doubling to {duration(longest)}"
    return (
        f"Up to {many} on {_listed([*target.retryon, 'no response'])}. "
        f"Backoff {pauses}, for at most {duration(target.retryfor)}."
    )


def success(target: Target) -> str:
    """What an answer must be for a run to have finished."""
    said = f"Status {_listed(target.success)}"
    if target.pattern is None:
        return f"{said}."
    stands = " (* matches anything)" if "*" in target.pattern else ""
    return f"{said}, and the response contains “{target.pattern}”{stands}."


def _listed(items: Iterable[str]) -> str:
    *others, last = items
    return f"{', '.join(others)} or {last}" if others else last


def overlap(job: Job) -> str:
    """How many runs of a job may be in progress at once."""
    if not job.overlap:
        return "One at a time; the next run waits."
    if job.concurrency is None:
        return "Unlimited."
    if job.concurrency == 1:
        return "One at a time; later runs queue."
    return f"Up to {job.concurrency:,} at once."


def autopause(job: Job) -> str:
    """When failures pause a job."""
    if job.autopause is None:
        return "Off (410 Gone always pauses)"
    if job.autopause == 1:
        return "After 1 failed run"
    return f"After {job.autopause:,} consecutive failures"


def body(value: Any) -> str:
    """A target's body as it was written; JSON with indentation."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def header(value: str | NamedSecret) -> str:
    """The value of a header: the name of a secret, or that there is one."""
    return MASK if isinstance(value, str) else f"secret {value.secret}"


def secrets_of(target: Target) -> str:
    """The secrets that a target names, and what for: `crm-token (Authorization), client (OAuth 2.0)`."""
    uses: dict[str, list[str]] = {}
    for (field, *inner), (name, _) in target.secrets.items():
        uses.setdefault(name, []).append(USES.get(field, inner[0] if inner else field))
    return ", ".join(f"{name} ({', '.join(what)})" for name, what in uses.items())


def is_web(url: str) -> bool:
    """Whether an address can be a link: http or https, and no values are to be filled in."""
    return WEB.fullmatch(url) is not None
