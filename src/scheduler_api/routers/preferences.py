"""What a reader prefers, kept in the reader's own browser."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import form_body
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.web.times import Clock

router = APIRouter(include_in_schema=False, route_class=StrictRoute)

YEAR = 31_536_000


@router.post("/times")
async def choose_times(request: Request) -> Response:
    """Choose the time zone in which pages show times, and return to the page."""
    fields = await form_body(request)
    if fields.get("clock") not in set(Clock):
        raise InvalidInput(FieldError(("clock",), f"Must be one of {', '.join(Clock)}."))
    response = RedirectResponse(back_to(fields.get("back"), "/jobs"), 303)
    response.set_cookie("clock", fields["clock"], max_age=YEAR, samesite="strict", httponly=True)
    return response
