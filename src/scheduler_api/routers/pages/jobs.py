"""Pages of jobs: their list, the forms that create and edit them, one job with its runs."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.actors import Principal, Role
from scheduler_api.computing import QUESTIONS, aside
from scheduler_api.contracts.history.timeline import TimeRange
from scheduler_api.contracts.jobs.actions import History
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.job import JobState
from scheduler_api.contracts.jobs.schedules import Occurrence
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.engine import Database
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    JobIsDeleted,
    ScheduleUnusable,
    StaleVersion,
)
from scheduler_api.routers.http import forms
from scheduler_api.routers.http.authentication import require
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, CipherDep, DatabaseDep, PagesDep, PrincipalDep
from scheduler_api.routers.http.paging import JobFilterDep, PlaceDep, cursor_of, link_next
from scheduler_api.routers.http.parameters import Cursor, JobId, PageSize
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.problems import REFUSED, complaints, problem_of
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.routers.http.scope import job_to_copy, placed, require_place
from scheduler_api.routers.http.targets import check_target
from scheduler_api.services import views
from scheduler_api.services.history import upcoming
from scheduler_api.services.jobs import creating, editing, reading, undoing
from scheduler_api.services.system import health
from scheduler_api.web.form import Typed
from scheduler_api.web.pages import Told
from scheduler_api.wording.notices import jobid_of

router = BrowserRouter()
own_router = form_router()

#: How many next runs the page of a job shows.
SHOWN_AHEAD = 20
STALE = "This job was edited after you opened it. Save again to overwrite."
JOBID, VERSION = re.compile(r"\d{1,18}", re.ASCII), re.compile(r"\d{1,9}", re.ASCII)


@router.page("/jobs")
async def jobs_page(
    request: Request,
    database: DatabaseDep,
    pages: PagesDep,
    wanted: JobFilterDep,
    place: PlaceDep,
    response: Response,
    size: PageSize,
    principal: PrincipalDep,
    form: bool = False,
    like: Annotated[int | None, Query(alias="from", ge=1, le=MAX_ID)] = None,
) -> str:
    """The list of jobs; or the form for a new one."""
    if form:
        require(principal, Role.EDITOR)
        job = None if like is None else await job_to_copy(database, principal, like)
        return await aside(pages.form, await database.read(health.clock), like=job)
    view = await database.read(views.of_jobs, wanted, place.sort, place.after, size)
    last = view.found.further
    further = None if last is None else link_next(request, response, cursor=cursor_of(place.sort, last))
    before = view.bearings and view.bearings.before
    earlier = None if before is None else cursor_of(place.sort, before)
    jobid = jobid_of(request.query_params)
    told = Told({}, None) if jobid is None else await _told(database, principal, jobid)
    return await aside(pages.jobs, view, further, earlier, request.query_params, size, told)


async def _told(database: Database, principal: Principal, jobid: int) -> Told:
    """What may be told of a job: of one that who asks may not see, nothing."""
    known = await database.read(reading.names, [jobid])
    if jobid not in known or not principal.roles.may(Role.VIEWER, known[jobid].project):
        return Told({}, None)
    return Told({jobid: known[jobid].jobname}, await database.read(reading.last_deed, jobid))


@router.form("/jobs")
async def create_by_form(
    request: Request,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    cipher: CipherDep,
) -> Response:
    """Create a job, and show it; or show the form with its errors."""
    named = fields.get("from", "")
    like = await job_to_copy(database, principal, int(named)) if JOBID.fullmatch(named) else None
    try:
        draft = placed(principal, await aside(forms.draft_of, fields, like))
        check_target(request, draft.target)
        job = await database.transact(creating.create, actor, cipher, draft)
    except REFUSED as error:
        now = await database.read(health.clock)
        page = await aside(pages.form, now, Typed(fields, complaints(error)), like=like)
        return HTMLResponse(page, problem_of(error).status)
    return RedirectResponse(f"/jobs/{job.jobid}?created={job.jobid}", 303)


@router.page("/jobs/{jobid:jobid}")
async def job_page(
    request: Request,
    jobid: JobId,
    database: DatabaseDep,
    pages: PagesDep,
    response: Response,
    size: PageSize,
    principal: PrincipalDep,
    cursor: Cursor = None,
    form: bool = False,
    span: TimeRange | None = None,
) -> str:
    """A job with its runs; or the form that edits it."""
    if form:
        job = await job_to_copy(database, principal, jobid)
        if job.state is JobState.DELETED:
            raise JobIsDeleted(jobid)
        return await aside(pages.form, await database.read(health.clock), editing=job)
    view = await database.read(views.of_job, jobid, size, cursor, span)
    older = None
    if view.job.logs[size:]:
        view.job.logs.pop()
        older = link_next(request, response, cursor=view.job.logs[-1].logid, limit=size)
    ahead: Sequence[Occurrence] = ()
    issue = None
    try:
        asked = QUESTIONS.compute(upcoming.upcoming, view.now, view.row, SHOWN_AHEAD)
        ahead = (await while_connected(request, asked)).occurrences
    except ScheduleUnusable as error:
        issue = str(error)
    return await aside(pages.job, view, older, ahead, issue, request.query_params)


@own_router.post("/jobs/{jobid:jobid}/edit")
async def edit_by_form(
    request: Request,
    jobid: JobId,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    cipher: CipherDep,
) -> Response:
    """Change a job; for browsers, whose forms cannot send PATCH."""
    job = await database.read(reading.get, jobid)
    seen = fields.get("version", "")
    version = int(seen) if VERSION.fullmatch(seen) else None
    meanwhile: list[Change] = []
    try:
        draft = await aside(forms.draft_of, fields, job)
        check_target(request, draft.target)
        patch = await aside(forms.patch_of, draft)
        require_place(principal, patch)
        await database.transact(editing.edit, actor, cipher, jobid, patch, version)
    except REFUSED as error:
        field_errors, status = complaints(error), problem_of(error).status
    except StaleVersion:
        field_errors, status = (FieldError((), STALE),), 412
        job = await database.read(reading.get, jobid)
        meanwhile = await database.read(reading.changes_since, job, version or 0)
        # Who sends it again has been told; who only fixes a field has not.
        fields["version"] = str(job.version)
    else:
        return RedirectResponse(f"/jobs/{jobid}?edited={jobid}", 303)
    now = await database.read(health.clock)
    typed = Typed(fields, field_errors, meanwhile=meanwhile)
    return HTMLResponse(await aside(pages.form, now, typed, editing=job), status)


@own_router.post("/jobs/{jobid:jobid}/undo")
async def undo_edit_by_form(
    request: Request,
    jobid: JobId,
    fields: FormFields,
    database: DatabaseDep,
    actor: ActorDep,
    cipher: CipherDep,
    principal: PrincipalDep,
    back: BackDep,
) -> RedirectResponse:
    """Take the newest edit of a job back, if nothing was done to it since."""
    version = fields.get("version", "")
    if not VERSION.fullmatch(version):
        raise InvalidInput(FieldError(("version",), "Must be the version of the job."))
    draft = await database.read(undoing.way_back, jobid, int(version))
    check_target(request, draft.target)
    patch = await aside(forms.patch_of, draft)
    require_place(principal, patch)
    await database.transact(editing.edit, actor, cipher, jobid, patch, int(version))
    return back.to(f"/jobs/{jobid}", undone=jobid)


@own_router.post("/jobs/{jobid:jobid}/delete")
async def delete_by_form(
    jobid: JobId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Delete a job; for browsers, whose forms cannot send DELETE."""
    await database.transact(editing.delete, actor, jobid, History.KEEP)
    return back.to("/jobs", deleted=jobid)
