"""Running what is due, from the list of jobs."""

from urllib.parse import urlencode

from starlette.responses import RedirectResponse

from scheduler_api.routers.http.dependencies import ConfirmedRunnerDep
from scheduler_api.routers.http.routes import BrowserRouter

router = BrowserRouter()


@router.page("/jobs/run", "POST")
async def run_from_page(runner: ConfirmedRunnerDep) -> RedirectResponse:
    """Run everything that is due now, and return to the list."""
    total = (await runner.run_call()).total
    counts = {"finished": total.finished, "failed": total.failed, "skipped": total.skipped}
    return RedirectResponse(f"/jobs?{urlencode(counts)}", 303)
