"""What the OpenAPI document says beyond the handlers' signatures, and the page that shows it."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.system.problems import Problem
from scheduler_api.routers.http.dependencies import PagesDep

router = APIRouter(include_in_schema=False)

DESCRIPTION = """
Define jobs (one-time, every N seconds, or cron); the service runs what is due and keeps a log of every run.

* Instants are RFC 3339 with an offset. `startdate` and `starttime` are what clocks show in the `timezone`.
* Errors are `application/problem+json` (RFC 9457); a 422 names each field that is wrong.
* Lists are plain arrays; a `Link` header with `rel="next"` leads to the next page.
"""

REASONS = {
    400: "The body cannot be read.",
    403: "The request comes from another site, another machine, or asks for another host.",
    404: "There is no such job, log, secret or limit.",
    409: "The job, or the log, is not in a state for that.",
    410: "The attempt is over.",
    412: "The job has changed since it was read: its ETag is another than If-Match asks for.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is neither JSON nor a form.",
    422: "Something in the input is wrong; `errors` names each place.",
    503: "The database cannot serve the request at the moment; `Retry-After` says when to try again.",
}


#: The answer to a form.
BACK: dict[int | str, dict[str, Any]] = {303: {"description": "It was asked for by a form; back to the job."}}
#: The answer 200 of an operation that browsers get as a page.
OR_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "JSON, or a page of HTML."}
}
_COMPLETE: dict[str, Any] = {
    "headers": {
        "Scheduler-Complete": {
            "schema": {"type": "boolean"},
            "description": "`false`: computing took too long, and some are missing.",
        }
    }
}
COMPLETE: dict[int | str, dict[str, Any]] = {200: {"description": "Occurrences, in order.", **_COMPLETE}}
OR_PAGE_COMPLETE: dict[int | str, dict[str, Any]] = {200: OR_PAGE[200] | _COMPLETE}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation."""
    return {
        status: {
            "description": REASONS[status],
            "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
        }
        for status in (*statuses, 403)
    }


@router.get("/swagger-ui", response_class=HTMLResponse)
async def swagger_ui(pages: PagesDep) -> str:
    """The interactive API documentation, from files of our own: it works offline."""
    return await aside(pages.documentation)
