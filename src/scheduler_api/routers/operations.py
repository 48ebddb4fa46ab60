"""What people do with a job beside editing it."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.contracts import BulkOrder, BulkReport, History, Job, Log, Pause, Resume
from scheduler_api.routers.bodies import FORM, content_type, json_body, order_body
from scheduler_api.routers.documentation import IF_MATCH, body_of, problems
from scheduler_api.routers.negotiation import Media
from scheduler_api.routers.paging import NEGOTIATED, job_filters
from scheduler_api.routers.wiring import JobId, client_of, database_of, runner_of, tagged, version_of
from scheduler_api.services import jobs, operations

router = APIRouter(tags=["operations"])

BACK: dict[int | str, dict[str, Any]] = {303: {"description": "It was asked for by a form; back to the job."}}


@router.post(
    "/jobs/{jobid:jobid}/pause",
    response_model=Job,
    openapi_extra=body_of(Pause, required=False) | IF_MATCH,
    responses=problems(400, 404, 408, 409, 412, 413, 415, 422, 503) | BACK,
)
async def pause_job(request: Request, jobid: JobId) -> Response:
    """Pause a job: nothing of it runs until it is resumed, or until the given instant.

    What it misses meanwhile is decided when it is resumed. A paused job gets the new reason and end.
    """
    order = await order_body(request, Pause)
    database, client = database_of(request), client_of(request)
    job = await database.transact(operations.pause, jobid, order, version_of(request), client)
    return _job(request, job)


@router.post(
    "/jobs/{jobid:jobid}/resume",
    response_model=Job,
    openapi_extra=body_of(Resume, required=False) | IF_MATCH,
    responses=problems(400, 404, 408, 409, 412, 413, 415, 422, 503) | BACK,
)
async def resume_job(request: Request, jobid: JobId) -> Response:
    """Resume a paused job; one that is not paused stays as it is.

    The runs that it missed are caught up as its misfire policy says, or skipped on request.
    """
    order = await order_body(request, Resume)
    database, client = database_of(request), client_of(request)
    job = await database.transact(operations.resume, jobid, order, version_of(request), client)
    return _job(request, job)


@router.post(
    "/jobs/{jobid:jobid}/run",
    status_code=202,
    response_model=Log,
    responses=problems(404, 409, 422, 503) | BACK,
)
async def run_job(request: Request, jobid: JobId) -> Response:
    """Run a job now, beside its schedule, which does not move. The answer is the pending log."""
    log = await database_of(request).transact(operations.run_now, jobid)
    if content_type(request) == FORM:
        return _back(jobid)
    headers = NEGOTIATED | {"Location": f"/jobs/{jobid}"}
    return Response(log.model_dump_json(), 202, headers, Media.JSON)


@router.post(
    "/jobs/{jobid:jobid}/skip",
    response_model=Job,
    openapi_extra=IF_MATCH,
    responses=problems(404, 409, 412, 422, 503) | BACK,
)
async def skip_next_run(request: Request, jobid: JobId) -> Response:
    """Skip the job's next run; the one after it is promised. The ledger says `skipped: request`."""
    database, client = database_of(request), client_of(request)
    return _job(request, await database.transact(operations.skip_next, jobid, version_of(request), client))


@router.post(
    "/jobs/bulk",
    response_model=BulkReport,
    openapi_extra=body_of(BulkOrder),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def order_many(request: Request) -> Response:
    """Pause, resume, run or delete all jobs that match a filter.

    `dryrun` tells how many those are. Each job is done as a whole or not at all; the answer names
    those with which it could not be done, and where it stopped if it took too long.
    """
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the order as application/json.")
    order = await json_body(request, BulkOrder)
    wanted = order.filter
    filters = job_filters(wanted.name, wanted.state, wanted.laststatus, wanted.tag)
    report = await runner_of(request).run_bulk(order, filters, client_of(request))
    return Response(report.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


@router.post("/jobs/{jobid:jobid}/delete", include_in_schema=False)
async def delete_by_form(request: Request, jobid: JobId) -> Response:
    """Delete a job; for browsers, whose forms know no DELETE."""
    database = database_of(request)
    await database.transact(jobs.delete, jobid, History.KEEP, version_of(request), client_of(request))
    return RedirectResponse(f"/jobs?deleted={jobid}", 303)


def _job(request: Request, job: Job) -> Response:
    if content_type(request) == FORM:
        return _back(job.jobid)
    return Response(job.model_dump_json(), headers=NEGOTIATED | tagged(job.version), media_type=Media.JSON)


def _back(jobid: int) -> Response:
    return RedirectResponse(f"/jobs/{jobid}", 303)
