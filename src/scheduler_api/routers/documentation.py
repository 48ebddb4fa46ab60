"""What the OpenAPI document says beyond the handlers' signatures, and the page that shows it."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from scheduler_api.contracts import JobDraft, Problem
from scheduler_api.routers.wiring import pages_of

router = APIRouter(include_in_schema=False)

DESCRIPTION = """
Define jobs (one-time, or every N seconds); the service runs what is due and keeps a log of every run.

* Instants are RFC 3339 with an offset. `startdate` and `starttime` are what clocks show in the `timezone`.
* Errors are `application/problem+json` (RFC 9457); a 422 names each field that is wrong.
* Lists are plain arrays; a `Link` header with `rel="next"` leads to the next page.
"""

REASONS = {
    400: "The body can not be read.",
    403: "The request comes from another site, another machine, or asks for another host.",
    404: "There is no such job.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is neither JSON nor a form.",
    422: "Something in the input is wrong; `errors` names each place.",
    503: "The database can not serve the request at the moment; `Retry-After` says when to try again.",
}

_DRAFT = JobDraft.model_json_schema(ref_template="#/components/schemas/{model}")
_MISFIRE = _DRAFT.pop("$defs")["Misfire"]
_DRAFT["properties"]["misfire"] = {
    key: value for key, value in (_MISFIRE | _DRAFT["properties"]["misfire"]).items() if key != "$ref"
}
#: The body of POST /jobs: read by our own strict parser, so FastAPI can not derive it.
JOB_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _DRAFT,
                "examples": {
                    "every 90 seconds": {"value": _DRAFT["examples"][1]},
                    "once": {"value": _DRAFT["examples"][0]},
                },
            }
        },
    }
}


#: The answer 200 of an operation that browsers get as a page.
OR_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "JSON, or a page of HTML."}
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation."""
    return {
        status: {
            "description": REASONS[status],
            "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
        }
        for status in (*statuses, 403)
    }


@router.get("/swagger-ui")
async def swagger_ui(request: Request) -> Response:
    """The interactive API documentation, from files of our own: it works offline."""
    return Response(pages_of(request).documentation(), media_type="text/html")
