"""What handlers depend on: what the lifespan made, and who asks."""

from typing import Annotated, ParamSpec, TypedDict, TypeVar

from fastapi import Depends, HTTPException, Request

from scheduler_api.actors import Actor, ActorKind, Principal
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.system.overview import Overview, StandbyLag
from scheduler_api.database.engine import Database, Work
from scheduler_api.errors import NotSignedIn, RestoreNotConfirmed, SigningInIsOff
from scheduler_api.routers.http.access import SAFE_METHODS
from scheduler_api.routers.http.authentication import address_of
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.routers.http.parameters import DryRun
from scheduler_api.routers.http.publishing import WROTE
from scheduler_api.routers.http.scope import chosen, visible
from scheduler_api.services.system import overview
from scheduler_api.settings import Auth, Settings
from scheduler_api.targets import Guard
from scheduler_api.web.filters import address
from scheduler_api.web.looks import Density, Theme, chosen_look
from scheduler_api.web.pages import Pages, Reader
from scheduler_api.web.times import Times
from scheduler_api.web.times import chosen as clock_of
from scheduler_api.wording.notices import NAMES as NOTICES
from scheduler_api.workers.alerting.loops import Alerting
from scheduler_api.workers.change_feed import ChangeFeed
from scheduler_api.workers.confirmation import Confirmation
from scheduler_api.workers.delivery.deliverer import Deliverer
from scheduler_api.workers.doorkeeper import Doorkeeper
from scheduler_api.workers.forecast_cache import Forecasts
from scheduler_api.workers.identity import IdentityProvider
from scheduler_api.workers.meter import Meter
from scheduler_api.workers.open_issues import OpenIssues
from scheduler_api.workers.passwords import Passwords
from scheduler_api.workers.quotas import RequestQuotas
from scheduler_api.workers.retirement import Retirement
from scheduler_api.workers.runner import Runner
from scheduler_api.workers.scrapes import Scrapes
from scheduler_api.workers.standby import Standby
from scheduler_api.workers.ticker import Ticker

P = ParamSpec("P")
T = TypeVar("T")


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


async def _reports(request: Request) -> Meter:
    reports: Meter = request.state.reports
    return reports


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
    alerting: Alerting
    feed: ChangeFeed
    forecasts: Forecasts
    guard: Guard
    cipher: Cipher
    installation: str
    """By what name requests of its jobs come from it."""
    doorkeeper: Doorkeeper
    passwords: Passwords
    quotas: RequestQuotas
    reports: Meter
    """How often monitors are reported to."""
    open_issues: OpenIssues
    identity: IdentityProvider | None
    """None: nobody signs in elsewhere."""
    retirement: Retirement
    confirmation: Confirmation
    scrapes: Scrapes
    standby: Standby | None
    """What pages are read from; None: from the primary."""


# FastAPI runs plain functions in threads: all of these are coroutines.
async def _database(request: Request) -> Database:
    database: Database = request.state.database
    standby: Standby | None = request.state.standby
    return database if standby is None or not _is_page(request) or standby.lag is None else standby.reading


def _is_page(request: Request) -> bool:
    """Whether it is asked for a page by one who has not just changed anything."""
    return (
        request.method in SAFE_METHODS
        and WROTE not in request.cookies
        and preferred(request.headers.get("accept")) is Media.HTML
    )


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


async def _scrapes(request: Request) -> Scrapes:
    scrapes: Scrapes = request.state.scrapes
    return scrapes


async def _forecasts(request: Request) -> Forecasts:
    forecasts: Forecasts = request.state.forecasts
    return forecasts


async def _cipher(request: Request) -> Cipher:
    cipher: Cipher = request.state.cipher
    return cipher


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


def times_of(request: Request) -> Times:
    """On whose clocks the reader wants times."""
    return clock_of(request.cookies.get("clock"), request.cookies.get("zone"))


async def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    times = times_of(request)
    # What was just done is shown once.
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in NOTICES]
    here = address(request.url.path, kept) if request.method == "GET" else "/jobs"
    principal: Principal | None = request.scope.get("principal")
    quotas: RequestQuotas = request.state.quotas
    theme = chosen_look(Theme.SYSTEM, request.cookies.get("theme"))
    density = chosen_look(Density.COMPACT, request.cookies.get("density"))
    reader = Reader(times, here, request.scope["mark"], principal, theme=theme, density=density)
    if principal is not None:
        shown, issues = chosen(request), request.state.open_issues
        reader = reader._replace(
            shown=shown,
            projects=await quotas.projects_of(principal),
            issuecount=issues.count(principal, shown),
        )
    return pages.seen_by(reader)


async def _actor(request: Request) -> Actor:
    principal: Principal | None = request.scope["principal"]
    if principal is not None and principal.kind is not ActorKind.LOCAL:
        return Actor(principal.kind, principal.name, address_of(request))
    program = request.headers.get("user-agent", "unknown program")[:200]
    machine = request.client.host if request.client else "this machine"
    return Actor(ActorKind.LOCAL, f"{program}, {machine}")


async def _overview(request: Request, database: Annotated[Database, Depends(_database)]) -> Overview:
    alerting: Alerting = request.state.alerting
    standby: Standby | None = request.state.standby
    replica = alerting.replica(paused=request.state.confirmation.is_awaited)
    if standby is not None:
        replica = replica._replace(standby=StandbyLag(lag=standby.lag))
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
ScrapesDep = Annotated[Scrapes, Depends(_scrapes)]
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
ReportsDep = Annotated[Meter, Depends(_reports)]
"""How often monitors are reported to."""
PasswordsDep = Annotated[Passwords, Depends(_passwords)]
"""What hashes passwords, and compares them."""
