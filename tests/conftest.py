"""One real Postgres for the whole run, a database of its own for each worker, empty tables for each test."""

import asyncio
import contextlib
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import hypothesis
import pytest
from asgi_lifespan import LifespanManager
from cryptography.fernet import Fernet
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

import scheduler_api.databases
from scheduler_api.app import create_app
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.embedded.server import EmbeddedServer
from scheduler_api.routers.http import bodies
from scheduler_api.services.history import closing
from scheduler_api.services.jobs import bulk, calendars, reading, together
from scheduler_api.services.runs import judging, watching
from scheduler_api.settings import Settings
from scheduler_api.workers import history, runner, upkeep
from tests import lasting, leaks, memory, pooler
from tests.factories import KEPT, PATIENT, connected, empty, end_others, scalar
from tests.servers import Server

# To read all authorities that a machine trusts takes half of a start. Nobody has the key of this one.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))
leaks.watch()
#: Hands the server from the process that starts it to the workers.
SERVER_URL = "SCHEDULER_TEST_SERVER_URL"
#: A server to use instead of the embedded one.
GIVEN_URL = "SCHEDULER_TEST_DATABASE_URL"
#: A folder with the programs of another PostgreSQL, to run instead of the wheel's.
PROGRAMS = "SCHEDULER_TEST_PROGRAMS"
#: Several times as many bytes as the server needs.
ROOM = 8 * 2**30


class EmbeddedRun:
    """The embedded server of one test run; not durable, as nobody needs its data tomorrow."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="scheduler-tests-", dir=memory.place(ROOM))
        Path(self._folder.name).chmod(0o755)
        # A test runs most of its statements once or twice: each is planned once, for whatever values.
        settings = {
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "300",
            "plan_cache_mode": "force_generic_plan",
        }
        programs = os.environ.get(PROGRAMS)
        self._server = EmbeddedServer(
            Path(self._folder.name) / "data",
            programs=Path(programs) if programs else None,
            settings=settings,
        )
        self._loop = asyncio.Runner()

    def start(self) -> URL:
        return self._loop.run(self._server.start())

    def stop(self) -> None:
        self._loop.run(self._server.stop())
        self._loop.close()
        self._folder.cleanup()


#: Seconds after which a unit of work, or a search, leaves the rest to the next.
BUDGETS = (
    (judging, "PLANNING"),
    (reading, "SEARCH_SECONDS"),
    (bulk, "BATCH_SECONDS"),
    (calendars, "BATCH_SECONDS"),
    (together, "LOOK_SECONDS"),
    (closing, "MAX_SECONDS"),
    (watching, "MEASURE_SECONDS"),
    (bodies, "MOMENT"),
    (runner, "UPKEEP_SECONDS"),
    (upkeep, "FOLLOW_SECONDS"),
    (history, "CLOSE_SECONDS"),
    (history, "THIN_SECONDS"),
    (history, "FORGET_SECONDS"),
)
RUN, POOLER = pytest.StashKey[EmbeddedRun](), pytest.StashKey[pooler.PgBouncer]()
TEMPLATE = pytest.StashKey[contextlib.ExitStack]()
# How long an example takes is the machine's business.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


def given_server() -> Server:
    """The server of this run."""
    return Server(make_url(os.environ[SERVER_URL]).set(drivername="postgresql+asyncpg"))


def pytest_configure(config: pytest.Config) -> None:
    if SERVER_URL in os.environ or config.option.collectonly:
        return
    url = os.environ.get(GIVEN_URL)
    if url is None:
        config.stash[RUN] = EmbeddedRun()
        url = config.stash[RUN].start().render_as_string(hide_password=False)
    os.environ[SERVER_URL] = url
    config.stash[TEMPLATE] = contextlib.ExitStack()
    config.stash[TEMPLATE].enter_context(given_server().template())
    if pooler.PROGRAM in os.environ:
        config.stash[POOLER] = pooler.PgBouncer(os.environ[pooler.PROGRAM], make_url(url))
        os.environ[pooler.ADDRESS] = config.stash[POOLER].address


def pytest_collection_finish() -> None:
    """What was imported and collected stays: it need not be looked through for garbage again and again."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test in which a secret is logged has failed, whatever it is about."""
    report = yield
    logged = [text for name, text in report.sections if name.startswith("Captured")]
    if report.passed and (found := leaks.found_in(logged)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({call.when}): these secrets were logged: {', '.join(found)}"
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    if POOLER in config.stash:
        config.stash[POOLER].stop()
    if TEMPLATE in config.stash:
        config.stash[TEMPLATE].close()
    if RUN in config.stash:
        config.stash[RUN].stop()
        del os.environ[SERVER_URL]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it loudly, and once, when no browser looked at the pages."""
    # It stands here as xdist's controller reads no other conftest.
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if r.nodeid.startswith("tests/browser/")]
    if skipped:
        why = skipped[0].longrepr[2].removeprefix("Skipped: ")
        terminalreporter.section("no browser", sep="!", yellow=True, bold=True)
        terminalreporter.line(f"{len(skipped)} browser tests were skipped: {why}.", yellow=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that the user of the embedded server reaches, where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="scheduler-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a unit of work begins it ends, however slow the machine: tests that are about budgets set them."""
    for module, name in BUDGETS:
        monkeypatch.setattr(module, name, inf)


@pytest.fixture(scope="session")
def server() -> Server:
    return given_server()


@pytest.fixture(scope="session")
def worker_database(server: Server) -> Iterator[URL]:
    """A migrated database for this worker alone."""
    with server.migrated_database() as url:
        yield url


@pytest.fixture(scope="session")
async def connections(worker_database: URL) -> AsyncIterator[Database]:
    """Connections to the worker's database, kept from test to test: a new one costs more than most tests."""
    database = Database(
        pooler.endpoints(worker_database),
        name=KEPT,
        pool=PoolOptions(8, 0, 5.0, PATIENT),
        statement_timeout=60,
    )
    yield database
    await database.close()


@pytest.fixture
async def database(connections: Database) -> AsyncIterator[Database]:
    """The worker's database, with empty tables."""
    before = asyncio.all_tasks()
    await end_others(connections, lasting.pids())
    await empty(connections)
    yield connections
    pool = connections.engine.pool
    assert isinstance(pool, QueuePool)
    # What was broken off is closed in the background.
    give_up = monotonic() + 10
    while (pool.checkedout() or _left(before)) and monotonic() < give_up:
        await asyncio.sleep(0.01)
    assert pool.checkedout() == 0, "a test kept a connection"
    # It would go on in the next test.
    assert not (left := _left(before)), f"a test left tasks: {left}"


def _left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - before - {asyncio.current_task()}


@pytest.fixture
def unmigrated(server: Server) -> Iterator[URL]:
    """A database for one test alone, without a schema."""
    with server.scratch_database() as url:
        yield url


@pytest.fixture
def scratch(server: Server) -> Iterator[URL]:
    """A migrated database for one test alone, that no service has used yet."""
    with server.migrated_database() as url:
        yield url


@pytest.fixture
async def fresh(scratch: URL) -> AsyncIterator[Database]:
    """The same, in use: for tests that change the parts of history."""
    database = connected(scratch, 8)
    yield database
    await database.close()


@pytest.fixture
async def direct(database: Database, worker_database: URL) -> AsyncIterator[Database]:
    """The same database without a pooler: for notifications, and locks of a connection's own."""
    if pooler.endpoints(worker_database).direct is None:
        yield database
        return
    direct = connected(worker_database)
    yield direct
    await direct.close()


@pytest.fixture(scope="session")
def settings(worker_database: URL) -> Settings:
    """Settings for a service on the worker's database, without a ticker: nothing runs by itself."""
    environment = pooler.environment(worker_database)
    return Settings.model_validate(
        {
            **{name.removeprefix("SCHEDULER_").lower(): text for name, text in environment.items()},
            "ticker": False,
            "lease": 1,
            # How long the machine takes is not told by a 503.
            "statement_timeout": 60,
            "pool_timeout": 60,
            "secret_key": Fernet.generate_key().decode(),
        }
    )


@pytest.fixture(scope="session")
async def application(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service, made once: all that it owns begins and ends with its lifespan, but for connections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler_api.databases, "Database", lasting.lasting_on(asyncio.get_running_loop()))
        yield create_app(settings)
    await lasting.close()


@pytest.fixture
async def app(application: FastAPI, database: Database) -> AsyncIterator[FastAPI]:
    """The service, started. It comes after `database`, so that its tables are empty."""
    async with LifespanManager(application) as manager:
        application.state.served = manager.app
        # The first service on a database looks at all jobs, as their next runs may rest on other rules of
        # zones: a test is not to meet that.
        while await scalar(database, "SELECT zonerules IS NULL FROM installation"):
            await asyncio.sleep(0.01)
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client on this machine that does not say what it accepts, as curl."""
    transport = ASGITransport(app.state.served, raise_app_exceptions=False, client=("127.0.0.1", 50000))
    async with AsyncClient(transport=transport, base_url="http://localhost", headers={"accept": "*/*"}) as c:
        yield c
