"""Routes: for programs, for pages and for forms; all with parameters that are known."""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from scheduler_api.routers.http import bodies
from scheduler_api.routers.http.authentication import admit
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.routers.http.permissions import needed
from scheduler_api.web.filters import address
from scheduler_api.wording import notices

Handler = TypeVar("Handler", bound=Callable[..., Any])

NEGOTIATED = {"Vary": "Accept", "Cache-Control": "no-store"}
NOTICES = frozenset(notices.NAMES)
#: What only pages heed, at addresses that programs may be given.
OF_PAGES = {"/jobs": {"form", "from"}, "/jobs/{jobid:jobid}": {"form", "span"}}
#: The forms that programs' addresses take as well, for the OpenAPI document.
FORMS: dict[str, type[BaseModel] | None] = {}
#: How a query says yes.
TRUE = {"true", "1", "yes", "on", "t", "y"}


class StrictRoute(APIRoute):
    """A route that lets in whom it is for, refuses unknown query parameters, and reads its body strictly.

    A misspelled filter would show everything. The form of a page sends the fields, too, that are empty: a
    browser is redirected to the address without them. No cache keeps an answer.
    """

    knows_parameters = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a look at the query and the body."""
        handle, known = super().get_route_handler(), _names(self.dependant)
        if "GET" in (self.methods or ()):
            known |= OF_PAGES.get(self.path, set())
        body = None if self.body_field is None else self.body_field.field_info
        needs = {method: needed(method, self.path) for method in self.methods or ()}

        async def handle_strictly(request: Request) -> Response:
            await admit(request, needs[request.method])
            if request.scope["query_string"] and self.knows_parameters:
                is_page = request.method == "GET" and wants_page(request)
                if is_page and (tidy := _tidy(request)):
                    return tidy
                _check_query(request, known | NOTICES if is_page else known)
            if body is not None:
                request = await bodies.read(request, body.annotation, required=body.is_required())
            response = await handle(request)
            for name, value in NEGOTIATED.items():
                response.headers.setdefault(name, value)
            return _conditional(request, response) if request.method == "GET" else response

        return handle_strictly


class PageRoute(StrictRoute):
    """A route for those who prefer a page of HTML, or ask for a form; others find what stands behind it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route is meant."""
        match, child = super().matches(scope)
        is_meant = match is Match.NONE or wants_page(Request(scope)) or _asks_for_form(scope)
        return (match, child) if is_meant else (Match.NONE, {})


class ReturnRoute(PageRoute):
    """A route to which another service sends a browser back, with parameters of its own among ours."""

    knows_parameters = False


class FormRoute(StrictRoute):
    """A route for forms that browsers send; what programs send goes to what stands behind it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route is meant."""
        match, child = super().matches(scope)
        request = Request(scope)
        is_meant = wants_page(request) and bodies.content_type(request) in bodies.FORMS
        return (match, child) if is_meant or match is Match.NONE else (Match.NONE, {})


class BrowserRouter(APIRouter):
    """What browsers get: before what programs get at the same addresses, and not in the OpenAPI document."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes is meant; programs need not look at each."""
        return super().matches(scope) if _is_of_browser(scope) else (Match.NONE, {})

    def page(self, path: str, method: str = "GET") -> Callable[[Handler], Handler]:
        """For those who prefer a page."""
        return self._add(path, method, PageRoute)

    def way_back(self, path: str) -> Callable[[Handler], Handler]:
        """For browsers that another service sends back."""
        return self._add(path, "GET", ReturnRoute)

    def form(
        self, path: str, model: type[BaseModel] | None = None, *, is_documented: bool = True
    ) -> Callable[[Handler], Handler]:
        """For forms of browsers, at an address of programs; with the fields of a `model`, or others."""
        if is_documented:
            FORMS[re.sub(r":\w+}", "}", path)] = model
        return self._add(path, "POST", FormRoute)

    def _add(self, path: str, method: str, route_class: type[StrictRoute]) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.add_api_route(
                path,
                handler,
                methods=[method],
                # What is not text is an answer already.
                response_model=None,
                response_class=HTMLResponse,
                include_in_schema=False,
                route_class_override=route_class,
            )
            return handler

        return add


def form_router(dependencies: Sequence[Any] = ()) -> APIRouter:
    """For forms, at addresses of their own: they cannot send PATCH and DELETE."""
    return APIRouter(route_class=StrictRoute, include_in_schema=False, dependencies=dependencies)


def _conditional(request: Request, response: Response) -> Response:
    """The answer with the tag of what is in it; 304 without a body if the client has just that."""
    if response.status_code != 200 or response.media_type != Media.JSON:  # noqa: PLR2004 - OK
        return response
    digest = blake2b(response.body, digest_size=8).hexdigest()
    version = response.headers.get("etag", "").strip('"')
    tag = response.headers["ETag"] = f'"{version}-{digest}"' if version else f'"{digest}"'
    given = request.headers.get("if-none-match", "")
    if tag not in (one.strip().removeprefix("W/") for one in given.split(",")):
        return response
    headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=headers)


def _is_of_browser(scope: Scope) -> bool:
    return wants_page(Request(scope)) or _asks_for_form(scope)


def wants_page(request: Request) -> bool:
    """Whether the client prefers a page of HTML."""
    return preferred(request.headers.get("accept")) is Media.HTML


def _asks_for_form(scope: Scope) -> bool:
    if not scope["query_string"]:
        return False
    values = parse_qs(scope["query_string"].decode("latin-1")).get("form", ())
    return any(value.lower() in TRUE for value in values)


def _names(dependant: Dependant) -> frozenset[str]:
    """The query parameters of a handler and of what it depends on."""
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*(_names(further) for further in dependant.dependencies))


def _check_query(request: Request, known: frozenset[str]) -> None:
    """Refuse parameters that are unknown, and those that come twice: one of them would be ignored."""
    wrong = []
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            near = "".join(f" Did you mean `{other}`?" for other in get_close_matches(name, known, 1))
            wrong.append(("unknown_parameter", name, f"There is no such parameter.{near}"))
        elif count > 1:
            wrong.append(("repeated_parameter", name, "Must be given once."))
    if wrong:
        raise RequestValidationError(
            [{"type": kind, "loc": ("query", name), "msg": said, "input": None} for kind, name, said in wrong]
        )


def _tidy(request: Request) -> Response | None:
    pairs = request.query_params.multi_items()
    filled = [(name, value) for name, value in pairs if value.strip()]
    if len(filled) == len(pairs):
        return None
    return RedirectResponse(address(request.url.path, filled), 303, NEGOTIATED)
