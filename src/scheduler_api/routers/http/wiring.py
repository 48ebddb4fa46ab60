"""What handlers ask for: what the lifespan made, and the parameters they share."""

import re
from typing import Annotated, TypedDict

from fastapi import Path, Query, Request
from starlette.convertors import StringConvertor, register_url_convertor

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.engine import Database
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.settings import Settings
from scheduler_api.targets import Guard, urls
from scheduler_api.web.filters import address
from scheduler_api.web.pages import Pages, Reader
from scheduler_api.web.times import chosen
from scheduler_api.wording.notices import NAMES as NOTICES
from scheduler_api.workers.change_feed import ChangeFeed
from scheduler_api.workers.confirmation import Confirmation
from scheduler_api.workers.delivery.deliverer import Deliverer
from scheduler_api.workers.forecast_cache import Forecasts
from scheduler_api.workers.retirement import Retirement
from scheduler_api.workers.runner import Runner
from scheduler_api.workers.ticker import Ticker


class AppState(TypedDict):
    """What the lifespan hands to every request."""

    settings: Settings
    database: Database
    runner: Runner
    ticker: Ticker | None
    deliverer: Deliverer
    feed: ChangeFeed
    forecasts: Forecasts
    guard: Guard
    cipher: Cipher
    retirement: Retirement
    confirmation: Confirmation


# Plain functions of the request: as dependencies of FastAPI they would cost more than some handlers do.
def database_of(request: Request) -> Database:
    """The connections for requests."""
    database: Database = request.state.database
    return database


def runner_of(request: Request) -> Runner:
    """The engine behind POST /jobs/run."""
    runner: Runner = request.state.runner
    return runner


def forecasts_of(request: Request) -> Forecasts:
    """The forecast of the load."""
    forecasts: Forecasts = request.state.forecasts
    return forecasts


def deliverer_of(request: Request) -> Deliverer:
    """Who makes the calls."""
    deliverer: Deliverer = request.state.deliverer
    return deliverer


def guard_of(request: Request) -> Guard:
    """Which addresses may be called."""
    guard: Guard = request.state.guard
    return guard


def check_target(request: Request, target: Target | None) -> None:
    """Refuse an address that is never called, before a job has it. Raises InvalidInput.

    What a name leads to is looked at with each call.
    """
    if target is None:
        return
    address = "127.0.0.1" if urls.is_localhost(target.url) else urls.address_of(target.url)
    refusal = None if address is None else guard_of(request).refusal(address)
    if refusal is not None:
        raise InvalidInput(
            FieldError(("target", "url"), f"{refusal} SCHEDULER_TARGET_NETWORKS opens networks.")
        )


def cipher_of(request: Request) -> Cipher:
    """What encrypts secrets."""
    cipher: Cipher = request.state.cipher
    return cipher


def pages_of(request: Request) -> Pages:
    """The renderer of pages, as this reader wants them."""
    pages: Pages = request.app.state.pages
    times = chosen(request.cookies.get("clock"), request.cookies.get("zone"))
    # What was just done is told once.
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in NOTICES]
    here = address(request.url.path, kept) if request.method == "GET" else "/jobs"
    return pages.seen_by(Reader(times, here, request.scope["mark"]))


def wants_page(request: Request) -> bool:
    """Whether the client prefers a page of HTML."""
    return preferred(request.headers.get("accept")) is Media.HTML


def client_of(request: Request) -> str:
    """Who asks, as far as that is known: the program and the machine."""
    program = request.headers.get("user-agent", "unknown program")[:200]
    machine = request.client.host if request.client else "this machine"
    return f"{program}, {machine}"


def version_of(request: Request) -> int | None:
    """The version that If-Match asks for; one that no job ever has for what is no entity tag of ours."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    found = ENTITY_TAG.fullmatch(given.strip())
    return int(found.group(1)) if found else 0


def tagged(version: int) -> dict[str, str]:
    """The header that names a job's version."""
    return {"ETag": f'"{version}"'}


def page_size(limit: int | None, *, page: bool) -> int:
    """How many of a list to show."""
    return min(limit or PAGE_LIMIT, MAX_PAGE) if page else limit or LIST_LIMIT


ENTITY_TAG = re.compile(r'"(\d{1,9})"', re.ASCII)


class JobIdConvertor(StringConvertor):
    """One segment of a path, but not `run` and `bulk`: those are addresses of their own."""

    regex = "(?!(?:run|bulk)$)[^/]+"


class LogIdConvertor(StringConvertor):
    """One segment of a path, but not `retry`: that is an address of its own."""

    regex = "(?!retry$)[^/]+"


register_url_convertor("jobid", JobIdConvertor())
register_url_convertor("logid", LogIdConvertor())

JobId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which job.", examples=[1])]
After = Annotated[
    str | None,
    Query(
        pattern=r"^\d{1,19}(:.*)?$",
        max_length=600,
        description="Only what comes after this place in the order: a jobid; for other orders than by "
        "jobid, what the Link header says.",
    ),
]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only logs older than this logid.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
#: Pages tell more of each, and are to be light.
PAGE_LIMIT, MAX_PAGE, LIST_LIMIT = 20, 50, 100
NegotiatedLimit = Annotated[
    int | None,
    Query(
        ge=1,
        le=1000,
        description=f"How many at most; {LIST_LIMIT} unless given. On a page of HTML {PAGE_LIMIT}, and never "
        f"more than {MAX_PAGE}.",
    ),
]
