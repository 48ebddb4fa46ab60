"""Queries: parameters that are known, and filters as the forms of pages send them."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from scheduler_api.contracts.values import Instant
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.answers import NEGOTIATED
from scheduler_api.routers.http.forms import LOCAL
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.web.filters import address
from scheduler_api.wording import notices

NOTICES = frozenset(notices.NAMES)
INSTANT = TypeAdapter(Instant)


class StrictRoute(APIRoute):
    """A route that refuses query parameters that it does not know; a misspelled filter would show everything.

    The form of a page sends the fields, too, that are empty: a browser is redirected to the address without
    them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a look at the query."""
        handle, known = super().get_route_handler(), _names(self.dependant) | {"back"}

        async def handle_strictly(request: Request) -> Response:
            if not request.url.query:
                return await handle(request)
            is_page = request.method == "GET" and preferred(request.headers.get("accept")) is Media.HTML
            if is_page and (tidy := _tidy(request)):
                return tidy
            _refuse_unknown(request, known | NOTICES if is_page else known)
            return await handle(request)

        return handle_strictly


def _names(dependant: Dependant) -> frozenset[str]:
    """The query parameters of a handler and of what it depends on."""
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*(_names(further) for further in dependant.dependencies))


def _refuse_unknown(request: Request, known: frozenset[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"type": "unknown_parameter", "loc": ("query", name), "msg": "", "input": None}
                for name in unknown
            ]
        )


def _tidy(request: Request) -> Response | None:
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


def query_instant(name: str, text: str) -> datetime:
    """An instant that a query gives. Raises InvalidInput."""
    # In a query, the plus of an offset that was not encoded arrives as a blank.
    text = text if text[10:11] == " " else text.replace(" ", "+")
    try:
        instant: datetime = INSTANT.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError((f"?{name}",), error.errors()[0]["msg"])) from None
    return instant
