"""Calendars, in a browser: listed, and changed after a page that says what that does."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from scheduler_api.computing import QUESTIONS, aside
from scheduler_api.contracts.jobs.calendars import CalendarDraft
from scheduler_api.contracts.jobs.icalendars import draft_of
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.contracts.values import CalendarName
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep
from scheduler_api.routers.http.forms import SEPARATORS, validated
from scheduler_api.routers.http.parameters import CalendarPath, Limit
from scheduler_api.routers.http.patience import while_connected
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.history.calendars import gather, report
from scheduler_api.services.jobs import calendars
from scheduler_api.workers.upkeep import Upkeep

router = BrowserRouter()
own_router = form_router()

NAME = TypeAdapter(CalendarName)
#: Calendars on one page, and jobs of one that its page names.
LIMIT, NAMED = 1000, 100


@router.page("/calendars")
async def calendars_page(
    request: Request,
    database: DatabaseDep,
    pages: PagesDep,
    projects: ProjectsDep,
    cursor: Annotated[str, Query(pattern=r"^[a-z0-9.-]{0,50}$")] = "",
    limit: Limit = LIMIT,
) -> str:
    """Calendars, and a form for a new one."""
    found = await database.read(calendars.listing, cursor, limit, projects)
    return await aside(pages.calendars, found, {}, (), request.query_params)


@router.page("/calendars/{name}")
async def calendar_page(
    request: Request, name: CalendarPath, database: DatabaseDep, pages: PagesDep, projects: ProjectsDep
) -> str:
    """A calendar, and the form that changes it."""
    found = await database.read(calendars.get, name, projects)
    users = await database.read(calendars.users, name, NAMED, projects)
    fields = {"name": name, "description": found.description, "days": "\n".join(found.days)}
    return await aside(pages.calendar, found, users, fields, request.query_params)


@own_router.post("/calendars/edit", response_model=None)
async def set_by_form(
    request: Request, fields: FormFields, database: DatabaseDep, pages: PagesDep, actor: ActorDep
) -> Response:
    """First what a change would do to the runs of jobs; then, if that is confirmed, the change."""
    try:
        name, draft = await aside(_meant, fields)
    except InvalidInput as error:
        listed = await database.read(calendars.listing, "", LIMIT, None)
        page = await aside(pages.calendars, listed, fields, error.field_errors, {})
        return HTMLResponse(page, 422)
    if fields.get("new") == "true" and await database.read(calendars.is_there, name):
        taken = FieldError(("name",), "There is such a calendar; open it to change it.")
        listed = await database.read(calendars.listing, "", LIMIT, None)
        return HTMLResponse(await aside(pages.calendars, listed, fields, [taken], {}), 422)
    affected = await database.transact(gather, name)
    found = await while_connected(request, QUESTIONS.compute(report, affected, draft, dryrun=True))
    if (found.jobs or not found.complete) and fields.get("confirmed") != "true":
        return HTMLResponse(await aside(pages.calendar_change, found, draft))
    await database.transact(calendars.put, actor, name, draft)
    await Upkeep(database).begin_to_follow(actor, name)
    return RedirectResponse(f"/calendars/{name}?calendarset={len(found.jobs)}", 303)


@own_router.post("/calendars/{name}/delete")
async def remove_by_form(name: CalendarPath, database: DatabaseDep, actor: ActorDep) -> RedirectResponse:
    """Remove a calendar; for browsers, whose forms cannot send DELETE."""
    await database.transact(calendars.remove, actor, name)
    return RedirectResponse("/calendars?calendarremoved=1", 303)


def _meant(fields: dict[str, str]) -> tuple[str, CalendarDraft]:
    """The name and the calendar that a form gives: days, or all of an iCalendar file. Raises InvalidInput."""
    wrong: list[FieldError] = []
    try:
        name = NAME.validate_python(fields.get("name", ""))
    except ValidationError as error:
        found = field_errors_of(error.errors(include_url=False, include_input=False))
        wrong += [FieldError(("name",), one.detail) for one in found]
    days, description = fields.get("days", "").strip(), fields.get("description", "")
    try:
        if days.startswith("BEGIN:VCALENDAR"):
            draft = draft_of(days.encode(), datetime.now(UTC).year)
            draft = draft.model_copy(update={"description": description or draft.description})
        else:
            listed = [day for day in SEPARATORS.split(days) if day]
            draft = validated({"days": listed, "description": description}, CalendarDraft)
    except InvalidInput as error:
        wrong += [FieldError(one.path[:1], one.detail) for one in error.field_errors]
    if wrong:
        raise InvalidInput(*wrong)
    return name, draft
