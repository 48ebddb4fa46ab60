"""Jobs: listed, created, shown, edited, deleted."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scheduler_api.computing import QUESTIONS, aside
from scheduler_api.contracts.history.timeline import TimeRange
from scheduler_api.contracts.jobs.actions import History
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.drafts import JobDraft, JobPatch
from scheduler_api.contracts.jobs.job import Condition, Job, JobSort, JobState, JobSummary, LastStatus
from scheduler_api.contracts.jobs.schedules import EditPreview, Occurrence
from scheduler_api.contracts.runs.logs import JobWithLogs
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.errors import FieldError, InvalidInput, JobIsDeleted, ScheduleUnusable, StaleVersion
from scheduler_api.routers.http import forms
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type, form_body, json_body
from scheduler_api.routers.http.documentation import IDEMPOTENCY, IF_MATCH, OR_PAGE, body_of, problems
from scheduler_api.routers.http.paging import job_filters, job_place, place_of, with_next
from scheduler_api.routers.http.patience import array, preview_edit, while_connected
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.wiring import (
    After,
    Before,
    JobId,
    NegotiatedLimit,
    check_target,
    client_of,
    database_of,
    page_size,
    pages_of,
    tagged,
    version_of,
    wants_page,
)
from scheduler_api.services import views
from scheduler_api.services.history import upcoming
from scheduler_api.services.jobs import creating, editing, idempotency, reading
from scheduler_api.services.system import health
from scheduler_api.services.views import JobView

router = APIRouter(tags=["jobs"], route_class=StrictRoute)

#: How many next runs the page of a job shows.
SHOWN_AHEAD = 20
STALE = "This job was edited after you opened it. Save again to overwrite."
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

Name = Annotated[str | None, Query(max_length=100, description="Only jobs whose name contains this.")]
InState = Annotated[
    Condition | None,
    Query(
        description="Only jobs in this state; or active ones that are `running`, `failing` (their last "
        "run failed) or `overdue`. Deleted ones show only if asked for."
    ),
]
WithLast = Annotated[LastStatus | None, Query(description="Only jobs whose last run is so.")]
WithPause = Annotated[UUID | None, Query(description="Only jobs that this order to many jobs paused.")]
WithTag = Annotated[str | None, Query(max_length=50, description="Only jobs with this tag.")]
Sort = Annotated[JobSort, Query(description="The order.")]


async def filters_of(
    name: Name = None,
    state: InState = None,
    laststatus: WithLast = None,
    tag: WithTag = None,
    pauseid: WithPause = None,
) -> dict[str, Any]:
    """The filters that a query gives, as the list of jobs takes them."""
    return job_filters(name, state, laststatus, tag, pauseid=pauseid)


Filters = Annotated[dict[str, Any], Depends(filters_of)]


@router.get("/jobs", response_model=list[JobSummary], responses=problems(404, 422, 503) | OR_PAGE)
async def list_jobs(
    request: Request,
    filters: Filters,
    form: Annotated[bool, Query(description="Show the form for a new job, as HTML.")] = False,
    like: Annotated[
        int | None, Query(alias="from", ge=1, le=MAX_ID, description="A job to fill the form from.")
    ] = None,
    sort: Sort = JobSort.JOBID,
    after: After = None,
    limit: NegotiatedLimit = None,
) -> Response:
    """List jobs, oldest first by default.

    Targets are listed without their headers and bodies; `GET /jobs/{jobid}` has them. A `Link` header
    with `rel="next"` leads to the next page. Browsers get an HTML page.
    """
    database = database_of(request)
    if form:
        job = None if like is None else await database.read(reading.get, like)
        return page_answer(await aside(pages_of(request).form, await database.read(health.clock), like=job))
    page = wants_page(request)
    size = page_size(limit, page=page)
    place = place_of(sort, after)
    if not page:
        found = await database.read(reading.listing, filters, sort, place, size + 1)
        return json_answer(await array(found[:size]), further=_further(request, sort, found, size))
    view = await database.read(views.of_jobs, filters, sort, place, size)
    further = _further(request, sort, view.jobs, size)
    shown = await aside(pages_of(request).jobs, view, size, further, request.query_params)
    return page_answer(shown, further=further)


@router.post(
    "/jobs",
    status_code=201,
    response_model=Job,
    openapi_extra=body_of(JobDraft) | IDEMPOTENCY,
    responses=problems(400, 408, 409, 413, 415, 422, 503)
    | {303: {"description": "A form was accepted; on to the list of jobs."}},
)
async def create_job(request: Request) -> Response:
    """Create a job and schedule its first run.

    The start must be in the future, by the database's clock. Forms are answered with a redirect to the
    list, or with the form and its errors. With an `Idempotency-Key` header (JSON only), repeating the
    request within 24 hours returns the first answer and creates no second job.
    """
    database, client = database_of(request), client_of(request)
    kind = content_type(request)
    if kind == "application/json":
        draft, key = await json_body(request, JobDraft), request.headers.get("idempotency-key")
        check_target(request, draft.target)
        if key is None:
            job = await database.transact(creating.create, draft, client)
            return _created(job.jobid, job.version, job.model_dump_json())
        once = await database.transact(idempotency.create_once, _checked(key), draft, client)
        replayed = {"Idempotency-Replayed": str(once.is_replayed).lower()}
        return _created(once.jobid, once.version, once.answer, replayed)
    if kind != FORM:
        raise HTTPException(415, "Send a job as application/json, or as a form.")
    fields = await form_body(request)
    like = await _job_named(request, fields.get("from"))
    try:
        draft = await aside(forms.draft_of, fields, like)
        check_target(request, draft.target)
        job = await database.transact(creating.create, draft, client)
    except InvalidInput as error:
        now = await database.read(health.clock)
        return page_answer(
            await aside(pages_of(request).form, now, fields, error.field_errors, like=like), status=422
        )
    return RedirectResponse(f"/jobs?created={job.jobid}", 303)


def _created(jobid: int, version: int, answer: str, headers: Mapping[str, str] | None = None) -> Response:
    location = {"Location": f"/jobs/{jobid}", **tagged(version), **(headers or {})}
    return Response(answer, 201, location, "application/json")


@router.get("/jobs/{jobid:jobid}", response_model=JobWithLogs, responses=problems(404, 422, 503) | OR_PAGE)
async def show_job(
    request: Request,
    jobid: JobId,
    before: Before = None,
    limit: NegotiatedLimit = None,
    form: Annotated[bool, Query(description="Show the form that edits it, as HTML.")] = False,
    span: Annotated[
        TimeRange, Query(description="How far back a page of HTML draws what has run.")
    ] = TimeRange.DAY,
) -> Response:
    """Get a job and its runs, newest first.

    A `Link` header with `rel="next"` leads to older runs. Browsers get an HTML page.
    """
    database = database_of(request)
    if form:
        job = await database.read(reading.get, jobid)
        if job.state is JobState.DELETED:
            raise JobIsDeleted(jobid)
        return page_answer(
            await aside(pages_of(request).form, await database.read(health.clock), editing=job)
        )
    page = wants_page(request)
    size = page_size(limit, page=page)
    if page:
        view = await database.read(views.of_job, jobid, size, before, span)
        return await _job_page(request, view, _older(view.job, size))
    found = await database.read(reading.get_with_logs, jobid, size + 1, before)
    older = _older(found, size)
    return json_answer(found, further=older, headers=tagged(found.job.version))


@router.post("/jobs/{jobid:jobid}/edit", include_in_schema=False)
async def edit_by_form(request: Request, jobid: JobId) -> Response:
    """Change a job; for browsers, whose forms cannot send PATCH."""
    if content_type(request) != FORM:
        raise HTTPException(415, "Send a form; programs change a job with PATCH.")
    database, fields = database_of(request), await form_body(request)
    job = await database.read(reading.get, jobid)
    seen = fields.get("version", "")
    version = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else None  # noqa: PLR2004
    meanwhile: list[Change] = []
    try:
        draft = await aside(forms.draft_of, fields, job)
        check_target(request, draft.target)
        patch = await aside(forms.patch_of, draft)
        await database.transact(editing.edit, jobid, patch, version, client_of(request))
    except InvalidInput as error:
        field_errors, status = error.field_errors, 422
    except StaleVersion:
        field_errors, status = (FieldError((), STALE),), 412
        job = await database.read(reading.get, jobid)
        meanwhile = await database.read(reading.changes_since, job, version or 0)
        # Who sends it again has been told; who only fixes a field has not.
        fields["version"] = str(job.version)
    else:
        return RedirectResponse(f"/jobs/{jobid}", 303)
    now = await database.read(health.clock)
    page = await aside(pages_of(request).form, now, fields, field_errors, editing=job, meanwhile=meanwhile)
    return page_answer(page, status=status)


@router.patch(
    "/jobs/{jobid:jobid}",
    response_model=Job | EditPreview,
    openapi_extra=body_of(JobPatch) | IF_MATCH,
    responses=problems(400, 404, 408, 409, 412, 413, 415, 422, 503),
)
async def edit_job(
    request: Request,
    jobid: JobId,
    dryrun: Annotated[
        bool, Query(description="Change nothing; say which runs of the next 30 days would change.")
    ] = False,
) -> Response:
    """Change a job. Fields that are left out keep their values.

    A new schedule takes effect at once: the pending run moves to it, and due runs of the old schedule
    that have not started are skipped as `superseded`. A paused job stays paused.
    """
    database = database_of(request)
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the changes as application/json.")
    patch = await json_body(request, JobPatch)
    check_target(request, patch.target)
    if dryrun:
        return json_answer(await preview_edit(request, jobid, patch))
    job = await database.transact(editing.edit, jobid, patch, version_of(request), client_of(request))
    return json_answer(job, headers=tagged(job.version))


@router.delete(
    "/jobs/{jobid:jobid}",
    status_code=204,
    openapi_extra=IF_MATCH,
    responses=problems(404, 409, 412, 422, 503),
)
async def delete_job(
    request: Request,
    jobid: JobId,
    history: Annotated[
        History, Query(description="Whether to `keep` the job's logs and changes, or to `remove` them.")
    ] = History.KEEP,
) -> Response:
    """Delete a job. It stops running at once; its history is kept."""
    version, client = version_of(request), client_of(request)
    await database_of(request).transact(editing.delete, jobid, history, version, client)
    return Response(status_code=204)


async def _job_named(request: Request, text: str | None) -> Job | None:
    """The job that a form names; None for what is no jobid."""
    if text is None or not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return None
    return await database_of(request).read(reading.get, int(text))


def _further(request: Request, sort: JobSort, found: Sequence[JobSummary], size: int) -> str | None:
    """Where the list goes on behind `size` of what was found; None: it ends there."""
    return with_next(request, after=job_place(sort, found[size - 1])) if found[size:] else None


def _older(found: JobWithLogs, size: int) -> str | None:
    """Where there are older logs than the first `size`, the last of which is left out; None: nowhere."""
    if not found.logs[size:]:
        return None
    found.logs.pop()
    return f"/jobs/{found.job.jobid}?{urlencode({'before': found.logs[-1].logid, 'limit': size})}"


async def _job_page(request: Request, view: JobView, older: str | None) -> Response:
    ahead: Sequence[Occurrence] = ()
    issue = None
    try:
        asked = QUESTIONS.compute(upcoming.upcoming, view.now, view.row, SHOWN_AHEAD)
        ahead = (await while_connected(request, asked)).occurrences
    except ScheduleUnusable as error:
        issue = str(error)
    return page_answer(await aside(pages_of(request).job, view, older, ahead, issue), further=older)


def _checked(key: str) -> str:
    if not IDEMPOTENCY_KEY.fullmatch(key):
        sentence = "Must be 1 to 255 printable ASCII characters without spaces."
        raise InvalidInput(FieldError(("Idempotency-Key",), sentence))
    return key
