"""Jobs: listed, created, shown."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.contracts import Job, JobDraft, JobWithLogs
from scheduler_api.errors import InvalidInput
from scheduler_api.routers.bodies import FORM, content_type, form_body, form_model, json_body
from scheduler_api.routers.documentation import JOB_BODY, OR_PAGE, problems
from scheduler_api.routers.negotiation import Media
from scheduler_api.routers.wiring import After, Before, JobId, Limit, database_of, pages_of, wants_page
from scheduler_api.services import health, jobs

router = APIRouter(tags=["jobs"])

JOBS = TypeAdapter(list[Job])
NEGOTIATED = {"Vary": "Accept", "Cache-Control": "no-store"}


@router.get("/jobs", response_model=list[Job], responses=problems(422, 503) | OR_PAGE)
async def list_jobs(
    request: Request,
    form: Annotated[bool, Query(description="Show the form for a new job, as HTML.")] = False,
    after: After = 0,
    limit: Limit = 100,
) -> Response:
    """List jobs, oldest first.

    A `Link` header with `rel="next"` leads to the next page. Browsers get a page of HTML.
    """
    database = database_of(request)
    if form:
        now, _ = await database.read(health.next_due)
        return _html(pages_of(request).form(now))
    found = await database.read(jobs.listing, after, limit + 1)
    listing = found[:limit]
    further = f"/jobs?{urlencode({'after': listing[-1].jobid, 'limit': limit})}" if found[limit:] else None
    if wants_page(request):
        now, _ = await database.read(health.next_due)
        return _html(pages_of(request).jobs(now, listing, further, request.query_params), further)
    return _json(JOBS.dump_json(listing), further)


@router.post(
    "/jobs",
    status_code=201,
    response_model=Job,
    openapi_extra=JOB_BODY,
    responses=problems(400, 408, 413, 415, 422, 503)
    | {303: {"description": "A form was accepted; on to the list of jobs."}},
)
async def create_job(request: Request) -> Response:
    """Create a job, and promise its first run.

    The start must lie in the future, by the database's clock. A form is answered with a redirect to
    the list, or with the form again where something is wrong.
    """
    database = database_of(request)
    kind = content_type(request)
    if kind == "application/json":
        job = await database.transact(jobs.create, await json_body(request, JobDraft))
        location = {"Location": f"/jobs/{job.jobid}"}
        return Response(job.model_dump_json(), 201, location, "application/json")
    if kind != FORM:
        raise HTTPException(415, "Send a job as application/json, or as a form.")
    fields = await form_body(request)
    try:
        job = await database.transact(jobs.create, form_model(fields, JobDraft))
    except InvalidInput as error:
        now, _ = await database.read(health.next_due)
        return _html(pages_of(request).form(now, fields, error.flaws), status=422)
    return RedirectResponse(f"/jobs?created={job.jobid}", 303)


@router.get("/jobs/{jobid:jobid}", response_model=JobWithLogs, responses=problems(404, 422, 503) | OR_PAGE)
async def show_job(
    request: Request,
    jobid: JobId,
    before: Before = None,
    limit: Limit = 100,
) -> Response:
    """Show a job and its logs, newest first.

    A `Link` header with `rel="next"` leads to older logs. Browsers get a page of HTML.
    """
    database = database_of(request)
    found = await database.read(jobs.get_with_logs, jobid, limit + 1, before)
    older = None
    if found.logs[limit:]:
        found.logs.pop()
        older = f"/jobs/{jobid}?{urlencode({'before': found.logs[-1].logid, 'limit': limit})}"
    if wants_page(request):
        now, _ = await database.read(health.next_due)
        return _html(pages_of(request).job(now, found, older, first=before is None), older)
    return _json(found.model_dump_json(), older)


def _json(content: str | bytes, further: str | None) -> Response:
    return Response(content, headers=_headers(further), media_type=Media.JSON)


def _html(content: str, further: str | None = None, status: int = 200) -> Response:
    return Response(content, status, _headers(further), Media.HTML)


def _headers(further: str | None) -> dict[str, str]:
    return NEGOTIATED if further is None else {**NEGOTIATED, "Link": f'<{further}>; rel="next"'}
