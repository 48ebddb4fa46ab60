"""Metrics for Prometheus: of this process, of the installation, and of single jobs."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from scheduler_api.actors import Role
from scheduler_api.computing import aside
from scheduler_api.database.system.gauges import JobSeries
from scheduler_api.routers.http import exposition
from scheduler_api.routers.http.dependencies import DatabaseDep, ScrapesDep
from scheduler_api.routers.http.documentation import Responses, answers
from scheduler_api.routers.http.paging import WithTag, check_texts
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.routers.http.scope import where
from scheduler_api.services.system import gauges

router = APIRouter(tags=["system"], route_class=StrictRoute)

#: Jobs with series of their own: unless more are asked for, and at most.
SERIES, MAX_SERIES = 1000, 10_000
TEXT: Responses = {
    200: {
        "description": "In the text format of Prometheus, or as OpenMetrics, as `Accept` says.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", response_class=Response, responses=answers(503) | TEXT)
async def show_metrics(request: Request, scrapes: ScrapesDep) -> Response:
    """Metrics of this process, and of the installation as the database knows it (`scheduler_cluster_…`).

    What is read from the database is at most ten seconds old, sizes five minutes; while it does not answer,
    those are left out and `scheduler_cluster_up` is 0. Programs on the same machine need no key.
    """
    found_gauges, sizes = await scrapes.gauges(), None
    if found_gauges is not None:
        sizes = await scrapes.sizes()
    found = [*exposition.of_process(), *exposition.of_cluster(found_gauges), *exposition.of_sizes(sizes)]
    return await aside(exposition.answer, request.headers.get("accept", ""), found)


@router.get("/metrics/jobs", response_class=Response, responses=answers(422, 503) | TEXT)
async def show_job_metrics(
    request: Request,
    database: DatabaseDep,
    tag: WithTag = None,
    limit: Annotated[int, Query(ge=1, le=MAX_SERIES, description="How many jobs at most.")] = SERIES,
) -> Response:
    """Metrics of single jobs: last success, next run, failures in a row.

    Of more than `limit` jobs the rest is left out, and `scheduler_jobs_left_out` is 1: narrow it to a `tag`.
    """
    check_texts(tag=tag)
    projects = where(request, Role.METRICS)
    found: Sequence[JobSeries] = await database.read(gauges.series, tag or None, limit + 1, projects)
    families = await aside(exposition.of_jobs, found[:limit], is_cut=len(found) > limit)
    return await aside(exposition.answer, request.headers.get("accept", ""), families)
