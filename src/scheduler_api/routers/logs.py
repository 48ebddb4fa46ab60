"""Runs: their lists, their attempts, retrying and cancelling them, and the reports of accepted ones."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path, Request, Response

from scheduler_api.actors import Role
from scheduler_api.contracts.runs.attempts import LogWithAttempts
from scheduler_api.contracts.runs.logs import Log, LogSort
from scheduler_api.contracts.runs.reports import Report, RunState
from scheduler_api.contracts.runs.retries import RetryOrder, RetryReport
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.ordered import ListOrder
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    ChangesDep,
    CipherDep,
    DatabaseDep,
    PrincipalDep,
    RunnerDep,
)
from scheduler_api.routers.http.documentation import COUNTED, answers, back
from scheduler_api.routers.http.paging import (
    AnyLogFilterDep,
    LogFilterDep,
    RunOrderDep,
    link_next,
    run_cursor,
    tell_count,
)
from scheduler_api.routers.http.parameters import LIST_LIMIT, Cursor, DryRun, JobId, Limit, LogId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.history import listing
from scheduler_api.services.jobs import reading
from scheduler_api.services.runs import reporting, retrying

router = APIRouter(tags=["logs"], route_class=StrictRoute)


@router.get("/logs", responses=answers(422, 503, headers=["Link", *COUNTED], page=True))
async def list_logs(
    request: Request,
    response: Response,
    database: DatabaseDep,
    wanted: AnyLogFilterDep,
    order: RunOrderDep,
    limit: Limit = LIST_LIMIT,
) -> list[Log]:
    """List the runs of all jobs, newest first.

    A `Link` header with `rel="next"` leads on, and the first page says how many there are (`Total-Count`).
    With `name`, `tag`, `host`, `minduration` or `maxduration`, a page may have fewer runs than `limit`, or
    none, and still lead on: a request searches for a moment only. Browsers get an HTML page.
    """
    return await _page(request, response, database, wanted, order, limit)


@router.get("/jobs/{jobid:jobid}/logs", responses=answers(404, 422, 503, headers=["Link", *COUNTED]))
async def list_logs_of_job(
    request: Request,
    response: Response,
    jobid: JobId,
    database: DatabaseDep,
    wanted: LogFilterDep,
    cursor: Cursor = None,
    limit: Limit = LIST_LIMIT,
) -> list[Log]:
    """List a job's runs, newest first.

    A `Link` header with `rel="next"` leads to older runs. With `host`, `minduration` or `maxduration`, a page
    may have fewer runs than `limit`, or none, and still lead on.
    """
    await database.read(reading.get_summary, jobid)
    order = ListOrder(LogSort.LOGID, cursor, None)
    return await _page(request, response, database, wanted._replace(jobid=jobid), order, limit)


async def _page(
    request: Request, response: Response, database: Database, wanted: LogFilter, order: ListOrder, limit: int
) -> list[Log]:
    found = await database.read(listing.find_runs, wanted, order, limit)
    if found.further is not None:
        link_next(request, response, cursor=run_cursor(found.further))
    if order.is_first:
        count, is_all = len(found.logs), found.further is None
        if not is_all and not wanted.is_search:
            count = await database.read(listing.count_runs, wanted, order.sort, reading.MAX_COUNTED + 1)
            is_all = count <= reading.MAX_COUNTED
        tell_count(response, count, is_all=is_all)
    return found.logs


@router.get("/logs/{logid:logid}", responses=answers(404, 422, 503, page=True))
async def show_log(logid: LogId, database: DatabaseDep) -> LogWithAttempts:
    """Get a run with its attempts and its output. Browsers get an HTML page."""
    return await database.read(retrying.get_log, logid)


@router.post(
    "/logs/{logid:logid}/retry",
    status_code=202,
    responses=answers(404, 409, 422, 503, status=202, headers=["Location"]) | back("the run"),
)
async def retry_log(logid: LogId, changes: ChangesDep, actor: ActorDep, response: Response) -> Log:
    """Retry a failed run now, with a full set of attempts.

    It keeps its `webhook-id`, so that the receiver can recognize it as the same occurrence.
    """
    response.headers["Location"] = f"/logs/{logid}"
    return await changes.make(retrying.retry, actor, logid)


@router.post(
    "/logs/{logid:logid}/cancel",
    responses=answers(404, 409, 422, 503, headers=["Location"]) | back("the run"),
)
async def cancel_log(logid: LogId, changes: ChangesDep, actor: ActorDep, response: Response) -> Log:
    """Cancel a run that is running, waits for a retry, or was requested manually.

    A running run becomes `failed`. Its target's response is ignored; a target that has accepted it gets
    410 with its next report. To skip the next scheduled run, use `POST /jobs/{jobid}/skip`.
    """
    response.headers["Location"] = f"/logs/{logid}"
    return await changes.make(retrying.cancel, actor, logid)


@router.post("/logs/retry", responses=answers(400, 408, 413, 415, 422, 503) | back("the pending runs"))
async def retry_failed(
    order: RetryOrder, runner: RunnerDep, actor: ActorDep, principal: PrincipalDep, dryrun: DryRun = False
) -> RetryReport:
    """Retry all failed runs that match a filter. `dryrun` only counts them.

    Forms have the same fields as the filter.
    """
    return await runner.retry_failed(order, actor, principal.roles.where(Role.OPERATOR), dryrun=dryrun)


@router.post("/runs/{logid:logid}/{token}", responses=answers(400, 404, 408, 410, 413, 415, 422, 503))
async def report_on_run(
    logid: LogId,
    token: Annotated[UUID, Path(description="What the header `scheduler-run` of the call held.")],
    report: Annotated[Report, Body(default_factory=Report)],
    database: DatabaseDep,
    cipher: CipherDep,
) -> RunState:
    """Report on a run that its target accepted with 202: its progress, or its result.

    The URL comes from the request's `scheduler-run` header and is valid for that attempt only. An empty
    report is a heartbeat. 410: the attempt has ended, because it was cancelled or its heartbeat timed
    out.
    """
    return await database.transact(reporting.report, cipher, logid, token, report)
