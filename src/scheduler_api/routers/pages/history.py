"""Why a job did or did not run, what ran day by day, and making up for what did not; as pages."""

from datetime import date

from fastapi import Request, Response
from starlette.responses import HTMLResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.history.performance import PerformanceSort
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep, SettingsDep
from scheduler_api.routers.http.forms import model_of
from scheduler_api.routers.http.instants import AtInstant, BeforeDay, UntilDay, on_clocks
from scheduler_api.routers.http.paging import PerformanceOrder, link_next
from scheduler_api.routers.http.parameters import DryRun, JobId, PageSize
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.problems import REFUSED, complaints, problem_of
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history import backfill, explain, performance, timeline
from scheduler_api.services.jobs import reading
from scheduler_api.services.system import health

router = BrowserRouter()


@router.page("/jobs/{jobid:jobid}/explain")
async def explanation_page(
    request: Request,
    jobid: JobId,
    at: AtInstant,
    database: DatabaseDep,
    settings: SettingsDep,
    projects: ProjectsDep,
    pages: PagesDep,
) -> str:
    """Why a job did or did not run at an instant."""
    now = await database.read(health.clock)
    answer = database.snapshot(explain.explain, now, jobid, at, settings.host_concurrency, projects is None)
    found = await while_connected(request, answer)
    job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
    return await aside(pages.explanation, now, job, found)


@router.form("/jobs/{jobid:jobid}/backfill", Backfill)
async def backfill_by_form(
    jobid: JobId,
    fields: FormFields,
    database: DatabaseDep,
    pages: PagesDep,
    actor: ActorDep,
    back: BackDep,
    dryrun: DryRun = False,
) -> Response:
    """Run past occurrences that did not run; as a dry run, show which these are."""
    zone = fields.get("zone", "UTC")
    typed = {name: fields.get(name, "") for name in ("since", "until")}
    try:
        order = model_of(on_clocks(fields, "since", "until"), Backfill)
        report = await database.transact(backfill.backfill, actor, jobid, order, dryrun=dryrun)
    except REFUSED as error:
        job = await database.read(reading.get_summary, jobid)
        page = await aside(pages.backfill, job, zone, typed, None, complaints(error))
        return HTMLResponse(page, problem_of(error).status)
    if not dryrun:
        return back.to(f"/jobs/{jobid}", backfilled=report.count)
    job = await database.read(reading.get_summary, jobid)
    return HTMLResponse(await aside(pages.backfill, job, zone, typed, report))


@router.page("/jobs/{jobid:jobid}/days")
async def days_page(
    request: Request,
    response: Response,
    jobid: JobId,
    database: DatabaseDep,
    pages: PagesDep,
    before: BeforeDay,
    size: PageSize,
) -> str:
    """What became of a job's runs, day by day."""
    found = await database.read(timeline.days, jobid, before, size + 1)
    job = await database.read(reading.get_summary, jobid)
    further = link_next(request, response, before=found[size - 1].day) if found[size:] else None
    return await aside(pages.days, job, found[:size], further, is_first=before == date.max)


@router.page("/performance")
async def performance_page(
    database: DatabaseDep,
    projects: ProjectsDep,
    pages: PagesDep,
    until: UntilDay,
    size: PageSize,
    sort: PerformanceOrder = PerformanceSort.SLOWER,
) -> str:
    """What was slow in a week, what slower than usual, and what failed most."""
    found = await database.transact(performance.of_week, until, sort, size, projects)
    return await aside(pages.performance, found, sort, size, is_newest=until is None)
