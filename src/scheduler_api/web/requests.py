"""The request of a run, as its job makes it now: to be read, with the values of headers masked."""

from typing import Any, NamedTuple

from scheduler_api.contracts.jobs.credentials import MASK
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.workers.delivery.requests import CompiledTarget, values_of

#: Characters of a body that are shown.
MAX_BODY = 4000


class Shown(NamedTuple):
    """A request as text."""

    line: str
    headers: list[str]
    body: str | None


def shown(job: Job, log: Log, own_body: Any) -> Shown | None:
    """The request of a log's attempt, maybe with a body of its own.

    None: it makes none, or none can be put together.
    """
    if job.target is None or log.kind == "plain":
        return None
    try:
        target = job.target if own_body is None else job.target.model_copy(update={"body": own_body})
        compiled = CompiledTarget(target)
        call = compiled.request(values_of(log, job), {name: MASK for name, _ in compiled.named})
    except Exception:  # a page that is to explain must not fail itself
        return None
    own = {name.lower() for name in job.target.headers}
    headers = [f"{name}: {MASK if name.lower() in own else value}" for name, value in call.headers.items()]
    body = None if call.body is None else call.body.decode(errors="replace")
    if body is not None and len(body) > MAX_BODY:
        body = f"{body[:MAX_BODY]}…"
    return Shown(f"{call.method} {call.url}", headers, body)
