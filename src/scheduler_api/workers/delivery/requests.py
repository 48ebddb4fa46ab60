"""The request that a run makes: the job's target, with the run's own values in it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic_core import to_json

from scheduler_api.contracts.jobs.credentials import NamedSecret, plain
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import MAX_CACHED, Target
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.database.runs.claims import Started
from scheduler_api.services.runs.ends import target_in
from scheduler_api.targets import Rules, Values, media_type, signatures, templates
from scheduler_api.targets.templates import Fill
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


class CompiledTarget:
    """A target, read once for all of its requests."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.rules = Rules(target.success, target.pattern, target.retryon)
        self.named = tuple(target.secrets.values())
        """The secrets that it names, each with its origin."""
        self._url = templates.in_url(target.url)
        self._body, kind = _body(target)
        own = [name.lower() for name in target.headers]
        # One of the user's own comes instead.
        self._kind = {} if kind is None or "content-type" in own else {"Content-Type": kind}
        self._headers = {
            name: templates.in_header(text) if isinstance(text, str) else text
            for name, text in target.headers.items()
        }

    def request(self, values: Values, named: Mapping[str, str]) -> Call:
        """The request, as all attempts of the run have it in common.

        `named` are the secrets that the target names.
        """
        target, headers, secrets = self.target, dict(self._kind), list[str]()
        for name, value in self._headers.items():
            if isinstance(value, NamedSecret):
                headers[name] = templates.in_header(named[value.secret])(values)
                secrets.append(headers[name])
            else:
                headers[name] = value(values)
        headers["webhook-id"] = str(values["deliveryid"])
        body = None if self._body is None else self._body(values)
        url, timeout = self._url(values), float(target.timeout)
        return Call(target.method.value, url, headers, body, timeout, secrets=tuple(secrets))


def attempt_of(
    compiled: CompiledTarget,
    started: Started,
    secrets: Sequence[str],
    named: Mapping[str, str],
    runurl: str | None,
) -> Call:
    """The request of one attempt.

    `secrets` sign it; `named` are those that the target names; `runurl` is where an accepted run reports.
    """
    call = compiled.request(values_of(started, started), named)
    msgid = call.headers["webhook-id"]
    call.headers["webhook-timestamp"] = str(int(started.now.timestamp()))
    if secrets:
        call.headers["webhook-signature"] = signatures.sign(secrets, msgid, started.now, call.body or b"")
    call.headers["traceparent"] = signatures.traceparent(msgid, started.attempt)
    if runurl is not None:
        call.headers["scheduler-run"] = runurl
    return call


def _body(target: Target) -> tuple[Fill[bytes] | None, str | None]:
    """The body, and its media type where the target gives none.

    It raises UnicodeEncodeError for a value that the charset of the target's own type does not have.
    """
    if target.body is None:
        return None, None
    if not isinstance(target.body, str):
        return templates.in_json(target.body, to_json), "application/json"
    own = media_type.of(plain(target.headers))
    text = templates.in_text(target.body, _inside_json if own.is_json else str)
    return lambda values: text(values).encode(own.charset), "text/plain; charset=utf-8"


def _inside_json(text: str) -> str:
    """The text as it stands between the quotes of a string of JSON."""
    return to_json(text).decode()[1:-1]


def compiled_in(document: str | None) -> CompiledTarget | None:
    """The target that a job's row holds, compiled; None: it has none, or none that can be understood.

    Thousands of runs ask for few.
    """
    if document is None:
        return None
    return _kept(document) if len(document) <= MAX_CACHED else _compiled(document)


def _compiled(document: str) -> CompiledTarget | None:
    target = target_in(document)
    return None if target is None else CompiledTarget(target)


_kept = lru_cache(maxsize=1024)(_compiled)
