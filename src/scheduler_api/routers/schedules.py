"""Looking ahead: a schedule before a job has it, and what is to come."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.contracts import Occurrence, ScheduleDraft, SchedulePreview, Upcoming
from scheduler_api.errors import InvalidInput
from scheduler_api.routers.bodies import FORM, content_type, form_body, json_body
from scheduler_api.routers.documentation import body_of, problems
from scheduler_api.routers.forms import schedule_draft_of
from scheduler_api.routers.negotiation import Media
from scheduler_api.routers.paging import NEGOTIATED
from scheduler_api.routers.wiring import JobId, database_of, pages_of, wants_page
from scheduler_api.services import health, outlook

router = APIRouter(tags=["schedules"])

OCCURRENCES, UPCOMING = TypeAdapter(list[Occurrence]), TypeAdapter(list[Upcoming])
Many = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


@router.post(
    "/schedules/preview",
    response_model=SchedulePreview,
    openapi_extra=body_of(ScheduleDraft),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def preview_schedule(request: Request) -> Response:
    """Show a schedule in words, and its next occurrences; nothing is stored.

    Takes the fields of a job. A start may lie in the past here.
    """
    now = await database_of(request).read(health.clock)
    kind = content_type(request)
    if kind == FORM:
        return await _preview_form(request, now)
    if kind != "application/json":
        raise HTTPException(415, "Send a schedule as application/json, or as a form.")
    draft = await json_body(request, ScheduleDraft)
    return _json(outlook.preview(now, draft).model_dump_json())


async def _preview_form(request: Request, now: datetime) -> Response:
    """For scripts the preview; for a browser the form again, with the preview or what is wrong."""
    fields = await form_body(request)
    if not wants_page(request):
        return _json(outlook.preview(now, schedule_draft_of(fields)).model_dump_json())
    pages = pages_of(request)
    try:
        found = outlook.preview(now, schedule_draft_of(fields))
    except InvalidInput as error:
        page = pages.form(now, fields, error.flaws, previewing=True)
        return Response(page, 422, NEGOTIATED, Media.HTML)
    return Response(pages.form(now, fields, preview=found), 200, NEGOTIATED, Media.HTML)


@router.get(
    "/jobs/{jobid:jobid}/upcoming", response_model=list[Occurrence], responses=problems(404, 409, 422, 503)
)
async def upcoming_of_job(request: Request, jobid: JobId, limit: Many = 20) -> Response:
    """List a job's next occurrences, with those on which it will not run; none while it is paused."""
    return _json(OCCURRENCES.dump_json(await database_of(request).transact(outlook.upcoming, jobid, limit)))


@router.get("/upcoming", response_model=list[Upcoming], responses=problems(422, 503))
async def upcoming_of_all(
    request: Request,
    hours: Annotated[int, Query(ge=1, le=168, description="How far to look ahead.")] = 24,
    limit: Many = 100,
) -> Response:
    """List the next occurrences of all active jobs, in order."""
    return _json(
        UPCOMING.dump_json(await database_of(request).transact(outlook.upcoming_of_all, hours, limit))
    )


def _json(content: str | bytes) -> Response:
    return Response(content, headers=NEGOTIATED, media_type=Media.JSON)
