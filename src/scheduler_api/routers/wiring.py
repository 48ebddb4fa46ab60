"""What handlers ask for, as annotated aliases."""

from typing import Annotated, TypedDict

from fastapi import Depends, Path, Query, Request
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


# The functions are async because FastAPI sends others to a thread.
async def _database(request: Request) -> Database:
    database: Database = request.state.database
    return database


async def _runner(request: Request) -> Runner:
    runner: Runner = request.state.runner
    return runner


async def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


async def _media(request: Request) -> Media:
    return preferred(request.headers.get("accept"))


DatabaseDep = Annotated[Database, Depends(_database)]
RunnerDep = Annotated[Runner, Depends(_runner)]
PagesDep = Annotated[Pages, Depends(_pages)]
MediaDep = Annotated[Media, Depends(_media)]


class JobIdConvertor(StringConvertor):
    """One segment of a path, but not `run`: `/jobs/run` is an address of its own."""

    regex = "(?!run$)[^/]+"


register_url_convertor("jobid", JobIdConvertor())

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Which job.", examples=[1])]
After = Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only jobs with a larger jobid.")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only logs older than this logid.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
