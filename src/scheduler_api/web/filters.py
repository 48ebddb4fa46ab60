"""Filters of lists, as the forms of pages send them."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.routers.forms import LOCAL
from scheduler_api.routers.negotiation import Media, preferred

#: What narrows each list down, and what else the addresses of its pages keep.
OF_JOBS, KEPT_OF_JOBS = ("name", "state", "laststatus", "tag"), ("sort", "limit")
OF_RUNS, KEPT_OF_RUNS = ("status", "cause", "since", "until"), ("limit",)


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
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    return RedirectResponse(address(request.url.path, filled), 303, headers)


def given(query: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Those of a query's fields that have a value."""
    return {name: query[name] for name in names if query.get(name)}


def address(path: str, query: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A path with a query, if there is one."""
    return f"{path}?{urlencode(query)}" if query else path


def with_offset(text: str) -> str:
    """What a browser sends for a date with a time, as an instant in UTC; all else as it is."""
    if not LOCAL.fullmatch(text):
        return text
    return f"{text}Z" if text.count(":") > 1 else f"{text}:00Z"
