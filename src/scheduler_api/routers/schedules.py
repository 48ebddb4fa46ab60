"""Looking ahead: a schedule before a job has it, and what is to come."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.jobs.schedules import Occurrence, ScheduleDraft, SchedulePreview, Upcoming
from scheduler_api.routers.http.dependencies import DatabaseDep, ForecastsDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.paging import AheadDep
from scheduler_api.routers.http.parameters import LIST_LIMIT, JobId, Limit
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history import upcoming

router = APIRouter(tags=["schedules"], route_class=StrictRoute)


@router.post("/schedules/preview", responses=answers(400, 408, 413, 415, 422, 503))
async def preview_schedule(request: Request, draft: ScheduleDraft, database: DatabaseDep) -> SchedulePreview:
    """Describe a schedule and list its next occurrences. Nothing is stored.

    Takes the fields of a job. The start may be in the past.
    """
    now, known = await database.transact(upcoming.draft_to_preview, draft)
    return await while_connected(request, QUESTIONS.compute(upcoming.preview, now, known))


@router.get(
    "/jobs/{jobid:jobid}/upcoming", responses=answers(404, 409, 422, 503, headers=["Scheduler-Complete"])
)
async def list_upcoming_of_job(
    request: Request, jobid: JobId, database: DatabaseDep, response: Response, limit: Limit = 20
) -> list[Occurrence]:
    """List a job's next occurrences, including those on which it will not run. Empty while it is paused."""
    now, row = await database.transact(upcoming.job_now, jobid)
    found = await while_connected(request, QUESTIONS.compute(upcoming.upcoming, now, row, limit))
    response.headers["Scheduler-Complete"] = str(found.complete).lower()
    return found.occurrences


@router.get("/upcoming", responses=answers(422, 503, headers=["Scheduler-Complete"], page=True))
async def list_upcoming(
    request: Request,
    database: DatabaseDep,
    response: Response,
    ahead: AheadDep,
    limit: Limit = LIST_LIMIT,
    each: Annotated[
        int | None, Query(ge=1, le=1000, description="How many of one job at most; `limit` unless given.")
    ] = None,
) -> list[Upcoming]:
    """List the next occurrences of all active jobs, in order. Browsers get an HTML page with the load."""
    now, end, rows = await database.transact(
        upcoming.jobs_until, ahead.since, ahead.until, limit, ahead.wanted
    )
    window = upcoming.Window(end, limit, each or limit, ahead.since)
    found = await while_connected(request, QUESTIONS.compute(upcoming.upcoming_of_all, now, rows, window))
    response.headers["Scheduler-Complete"] = str(found.complete).lower()
    return found.occurrences


@router.get("/forecast", responses=answers(503))
async def forecast_load(request: Request, forecasts: ForecastsDep, projects: ProjectsDep) -> Forecast:
    """Forecast the load of the next 24 hours by the minute, and the minutes in which many jobs start.

    The answer may be up to 30 seconds old.
    """
    return await while_connected(request, forecasts.newest(projects))
