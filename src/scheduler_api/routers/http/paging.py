"""Filters, orders and places of lists, as queries write them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request

from scheduler_api.contracts.jobs.job import Condition, JobSort, JobSummary, LastStatus
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.services.system.health import LATE

WILDCARDS = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})


def job_filters(
    name: str | None = None,
    state: Condition | None = None,
    laststatus: LastStatus | None = None,
    tag: str | None = None,
    jobids: Sequence[int] | None = None,
    *,
    pauseid: UUID | None = None,
) -> dict[str, Any]:
    """The filters that are given, as the list of jobs takes them."""
    filters: dict[str, Any] = {}
    if name:
        filters["name"] = f"%{name.translate(WILDCARDS)}%"
    if tag:
        filters["tag"] = tag
    if laststatus:
        filters["laststatus"] = laststatus
    if state is not None:
        filters[state.value] = True
    if state is Condition.OVERDUE:
        filters[state.value] = LATE
    if pauseid is not None:
        filters["pauseid"] = pauseid
    if jobids is not None:
        filters["jobids"] = list(jobids)
    return _storable(filters)


def given(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters that are not None."""
    return _storable({name: value for name, value in filters.items() if value is not None})


def _storable(filters: dict[str, Any]) -> dict[str, Any]:
    for name, value in filters.items():
        if isinstance(value, str) and "\0" in value:
            raise InvalidInput(FieldError((f"?{name}",), "Must not contain control characters."))
    return filters


def job_place(sort: JobSort, job: JobSummary) -> str:
    """A job's place in an order, for the query of the next page."""
    if sort is JobSort.JOBNAME:
        return f"{job.jobid}:{job.jobname}"
    if sort is JobSort.NEXTRUN:
        return f"{job.jobid}:{job.nextrun.isoformat() if job.nextrun else ''}"
    return str(job.jobid)


def place_of(sort: JobSort, after: str | None) -> tuple[int, Any] | None:
    """A place in an order: the jobid, and the key before it. Raises InvalidInput."""
    if after is None:
        return None
    number, _, key = after.partition(":")
    jobid = int(number)
    if jobid > MAX_ID or "\0" in key:
        raise InvalidInput(FieldError(("?after",), "Not a valid cursor for this list."))
    if sort is not JobSort.NEXTRUN:
        return jobid, key
    try:
        return jobid, datetime.fromisoformat(key).astimezone(UTC) if key else None
    except (ValueError, OverflowError):
        raise InvalidInput(FieldError(("?after",), "Not a valid cursor for this list.")) from None


def with_next(request: Request, **changed: Any) -> str:
    """The address of this request with some of its query changed."""
    kept = {name: value for name, value in request.query_params.items() if name not in changed}
    query = {name: str(value) for name, value in changed.items()} | kept
    return f"{request.url.path}?{urlencode(query)}"
