"""What people do with a job beside editing it."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from scheduler_api.contracts.jobs.actions import Pause, Resume, RunOrder
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    CipherDep,
    DelivererDep,
    PrincipalDep,
)
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.parameters import IfMatch, JobId, tag
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.targets import seen_by
from scheduler_api.services.jobs import actions, undoing

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.post(
    "/jobs/{jobid:jobid}/pause",
    responses=answers(400, 404, 408, 409, 412, 413, 415, 422, 503, headers=["ETag"]) | back("the job"),
)
async def pause_job(
    jobid: JobId,
    order: Annotated[Pause, Body(default_factory=Pause)],
    version: IfMatch,
    changes: ChangesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    response: Response,
) -> Job:
    """Pause a job: it does not run until you resume it, or until the given instant.

    Its missed runs are handled when it is resumed. Pausing a paused job replaces its reason and end.
    """
    job = await changes.make(actions.pause, actor, jobid, order, version)
    tag(response, job.version)
    return seen_by(principal, job)


@router.post(
    "/jobs/{jobid:jobid}/resume",
    responses=answers(400, 404, 408, 409, 412, 413, 415, 422, 503, headers=["ETag"]) | back("the job"),
)
async def resume_job(
    jobid: JobId,
    order: Annotated[Resume, Body(default_factory=Resume)],
    version: IfMatch,
    changes: ChangesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    response: Response,
) -> Job:
    """Resume a paused job. A job that is not paused stays as it is.

    Missed runs follow the job's misfire policy, or are skipped on request.
    """
    job = await changes.make(actions.resume, actor, jobid, order, version)
    tag(response, job.version)
    return seen_by(principal, job)


@router.post(
    "/jobs/{jobid:jobid}/restore",
    responses=answers(400, 404, 408, 409, 412, 413, 415, 422, 503, headers=["ETag"]) | back("the job"),
)
async def restore_job(
    jobid: JobId,
    version: IfMatch,
    changes: ChangesDep,
    actor: ActorDep,
    cipher: CipherDep,
    principal: PrincipalDep,
    response: Response,
) -> Job:
    """Bring back a deleted job whose history was kept: active, or paused if it was. Others stay as they are.

    It goes on from now. Runs that were due while it was deleted are skipped, with the reason `deleted`.
    """
    job = await changes.make(undoing.restore, actor, cipher, jobid, version)
    tag(response, job.version)
    return seen_by(principal, job)


@router.post(
    "/jobs/{jobid:jobid}/run",
    status_code=202,
    responses=answers(400, 404, 408, 409, 413, 415, 422, 503, status=202, headers=["Location"])
    | back("the job"),
)
async def run_job(
    jobid: JobId,
    order: Annotated[RunOrder, Body(default_factory=RunOrder)],
    changes: ChangesDep,
    actor: ActorDep,
    response: Response,
) -> Log:
    """Run a job now. Its schedule is unchanged. Returns the pending run."""
    log = await changes.make(actions.run_now, actor, jobid, order)
    response.headers["Location"] = f"/logs/{log.logid}"
    return log


@router.post(
    "/jobs/{jobid:jobid}/skip", responses=answers(404, 409, 412, 422, 503, headers=["ETag"]) | back("the job")
)
async def skip_next_run(
    jobid: JobId,
    version: IfMatch,
    changes: ChangesDep,
    actor: ActorDep,
    principal: PrincipalDep,
    response: Response,
) -> Job:
    """Skip the job's next run. It is recorded as `skipped`, with the reason `request`."""
    job = await changes.make(actions.skip_next, actor, jobid, version)
    tag(response, job.version)
    return seen_by(principal, job)


@router.post("/jobs/{jobid:jobid}/test", responses=answers(404, 409, 422, 503, page=True), tags=["targets"])
async def test_target(jobid: JobId, deliverer: DelivererDep) -> TestAnswer:
    """Send one request to a job's target now. It is not logged or retried."""
    return await deliverer.test(jobid)
