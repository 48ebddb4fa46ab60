"""What runs as long as the service does: the one place that knows everybody."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog

from scheduler_api import admission, descriptors, metrics, pools
from scheduler_api.ciphers import Cipher
from scheduler_api.database import installation
from scheduler_api.database.connections import Endpoints, PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import pending
from scheduler_api.database.runs.claims import Terms
from scheduler_api.database.system.overview import REPLICA
from scheduler_api.databases import (
    cipher_of,
    data_dir,
    database_server,
    own_database,
    pages_database,
    requests_database,
    require_schema,
)
from scheduler_api.descriptors import Shares
from scheduler_api.errors import Misconfigured
from scheduler_api.routers.http.dependencies import AppState
from scheduler_api.services.runs.retention import Keep
from scheduler_api.services.system import health
from scheduler_api.settings import Auth, Settings
from scheduler_api.targets import Guard
from scheduler_api.tracing import Tracer
from scheduler_api.workers import heartbeat
from scheduler_api.workers.alerting.loops import Alerting
from scheduler_api.workers.alerting.mail import Mailer, MailServer
from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.change_feed import ChangeFeed
from scheduler_api.workers.confirmation import Confirmation
from scheduler_api.workers.delivery.caller import Caller
from scheduler_api.workers.delivery.client import Client
from scheduler_api.workers.delivery.deliverer import Capacity, Deliverer
from scheduler_api.workers.delivery.sockets import HANGING_THREADS, LOOKUP_THREADS
from scheduler_api.workers.doorkeeper import Doorkeeper
from scheduler_api.workers.forecast_cache import Forecasts
from scheduler_api.workers.identity import IdentityProvider, ProviderOptions
from scheduler_api.workers.listener import listener
from scheduler_api.workers.meter import Meter
from scheduler_api.workers.open_issues import OpenIssues
from scheduler_api.workers.passwords import Passwords
from scheduler_api.workers.presence import present
from scheduler_api.workers.quotas import RequestQuotas
from scheduler_api.workers.retirement import Retirement
from scheduler_api.workers.runner import LANES, Runner
from scheduler_api.workers.scrapes import Scrapes
from scheduler_api.workers.self_report import SelfReport
from scheduler_api.workers.standby import Standby
from scheduler_api.workers.ticker import Ticker
from scheduler_api.workers.upkeep import Upkeep

log = structlog.get_logger(__name__)

#: Seconds of reports that a monitor may have saved up: it takes one a second.
REPORTS = 60


class Parts(NamedTuple):
    """What begins to work when all is ready."""

    deliverer: Deliverer
    ticker: Ticker | None
    alerting: Alerting

    def cease(self) -> None:
        """Take nothing new."""
        for part in self:
            if part is not None:
                part.cease()


@contextlib.asynccontextmanager
async def running(settings: Settings, tracer: Tracer | None = None) -> AsyncIterator[AppState]:
    """Everything that runs as long as the service does, started in order and stopped in reverse.

    `tracer` makes traces of what it does; None: nobody wants any.
    """
    async with contextlib.AsyncExitStack() as stack:
        places = await stack.enter_async_context(_announced_server(settings))
        retirement = Retirement()
        requests = await stack.enter_async_context(_admitted(settings, places, retirement))
        identity = await stack.enter_async_context(_ways_in(settings, requests))
        quotas, open_issues = await stack.enter_async_context(_counting(requests))
        guard = Guard(settings.target_networks, loopback=settings.auth is Auth.LOCAL)
        cipher = cipher_of(settings)
        own = partial(own_database, settings, places, retirement)
        signals = await stack.enter_async_context(_signals(settings, places, retirement, requests))
        standby = await stack.enter_async_context(_standing_by(settings, requests))
        name = (await requests.read(installation.place)).name
        share = _announced_shares(settings)
        feed = ChangeFeed(signals, share.streams)
        client = Client(guard, idle=share.calls)
        caller = Caller(client, cipher, f"{settings.base_url}/runs", name, tracer)
        delivering = _delivering(settings, own, client, caller, share.calls, feed)
        deliverer = await stack.enter_async_context(delivering)
        ticker = None
        if settings.ticker:
            ticker = await stack.enter_async_context(_ticking(settings, own, feed))
        alerts = _alerting(settings, own, client, cipher, _report(settings, deliverer, ticker))
        alerting = await stack.enter_async_context(alerts)
        retirement.ends((parts := Parts(deliverer, ticker, alerting)).cease)
        confirmation = await stack.enter_async_context(_beginning(settings, requests, parts))
        await stack.enter_async_context(_listening(signals, feed, ticker, deliverer, standby))
        yield AppState(
            settings=settings,
            database=requests,
            runner=Runner(requests, settings.batch_size, deliverer, lanes_of(settings)),
            ticker=ticker,
            deliverer=deliverer,
            alerting=alerting,
            feed=feed,
            forecasts=Forecasts(requests),
            guard=guard,
            cipher=cipher,
            installation=name,
            doorkeeper=Doorkeeper(requests),
            passwords=Passwords(),
            quotas=quotas,
            reports=Meter(REPORTS),
            open_issues=open_issues,
            identity=identity,
            retirement=retirement,
            confirmation=confirmation,
            scrapes=Scrapes(requests),
            standby=standby,
        )


def _announced_server(settings: Settings) -> contextlib.AbstractAsyncContextManager[Endpoints]:
    if settings.address is not None:
        log.info("using the database", at=settings.address.shown)
    return database_server(settings)


@contextlib.asynccontextmanager
async def _admitted(settings: Settings, places: Endpoints, retirement: Retirement) -> AsyncIterator[Database]:
    """The connections for requests, to a schema that this code can work with; who migrates knows of it."""
    requests = requests_database(settings, places, retirement)
    metrics.POOLS.watch("requests", requests.pool)
    try:
        await require_schema(settings, requests)
        async with present(requests, _replica()):
            yield requests
    finally:
        await requests.close()


@contextlib.asynccontextmanager
async def _ways_in(settings: Settings, database: Database) -> AsyncIterator[IdentityProvider | None]:
    """Let in who may; where users sign in, if it is elsewhere."""
    if settings.auth is Auth.REQUIRED:
        await admission.open_doors(database, settings.bootstrap_key_file)
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        yield None
        return
    secret = settings.oidc_client_secret
    options = ProviderOptions(
        settings.oidc_issuer,
        settings.oidc_client_id,
        None if secret is None else secret.get_secret_value(),
        settings.oidc_scopes,
        settings.oidc_name_claim,
        settings.oidc_groups_claim,
        settings.oidc_hosts,
        f"{settings.base_url}/sign-in/oidc/callback",
    )
    identity = IdentityProvider(options, partial(database.read, health.clock))
    await identity.open()
    try:
        yield identity
    finally:
        await identity.close()


@contextlib.asynccontextmanager
async def _counting(database: Database) -> AsyncIterator[tuple[RequestQuotas, OpenIssues]]:
    quotas, open_issues = RequestQuotas(database), OpenIssues(database)
    await quotas.refresh()
    try:
        yield quotas, open_issues
    finally:
        await quotas.close()
        await open_issues.close()


@contextlib.asynccontextmanager
async def _standing_by(settings: Settings, requests: Database) -> AsyncIterator[Standby | None]:
    """What pages are read from, if there is a standby for them; whether it is there or not."""
    if settings.read_address is None:
        yield None
        return
    database = pages_database(settings, settings.read_address)
    metrics.POOLS.watch("pages", database.pool)
    standby = Standby(requests, database)
    standby.loop.start()
    try:
        yield standby
    finally:
        await standby.stop()
        await database.close()


@contextlib.asynccontextmanager
async def _signals(
    settings: Settings, places: Endpoints, retirement: Retirement, requests: Database
) -> AsyncIterator[Database]:
    """What listens: to what a pooler would not tell. Its name tells all others that this replica is there."""
    direct = Endpoints(places.direct or places.url)
    signals = own_database(settings, direct, retirement, f"{REPLICA}{_replica()}", pools.EVENTS_POOL)
    try:
        await _require_same(places, requests, signals)
        yield signals
    finally:
        await signals.close()


async def _require_same(places: Endpoints, pooled: Database, direct: Database) -> None:
    """What is heard, and what is migrated, is of the database that is written to."""
    if places.direct is None:
        return
    if await pooled.read(installation.place) != await direct.read(installation.place):
        raise Misconfigured(
            "SCHEDULER_DATABASE_DIRECT_URL leads to another database than SCHEDULER_DATABASE_URL."
        )


def _replica() -> str:
    """What this replica is called."""
    return f"{socket.gethostname()}:{os.getpid()}"


@contextlib.asynccontextmanager
async def _delivering(
    settings: Settings,
    own: Callable[[str, PoolOptions], Database],
    client: Client,
    caller: Caller,
    calls: int,
    feed: ChangeFeed,
) -> AsyncIterator[Deliverer]:
    database = own("scheduler-api deliveries", pools.DELIVERY_POOL)
    metrics.POOLS.watch("deliveries", database.pool)
    lease, is_traced = timedelta(seconds=settings.lease), caller.is_traced
    terms = Terms(_replica(), lease, settings.host_concurrency, is_traced)
    capacity = Capacity(calls, settings.ticker_interval)
    deliverer = Deliverer(database, client, caller, terms, capacity, feed.publish)
    try:
        await deliverer.open()
        yield deliverer
    finally:
        await deliverer.stop(settings.shutdown_grace)
        await database.close()


@contextlib.asynccontextmanager
async def _beginning(settings: Settings, database: Database, parts: Parts) -> AsyncIterator[Confirmation]:
    """Begin to run what is due, at once or after a restore when somebody confirms it; tell that it is run."""
    deliverer, ticker, alerting = parts

    def begin() -> None:
        deliverer.begin(claiming=ticker is not None)
        if ticker is not None:
            ticker.start()
            alerting.start()

    def standstill() -> list[str]:
        further = [] if ticker is None else [*ticker.standstill, *alerting.standstill]
        return [*deliverer.standstill, *further]

    confirmation = Confirmation(database, wanted=settings.start_paused)
    await confirmation.start(begin)
    url = None if settings.heartbeat_url is None else settings.heartbeat_url.get_secret_value()
    try:
        async with heartbeat.sent(url, standstill):
            yield confirmation
    finally:
        await confirmation.stop()


@contextlib.asynccontextmanager
async def _alerting(
    settings: Settings,
    own: Callable[[str, PoolOptions], Database],
    client: Client,
    cipher: Cipher,
    report: SelfReport,
) -> AsyncIterator[Alerting]:
    """Notice what does not happen, and tell people of what is wrong."""
    database = own("scheduler-api alerts", pools.ALERTS_POOL)
    metrics.POOLS.watch("alerts", database.pool)
    name = f"{REPLICA}{report.name}"
    sender = Sender(database, client, cipher, _mailer(settings), settings.base_url, name)
    alerting = Alerting(database, sender, report)
    try:
        yield alerting
    finally:
        await alerting.stop()
        await database.close()


def _report(settings: Settings, deliverer: Deliverer, ticker: Ticker | None) -> SelfReport:
    return SelfReport(_replica(), _keep(settings), data_dir(settings), deliverer, ticker)


def lanes_of(settings: Settings) -> int:
    """How many passes of requests there may be at once: one connection, if there are two, stays free."""
    return max(1, min(LANES, settings.pool_size + settings.pool_overflow - 1))


def _keep(settings: Settings) -> Keep:
    return Keep(settings.history_kept, settings.export_before_drop)


def _mailer(settings: Settings) -> Mailer | None:
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    return Mailer(MailServer(settings.smtp_url.get_secret_value(), settings.mail_from))


@contextlib.asynccontextmanager
async def _ticking(
    settings: Settings, own: Callable[[str, PoolOptions], Database], feed: ChangeFeed
) -> AsyncIterator[Ticker]:
    passes = own("scheduler-api ticker", pools.TICKER_POOL)
    upkeep = own("scheduler-api upkeep", pools.UPKEEP_POOL)
    metrics.POOLS.watch("ticker", passes.pool)
    metrics.POOLS.watch("upkeep", upkeep.pool)
    runner = Runner(passes, settings.batch_size)
    keeper = Upkeep(upkeep, _keep(settings))
    ticker = Ticker(passes, runner, keeper, settings.ticker_interval, feed.publish)
    try:
        yield ticker
    finally:
        await ticker.stop()
        await passes.close()
        await upkeep.close()


def shares(settings: Settings) -> Shares:
    """How many calls, connections of clients and streams there may be at once. Raises Misconfigured."""
    databases = settings.pool_size + settings.pool_overflow + pools.OWN
    # Each lookup of a name has a socket of its own.
    kept = databases + LOOKUP_THREADS + HANGING_THREADS
    return descriptors.shares(descriptors.limit(), kept, settings.concurrency)


def _announced_shares(settings: Settings) -> Shares:
    share = shares(settings)
    if share.calls < settings.concurrency:
        log.warning(
            "fewer calls at once than asked for: the limit of open files is too low for more",
            calls=share.calls,
            asked=settings.concurrency,
            files=descriptors.limit(),
        )
    return share


@contextlib.asynccontextmanager
async def _listening(
    database: Database,
    feed: ChangeFeed,
    ticker: Ticker | None,
    deliverer: Deliverer,
    standby: Standby | None,
) -> AsyncIterator[None]:
    """Listen to what other replicas schedule and change, and publish what this one changes."""

    def scheduled() -> None:
        if ticker is not None:
            ticker.wake()
            deliverer.wake()

    def changed() -> None:
        # Pages look again, and are to find it.
        if standby is None:
            feed.receive()
        else:
            standby.when_caught_up(feed.receive)

    metrics.POOLS.watch("events", database.pool)
    heard = {pending.CHANNEL: scheduled, pending.CHANGES: changed}
    loops = (listener(database, heard), feed.loop, feed.probe)
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        feed.close()
        await asyncio.gather(*(loop.cancel() for loop in loops))
