"""Back to the page that asked, which says what was done."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

#: Pages that have a place for what was just done.
TELLING = {"/jobs", "/upcoming"}
#: An address on this site: what begins with two slashes would lead elsewhere.
HERE = re.compile(r"/(?![/\\])[\w\-./?=&%+:~,@!*]{0,2000}", re.ASCII)


def back_telling(request: Request, otherwise: str, **done: int) -> Response:
    """Back to the page that asked for it; those that have a place for it say what was done."""
    page = back_to(request.query_params.get("back"), otherwise)
    told = f"{'&' if '?' in page else '?'}{urlencode(done)}" if page.partition("?")[0] in TELLING else ""
    return RedirectResponse(page + told, 303)


def back_to(given: str | None, otherwise: str) -> str:
    """The page to go back to: the given one if it is of this site."""
    return given if given is not None and HERE.fullmatch(given) else otherwise
