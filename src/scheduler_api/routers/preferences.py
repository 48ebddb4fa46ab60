"""What a reader prefers, kept in the reader's own browser."""

import re
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.errors import Flaw, InvalidInput
from scheduler_api.routers.bodies import form_body
from scheduler_api.web.times import Clock

router = APIRouter(include_in_schema=False)

YEAR = 31_536_000
#: Pages that have a place for what was just done.
TELLING = {"/jobs", "/upcoming"}
#: An address on this site: what begins with two slashes would lead elsewhere.
HERE = re.compile(r"/(?![/\\])[\w\-./?=&%+:~,@!*]{0,2000}", re.ASCII)


@router.post("/times")
async def choose_times(request: Request) -> Response:
    """Show all times on other clocks from now on, and go back to the page."""
    fields = await form_body(request)
    if fields.get("clock") not in set(Clock):
        raise InvalidInput(Flaw(("clock",), f"Must be one of {', '.join(Clock)}."))
    response = RedirectResponse(back_to(fields.get("back"), "/jobs"), 303)
    response.set_cookie("clock", fields["clock"], max_age=YEAR, samesite="strict", httponly=True)
    return response


def back_telling(request: Request, otherwise: str, **done: int) -> Response:
    """Back to the page that asked for it; those that have a place for it say what was done."""
    page = back_to(request.query_params.get("back"), otherwise)
    told = f"{'&' if '?' in page else '?'}{urlencode(done)}" if page.partition("?")[0] in TELLING else ""
    return RedirectResponse(page + told, 303)


def back_to(given: str | None, otherwise: str) -> str:
    """The page to go back to: the given one if it is of this site."""
    return given if given is not None and HERE.fullmatch(given) else otherwise
