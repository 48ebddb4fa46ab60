"""What handlers ask for: what the lifespan made, and the parameters they share."""

from typing import Annotated, TypedDict

from fastapi import Path, Query, Request
from starlette.convertors import StringConvertor, register_url_convertor

from scheduler_api.contracts import LARGEST_ID
from scheduler_api.database.engine import Database
from scheduler_api.routers.negotiation import Media, preferred
from scheduler_api.runner import Runner
from scheduler_api.settings import Settings
from scheduler_api.ticker import Ticker
from scheduler_api.web.pages import Pages


class State(TypedDict):
    """What the lifespan hands to every request."""

    settings: Settings
    database: Database
    runner: Runner
    ticker: Ticker | None


# Plain functions of the request: as dependencies of FastAPI they would cost more than some handlers do.
def database_of(request: Request) -> Database:
    """The connections for requests."""
    database: Database = request.state.database
    return database


def runner_of(request: Request) -> Runner:
    """The engine behind POST /jobs/run."""
    runner: Runner = request.state.runner
    return runner


def pages_of(request: Request) -> Pages:
    """The renderer of pages."""
    pages: Pages = request.app.state.pages
    return pages


def wants_page(request: Request) -> bool:
    """Whether the client prefers a page of HTML."""
    return preferred(request.headers.get("accept")) is Media.HTML


class JobIdConvertor(StringConvertor):
    """One segment of a path, but not `run`: `/jobs/run` is an address of its own."""

    regex = "(?!run$)[^/]+"


register_url_convertor("jobid", JobIdConvertor())

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which job.", examples=[1])]
After = Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only jobs with a larger jobid.")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only logs older than this logid.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
