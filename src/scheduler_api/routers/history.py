"""A job's history: who changed it, why it did or did not run, whether all is there, and backfills."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scheduler_api.contracts.history.backfill import Backfill, BackfillReport
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.history.explanation import Explanation
from scheduler_api.contracts.history.performance import Performance, PerformanceSort
from scheduler_api.contracts.history.timeline import DayTally
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, SettingsDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.instants import AtInstant, BeforeDay, UntilDay
from scheduler_api.routers.http.paging import PerformanceOrder, link_next
from scheduler_api.routers.http.parameters import LIST_LIMIT, Cursor, DryRun, JobId, Limit
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history import backfill, checks, explain, performance, timeline
from scheduler_api.services.jobs import reading
from scheduler_api.services.system import health

router = APIRouter(tags=["history"], route_class=StrictRoute)

#: Seconds that a check may take, so that no proxy loses patience first.
CHECK_SECONDS = 20.0
#: How many days are listed, unless more are asked for.
DAYS_LIMIT = 100


@router.get("/jobs/{jobid:jobid}/changes", responses=answers(404, 422, 503, headers=["Link"]))
async def list_changes(
    jobid: JobId,
    database: DatabaseDep,
    request: Request,
    response: Response,
    cursor: Cursor = None,
    limit: Limit = LIST_LIMIT,
) -> list[Change]:
    """List who changed a job, when, and what, newest first."""
    found = await database.read(reading.changes_of, jobid, cursor or MAX_ID, limit + 1)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].changeid)
    return found[:limit]


@router.get("/jobs/{jobid:jobid}/explain", responses=answers(404, 409, 422, 503, page=True))
async def explain_instant(
    request: Request,
    jobid: JobId,
    at: AtInstant,
    database: DatabaseDep,
    settings: SettingsDep,
    projects: ProjectsDep,
) -> Explanation:
    """Explain why a job did or did not run at an instant."""
    now = await database.read(health.clock)
    answer = database.snapshot(explain.explain, now, jobid, at, settings.host_concurrency, projects is None)
    return await while_connected(request, answer)


@router.get("/jobs/{jobid:jobid}/check", responses=answers(404, 422, 503))
async def check_history(
    request: Request,
    jobid: JobId,
    database: DatabaseDep,
    full: Annotated[bool, Query(description="Compare closed days again.")] = False,
) -> JobCheck:
    """Compare a job's runs with its schedule and its edits: missing runs, duplicates, broken rules.

    A day is compared once, when it is closed, about two days after its end. Later checks return the result
    from then, unless `full` is set. Stops after 20 seconds and returns what it has found by then.
    `scheduler-api check` has no time limit.
    """
    return await while_connected(
        request, database.snapshot(checks.check_job, jobid, CHECK_SECONDS, full=full)
    )


@router.get("/jobs/{jobid:jobid}/days", responses=answers(404, 422, 503, headers=["Link"], page=True))
async def list_days(
    jobid: JobId,
    database: DatabaseDep,
    request: Request,
    response: Response,
    before: BeforeDay,
    limit: Limit = DAYS_LIMIT,
) -> list[DayTally]:
    """List what became of a job's runs on each day (UTC), newest first.

    A day is counted about two days after its end. Its counts stay when its runs are no longer kept. Days
    without runs are left out.
    """
    found = await database.read(timeline.days, jobid, before, limit + 1)
    if found[limit:]:
        link_next(request, response, before=found[limit - 1].day)
    return found[:limit]


@router.get("/performance", responses=answers(422, 503, page=True))
async def report_performance(
    database: DatabaseDep,
    projects: ProjectsDep,
    until: UntilDay,
    sort: PerformanceOrder = PerformanceSort.SLOWER,
    limit: Limit = LIST_LIMIT,
) -> Performance:
    """Report what was slow in a week, what slower than usual, and what failed most. Days are in UTC.

    Browsers get an HTML page.
    """
    return await database.transact(performance.of_week, until, sort, limit, projects)


@router.post("/jobs/{jobid:jobid}/backfill", responses=answers(400, 404, 408, 409, 413, 415, 422, 503))
async def backfill_runs(
    jobid: JobId, order: Backfill, database: DatabaseDep, actor: ActorDep, dryrun: DryRun = False
) -> BackfillReport:
    """Run past occurrences that did not run. The schedule is unchanged.

    At most 1,000 at once, none of them before the history that is kept; each occurrence is backfilled at
    most once. `dryrun` only lists them.
    """
    return await database.transact(backfill.backfill, actor, jobid, order, dryrun=dryrun)
