"""Health, and the way in."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from scheduler_api import __version__
from scheduler_api.computing import aside
from scheduler_api.contracts import Health, Overview
from scheduler_api.database import migrations
from scheduler_api.errors import SchedulerError
from scheduler_api.routers.documentation import OR_PAGE, problems
from scheduler_api.routers.negotiation import Media
from scheduler_api.routers.paging import NEGOTIATED
from scheduler_api.routers.wiring import database_of, pages_of, wants_page
from scheduler_api.services import health, overview

router = APIRouter(tags=["system"])

NO_STORE = {"Cache-Control": "no-store"}


@router.get("/", include_in_schema=False)
async def home(request: Request) -> Response:
    """On to the overview, or to the jobs for those who read no pages."""
    return RedirectResponse("/overview" if wants_page(request) else "/jobs", 307, {"Vary": "Accept"})


@router.get("/overview", response_model=Overview, responses=problems(503) | OR_PAGE)
async def show_overview(request: Request) -> Response:
    """Say how the service as a whole does: what is wrong, since when, and what to do about it."""
    ticker, deliverer = request.state.ticker, request.state.deliverer
    told = [trouble for part in (ticker, deliverer) if part is not None and (trouble := part.trouble)]
    found = await database_of(request).transact(overview.look, told)
    if wants_page(request):
        return Response(await aside(pages_of(request).overview, found), 200, NEGOTIATED, Media.HTML)
    return Response(found.model_dump_json(), headers=NEGOTIATED, media_type=Media.JSON)


@router.get("/healthz", response_model=Health, responses=problems())
async def process_health() -> Response:
    """Say that the process lives; asks nobody else."""
    return JSONResponse({"status": "ok", "checks": {"version": __version__}}, headers=NO_STORE)


@router.get(
    "/readyz",
    response_model=Health,
    responses=problems()
    | {503: {"model": Health, "description": "Something that the service needs is missing."}},
)
async def readiness(request: Request) -> Response:
    """Say whether this replica can do its work: database, schema, ticker, calls.

    `lag` is how long the most overdue run has been waiting, in seconds, and `hostsdown` which hosts do not
    answer: they say how the service as a whole does, and so do not make one replica unready.
    """
    database = database_of(request)
    checks: dict[str, object] = {}
    try:
        await migrations.require_current(database)
        checks |= {"database": "ok", "schema": migrations.needed()}
        checks["lag"] = round(await database.read(health.lag), 3)
        checks["hostsdown"] = await database.read(health.hosts_down)
    except SchedulerError as error:
        checks["database"] = str(error)
    trouble = request.state.ticker.trouble if request.state.ticker else None
    checks["ticker"] = trouble or ("ok" if request.state.ticker else "off")
    unclaimed = request.state.deliverer.trouble
    checks["calls"] = unclaimed or "ok"
    ready = "hostsdown" in checks and trouble is None and unclaimed is None
    status = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JSONResponse(status, 200 if ready else 503, NO_STORE)
