"""The request that a run makes: the job's target, with the run's own values in it."""

import random
from collections.abc import Sequence
from datetime import datetime

from pydantic_core import to_json

from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.services.runs.claims import Started
from scheduler_api.targets import Values, signatures, templates
from scheduler_api.workers.delivery.client import Call


def values_of(started: Started) -> Values:
    """What `{{…}}` stands for in the target of a run."""
    entry = started.entry
    return {
        "jobid": entry.jobid,
        "jobname": started.jobname,
        "logid": entry.logid,
        "scheduledfor": _written(entry.scheduledfor),
        "attempt": entry.attempt,
        "runs": started.runs,
        "deliveryid": delivery_id(started),
        "parentlogid": started.parentlogid,
    }


def delivery_id(started: Started) -> str:
    """The id that all attempts of an occurrence have in common."""
    entry = started.entry
    # What else sets apart runs of a job at one instant: why they came to be, and after which log.
    cause = entry.cause if started.parentlogid is None else f"{entry.cause} {started.parentlogid}"
    return signatures.delivery_id(entry.jobid, started.createdat, entry.scheduledfor, cause)


def request_of(target: Target, started: Started, secrets: Sequence[str], runurl: str | None) -> Call:
    """The request. `secrets` sign it; `runurl` is where an accepted run reports."""
    values = values_of(started)
    data, kind = _body(target, values)
    msgid = str(values["deliveryid"])
    headers = {} if kind is None else {"Content-Type": kind}
    for name, text in target.headers.items():
        # One of the user's own comes instead.
        if name.lower() == "content-type":
            headers.pop("Content-Type", None)
        headers[name] = templates.fill_header(text, values)
    headers["webhook-id"] = msgid
    headers["webhook-timestamp"] = str(int(started.now.timestamp()))
    if secrets:
        headers["webhook-signature"] = signatures.sign(secrets, msgid, started.now, (data or b"").decode())
    headers["traceparent"] = signatures.traceparent(msgid, f"{random.getrandbits(64) or 1:016x}")
    if runurl is not None:
        headers["scheduler-run"] = runurl
    url = templates.fill_url(target.url, values)
    return Call(target.method.value, url, headers, data, float(target.timeout))


def _body(target: Target, values: Values) -> tuple[bytes | None, str | None]:
    """The body, and its media type."""
    if target.body is None:
        return None, None
    if isinstance(target.body, str):
        return templates.fill_text(target.body, values).encode(), "text/plain; charset=utf-8"
    return to_json(templates.fill_json(target.body, values)), "application/json"


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
