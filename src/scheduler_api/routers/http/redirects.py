"""Back to the page that asked, which says what was done."""

import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.responses import RedirectResponse

#: Where those go who were nowhere yet.
HOME = "/overview"
#: Pages that have a place for what was just done.
TELLING = re.compile(r"/jobs(?:/\d{1,18})?|/upcoming", re.ASCII)
#: An address on this site: what begins with two slashes would lead elsewhere.
HERE = re.compile(r"/(?![/\\])[\w\-./?=&%+:~,@!*]{0,2000}", re.ASCII)


class Back:
    """The page that asked."""

    def __init__(self, asked: str | None) -> None:
        self._asked = asked

    def to(self, otherwise: str, **done: int) -> RedirectResponse:
        """A redirect to it, or to `otherwise`; pages that have a place for it say what was done."""
        page = back_to(self._asked, otherwise)
        if done and TELLING.fullmatch(page.partition("?")[0]):
            page += f"{'&' if '?' in page else '?'}{urlencode(done)}"
        return RedirectResponse(page, 303)


async def _back(back: str | None = None) -> Back:
    return Back(back)


BackDep = Annotated[Back, Depends(_back)]


def back_to(given: str | None, otherwise: str) -> str:
    """The page to go back to: the given one if it is of this site."""
    return given if given is not None and HERE.fullmatch(given) else otherwise
