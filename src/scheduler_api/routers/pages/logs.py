"""Pages of runs, and what people do with them there."""

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from scheduler_api.actors import Role
from scheduler_api.computing import aside
from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.contracts.runs.retries import RetryFilter, RetryOrder
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep, RunnerDep
from scheduler_api.routers.http.forms import model_of
from scheduler_api.routers.http.instants import on_clocks
from scheduler_api.routers.http.paging import (
    AnyLogFilterDep,
    RunOrderDep,
    link_next,
    run_cursor,
)
from scheduler_api.routers.http.parameters import LogId, PageSize
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.routers.http.scope import where
from scheduler_api.services import views
from scheduler_api.services.runs import retrying

router = BrowserRouter()


@router.page("/logs")
async def runs_page(
    request: Request,
    database: DatabaseDep,
    pages: PagesDep,
    wanted: AnyLogFilterDep,
    order: RunOrderDep,
    response: Response,
    size: PageSize,
) -> str:
    """The runs of all jobs: those that ran, newest first; or those to come, soonest first."""
    # Those that can be tried again, whatever their cause; where the page asks for nothing else of them.
    meant = {name: getattr(wanted, name) for name in RetryFilter.model_fields}
    retriable = LogFilter(**meant, projects=where(request, Role.OPERATOR))
    is_whole = wanted._replace(status=None, cause=None, projects=retriable.projects) == retriable
    failed = retriable if wanted.status == LogStatus.FAILED and is_whole else None
    view = await database.read(views.of_runs, wanted, order, size, failed)
    last = view.found.further
    further = None if last is None else link_next(request, response, cursor=run_cursor(last))
    return await aside(pages.runs, view, further, request.query_params)


@router.page("/logs/{logid:logid}")
async def log_page(logid: LogId, database: DatabaseDep, pages: PagesDep) -> str:
    """A run with its attempts and its output."""
    return await aside(pages.log, *await database.read(views.of_log, logid))


@router.form("/logs/{logid:logid}/retry")
async def retry_by_form(
    logid: LogId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Retry a failed run now."""
    await database.transact(retrying.retry, actor, logid)
    return back.to(f"/logs/{logid}")


@router.form("/logs/{logid:logid}/cancel")
async def cancel_by_form(
    logid: LogId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Cancel a run."""
    await database.transact(retrying.cancel, actor, logid)
    return back.to(f"/logs/{logid}")


@router.form("/logs/retry", RetryFilter)
async def retry_failed_by_form(
    request: Request, fields: FormFields, runner: RunnerDep, actor: ActorDep
) -> RedirectResponse:
    """Retry all failed runs that match a filter, and show those that are pending."""
    wanted = model_of(on_clocks(fields, "since", "until"), RetryFilter)
    projects = where(request, Role.OPERATOR, wanted.project)
    report = await runner.retry_failed(RetryOrder(filter=wanted, all=True), actor, projects)
    left = "&left=1" if report.more else ""
    return RedirectResponse(f"/logs?status=pending&retried={report.done}{left}", 303)
