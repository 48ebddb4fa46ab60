"""Filters of lists, as the forms of pages send them."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.routers.http.forms import LOCAL
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.routers.http.paging import NEGOTIATED
from scheduler_api.web.filters import address


class WithoutBlanks(APIRoute):
    """A route on which pages have no blanks in their query: a form sends the fields, too, that are empty."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a redirect to the address without blanks."""
        handle = super().get_route_handler()

        async def handle_tidy(request: Request) -> Response:
            tidy = _tidy(request) if request.method == "GET" and request.url.query else None
            return await handle(request) if tidy is None else tidy

        return handle_tidy


def _tidy(request: Request) -> Response | None:
    if preferred(request.headers.get("accept")) is not Media.HTML:
        return None
    pairs = request.query_params.multi_items()
    filled = [(name, value) for name, value in pairs if value.strip()]
    if len(filled) == len(pairs):
        return None
    return RedirectResponse(address(request.url.path, filled), 303, NEGOTIATED)


def with_offset(text: str) -> str:
    """What a browser sends for a date with a time, as an instant in UTC; all else as it is."""
    if not LOCAL.fullmatch(text):
        return text
    return f"{text}Z" if text.count(":") > 1 else f"{text}:00Z"
