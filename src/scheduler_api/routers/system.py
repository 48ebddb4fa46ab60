"""Health, and the way in."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from scheduler_api import __version__
from scheduler_api.computing import aside
from scheduler_api.contracts.system.health import Health
from scheduler_api.contracts.system.overview import Overview, Restore
from scheduler_api.database import migrations
from scheduler_api.errors import RestoreNotConfirmed, SchedulerError, SchemaMismatch
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type
from scheduler_api.routers.http.documentation import OR_PAGE, problems
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.wiring import database_of, pages_of, wants_page
from scheduler_api.services.system import health, overview, restore

router = APIRouter(tags=["system"], route_class=StrictRoute)

NO_STORE = {"Cache-Control": "no-store"}


@router.get("/", include_in_schema=False)
async def home(request: Request) -> Response:
    """Redirect to the overview, or to the jobs for clients that do not read HTML."""
    return RedirectResponse("/overview" if wants_page(request) else "/jobs", 307, {"Vary": "Accept"})


@router.get("/overview", response_model=Overview, responses=problems(503) | OR_PAGE)
async def show_overview(request: Request) -> Response:
    """Summarize the service: open issues with their causes and actions, recent results, and current runs."""
    ticker, deliverer = request.state.ticker, request.state.deliverer
    told = [] if ticker is None else ticker.issues
    told += [issue for issue in deliverer.issues.values() if issue is not None]
    paused = request.state.confirmation.is_awaited
    crowded = deliverer.crowded
    found = await database_of(request).transact(overview.look, told, paused=paused, crowded=crowded)
    if wants_page(request):
        return page_answer(await aside(pages_of(request).overview, found))
    return json_answer(found)


@router.post(
    "/restore/confirm",
    response_model=Restore,
    responses=problems(503) | {303: {"description": "It was asked for by a form; back to the overview."}},
)
async def confirm_restore(request: Request) -> Response:
    """Confirm that the database was restored, and dismiss the issue on the overview.

    Replicas that were started with `SCHEDULER_START_PAUSED` begin to run what is due. Without a restore,
    or when it is already confirmed, nothing changes.
    """
    found = await database_of(request).transact(restore.confirm)
    if content_type(request) == FORM:
        return RedirectResponse("/overview", 303)
    return json_answer(found)


@router.get("/healthz", response_model=Health, responses=problems())
async def liveness() -> Response:
    """Report that the process is alive. Checks nothing else."""
    return JSONResponse({"status": "ok", "checks": {"version": __version__}}, headers=NO_STORE)


@router.get(
    "/readyz",
    response_model=Health,
    responses=problems()
    | {503: {"model": Health, "description": "Something that the service needs is missing."}},
)
async def readiness(request: Request) -> Response:
    """Report whether this replica can work: database, schema, ticker, and requests to targets.

    `lag` is how many seconds the most overdue run has been waiting, and `downhosts` how many hosts are
    unreachable. They concern the whole service and make no replica unready. `work` reports that a run
    has waited longer than `SCHEDULER_READY_LAG` while this replica has not looked for work. A replica
    that waits for a restore to be confirmed is ready; `paused` says so.
    """
    state, database = request.state, database_of(request)
    checks: dict[str, object] = {"version": migrations.needed(), "database": "ok"}
    issues: dict[str, str | None] = {"schema": state.retirement.reason, **state.deliverer.issues}
    if state.ticker is not None:
        issues["ticker"] = state.ticker.issue
    try:
        await migrations.require_current(database)
        lag = await database.read(health.lag)
        checks |= {"lag": round(lag, 3), "downhosts": await database.read(health.hosts_down)}
        issues["work"] = _idle(request, lag)
    except SchemaMismatch as error:
        issues["schema"] = str(error)
    except SchedulerError as error:
        issues["database"] = str(error)
    checks |= {"ticker": "off"} | {name: issue or "ok" for name, issue in issues.items()}
    if state.confirmation.is_awaited:
        checks["paused"] = str(RestoreNotConfirmed())
    ready = not any(issues.values())
    status = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JSONResponse(status, 200 if ready else 503, NO_STORE)


def _idle(request: Request, lag: float) -> str | None:
    """That runs are late as this replica does not run them; None: it is not to blame."""
    state = request.state
    longest = state.settings.ready_lag
    silence = max(state.deliverer.silence, 0.0 if state.ticker is None else state.ticker.silence)
    if state.confirmation.is_awaited or min(lag, silence) <= longest:
        return None
    return f"A run has been waiting for {lag:.0f} s, and this replica has not looked for {silence:.0f} s."
