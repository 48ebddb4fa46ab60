"""What people do with a job beside editing it."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.actions import History, Pause, Resume
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type, order_body
from scheduler_api.routers.http.documentation import BACK, IF_MATCH, OR_PAGE, body_of, problems
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.redirects import back_telling
from scheduler_api.routers.http.wiring import (
    JobId,
    client_of,
    database_of,
    deliverer_of,
    pages_of,
    tagged,
    version_of,
    wants_page,
)
from scheduler_api.services.jobs import actions, editing, reading
from scheduler_api.services.system import health

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.post(
    "/jobs/{jobid:jobid}/pause",
    response_model=Job,
    openapi_extra=body_of(Pause, required=False) | IF_MATCH,
    responses=problems(400, 404, 408, 409, 412, 413, 415, 422, 503) | BACK,
)
async def pause_job(request: Request, jobid: JobId) -> Response:
    """Pause a job: it does not run until you resume it, or until the given instant.

    Its missed runs are handled when it is resumed. Pausing a paused job replaces its reason and end.
    """
    order = await order_body(request, Pause)
    database, client = database_of(request), client_of(request)
    job = await database.transact(actions.pause, jobid, order, version_of(request), client)
    return _job(request, job, paused=jobid)


@router.post(
    "/jobs/{jobid:jobid}/resume",
    response_model=Job,
    openapi_extra=body_of(Resume, required=False) | IF_MATCH,
    responses=problems(400, 404, 408, 409, 412, 413, 415, 422, 503) | BACK,
)
async def resume_job(request: Request, jobid: JobId) -> Response:
    """Resume a paused job. A job that is not paused stays as it is.

    Missed runs follow the job's misfire policy, or are skipped on request.
    """
    order = await order_body(request, Resume)
    database, client = database_of(request), client_of(request)
    job = await database.transact(actions.resume, jobid, order, version_of(request), client)
    return _job(request, job, resumed=jobid)


@router.post(
    "/jobs/{jobid:jobid}/run",
    status_code=202,
    response_model=Log,
    responses=problems(404, 409, 422, 503) | BACK,
)
async def run_job(request: Request, jobid: JobId) -> Response:
    """Run a job now. Its schedule is unchanged. Returns the pending run."""
    log = await database_of(request).transact(actions.run_now, jobid)
    if content_type(request) == FORM:
        return back_telling(request, f"/jobs/{jobid}", started=jobid)
    return json_answer(log, 202, headers={"Location": f"/jobs/{jobid}"})


@router.post(
    "/jobs/{jobid:jobid}/skip",
    response_model=Job,
    openapi_extra=IF_MATCH,
    responses=problems(404, 409, 412, 422, 503) | BACK,
)
async def skip_next_run(request: Request, jobid: JobId) -> Response:
    """Skip the job's next run. It is recorded as `skipped`, with the reason `request`."""
    database, client = database_of(request), client_of(request)
    job = await database.transact(actions.skip_next, jobid, version_of(request), client)
    return _job(request, job, skippednext=jobid)


@router.post(
    "/jobs/{jobid:jobid}/test",
    response_model=TestAnswer,
    responses=problems(404, 409, 422, 503) | OR_PAGE,
    tags=["targets"],
)
async def test_target(request: Request, jobid: JobId) -> Response:
    """Send one request to a job's target now. It is not logged or retried."""
    answer = await deliverer_of(request).test(jobid)
    if wants_page(request):
        database = database_of(request)
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        return page_answer(await aside(pages_of(request).test, now, job, answer))
    return json_answer(answer)


@router.post("/jobs/{jobid:jobid}/delete", include_in_schema=False)
async def delete_by_form(request: Request, jobid: JobId) -> Response:
    """Delete a job; for browsers, whose forms cannot send DELETE."""
    database = database_of(request)
    await database.transact(editing.delete, jobid, History.KEEP, version_of(request), client_of(request))
    return RedirectResponse(f"/jobs?deleted={jobid}", 303)


def _job(request: Request, job: Job, **done: int) -> Response:
    if content_type(request) == FORM:
        return back_telling(request, f"/jobs/{job.jobid}", **done)
    return json_answer(job, headers=tagged(job.version))
