"""Jobs: listed, created, shown, edited, deleted."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scheduler_api.contracts.jobs.actions import History
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job, JobState, JobSummary
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.schedules import EditPreview
from scheduler_api.contracts.runs.logs import JobWithLogs
from scheduler_api.errors import JobNotFound
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, CipherDep, DatabaseDep, PrincipalDep
from scheduler_api.routers.http.documentation import COUNTED, answers, back
from scheduler_api.routers.http.paging import (
    JobFilterDep,
    PlaceDep,
    cursor_of,
    link_next,
    tell_count,
)
from scheduler_api.routers.http.parameters import (
    LIST_LIMIT,
    LOGS_LIMIT,
    Cursor,
    IdempotencyKey,
    IfMatch,
    JobId,
    Limit,
    tag,
)
from scheduler_api.routers.http.patience import preview_edit
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import placed, require_place
from scheduler_api.routers.http.targets import check_target, seen_by
from scheduler_api.services.jobs import creating, editing, idempotency, reading

router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@router.get("/jobs", responses=answers(404, 422, 503, headers=["Link", *COUNTED], page=True))
async def list_jobs(
    request: Request,
    response: Response,
    database: DatabaseDep,
    wanted: JobFilterDep,
    place: PlaceDep,
    limit: Limit = LIST_LIMIT,
) -> list[JobSummary]:
    """List jobs, oldest first by default.

    Targets are listed without their headers and bodies; `GET /jobs/{jobid}` has them. A `Link` header
    with `rel="next"` leads to the next page, and the first page says how many there are (`Total-Count`).
    Browsers get an HTML page; with `form=true`, the form for a new job.
    """
    found = await database.read(reading.listing, wanted, place.sort, place.after, limit)
    if found.further is not None:
        link_next(request, response, cursor=cursor_of(place.sort, found.further))
    if place.after is None:
        tell_count(response, found.matching, is_all=found.matching <= reading.MAX_COUNTED)
    return found.jobs


@router.post(
    "/jobs",
    status_code=201,
    response_model=Job,
    responses=answers(
        *(400, 408, 409, 413, 415, 422, 503),
        status=201,
        headers=["Location", "ETag", "Idempotency-Replayed"],
    )
    | back("the list of jobs"),
)
async def create_job(
    request: Request,
    response: Response,
    draft: JobDraft,
    changes: ChangesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    cipher: CipherDep,
    key: IdempotencyKey = None,
) -> Job | Response:
    """Create a job and schedule its first run.

    The start must be in the future, by the database's clock. Forms are answered with a redirect to the
    list, or with the form and its errors. With an `Idempotency-Key` header (JSON only), repeating the
    request within 24 hours returns the first answer and creates no second job.
    """
    check_target(request, draft.target)
    draft = placed(principal, draft)
    if key is None:
        job = await changes.make(creating.create, actor, cipher, draft)
        response.headers["Location"] = f"/jobs/{job.jobid}"
        tag(response, job.version)
        return job
    once = await changes.make(idempotency.create_once, actor, cipher, key, draft)
    # As it was written then: an earlier version of the service may have done it.
    answer = Response(once.answer, 201, media_type="application/json")
    answer.headers["Location"] = f"/jobs/{once.jobid}"
    answer.headers["Idempotency-Replayed"] = str(once.is_replayed).lower()
    tag(answer, once.version)
    return answer


@router.get("/jobs/{jobid:jobid}", responses=answers(404, 422, 503, headers=["ETag", "Link"], page=True))
async def show_job(
    jobid: JobId,
    database: DatabaseDep,
    principal: PrincipalDep,
    request: Request,
    response: Response,
    cursor: Cursor = None,
    limit: Limit = LOGS_LIMIT,
    deleted: Annotated[bool, Query(description="Also if it was deleted, and its history kept.")] = False,
) -> JobWithLogs:
    """Get a job and its runs, newest first.

    A `Link` header with `rel="next"` leads to older runs. Browsers get an HTML page; with `form=true`, the
    form that edits it. Viewers and operators do not get the values of the target's headers.
    """
    found = await database.read(reading.get_with_logs, jobid, limit + 1, cursor)
    if found.job.state is JobState.DELETED and not deleted:
        raise JobNotFound(jobid, deleted=True)
    if found.logs[limit:]:
        found.logs.pop()
        link_next(request, response, cursor=found.logs[-1].logid, limit=limit)
    tag(response, found.job.version)
    return JobWithLogs(job=seen_by(principal, found.job), logs=found.logs)


@router.patch(
    "/jobs/{jobid:jobid}", responses=answers(400, 404, 408, 409, 412, 413, 415, 422, 503, headers=["ETag"])
)
async def edit_job(
    jobid: JobId,
    patch: JobPatch,
    version: IfMatch,
    database: DatabaseDep,
    changes: ChangesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    cipher: CipherDep,
    request: Request,
    response: Response,
) -> Job | EditPreview:
    """Change a job. Fields that are left out keep their values.

    A new schedule takes effect at once: the pending run moves to it, and due runs of the old schedule
    that have not started are skipped as `superseded`. A paused job stays paused. With `dryrun`, the answer
    lists the runs of the next 30 days that would change.
    """
    check_target(request, patch.target)
    require_place(principal, patch)
    if changes.dryrun:
        shown = await preview_edit(request, database, jobid, patch, version)
        # It promises nothing that would be refused.
        await changes.make(editing.edit, actor, cipher, jobid, patch, version)
        return shown
    job = await changes.make(editing.edit, actor, cipher, jobid, patch, version)
    tag(response, job.version)
    return job


@router.delete(
    "/jobs/{jobid:jobid}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 412, 422, 503, status=204),
)
async def delete_job(
    jobid: JobId,
    version: IfMatch,
    changes: ChangesDep,
    actor: ActorDep,
    history: Annotated[
        History, Query(description="Whether to `keep` the job's runs, or to `remove` them.")
    ] = History.KEEP,
) -> None:
    """Delete a job. It stops running at once; its history is kept unless you ask to remove it."""
    await changes.make(editing.delete, actor, jobid, history, version)
