"""The ledger's questions and answers: logs, changes, why, whether all is there, making up for holes."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.computing import aside
from scheduler_api.contracts.history.backfill import Backfill, BackfillReport
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.history.explanation import Explanation
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.runs.logs import Log, LogCause, LogStatus
from scheduler_api.contracts.values import MAX_ID, Instant
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import content_type, json_body
from scheduler_api.routers.http.documentation import OR_PAGE, body_of, problems
from scheduler_api.routers.http.filters import StrictRoute, with_offset
from scheduler_api.routers.http.negotiation import Media
from scheduler_api.routers.http.paging import NEGOTIATED, given, with_next
from scheduler_api.routers.http.patience import array, while_connected
from scheduler_api.routers.http.wiring import (
    Before,
    JobId,
    Limit,
    NegotiatedLimit,
    database_of,
    page_size,
    pages_of,
    wants_page,
)
from scheduler_api.services import views
from scheduler_api.services.history import backfill, checks, explain
from scheduler_api.services.jobs import reading
from scheduler_api.services.system import health

router = APIRouter(tags=["history"], route_class=StrictRoute)

INSTANT = TypeAdapter(Instant)
#: Seconds that a check may take, so that no proxy loses patience first.
CHECK_SECONDS = 20.0

Status = Annotated[LogStatus | None, Query(description="Only logs with this status.")]
Cause = Annotated[LogCause | None, Query(description="Only logs with this cause.")]
Since = Annotated[
    str | None, Query(max_length=40, description="Only occurrences from this instant on (RFC 3339).")
]
Until = Annotated[
    str | None, Query(max_length=40, description="Only occurrences before this instant (RFC 3339).")
]


@router.get("/logs", response_model=list[Log], responses=problems(422, 503) | OR_PAGE)
async def list_logs(
    request: Request,
    status: Status = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    before: Before = None,
    limit: NegotiatedLimit = None,
) -> Response:
    """List the runs of all jobs, newest first.

    A `Link` header with `rel="next"` leads to older runs. Browsers get an HTML page.
    """
    shown = {"status": status, "cause": cause, "before": before}
    if wants_page(request):
        since, until = (text and with_offset(text) for text in (since, until))
        return await _runs_page(request, shown | _range(since, until), page_size(limit, page=True))
    return await _logs(request, shown | _range(since, until), page_size(limit, page=False))


@router.get("/jobs/{jobid:jobid}/logs", response_model=list[Log], responses=problems(404, 422, 503))
async def list_logs_of_job(
    request: Request,
    jobid: JobId,
    status: Status = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    before: Before = None,
    limit: Limit = 100,
) -> Response:
    """List a job's runs, newest first.

    A `Link` header with `rel="next"` leads to older runs.
    """
    await database_of(request).read(reading.get_summary, jobid)
    filters = {"jobid": jobid, "status": status, "cause": cause, "before": before} | _range(since, until)
    return await _logs(request, filters, limit)


@router.get("/jobs/{jobid:jobid}/changes", response_model=list[Change], responses=problems(404, 422, 503))
async def list_changes(
    request: Request,
    jobid: JobId,
    before: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only changes older than this changeid.")
    ] = None,
    limit: Limit = 100,
) -> Response:
    """List who changed a job, when, and what, newest first."""
    found = await database_of(request).read(reading.changes_of, jobid, before or MAX_ID, limit + 1)
    further = with_next(request, before=found[limit - 1].changeid) if found[limit:] else None
    return _json(await array(found[:limit]), further)


@router.get(
    "/jobs/{jobid:jobid}/explain",
    response_model=Explanation,
    responses=problems(404, 409, 422, 503) | OR_PAGE,
)
async def explain_instant(
    request: Request,
    jobid: JobId,
    at: Annotated[
        str,
        Query(
            max_length=40,
            description="The instant, in RFC 3339 with an offset.",
            examples=["2026-11-01T02:30:00+01:00"],
        ),
    ],
) -> Response:
    """Explain why a job did or did not run at an instant."""
    instant = _instant("at", at)
    database = database_of(request)
    hostlimit = request.state.settings.host_concurrency
    found = await while_connected(request, database.transact(explain.explain, jobid, instant, hostlimit))
    if wants_page(request):
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        page = await aside(pages_of(request).explanation, now, job, found)
        return Response(page, 200, NEGOTIATED, Media.HTML)
    return _json(found.model_dump_json())


@router.get("/jobs/{jobid:jobid}/check", response_model=JobCheck, responses=problems(404, 422, 503))
async def check_history(request: Request, jobid: JobId) -> Response:
    """Compare a job's runs with its schedule and its edits: missing runs, duplicates, broken rules.

    Stops after 20 seconds and returns what it has found by then. `scheduler-api check` has no time
    limit.
    """
    check = database_of(request).read(checks.check_job, jobid, CHECK_SECONDS)
    found = await while_connected(request, check)
    return _json(found.model_dump_json())


@router.post(
    "/jobs/{jobid:jobid}/backfill",
    response_model=BackfillReport,
    openapi_extra=body_of(Backfill),
    responses=problems(400, 404, 408, 409, 413, 415, 422, 503),
)
async def backfill_range(request: Request, jobid: JobId) -> Response:
    """Run past occurrences that did not run. The schedule is unchanged.

    At most 1,000 at once; each occurrence is backfilled at most once. `dryrun` only lists them.
    """
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the range as application/json.")
    order = await json_body(request, Backfill)
    report = await database_of(request).transact(backfill.backfill, jobid, order)
    return _json(report.model_dump_json())


async def _logs(request: Request, filters: dict[str, Any], limit: int) -> Response:
    found = await database_of(request).read(reading.list_logs, given(filters), limit + 1)
    further = with_next(request, before=found[limit - 1].logid) if found[limit:] else None
    return _json(await array(found[:limit]), further)


async def _runs_page(request: Request, filters: dict[str, Any], limit: int) -> Response:
    span = filters["since"], filters["until"]
    # Those that can be tried again, whatever their cause.
    failed = given({"since": span[0], "until": span[1]}) if filters["status"] is LogStatus.FAILED else None
    view = await database_of(request).read(views.of_runs, given(filters), limit, failed)
    further = with_next(request, before=view.logs[limit - 1].logid) if view.logs[limit:] else None
    page = await aside(pages_of(request).runs, view, limit, further, request.query_params, span)
    return Response(page, 200, NEGOTIATED | _link(further), Media.HTML)


def _range(since: str | None, until: str | None) -> dict[str, Any]:
    texts = {"since": since, "until": until}
    return {name: None if text is None else _instant(name, text) for name, text in texts.items()}


def _instant(name: str, text: str) -> datetime:
    # In a query, the plus of an offset that was not encoded arrives as a blank.
    text = text if text[10:11] == " " else text.replace(" ", "+")
    try:
        instant: datetime = INSTANT.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError((f"?{name}",), error.errors()[0]["msg"])) from None
    return instant


def _json(content: str | bytes, further: str | None = None) -> Response:
    return Response(content, headers=NEGOTIATED | _link(further), media_type=Media.JSON)


def _link(further: str | None) -> dict[str, str]:
    return {} if further is None else {"Link": f'<{further}>; rel="next"'}
