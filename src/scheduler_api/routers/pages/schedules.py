"""Looking ahead, in a browser: the form with its preview, and the page of what is to come."""

import re
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from scheduler_api.computing import QUESTIONS, aside
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields, form_of
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    CipherDep,
    DatabaseDep,
    ForecastsDep,
    PagesDep,
    PrincipalDep,
)
from scheduler_api.routers.http.forms import schedule_draft_of, schedule_patch_of
from scheduler_api.routers.http.paging import AheadDep
from scheduler_api.routers.http.parameters import JobId
from scheduler_api.routers.http.patience import preview_edit, while_connected
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.routers.http.scope import job_to_copy
from scheduler_api.services.history import upcoming
from scheduler_api.services.jobs import editing
from scheduler_api.services.system import health
from scheduler_api.web.form import Typed

router = BrowserRouter()
own_router = form_router()

JOBID = re.compile(r"\d{1,18}", re.ASCII)
#: How many occurrences of one job a page lists: one of every second would fill it.
EACH_ON_PAGE, MAX_ON_PAGE, MAX_IN_HOUR = 3, 50, 500
Many = Annotated[int, Query(ge=1, le=1000)]


# Generators of clients stumble over two kinds of bodies where there is no parameter.
@router.form("/schedules/preview", is_documented=False)
async def preview_form(
    request: Request,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    principal: PrincipalDep,
) -> Response:
    """The form again, with the preview or what is wrong."""
    now = await database.read(health.clock)
    jobid = fields.get("jobid", "")
    job = await job_to_copy(database, principal, int(jobid)) if JOBID.fullmatch(jobid) else None
    status = 200
    try:
        draft = await aside(schedule_draft_of, fields)
        _, known = await database.transact(upcoming.draft_to_preview, draft)
        found = await while_connected(request, QUESTIONS.compute(upcoming.preview, now, known))
        change = None
        if job is not None:
            change = await preview_edit(request, database, job.jobid, schedule_patch_of(draft))
        typed = Typed(fields, preview=found, change=change)
    except InvalidInput as error:
        typed, status = Typed(fields, error.field_errors, previewing=True), 422
    return HTMLResponse(await aside(pages.form, now, typed, editing=job), status)


@router.page("/upcoming")
async def upcoming_page(
    request: Request,
    database: DatabaseDep,
    forecasts: ForecastsDep,
    pages: PagesDep,
    ahead: AheadDep,
    limit: Many | None = None,
    each: Many | None = None,
) -> str:
    """The next occurrences of all active jobs, with the load; or all of some hours."""
    is_hour = ahead.since is not None
    limit = limit or (MAX_IN_HOUR if is_hour else MAX_ON_PAGE)
    now, end, rows = await database.transact(
        upcoming.jobs_until, ahead.since, ahead.until, limit, ahead.wanted
    )
    window = upcoming.Window(end, limit, each or (limit if is_hour else EACH_ON_PAGE), ahead.since)
    found = await while_connected(request, QUESTIONS.compute(upcoming.upcoming_of_all, now, rows, window))
    load = await forecasts.newest(ahead.wanted.projects)
    return await aside(pages.upcoming, now, found, load, window, request.query_params)


@own_router.post("/jobs/{jobid:jobid}/spread")
async def spread_by_form(
    jobid: JobId,
    patch: Annotated[JobPatch, form_of(JobPatch)],
    database: DatabaseDep,
    actor: ActorDep,
    cipher: CipherDep,
    back: BackDep,
) -> RedirectResponse:
    """Set a job's jitter; for browsers, whose forms cannot send PATCH."""
    if patch.model_fields_set != {"jitter"}:
        raise InvalidInput(FieldError(("jitter",), "Send `jitter` in seconds, and nothing else."))
    await database.transact(editing.edit, actor, cipher, jobid, patch)
    return back.to("/upcoming", spread=jobid)
