"""The request that a run makes: the job's target, with the run's own values in it."""

from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from scheduler_api.contracts.jobs.credentials import plain
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.database.runs.claims import Started
from scheduler_api.targets import Values, media_type, signatures, templates
from scheduler_api.workers.delivery.client import Call


def values_of(run: Started | Log, job: Started | Job) -> Values:
    """What `{{…}}` stands for in the target of a run."""
    cause = signatures.cause_of(run.cause, run.parentlogid)
    return {
        "jobid": run.jobid,
        "jobname": job.jobname,
        "logid": run.logid,
        "scheduledfor": run.scheduledfor,
        "attempt": run.attempt,
        "runs": run.runs,
        "deliveryid": signatures.delivery_id(run.jobid, job.createdat, run.scheduledfor, cause),
        "parentlogid": run.parentlogid,
        "timezone": job.timezone,
    }


def request_of(target: Target, values: Values, named: Mapping[str, str]) -> Call:
    """The request, as all attempts of the run have it in common.

    `named` are the secrets that the target names.
    """
    data, kind = _body(target, values)
    headers = {} if kind is None else {"Content-Type": kind}
    for name, text in target.headers.items():
        # One of the user's own comes instead.
        if name.lower() == "content-type":
            headers.pop("Content-Type", None)
        value = text if isinstance(text, str) else named[text.secret]
        headers[name] = templates.fill_header(value, values)
    headers["webhook-id"] = str(values["deliveryid"])
    url = templates.fill_url(target.url, values)
    secrets = tuple(
        value for name, value in headers.items() if not isinstance(target.headers.get(name, ""), str)
    )
    return Call(target.method.value, url, headers, data, float(target.timeout), secrets=secrets)


def attempt_of(
    target: Target, started: Started, secrets: Sequence[str], named: Mapping[str, str], runurl: str | None
) -> Call:
    """The request of one attempt.

    `secrets` sign it; `named` are those that the target names; `runurl` is where an accepted run reports.
    """
    call = request_of(target, values_of(started, started), named)
    msgid = call.headers["webhook-id"]
    call.headers["webhook-timestamp"] = str(int(started.now.timestamp()))
    if secrets:
        call.headers["webhook-signature"] = signatures.sign(secrets, msgid, started.now, call.body or b"")
    call.headers["traceparent"] = signatures.traceparent(msgid, started.attempt)
    if runurl is not None:
        call.headers["scheduler-run"] = runurl
    return call


def _body(target: Target, values: Values) -> tuple[bytes | None, str | None]:
    """The body, and its media type where the target gives none.

    Raises UnicodeEncodeError for a value that the charset of the target's own type does not have.
    """
    if target.body is None:
        return None, None
    own = media_type.of(plain(target.headers))
    if isinstance(target.body, str):
        escaped = _inside_json if own.is_json else str
        text = templates.fill_text(target.body, values, escaped)
        return text.encode(own.charset), "text/plain; charset=utf-8"
    return to_json(templates.fill_json(target.body, values)), "application/json"


def _inside_json(text: str) -> str:
    """The text as it stands between the quotes of a string of JSON."""
    return to_json(text).decode()[1:-1]
