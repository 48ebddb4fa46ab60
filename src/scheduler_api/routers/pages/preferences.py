"""What a reader prefers, kept in the reader's own browser."""

from collections.abc import Iterable

from starlette.responses import RedirectResponse

from scheduler_api.contracts.values import PROJECT_NAME
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.routes import form_router
from scheduler_api.web.looks import Density, Theme
from scheduler_api.web.times import Clock

own_router = form_router()

YEAR = 31_536_000
#: What is chosen, and of what.
CHOICES: dict[str, Iterable[str]] = {"clock": Clock, "theme": Theme, "density": Density}


@own_router.post("/preferences")
async def choose(fields: FormFields) -> RedirectResponse:
    """Choose how pages look: in which time zone they show times, of which project, how bright and how dense.

    What is not given stays as it is. Returns to the page.
    """
    chosen = {name: fields[name] for name in (*CHOICES, "project") if name in fields}
    wrong = [
        FieldError((name,), f"Must be one of {', '.join(CHOICES[name])}.")
        for name, value in chosen.items()
        if name in CHOICES and value not in set(CHOICES[name])
    ]
    if chosen.get("project") and not PROJECT_NAME.fullmatch(chosen["project"]):
        wrong.append(FieldError(("project",), "There is no such project."))
    if wrong:
        raise InvalidInput(*wrong)
    response = RedirectResponse(back_to(fields.get("back"), "/jobs"), 303)
    for name, value in chosen.items():
        response.set_cookie(name, value, max_age=YEAR, samesite="strict", httponly=True)
    return response
