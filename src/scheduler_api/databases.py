"""The database of a process: where its server is, and the connections to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from scheduler_api.address import Address
from scheduler_api.ciphers import Cipher, key_beside
from scheduler_api.database import distribution, migrations
from scheduler_api.database.connections import Endpoints, PoolOptions, driver_url
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import prepare_for_cells
from scheduler_api.database.transactions import Fence
from scheduler_api.embedded.server import EmbeddedServer, default_data_dir
from scheduler_api.errors import Misconfigured, SchemaMismatch
from scheduler_api.pools import REQUESTS_SETTINGS
from scheduler_api.settings import Pooler, Settings
from scheduler_api.workers.loops import Loop
from scheduler_api.workers.retirement import Retirement

log = structlog.get_logger(__name__)

#: Bytes of a connection's name that PostgreSQL keeps.
MAX_NAME_LENGTH = 63
#: Seconds that a request waits for the database beyond what a single statement may take.
BEYOND_STATEMENT = 0.8
#: Seconds for which a standby is waited for: the primary is there, too.
PAGES_SECONDS = 1.0
#: Seconds between two attempts to bring the embedded server back.
RESTART_PAUSE = 1.0


async def require_schema(settings: Settings, database: Database) -> None:
    """Bring the schema up to date where that is wanted. Raises SchemaMismatch if it is another one."""
    if settings.auto_migrate or settings.address is None:
        await migrations.migrate(database)
    await migrations.require_current(database)
    await require_cells(settings, database)


async def require_cells(settings: Settings, database: Database) -> None:
    """Be ready for the cells of the database.

    Raises SchemaMismatch where it has others than it should, and Misconfigured where statements cannot be
    made for them.
    """
    cells = await database.read(distribution.found)
    if cells is not None:
        await asyncio.to_thread(prepare_for_cells)
    if settings.database_cells not in {None, cells}:
        have = "are not distributed" if cells is None else f"are distributed over {cells} cells"
        raise SchemaMismatch(
            f"SCHEDULER_DATABASE_CELLS is {settings.database_cells}, but the tables {have}. "
            "Run `scheduler-api distribute` on a database whose tables are not, or unset it."
        )


def cipher_of(settings: Settings) -> Cipher:
    """What encrypts secrets: with the keys that are given; an embedded server brings its own."""
    folder = data_dir(settings)
    if settings.secret_key is not None or folder is None:
        return Cipher(settings.secret_keys())
    return Cipher([key_beside(folder)])


def data_dir(settings: Settings) -> Path | None:
    """Where the embedded server keeps its data; None: there is none."""
    return None if settings.address is not None else settings.data_dir or default_data_dir()


@contextlib.asynccontextmanager
async def database_server(settings: Settings) -> AsyncIterator[Endpoints]:
    """Where the server to use is; the embedded one runs as long as this context. Raises Misconfigured."""
    if settings.address is not None:
        yield _places(settings, settings.address)
        return
    server = EmbeddedServer(settings.data_dir or default_data_dir())
    log.info("using an embedded database", folder=str(server.data_dir))
    url = await server.start()
    keeper = _keeper(server)
    keeper.start()
    try:
        yield Endpoints(url)
    finally:
        await keeper.cancel()
        await server.stop()


def _places(settings: Settings, address: Address) -> Endpoints:
    if settings.database_pooler is Pooler.NONE:
        if settings.direct_address is not None:
            raise Misconfigured(
                "SCHEDULER_DATABASE_DIRECT_URL goes with SCHEDULER_DATABASE_POOLER=transaction; set both."
            )
        return Endpoints(driver_url(address))
    if settings.direct_address is None:
        raise Misconfigured(
            "Set SCHEDULER_DATABASE_DIRECT_URL to the address of the server itself: behind a pooler of "
            "transactions nothing can be listened to, and no schema migrated."
        )
    return Endpoints(driver_url(address), driver_url(settings.direct_address))


def requests_database(
    settings: Settings, places: Endpoints, retirement: Retirement | None = None
) -> Database:
    """The connections that requests share."""
    pool = PoolOptions(settings.pool_size, settings.pool_overflow, settings.pool_timeout, REQUESTS_SETTINGS)
    return Database(
        places,
        name="scheduler-api requests",
        pool=pool,
        statement_timeout=settings.statement_timeout,
        patience=settings.statement_timeout + BEYOND_STATEMENT,
        fence=Fence(outdated=(retirement or Retirement()).retire),
    )


def pages_database(settings: Settings, address: Address) -> Database:
    """The connections to a standby, for pages."""
    pool = PoolOptions(settings.pool_size, settings.pool_overflow, PAGES_SECONDS, REQUESTS_SETTINGS)
    return Database(
        Endpoints(driver_url(address)),
        name="scheduler-api pages",
        pool=pool,
        statement_timeout=PAGES_SECONDS,
        patience=PAGES_SECONDS,
    )


def own_database(
    settings: Settings, places: Endpoints, retirement: Retirement, name: str, pool: PoolOptions
) -> Database:
    """The connections of a part that requests must not starve."""
    return Database(
        places,
        name=name[:MAX_NAME_LENGTH],
        pool=pool,
        statement_timeout=settings.statement_timeout,
        fence=Fence(outdated=retirement.retire),
    )


def _keeper(server: EmbeddedServer) -> Loop:
    """Starts the embedded server again whenever it ends before the service does."""

    async def keep() -> float:
        code = await server.ended()
        log.error("the embedded server ended; starting it again", exit_code=code)
        await server.start()
        return 0.0

    return Loop("restart of the embedded server", keep, max_backoff=RESTART_PAUSE)
