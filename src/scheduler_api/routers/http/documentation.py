"""The OpenAPI document: what signatures say, and what holds for all operations; the page that shows it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.system.problems import Problem
from scheduler_api.routers.http.bodies import FORM
from scheduler_api.routers.http.dependencies import PagesDep
from scheduler_api.routers.http.permissions import needed
from scheduler_api.routers.http.routes import FORMS, StrictRoute
from scheduler_api.routers.http.webhooks import webhooks

router = APIRouter(include_in_schema=False, route_class=StrictRoute)

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = """
Define jobs (one-time, every N seconds, or cron); the service runs what is due and keeps a log of every run.

* Instants are RFC 3339 with an offset. `startdate` and `starttime` are what clocks show in the `timezone`.
* Where `SCHEDULER_AUTH` is `required`, send an API key: `Authorization: Bearer sch_…`.
* Errors are `application/problem+json` (RFC 9457); a 422 names each field that is wrong.
* Lists are plain arrays; a `Link` header with `rel="next"` leads to the next page.
"""
TAGS = [
    {"name": "jobs", "description": "Create, read, edit and delete jobs."},
    {"name": "operations", "description": "Pause, resume, run and skip: one job, or many at once."},
    {"name": "runs", "description": "Run everything that is due."},
    {"name": "logs", "description": "What has run, with every attempt; retries, cancellations, reports."},
    {"name": "monitors", "description": "Runs that are made elsewhere, and reported here."},
    {
        "name": "history",
        "description": "Who changed what, why a job did or did not run, checks and backfills.",
    },
    {"name": "schedules", "description": "What is to come: previews, upcoming runs, the load."},
    {"name": "calendars", "description": "Days on which jobs do not run, such as holidays."},
    {"name": "targets", "description": "Secrets of requests and of their signatures, limits, test requests."},
    {"name": "alerts", "description": "What is wrong with jobs, and who is told of it."},
    {"name": "access", "description": "Users and API keys, where `SCHEDULER_AUTH` is `required`."},
    {"name": "system", "description": "Health, the overview, and the feed of changes."},
]

#: What each error means, by its status; the name of the answer in the document.
REASONS = {
    400: ("BadRequest", "The body cannot be read."),
    401: ("NotSignedIn", "Needs an API key, or a user who is signed in."),
    403: ("Forbidden", "The role does not allow it; or the request comes from another site or machine."),
    404: ("NotFound", "There is no such job, log, secret, limit, calendar, issue, alert, channel or rule."),
    408: ("RequestTimeout", "The body did not arrive in time."),
    409: ("Conflict", "The job, or the log, is not in a state for that."),
    410: ("Gone", "The attempt is over."),
    412: ("Stale", "The job has changed since it was read: its ETag is another than If-Match asks for."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body is neither JSON nor a form."),
    429: (
        "TooMany",
        "A quota of the project is used up, of which `RateLimit` tells; or a monitor was reported to too "
        "often.",
    ),
    422: ("Invalid", "Something in the input is wrong; `errors` names each place."),
    503: ("Unavailable", "The database cannot serve the request now; `Retry-After` says when to try again."),
}
#: What else errors tell in headers.
TELLING = {429: ("Retry-After", "RateLimit"), 503: ("Retry-After",)}
#: How to say who asks, where `SCHEDULER_AUTH` is `required`: in either way.
SECURITY: dict[str, Any] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, `sch_…`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-session",
        "description": "Of a browser that has signed in.",
    },
}
#: The headers of answers, by what they say.
HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {
        "schema": {"type": "string"},
        "description": "Names what is in the answer, for If-None-Match; of a job, its version for If-Match.",
    },
    "Idempotency-Replayed": {
        "schema": {"type": "boolean"},
        "description": "Whether this is the answer to an earlier request with the same Idempotency-Key.",
    },
    "Link": {
        "schema": {"type": "string"},
        "description": 'Where the list goes on, with `rel="next"`; left out at its end.',
    },
    "Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "Where it is."},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before the next try."},
    "Scheduler-Complete": {
        "schema": {"type": "boolean"},
        "description": "`false`: computing took too long, and some are missing.",
    },
    "Total-Count": {
        "schema": {"type": "integer"},
        "description": "How many there are; on the first page.",
    },
    "Total-Count-Complete": {
        "schema": {"type": "boolean"},
        "description": "`false`: there may be more than `Total-Count`, at which counting stops.",
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "What is left to a key or a user with roles in projects only: `r` requests, and `t` "
        "seconds until all are there again. `RateLimit-Policy` has the quota.",
    },
    "X-Request-Id": {
        "schema": {"type": "string"},
        "description": "The id that the log lines of the request have; the client's own if it sent one.",
    },
}
#: An answer of each kind; what is sent has its example beside its model.
EXAMPLES: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text())
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
COUNTED = ("Total-Count", "Total-Count-Complete")
PAGE = {"text/html": {"schema": {"type": "string"}}}


def answers(*problems: int, status: int = 200, headers: Sequence[str] = (), page: bool = False) -> Responses:
    """The answers of an operation beside its model: errors, headers, and whether browsers get a page."""
    found: Responses = {
        problem: {"$ref": f"#/components/responses/{REASONS[problem][0]}"}
        for problem in (*problems, 401, 403, 429)
    }
    own: dict[str, Any] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    found[status] = {"headers": own} | ({"content": PAGE} if page else {})
    return found


def back(where: str) -> Responses:
    """The answer to a form: a redirect."""
    return {
        303: {
            "description": f"It was asked for by a form; back to {where}.",
            "headers": {"Location": {"$ref": "#/components/headers/Location"}},
        }
    }


def operation_id(route: APIRoute) -> str:
    """The name of the handler: short, and the same whatever its address."""
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the service."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=app.description,
            routes=app.routes,
            webhooks=webhooks.routes,
            tags=TAGS,
        )
        _complete(found)
        app.openapi_schema = _tidy(found)
    return app.openapi_schema


def _complete(found: dict[str, Any]) -> None:
    """Add what all operations have in common, and the forms that some take."""
    _add_forms(found)
    _add_components(found["components"])
    read = [methods["get"]["responses"]["200"] for methods in found["paths"].values() if "get" in methods]
    for answer in read:
        if "application/json" in answer["content"]:
            answer.setdefault("headers", {})["ETag"] = {"$ref": "#/components/headers/ETag"}
    for operation in _operations(found):
        _complete_operation(operation)
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            if needed(method.upper(), path) is None:
                # Open to all.
                operation["responses"].pop("401", None)
                if not path.startswith("/monitors/"):
                    operation["responses"].pop("429", None)
                operation["security"] = []
    # With other settings of SCHEDULER_AUTH none is needed.
    found["security"] = [{}, *({name: []} for name in SECURITY)]


def _add_forms(found: dict[str, Any]) -> None:
    for path, model in FORMS.items():
        schema: dict[str, Any] = {"type": "object", "description": "The fields, as text."}
        if model is not None:
            schema = {"$ref": f"#/components/schemas/{model.__name__}"}
        body = found["paths"][path]["post"].setdefault("requestBody", {"content": {}})
        body["content"][FORM] = {"schema": schema}


def _add_components(components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    components["headers"] = HEADERS
    components["securitySchemes"] = SECURITY
    components["responses"] = {
        name: {
            "description": reason,
            "headers": REQUEST_ID
            | {header: {"$ref": f"#/components/headers/{header}"} for header in TELLING.get(status, ())},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, (name, reason) in REASONS.items()
    }


def _complete_operation(operation: dict[str, Any]) -> None:
    # FastAPI's own, where nothing can be wrong but an id: then there is nothing at the address.
    operation["responses"] = {
        status: answer
        for status, answer in operation["responses"].items()
        if "HTTPValidationError" not in str(answer)
    }
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _given(parameter["schema"])
    sentence, _, rest = operation["description"].partition("\n\n")
    operation["summary"] = " ".join(sentence.split()).removesuffix(".")
    operation["description"] = rest or operation["summary"] + "."
    for answer in operation["responses"].values():
        if "$ref" in answer:
            del answer["description"]
        else:
            answer["headers"] = answer.get("headers", {}) | REQUEST_ID


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, which tells of itself; where it may be left out, that is not a null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    known = {"title", "description"} | ({"anyOf"} if len(kinds) == 1 else set())
    rest = {name: value for name, value in schema.items() if name not in known}
    return {**kinds[0], **rest} if len(kinds) == 1 else rest


def _operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in (*found["paths"].values(), *found["webhooks"].values()):
        for operation in path.values():
            yield operation
            for callback in operation.get("callbacks", {}).values():
                yield from (report for methods in callback.values() for report in methods.values())


def _tidy(value: Any, inside: str = "") -> Any:
    """Whole numbers as integers, and no titles that only repeat the name of a field."""
    if inside == "examples":
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept: Iterable[tuple[str, Any]] = value.items()
    if inside != "properties" and isinstance(value.get("title"), str) and "version" not in value:
        kept = [(name, item) for name, item in kept if name != "title"]
    return {name: _tidy(item, name) for name, item in kept}


@router.get("/docs")
@router.get("/redoc")
async def usual_addresses() -> RedirectResponse:
    """Where other services of FastAPI have their documentation."""
    return RedirectResponse("/swagger-ui")


@router.get("/swagger-ui", response_class=HTMLResponse)
async def swagger_ui(pages: PagesDep) -> str:
    """The interactive API documentation, from files of our own: it works offline."""
    return await aside(pages.documentation)
