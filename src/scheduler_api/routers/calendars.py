"""Calendars: days on which jobs do not run, shared by those that name them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.jobs.calendars import Calendar, CalendarDraft, CalendarReport, CalendarSummary
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.paging import link_next
from scheduler_api.routers.http.parameters import LIST_LIMIT, CalendarPath, DryRun, Limit
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history.calendars import gather, report
from scheduler_api.services.jobs import calendars
from scheduler_api.workers.upkeep import Upkeep

router = APIRouter(tags=["calendars"], route_class=StrictRoute)

NameCursor = Annotated[
    str, Query(pattern=r"^[a-z0-9.-]{0,50}$", description="Where the list goes on, as its `Link` says.")
]


@router.get("/calendars", responses=answers(422, 503, headers=["Link"], page=True))
async def list_calendars(
    request: Request,
    response: Response,
    database: DatabaseDep,
    projects: ProjectsDep,
    cursor: NameCursor = "",
    limit: Limit = LIST_LIMIT,
) -> list[CalendarSummary]:
    """List calendars, without their days."""
    found = await database.read(calendars.listing, cursor, limit + 1, projects)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].name)
    return found[:limit]


@router.get("/calendars/{name}", responses=answers(404, 422, 503, page=True))
async def show_calendar(name: CalendarPath, database: DatabaseDep, projects: ProjectsDep) -> Calendar:
    """Get a calendar with its days."""
    return await database.read(calendars.get, name, projects)


@router.put("/calendars/{name}", responses=answers(400, 408, 413, 415, 422, 503))
async def set_calendar(
    request: Request,
    name: CalendarPath,
    draft: CalendarDraft,
    database: DatabaseDep,
    actor: ActorDep,
    dryrun: DryRun = False,
) -> CalendarReport:
    """Add a calendar, or replace it: as JSON, or as an iCalendar file (`text/calendar`).

    The answer says which runs of which jobs it takes away, and which it adds; with `dryrun` it says so and
    changes nothing. Of a file, all-day events count, and those that repeat for the next ten years.
    """
    affected = await database.transact(gather, name)
    found = await while_connected(request, QUESTIONS.compute(report, affected, draft, dryrun=dryrun))
    if dryrun:
        return found
    await database.transact(calendars.put, actor, name, draft)
    await Upkeep(database).begin_to_follow(actor, name)
    return found.model_copy(update={"behind": await database.read(calendars.behind, name)})


@router.delete(
    "/calendars/{name}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 409, 422, 503, status=204),
)
async def remove_calendar(name: CalendarPath, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a calendar that no job goes by."""
    await changes.make(calendars.remove, actor, name)
