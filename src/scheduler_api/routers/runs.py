"""Running what is due, on request."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.contracts.runs.logs import RunReport
from scheduler_api.errors import RestoreNotConfirmed
from scheduler_api.routers.http.answers import NEGOTIATED, json_answer
from scheduler_api.routers.http.documentation import problems
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.wiring import runner_of, wants_page
from scheduler_api.workers.runner import RunnerReport

router = APIRouter(tags=["runs"], route_class=StrictRoute)


@router.post("/jobs/run", response_model=RunReport, responses=problems(409, 503))
async def run_due_jobs(request: Request) -> Response:
    """Run everything that is due now.

    Safe to call at any time, by any number of clients at once: each occurrence runs once. Browsers are
    redirected to the list. A replica that was started paused answers 409 until a restore of the database
    is confirmed.
    """
    if request.state.confirmation.is_awaited:
        raise RestoreNotConfirmed
    report = _report(await runner_of(request).run_call())
    if wants_page(request):
        counts = report.model_dump(include={"finished", "failed", "skipped"})
        return RedirectResponse(f"/jobs?{urlencode(counts)}", 303, NEGOTIATED)
    return json_answer(report)


def _report(done: RunnerReport) -> RunReport:
    total = done.total
    ran = total.finished + total.failed
    message = f"Ran {ran} due {'run' if ran == 1 else 'runs'}." if ran else "Nothing was due."
    if done.retried + done.running:
        message = f"Ran {ran}; {done.retried} will be retried, {done.running} are still in progress."
    if done.more:
        message += " More are due: call again."
    return RunReport(
        message=message,
        finished=total.finished,
        failed=total.failed,
        skipped=total.skipped,
        retried=done.retried,
        running=done.running,
        repaired=done.repaired,
        more=done.more,
    )
