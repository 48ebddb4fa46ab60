"""Looking ahead: a schedule before a job has it, and what is to come."""

import re
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.computing import QUESTIONS, aside
from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.jobs.drafts import JobPatch
from scheduler_api.contracts.jobs.schedules import Occurrence, ScheduleDraft, SchedulePreview, Upcoming
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type, form_body, json_body
from scheduler_api.routers.http.documentation import COMPLETE, OR_PAGE_COMPLETE, body_of, problems
from scheduler_api.routers.http.forms import model_of_values, schedule_draft_of, schedule_patch_of
from scheduler_api.routers.http.patience import array, preview_edit, while_connected
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.redirects import back_telling
from scheduler_api.routers.http.wiring import (
    LIST_LIMIT,
    JobId,
    client_of,
    database_of,
    forecasts_of,
    pages_of,
    wants_page,
)
from scheduler_api.services.history import upcoming
from scheduler_api.services.jobs import editing, reading
from scheduler_api.services.system import health

router = APIRouter(tags=["schedules"], route_class=StrictRoute)

JOBID = re.compile(r"\d{1,18}", re.ASCII)
#: How many occurrences of one job a page lists: one of every second would fill it.
EACH_ON_PAGE, MAX_ON_PAGE = 3, 50
Many = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


@router.post(
    "/schedules/preview",
    response_model=SchedulePreview,
    openapi_extra=body_of(ScheduleDraft),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def preview_schedule(request: Request) -> Response:
    """Describe a schedule and list its next occurrences. Nothing is stored.

    Takes the fields of a job. The start may be in the past.
    """
    now = await database_of(request).read(health.clock)
    kind = content_type(request)
    if kind == FORM:
        return await _preview_form(request, now)
    if kind != "application/json":
        raise HTTPException(415, "Send a schedule as application/json, or as a form.")
    draft = await json_body(request, ScheduleDraft)
    return json_answer(await _preview(request, now, draft))


async def _preview_form(request: Request, now: datetime) -> Response:
    """For scripts the preview; for a browser the form again, with the preview or what is wrong."""
    fields = await form_body(request)
    if not wants_page(request):
        return json_answer(await _preview(request, now, schedule_draft_of(fields)))
    database, jobid = database_of(request), fields.get("jobid", "")
    job = await database.read(reading.get, int(jobid)) if JOBID.fullmatch(jobid) else None
    page, status = partial(pages_of(request).form, now, fields, editing=job), 200
    try:
        draft = await aside(schedule_draft_of, fields)
        found, change = await _preview(request, now, draft), None
        if job is not None:
            change = await preview_edit(request, job.jobid, schedule_patch_of(draft))
        shown = await aside(page, preview=found, change=change)
    except InvalidInput as error:
        shown, status = await aside(page, error.field_errors, previewing=True), 422
    return page_answer(shown, status)


async def _preview(request: Request, now: datetime, draft: ScheduleDraft) -> SchedulePreview:
    return await while_connected(request, QUESTIONS.compute(upcoming.preview, now, draft))


@router.get(
    "/jobs/{jobid:jobid}/upcoming",
    response_model=list[Occurrence],
    responses=problems(404, 409, 422, 503) | COMPLETE,
)
async def list_upcoming_of_job(request: Request, jobid: JobId, limit: Many = 20) -> Response:
    """List a job's next occurrences, including those on which it will not run. Empty while it is paused."""
    now, row = await database_of(request).transact(upcoming.job_now, jobid)
    found = await while_connected(request, QUESTIONS.compute(upcoming.upcoming, now, row, limit))
    return _listed(await array(found.occurrences), found.complete)


@router.get("/upcoming", response_model=list[Upcoming], responses=problems(422, 503) | OR_PAGE_COMPLETE)
async def list_upcoming(
    request: Request,
    hours: Annotated[int, Query(ge=1, le=168, description="How far to look ahead.")] = 24,
    limit: Annotated[
        int | None, Query(ge=1, le=1000, description="How many at most: 100; on a page of HTML, 50.")
    ] = None,
    each: Annotated[
        int | None, Query(ge=1, le=1000, description="How many of one job at most; on a page of HTML, 3.")
    ] = None,
) -> Response:
    """List the next occurrences of all active jobs, in order. Browsers get an HTML page with the load."""
    database, page = database_of(request), wants_page(request)
    limit = limit or (MAX_ON_PAGE if page else LIST_LIMIT)
    each = each or (EACH_ON_PAGE if page else limit)
    window = upcoming.Window(hours, limit, each)
    now, rows = await database.transact(upcoming.jobs_until, hours, limit)
    found = await while_connected(request, QUESTIONS.compute(upcoming.upcoming_of_all, now, rows, window))
    if not page:
        return _listed(await array(found.occurrences), found.complete)
    load = await forecasts_of(request).newest()
    shown = await aside(pages_of(request).upcoming, now, found, load, window, request.query_params)
    return page_answer(shown)


@router.get("/forecast", response_model=Forecast, responses=problems(503))
async def forecast_load(request: Request) -> Response:
    """Forecast the load of the next 24 hours by the minute, and the minutes in which many jobs start.

    The answer may be up to 30 seconds old.
    """
    return json_answer(await while_connected(request, forecasts_of(request).newest()))


@router.post("/jobs/{jobid:jobid}/spread", include_in_schema=False)
async def spread_by_form(request: Request, jobid: JobId) -> Response:
    """Set a job's jitter; for browsers, whose forms cannot send PATCH."""
    patch = model_of_values(await form_body(request), JobPatch)
    if patch.model_fields_set != {"jitter"}:
        raise InvalidInput(FieldError(("jitter",), "Send `jitter` in seconds, and nothing else."))
    await database_of(request).transact(editing.edit, jobid, patch, None, client_of(request))
    return back_telling(request, "/upcoming", spread=jobid)


def _listed(content: str, complete: bool) -> Response:
    return json_answer(content, headers={"Scheduler-Complete": str(complete).lower()})
