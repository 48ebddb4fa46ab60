"""One order to many jobs."""

from fastapi import APIRouter

from scheduler_api.contracts.jobs.bulk import BulkOrder, BulkReport
from scheduler_api.routers.http.authentication import require
from scheduler_api.routers.http.dependencies import ActorDep, PrincipalDep, RunnerDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.parameters import DryRun
from scheduler_api.routers.http.permissions import role_for
from scheduler_api.routers.http.routes import StrictRoute

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.post("/jobs/bulk", responses=answers(400, 408, 413, 415, 422, 503))
async def run_bulk_action(
    order: BulkOrder, runner: RunnerDep, actor: ActorDep, principal: PrincipalDep, dryrun: DryRun = False
) -> BulkReport:
    """Pause, resume, run or delete all jobs that match a filter.

    `dryrun` only counts them. Each job is changed as a whole or not at all; jobs that begin to match
    meanwhile may be left out, and those that match no more are. The answer names the jobs that failed, such
    as those that another transaction holds, and where it stopped if it reached its time limit. Send its
    `pauseid` to resume exactly the jobs that it paused. To delete jobs, the role `editor` is needed.
    """
    needed = role_for(order)
    require(principal, needed)
    return await runner.run_bulk(order, actor, principal.roles.where(needed), dryrun=dryrun)
