"""What a reader prefers, kept in the reader's own browser."""

from starlette.responses import RedirectResponse

from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.routes import form_router
from scheduler_api.web.times import Clock

own_router = form_router()

YEAR = 31_536_000


@own_router.post("/times")
async def choose_times(fields: FormFields) -> RedirectResponse:
    """Choose the time zone in which pages show times, and return to the page."""
    if fields.get("clock") not in set(Clock):
        raise InvalidInput(FieldError(("clock",), f"Must be one of {', '.join(Clock)}."))
    response = RedirectResponse(back_to(fields.get("back"), "/jobs"), 303)
    response.set_cookie("clock", fields["clock"], max_age=YEAR, samesite="strict", httponly=True)
    return response
