"""A job's history: who changed it, why it did or did not run, whether all is there, and backfills."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.computing import aside
from scheduler_api.contracts.history.backfill import Backfill, BackfillReport
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.history.explanation import Explanation
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import content_type, json_body
from scheduler_api.routers.http.documentation import OR_PAGE, body_of, problems
from scheduler_api.routers.http.paging import with_next
from scheduler_api.routers.http.patience import array, while_connected
from scheduler_api.routers.http.queries import StrictRoute, query_instant
from scheduler_api.routers.http.wiring import (
    JobId,
    Limit,
    database_of,
    pages_of,
    wants_page,
)
from scheduler_api.services.history import backfill, checks, explain
from scheduler_api.services.jobs import reading
from scheduler_api.services.system import health

router = APIRouter(tags=["history"], route_class=StrictRoute)

#: Seconds that a check may take, so that no proxy loses patience first.
CHECK_SECONDS = 20.0


@router.get("/jobs/{jobid:jobid}/changes", response_model=list[Change], responses=problems(404, 422, 503))
async def list_changes(
    request: Request,
    jobid: JobId,
    before: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only changes older than this changeid.")
    ] = None,
    limit: Limit = 100,
) -> Response:
    """List who changed a job, when, and what, newest first."""
    found = await database_of(request).read(reading.changes_of, jobid, before or MAX_ID, limit + 1)
    further = with_next(request, before=found[limit - 1].changeid) if found[limit:] else None
    return json_answer(await array(found[:limit]), further=further)


@router.get(
    "/jobs/{jobid:jobid}/explain",
    response_model=Explanation,
    responses=problems(404, 409, 422, 503) | OR_PAGE,
)
async def explain_instant(
    request: Request,
    jobid: JobId,
    at: Annotated[
        str,
        Query(
            max_length=40,
            description="The instant, in RFC 3339 with an offset.",
            examples=["2026-11-01T02:30:00+01:00"],
        ),
    ],
) -> Response:
    """Explain why a job did or did not run at an instant."""
    instant = query_instant("at", at)
    database = database_of(request)
    hostlimit = request.state.settings.host_concurrency
    found = await while_connected(request, database.transact(explain.explain, jobid, instant, hostlimit))
    if wants_page(request):
        job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
        page = await aside(pages_of(request).explanation, now, job, found)
        return page_answer(page)
    return json_answer(found)


@router.get("/jobs/{jobid:jobid}/check", response_model=JobCheck, responses=problems(404, 422, 503))
async def check_history(request: Request, jobid: JobId) -> Response:
    """Compare a job's runs with its schedule and its edits: missing runs, duplicates, broken rules.

    Stops after 20 seconds and returns what it has found by then. `scheduler-api check` has no time
    limit.
    """
    check = database_of(request).read(checks.check_job, jobid, CHECK_SECONDS)
    found = await while_connected(request, check)
    return json_answer(found)


@router.post(
    "/jobs/{jobid:jobid}/backfill",
    response_model=BackfillReport,
    openapi_extra=body_of(Backfill),
    responses=problems(400, 404, 408, 409, 413, 415, 422, 503),
)
async def backfill_runs(request: Request, jobid: JobId) -> Response:
    """Run past occurrences that did not run. The schedule is unchanged.

    At most 1,000 at once; each occurrence is backfilled at most once. `dryrun` only lists them.
    """
    if content_type(request) != "application/json":
        raise HTTPException(415, "Send the range as application/json.")
    order = await json_body(request, Backfill)
    report = await database_of(request).transact(backfill.backfill, jobid, order)
    return json_answer(report)
