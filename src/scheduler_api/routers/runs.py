"""Running what is due, on request."""

from fastapi import APIRouter

from scheduler_api.contracts.runs.logs import RunReport
from scheduler_api.routers.http.dependencies import ConfirmedRunnerDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.wording.runs import what_ran

router = APIRouter(tags=["runs"], route_class=StrictRoute)


@router.post("/jobs/run", responses=answers(409, 503))
async def run_due_jobs(runner: ConfirmedRunnerDep) -> RunReport:
    """Run everything that is due now.

    Safe to call at any time, by any number of clients at once: each occurrence runs once. Browsers are
    redirected to the list. A replica that was started paused answers 409 until a restore of the database
    is confirmed.
    """
    done = await runner.run_call()
    total = done.total
    return RunReport(
        message=what_ran(
            total.finished + total.failed, done.retried, done.running, more=done.more, waiting=done.waiting
        ),
        finished=total.finished,
        failed=total.failed,
        skipped=total.skipped,
        retried=done.retried,
        running=done.running,
        repaired=done.repaired,
        more=done.more,
        waiting=done.waiting,
    )
