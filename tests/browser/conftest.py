"""A real browser and a real service for each worker; empty tables and fresh windows for each test.

Everything here lives on the loop of the session: a browser cannot move from loop to loop.
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright, expect
from sqlalchemy.engine import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from tests.browser import chromium
from tests.factories import empty
from tests.processes.service import PATIENCE, Service
from tests.servers import Server

FOREIGN = re.compile(r"^(?!http://(127\.0\.0\.1|localhost)[:/]|data:)")
#: Chromium's note of a status; statuses are judged by themselves, as forms answer 422 and errors 404.
STATUS_NOTE = "Failed to load resource: the server responded with a status of"
#: Milliseconds for what takes far less, on however busy a machine.
expect.set_options(timeout=PATIENCE * 500)


@dataclass(frozen=True)
class Site:
    """A running service, and its database."""

    url: str
    database: Database


@dataclass
class Watch:
    """Whatever a browser had to complain of."""

    issues: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(STATUS_NOTE):
            self.issues.append(f"console: {message.text}")

    def request(self, request: Request) -> None:
        if FOREIGN.match(request.url):
            self.issues.append(f"left this machine: {request.url}")

    def response(self, response: Response) -> None:
        asked = response.request.resource_type
        if response.status >= (500 if asked in {"document", "fetch"} else 400):
            self.issues.append(f"{response.status} for {asked} {response.url}")


class NewPage(Protocol):
    """Opens a window of its own."""

    async def __call__(
        self,
        *,
        javascript: bool = True,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        forced_colors: Literal["active", "none"] = "none",
        contrast: Literal["more", "no-preference"] = "no-preference",
    ) -> Page: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests here share the loop of the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium_program() -> str:
    try:
        return chromium.chromium()
    except chromium.NoBrowser as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_program: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_program, args=chromium.flags())
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def site_database(server: Server, chromium_program: str) -> Iterator[URL]:
    with server.scratch_database() as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_site(site_database: URL) -> AsyncIterator[Site]:
    service = await Service.start(site_database, SCHEDULER_AUTO_MIGRATE="on")
    database = Database(site_database, name="tests", pool=PoolOptions(2, 0, 5.0), statement_timeout=60)
    yield Site(service.url.replace("localhost", "127.0.0.1"), database)
    await database.close()
    await service.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def site(running_site: Site) -> Site:
    """The service, with its ticker, on empty tables."""
    await empty(running_site.database, served=True)
    return running_site


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(browser: Browser, site: Site, watch: Watch) -> AsyncIterator[NewPage]:
    """Windows whose every complaint fails the test at its end."""
    contexts = []

    async def open_page(
        *, javascript: bool = True, width: int = 1280, scheme: str = "light", **media: Any
    ) -> Page:
        context = await browser.new_context(
            base_url=site.url,
            java_script_enabled=javascript,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            locale="en-GB",
            **media,
        )
        contexts.append(context)
        if javascript:
            # Who has been here before: a first page is loaded anew when it has told the reader's zone.
            await context.add_cookies([{"name": "zone", "value": "UTC", "url": site.url}])
        context.on("console", watch.console)
        context.on("weberror", lambda error: watch.issues.append(f"script: {error.error}"))
        context.on("request", watch.request)
        context.on("response", watch.response)
        await context.route(FOREIGN, lambda route: route.abort())
        return await context.new_page()

    yield open_page
    for context in contexts:
        await context.close()
    assert not watch.issues, "\n".join(watch.issues)


@pytest_asyncio.fixture(loop_scope="session")
async def page(new_page: NewPage) -> Page:
    """A window on a desk."""
    return await new_page()
