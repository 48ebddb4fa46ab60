"""What a reader prefers, kept in the reader's own browser."""

from starlette.responses import RedirectResponse

from scheduler_api.contracts.values import PROJECT_NAME
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.routes import form_router
from scheduler_api.web.themes import Theme
from scheduler_api.web.times import Clock

own_router = form_router()

YEAR = 31_536_000


@own_router.post("/preferences")
async def choose(fields: FormFields) -> RedirectResponse:
    """Choose in which time zone pages show times, which project, and how bright; return to the page."""
    if fields.get("clock") not in set(Clock):
        raise InvalidInput(FieldError(("clock",), f"Must be one of {', '.join(Clock)}."))
    project = fields.get("project", "")
    if project and not PROJECT_NAME.fullmatch(project):
        raise InvalidInput(FieldError(("project",), "There is no such project."))
    theme = fields.get("theme", Theme.SYSTEM)
    if theme not in set(Theme):
        raise InvalidInput(FieldError(("theme",), f"Must be one of {', '.join(Theme)}."))
    response = RedirectResponse(back_to(fields.get("back"), "/jobs"), 303)
    response.set_cookie("clock", fields["clock"], max_age=YEAR, samesite="strict", httponly=True)
    response.set_cookie("project", project, max_age=YEAR, samesite="strict", httponly=True)
    response.set_cookie("theme", theme, max_age=YEAR, samesite="strict", httponly=True)
    return response
