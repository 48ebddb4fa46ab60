"""One log: its attempts; trying it again, and cancelling it; and what accepted runs report."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import aside
from scheduler_api.contracts.runs.attempts import LogWithAttempts
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.contracts.runs.reports import Report, RunState
from scheduler_api.contracts.runs.retries import RetryFilter, RetryOrder, RetryReport
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.bodies import FORM, content_type, form_body, json_body, order_body
from scheduler_api.routers.http.documentation import BACK, OR_PAGE, body_of, problems
from scheduler_api.routers.http.filters import StrictRoute, with_offset
from scheduler_api.routers.http.forms import model_of
from scheduler_api.routers.http.negotiation import Media
from scheduler_api.routers.http.paging import NEGOTIATED, given
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.wiring import database_of, pages_of, runner_of, wants_page
from scheduler_api.services import views
from scheduler_api.services.runs import reporting, retrying

router = APIRouter(tags=["logs"], route_class=StrictRoute)

PENDING: dict[int | str, dict[str, Any]] = {
    303: {"description": "It was asked for by a form; on to the runs that are to come."}
}

LogId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which log.", examples=[1])]


@router.get(
    "/logs/{logid:logid}", response_model=LogWithAttempts, responses=problems(404, 422, 503) | OR_PAGE
)
async def show_log(request: Request, logid: LogId) -> Response:
    """Get a run with its attempts and its output. Browsers get an HTML page."""
    database = database_of(request)
    if wants_page(request):
        page = await aside(pages_of(request).log, *await database.read(views.of_log, logid))
        return Response(page, 200, NEGOTIATED, Media.HTML)
    found = await database.read(retrying.get_log, logid)
    return Response(found.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


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
async def retry_many(request: Request) -> Response:
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
    return Response(report.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


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
    return Response(state.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


def _answer(request: Request, log: Log, status: int) -> Response:
    if content_type(request) == FORM:
        return RedirectResponse(back_to(request.query_params.get("back"), f"/logs/{log.logid}"), 303)
    headers = NEGOTIATED | {"Location": f"/logs/{log.logid}"}
    return Response(log.model_dump_json(), status, headers, Media.JSON)
