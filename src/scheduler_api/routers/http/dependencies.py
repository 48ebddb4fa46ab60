"""What handlers depend on: what the lifespan made, who asks, and the parameters they share."""

import re
import shutil
from pathlib import Path as Folder
from typing import Annotated, ParamSpec, TypedDict, TypeVar

from fastapi import Depends, Header, HTTPException, Path, Query, Request, Response
from pydantic import AfterValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.convertors import StringConvertor, register_url_convertor

from scheduler_api.actors import Actor, ActorKind, Principal, Role
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.system.limits import LimitScope
from scheduler_api.contracts.system.overview import Overview
from scheduler_api.contracts.values import (
    CALENDAR_NAME,
    MAX_ID,
    PROJECT_NAME,
    SECRET_NAME,
    CalendarName,
    ProjectName,
    SecretName,
)
from scheduler_api.database.engine import Database, Work
from scheduler_api.errors import (
    FieldError,
    InvalidInput,
    NotSignedIn,
    RestoreNotConfirmed,
    SigningInIsOff,
)
from scheduler_api.routers.http.access import LOCAL_HOSTS, SAFE_METHODS, SELF_CALL
from scheduler_api.routers.http.authentication import address_of
from scheduler_api.routers.http.scope import chosen, visible
from scheduler_api.services.system import overview
from scheduler_api.settings import Auth, Settings
from scheduler_api.targets import Guard, urls
from scheduler_api.web.filters import address
from scheduler_api.web.pages import Pages, Reader
from scheduler_api.web.times import chosen as clock_of
from scheduler_api.wording.notices import NAMES as NOTICES
from scheduler_api.workers.change_feed import ChangeFeed
from scheduler_api.workers.confirmation import Confirmation
from scheduler_api.workers.delivery.deliverer import Deliverer
from scheduler_api.workers.doorkeeper import Doorkeeper
from scheduler_api.workers.forecast_cache import Forecasts
from scheduler_api.workers.identity import IdentityProvider
from scheduler_api.workers.passwords import Passwords
from scheduler_api.workers.quotas import RequestQuotas
from scheduler_api.workers.retirement import Retirement
from scheduler_api.workers.runner import Runner
from scheduler_api.workers.ticker import Ticker

P = ParamSpec("P")
T = TypeVar("T")

DryRun = Annotated[bool, Query(description="Change nothing; answer as if it had been done.")]


async def _principal(request: Request) -> Principal:
    principal: Principal | None = request.scope["principal"]
    if principal is None:
        raise NotSignedIn
    return principal


async def where_signing_in_is_required(request: Request) -> None:
    """Refuse changes to users and keys where all may make them: who came in then would stay."""
    settings: Settings = request.state.settings
    if settings.auth is not Auth.REQUIRED and request.method not in SAFE_METHODS:
        raise SigningInIsOff(
            "Users and keys are changed where SCHEDULER_AUTH is `required`, or by the commands "
            "`scheduler-api users` and `scheduler-api keys`."
        )


async def _doorkeeper(request: Request) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.state.doorkeeper
    return doorkeeper


async def _identity(request: Request) -> IdentityProvider:
    identity: IdentityProvider | None = request.state.identity
    if identity is None:
        raise HTTPException(404)
    return identity


async def _quotas(request: Request) -> RequestQuotas:
    quotas: RequestQuotas = request.state.quotas
    return quotas


async def _passwords(request: Request) -> Passwords:
    passwords: Passwords = request.state.passwords
    return passwords


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
    installation: str
    """By what name requests of its jobs come from it."""
    doorkeeper: Doorkeeper
    passwords: Passwords
    quotas: RequestQuotas
    identity: IdentityProvider | None
    """None: nobody signs in elsewhere."""
    retirement: Retirement
    confirmation: Confirmation
    data_dir: Folder | None
    """Where the embedded server keeps its data; None: there is none."""


# FastAPI runs plain functions in threads: all of these are coroutines.
async def _database(request: Request) -> Database:
    database: Database = request.state.database
    return database


async def _runner(request: Request) -> Runner:
    runner: Runner = request.state.runner
    return runner


async def _confirmed_runner(request: Request, runner: Annotated[Runner, Depends(_runner)]) -> Runner:
    if request.state.confirmation.is_awaited:
        raise RestoreNotConfirmed
    return runner


async def _deliverer(request: Request) -> Deliverer:
    deliverer: Deliverer = request.state.deliverer
    return deliverer


async def _forecasts(request: Request) -> Forecasts:
    forecasts: Forecasts = request.state.forecasts
    return forecasts


async def _cipher(request: Request) -> Cipher:
    cipher: Cipher = request.state.cipher
    return cipher


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


async def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    times = clock_of(request.cookies.get("clock"), request.cookies.get("zone"))
    # What was just done is shown once.
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in NOTICES]
    here = address(request.url.path, kept) if request.method == "GET" else "/jobs"
    principal: Principal | None = request.scope.get("principal")
    quotas: RequestQuotas = request.state.quotas
    reader = Reader(times, here, request.scope["mark"], principal)
    if principal is not None:
        reader = reader._replace(shown=chosen(request), projects=await quotas.projects_of(principal))
    return pages.seen_by(reader)


async def _actor(request: Request) -> Actor:
    principal: Principal | None = request.scope["principal"]
    if principal is not None and principal.kind is not ActorKind.LOCAL:
        return Actor(principal.kind, principal.name, address_of(request))
    program = request.headers.get("user-agent", "unknown program")[:200]
    machine = request.client.host if request.client else "this machine"
    return Actor(ActorKind.LOCAL, f"{program}, {machine}")


async def _overview(request: Request, database: Annotated[Database, Depends(_database)]) -> Overview:
    ticker, deliverer, folder = request.state.ticker, request.state.deliverer, request.state.data_dir
    reported = [] if ticker is None else ticker.issues
    reported += [issue for issue in deliverer.issues.values() if issue is not None]
    paused = request.state.confirmation.is_awaited
    free = None if folder is None else shutil.disk_usage(folder).free
    settings: Settings = request.state.settings
    keep, exported = settings.history_kept, settings.export_before_drop
    replica = overview.Replica(reported, paused, deliverer.crowded, keep, exported, free)
    return await database.transact(overview.look, replica, visible(request))


class Changes:
    """Changes, as units of work; with `dryrun` they are rehearsed, and nothing is kept."""

    def __init__(self, database: Database, dryrun: bool) -> None:
        self._database = database
        self.dryrun = dryrun

    async def make(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, now, …)`. Raises what it raises, and the errors of Database.transact."""
        if self.dryrun:
            return await self._database.rehearse(work, *args, **kwargs)
        return await self._database.transact(work, *args, **kwargs)


async def _changes(request: Request, dryrun: DryRun = False) -> Changes:
    return Changes(request.state.database, dryrun)


ChangesDep = Annotated[Changes, Depends(_changes)]
"""How to change something."""
DatabaseDep = Annotated[Database, Depends(_database)]
"""The connections for requests."""
RunnerDep = Annotated[Runner, Depends(_runner)]
"""The engine behind POST /jobs/run."""
ConfirmedRunnerDep = Annotated[Runner, Depends(_confirmed_runner)]
"""The same. Raises RestoreNotConfirmed where nothing is run until somebody confirms a restore."""
DelivererDep = Annotated[Deliverer, Depends(_deliverer)]
"""What makes the calls."""
ForecastsDep = Annotated[Forecasts, Depends(_forecasts)]
"""The forecast of the load."""
CipherDep = Annotated[Cipher, Depends(_cipher)]
"""What encrypts secrets."""
SettingsDep = Annotated[Settings, Depends(_settings)]
OverviewDep = Annotated[Overview, Depends(_overview)]
"""How the service does."""
PagesDep = Annotated[Pages, Depends(_pages)]
"""The renderer of pages, as this reader wants them."""
ActorDep = Annotated[Actor, Depends(_actor)]
"""Who asks, as changes name them."""
PrincipalDep = Annotated[Principal, Depends(_principal)]
"""Who asks, and what they may do."""
DoorkeeperDep = Annotated[Doorkeeper, Depends(_doorkeeper)]
"""Whom keys and sessions let in."""
IdentityDep = Annotated[IdentityProvider, Depends(_identity)]
"""The identity provider; where there is none, there is nothing at that address."""
QuotasDep = Annotated[RequestQuotas, Depends(_quotas)]
"""The projects, and how much of their quotas is used here."""
PasswordsDep = Annotated[Passwords, Depends(_passwords)]
"""What hashes passwords, and compares them."""


def seen_by(principal: Principal, job: Job) -> Job:
    """The job as somebody may see it: values of headers are for those who may write them."""
    return job if principal.roles.may(Role.EDITOR, job.project) else job.without_header_values()


def _own_origins(request: Request) -> set[str]:
    """Where this service is known to be: by its settings, and by the address that was asked for."""
    settings: Settings = request.state.settings
    here = [f"http://{host}:{settings.port}" for host in LOCAL_HOSTS if settings.port]
    asked = f"{request.url.scheme}://{request.headers.get('host', '')}"
    known = [settings.base_url, asked, *here]
    return {urls.origin_of(url) for url in known if urls.error_in(url) is None}


def check_target(request: Request, target: Target | None) -> None:
    """Refuse an address that is never called, before a job has it. Raises InvalidInput.

    What a name leads to is looked at with each call, and so is what comes back to this service.
    """
    if target is not None and target.url:
        _check_url(request, target.url, ("target", "url"))
    if target is not None and target.oauth2 is not None and target.oauth2.tokenurl:
        _check_url(request, target.oauth2.tokenurl, ("target", "oauth2", "tokenurl"))


def _check_url(request: Request, url: str, place: tuple[str, ...]) -> None:
    settings: Settings = request.state.settings
    if not settings.self_calls and urls.origin_of(url) in _own_origins(request):
        raise InvalidInput(FieldError(place, f"{SELF_CALL} SCHEDULER_SELF_CALLS allows it."))
    address = "127.0.0.1" if urls.is_localhost(url) else urls.address_of(url)
    guard: Guard = request.state.guard
    refusal = None if address is None else guard.refusal(address)
    if refusal is not None:
        raise InvalidInput(FieldError(place, f"{refusal} SCHEDULER_TARGET_NETWORKS opens networks."))


#: A version; of what was read, with a digest of that.
ENTITY_TAG = re.compile(r'"(\d{1,9})(?:-[0-9a-f]{16})?"', re.ASCII)


async def _version(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match", description="The job's ETag: change the job only if it has not changed since."
        ),
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = ENTITY_TAG.fullmatch(if_match.strip())
    return int(found.group(1)) if found else 0


IfMatch = Annotated[int | None, Depends(_version)]
"""The version that a job must have; one that none ever has for what is no entity tag of ours."""

KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def _require_printable(key: str) -> str:
    if not KEY.fullmatch(key):
        raise PydanticCustomError("key", "Must be 1 to 255 printable ASCII characters without spaces.")
    return key


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_require_printable)] | None,
    Header(
        alias="Idempotency-Key",
        description="Makes the request safe to repeat: a name of your own for it, for 24 hours.",
    ),
]
"""Under which the request may come again."""


def tag(response: Response, version: int) -> None:
    """Name the job's version in the answer."""
    response.headers["ETag"] = f'"{version}"'


class JobIdConvertor(StringConvertor):
    """One segment of a path, but not `run` and `bulk`: those are addresses of their own."""

    regex = "(?!(?:run|bulk)$)[^/]+"


class LogIdConvertor(StringConvertor):
    """One segment of a path, but not `retry`: that is an address of its own."""

    regex = "(?!retry$)[^/]+"


register_url_convertor("jobid", JobIdConvertor())
register_url_convertor("logid", LogIdConvertor())

JobId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which job.", examples=[1])]
LogId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which log.", examples=[1])]
KeyId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which key.")]
UserId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which user.")]
SecretId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which secret.")]
Scope = Annotated[LimitScope, Path(description="What is limited: `host`, `tag` or `project`.")]


async def _limit_name(
    name: Annotated[
        str,
        Path(
            min_length=1,
            max_length=260,
            pattern=r"^[^\x00-\x1f]+$",
            description="The tag or the project; or the host, with its port unless it is the usual one.",
        ),
    ],
) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(FieldError(("name",), "Must not contain unpaired surrogates.")) from None
    return name


LimitName = Annotated[str, Depends(_limit_name)]


async def _calendar(
    name: Annotated[
        str,
        Path(description="Which calendar.", examples=["de-holidays"]),
        # What is no name is refused with a sentence; a pattern of the path would mean: nothing is there.
        WithJsonSchema({"type": "string", "pattern": CALENDAR_NAME.pattern}),
    ],
) -> str:
    try:
        return CALENDAR.validate_python(name)
    except ValidationError as error:
        raise InvalidInput(FieldError(("name",), error.errors()[0]["msg"])) from None


async def _project(
    project: Annotated[
        str,
        Path(description="Which project.", examples=["billing"]),
        WithJsonSchema({"type": "string", "pattern": PROJECT_NAME.pattern}),
    ],
) -> str:
    try:
        return PROJECT.validate_python(project)
    except ValidationError as error:
        raise InvalidInput(FieldError(("project",), error.errors()[0]["msg"])) from None


def secret_name(text: str) -> str:
    """The name of a secret. Raises InvalidInput."""
    try:
        return SECRET.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError(("name",), error.errors()[0]["msg"])) from None


async def _secret_name(
    secret: Annotated[
        str,
        Path(description="Which secret.", examples=["crm-token"]),
        WithJsonSchema({"type": "string", "pattern": SECRET_NAME.pattern}),
    ],
) -> str:
    return secret_name(secret)


SECRET = TypeAdapter(SecretName)
SecretNamePath = Annotated[str, Depends(_secret_name)]
PROJECT = TypeAdapter(ProjectName)
ProjectPath = Annotated[str, Depends(_project)]
CALENDAR = TypeAdapter(CalendarName)
CalendarPath = Annotated[str, Depends(_calendar)]
Cursor = Annotated[
    int | None, Query(ge=1, le=MAX_ID, description="Where the list goes on, as its `Link` header says.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
#: What lists hold unless they are asked for less; and the runs of a job beside it.
LIST_LIMIT, LOGS_LIMIT = 1000, 100
#: Pages tell more of each, and are to be light.
PAGE_LIMIT, MAX_PAGE = 20, 50


async def _page_size(limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_LIMIT) -> int:
    return min(limit, MAX_PAGE)


PageSize = Annotated[int, Depends(_page_size)]
"""How many of a list a page shows."""
