"""Runs: their lists, their attempts, retrying and cancelling them, and the reports of accepted ones."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import aside
from scheduler_api.contracts.runs.attempts import LogWithAttempts
from scheduler_api.contracts.runs.logs import Log, LogCause, LogStatus
from scheduler_api.contracts.runs.reports import Report, RunState
from scheduler_api.contracts.runs.retries import RetryFilter, RetryOrder, RetryReport
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type, form_body, json_body, order_body
from scheduler_api.routers.http.documentation import BACK, OR_PAGE, body_of, problems
from scheduler_api.routers.http.forms import model_of
from scheduler_api.routers.http.paging import given, with_next
from scheduler_api.routers.http.patience import array
from scheduler_api.routers.http.queries import StrictRoute, query_instant, with_offset
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.wiring import (
    Before,
    JobId,
    Limit,
    NegotiatedLimit,
    database_of,
    page_size,
    pages_of,
    runner_of,
    wants_page,
)
from scheduler_api.services import views
from scheduler_api.services.jobs import reading
from scheduler_api.services.runs import reporting, retrying

router = APIRouter(tags=["logs"], route_class=StrictRoute)

PENDING: dict[int | str, dict[str, Any]] = {
    303: {"description": "Sent by a form: a redirect to the pending runs."}
}

LogId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which log.", examples=[1])]
Status = Annotated[LogStatus | None, Query(description="Only logs with this status.")]
Cause = Annotated[LogCause | None, Query(description="Only logs with this cause.")]
Since = Annotated[
    str | None, Query(max_length=40, description="Only occurrences from this instant on (RFC 3339).")
]
Until = Annotated[
    str | None, Query(max_length=40, description="Only occurrences before this instant (RFC 3339).")
]


async def filters_of(
    request: Request,
    status: Status = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    before: Before = None,
) -> dict[str, Any]:
    """The filters that a query gives, as the lists of runs take them."""
    texts = {"since": since, "until": until}
    if wants_page(request):
        texts = {name: text and with_offset(text) for name, text in texts.items()}
    span = {name: None if text is None else query_instant(name, text) for name, text in texts.items()}
    return {"status": status, "cause": cause, "before": before} | span


Filters = Annotated[dict[str, Any], Depends(filters_of)]


@router.get("/logs", response_model=list[Log], responses=problems(422, 503) | OR_PAGE)
async def list_logs(request: Request, filters: Filters, limit: NegotiatedLimit = None) -> Response:
    """List the runs of all jobs, newest first.

    A `Link` header with `rel="next"` leads to older runs. Browsers get an HTML page.
    """
    if wants_page(request):
        return await _runs_page(request, filters, page_size(limit, page=True))
    return await _logs(request, filters, page_size(limit, page=False))


@router.get("/jobs/{jobid:jobid}/logs", response_model=list[Log], responses=problems(404, 422, 503))
async def list_logs_of_job(request: Request, jobid: JobId, filters: Filters, limit: Limit = 100) -> Response:
    """List a job's runs, newest first.

    A `Link` header with `rel="next"` leads to older runs.
    """
    await database_of(request).read(reading.get_summary, jobid)
    return await _logs(request, filters | {"jobid": jobid}, limit)


@router.get(
    "/logs/{logid:logid}", response_model=LogWithAttempts, responses=problems(404, 422, 503) | OR_PAGE
)
async def show_log(request: Request, logid: LogId) -> Response:
    """Get a run with its attempts and its output. Browsers get an HTML page."""
    database = database_of(request)
    if wants_page(request):
        page = await aside(pages_of(request).log, *await database.read(views.of_log, logid))
        return page_answer(page)
    found = await database.read(retrying.get_log, logid)
    return json_answer(found)


@router.post(
    "/logs/{logid:logid}/retry",
    status_code=202,
    response_model=Log,
    responses=problems(404, 409, 422, 503) | BACK,
)
async def retry_log(request: Request, logid: LogId) -> Response:
    """Retry a failed run now, with a full set of attempts.

    It keeps its `webhook-id`, so that the receiver can recognize it as the same occurrence.
    """
    return _answer(request, await database_of(request).transact(retrying.retry, logid), 202)


@router.post(
    "/logs/{logid:logid}/cancel",
    response_model=Log,
    responses=problems(404, 409, 422, 503) | BACK,
)
async def cancel_log(request: Request, logid: LogId) -> Response:
    """Cancel a run that is running, waits for a retry, or was requested manually.

    A running run becomes `failed`. Its target's response is ignored; a target that has accepted it gets
    410 with its next report. To skip the next scheduled run, use `POST /jobs/{jobid}/skip`.
    """
    return _answer(request, await database_of(request).transact(retrying.cancel, logid), 200)


@router.post(
    "/logs/retry",
    response_model=RetryReport,
    openapi_extra=body_of(RetryOrder),
    responses=problems(400, 408, 413, 415, 422, 503) | PENDING,
)
async def retry_failed(request: Request) -> Response:
    """Retry all failed runs that match a filter. `dryrun` only counts them.

    Forms have the same fields as the filter.
    """
    if content_type(request) == FORM:
        fields = {name: with_offset(text) for name, text in (await form_body(request)).items()}
        report = await _retry(request, RetryOrder(filter=model_of(fields, RetryFilter)))
        left = "&left=1" if report.more else ""
        return RedirectResponse(f"/logs?status=pending&retried={report.done}{left}", 303)
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the order as application/json, or its filter as a form.")
    report = await _retry(request, await json_body(request, RetryOrder))
    return json_answer(report)


async def _retry(request: Request, order: RetryOrder) -> RetryReport:
    return await runner_of(request).retry_failed(order, given(order.filter.model_dump()))


@router.post(
    "/runs/{logid:logid}/{token}",
    response_model=RunState,
    openapi_extra=body_of(Report, required=False),
    responses=problems(400, 404, 408, 410, 413, 415, 422, 503),
)
async def report_on_run(
    request: Request,
    logid: LogId,
    token: Annotated[UUID, Path(description="What the header `scheduler-run` of the call held.")],
) -> Response:
    """Report on a run that its target accepted with 202: its progress, or its result.

    The URL comes from the request's `scheduler-run` header and is valid for that attempt only. An empty
    report is a heartbeat. 410: the attempt has ended, because it was cancelled or its heartbeat timed
    out.
    """
    told = await order_body(request, Report)
    state = await database_of(request).transact(reporting.report, logid, token, told)
    return json_answer(state)


async def _logs(request: Request, filters: dict[str, Any], limit: int) -> Response:
    found = await database_of(request).read(reading.list_logs, given(filters), limit + 1)
    further = with_next(request, before=found[limit - 1].logid) if found[limit:] else None
    return json_answer(await array(found[:limit]), further=further)


async def _runs_page(request: Request, filters: dict[str, Any], limit: int) -> Response:
    span = filters["since"], filters["until"]
    # Those that can be tried again, whatever their cause.
    failed = given({"since": span[0], "until": span[1]}) if filters["status"] is LogStatus.FAILED else None
    view = await database_of(request).read(views.of_runs, given(filters), limit, failed)
    further = with_next(request, before=view.logs[limit - 1].logid) if view.logs[limit:] else None
    page = await aside(pages_of(request).runs, view, limit, further, request.query_params, span)
    return page_answer(page, further=further)


def _answer(request: Request, log: Log, status: int) -> Response:
    if content_type(request) == FORM:
        return RedirectResponse(back_to(request.query_params.get("back"), f"/logs/{log.logid}"), 303)
    return json_answer(log, status, headers={"Location": f"/logs/{log.logid}"})
