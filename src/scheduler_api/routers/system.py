"""Health, and the way in."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from starlette.responses import RedirectResponse

from scheduler_api import __version__
from scheduler_api.actors import Role
from scheduler_api.contracts.system.health import Health
from scheduler_api.contracts.system.overview import Overview, Restore
from scheduler_api.contracts.system.problems import ProblemKind
from scheduler_api.database import migrations
from scheduler_api.errors import RestoreNotConfirmed, SchedulerError, SchemaMismatch
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, OverviewDep
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.problems import kinds
from scheduler_api.routers.http.routes import StrictRoute, wants_page
from scheduler_api.services.jobs import secrets
from scheduler_api.services.system import health, restore

router = APIRouter(tags=["system"], route_class=StrictRoute)


@router.get("/", include_in_schema=False)
async def home(request: Request) -> RedirectResponse:
    """Redirect to the overview, or to the jobs for clients that do not read HTML."""
    return RedirectResponse("/overview" if wants_page(request) else "/jobs", 307)


@router.get("/overview", responses=answers(503, page=True))
async def show_overview(found: OverviewDep) -> Overview:
    """Summarize the service: open issues with their causes and actions, recent results, and current runs."""
    return found


@router.post(
    "/restore/confirm",
    responses=answers(503) | back("the overview"),
)
async def confirm_restore(database: DatabaseDep, actor: ActorDep) -> Restore:
    """Confirm that the database was restored, and dismiss the issue on the overview.

    Replicas that were started with `SCHEDULER_START_PAUSED` begin to run what is due. Without a restore,
    or when it is already confirmed, nothing changes.
    """
    return await database.transact(restore.confirm, actor)


@router.get("/problems", responses=answers())
async def list_problems() -> list[ProblemKind]:
    """List the kinds of errors that this service answers with."""
    return kinds()


@router.get("/problems/{code}", responses=answers(404, page=True))
async def show_problem(
    code: Annotated[str, Path(max_length=50, description="Which kind.", examples=["stale_version"])],
) -> ProblemKind:
    """Explain a kind of error, and what to do about it. The `type` of each error leads here."""
    found = next((kind for kind in kinds() if kind.code == code), None)
    if found is None:
        raise HTTPException(404)
    return found


@router.get("/healthz", responses=answers())
async def liveness() -> Health:
    """Report that the process is alive. Checks nothing else."""
    return Health(status="ok", checks={"version": __version__})


@router.get(
    "/readyz",
    responses=answers()
    | {503: {"model": Health, "description": "Something that the service needs is missing."}},
)
async def readiness(request: Request, database: DatabaseDep, response: Response) -> Health:
    """Report whether this replica can work: database, schema, ticker, and requests to targets.

    `lag` is how many seconds the most overdue run has been waiting, and `downhosts` how many hosts are
    unreachable; `secrets`, whether this replica's keys open all secrets. They make no replica
    unready. `work` reports that a run
    has waited longer than `SCHEDULER_READY_LAG` while this replica has not looked for work. A replica
    that waits for a restore to be confirmed is ready; `paused` says so. Where `SCHEDULER_AUTH` is
    `required`, only those who are signed in get the checks.
    """
    state = request.state
    checks: dict[str, object] = {"version": migrations.needed(), "database": "ok"}
    issues: dict[str, str | None] = {"schema": state.retirement.reason, **state.deliverer.issues}
    if state.ticker is not None:
        issues["ticker"] = state.ticker.issue
    try:
        await migrations.require_current(database)
        lag = await database.read(health.lag)
        checks |= {"lag": round(lag, 3), "downhosts": await database.read(health.hosts_down)}
        issues["work"] = _idle(request, lag)
        lost = await database.read(secrets.unreadable, state.cipher)
        checks["secrets"] = f"{lost} need a key that SCHEDULER_SECRET_KEY lacks" if lost else "ok"
    except SchemaMismatch as error:
        issues["schema"] = str(error)
    except SchedulerError as error:
        issues["database"] = str(error)
    checks |= {"ticker": "off"} | {name: issue or "ok" for name, issue in issues.items()}
    if state.confirmation.is_awaited:
        checks["paused"] = str(RestoreNotConfirmed())
    ready = not any(issues.values())
    response.status_code = 200 if ready else 503
    principal = request.scope["principal"]
    if principal is None or not principal.roles.may_everywhere(Role.VIEWER):
        # Strangers need not know why; nor do those of single projects, as it tells of all of them.
        checks = {}
    return Health(status="ok" if ready else "unavailable", checks=checks)


def _idle(request: Request, lag: float) -> str | None:
    """That runs are late as this replica does not run them; None: it is not to blame."""
    state = request.state
    longest = state.settings.ready_lag
    silence = max(state.deliverer.silence, 0.0 if state.ticker is None else state.ticker.silence)
    if state.confirmation.is_awaited or min(lag, silence) <= longest:
        return None
    return f"A run has been waiting for {lag:.0f} s, and this replica has not looked for {silence:.0f} s."
