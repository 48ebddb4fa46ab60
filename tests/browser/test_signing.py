"""Signing in, in a browser: by a link, by a password, and out again."""

import re
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Page, expect
from sqlalchemy.engine import URL

from scheduler_api.actors import Role
from scheduler_api.contracts.access.users import UserDraft
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.services.access import users
from tests.browser.checks import accessible, fits
from tests.browser.conftest import NewPage
from tests.factories import ACTOR
from tests.processes.service import Service

PASSWORD = "correct horse battery"


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(scratch: URL) -> AsyncIterator[tuple[str, Database]]:
    """A service that asks who comes, and its database."""
    service = await Service.start(scratch, SCHEDULER_AUTH="required")
    database = Database(scratch, name="tests", pool=PoolOptions(2, 0, 5.0))
    yield service.url, database
    await database.close()
    await service.stop()


async def looks_well(page: Page) -> None:
    for scheme, width in (("light", 1280), ("dark", 320)):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await page.set_viewport_size({"width": width, "height": 800})
        await fits(page)
        await accessible(page)


async def test_somebody_is_let_in_and_goes(guarded: tuple[str, Database], new_page: NewPage) -> None:
    address, database = guarded
    draft = UserDraft(name="anna@example.com", role=Role.ADMIN)
    invitation = await database.transact(users.add, ACTOR, draft, address)
    page = await new_page()
    await page.goto(f"{address}/jobs?state=failing")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await looks_well(page)
    await page.goto(invitation.link)
    await looks_well(page)
    await page.get_by_label("New password").fill(PASSWORD)
    await page.get_by_label("The same again").fill(PASSWORD)
    await page.get_by_role("button", name="Set password and sign in").click()
    await page.wait_for_url("**/overview")
    await page.get_by_role("link", name="anna@example.com").click()
    await looks_well(page)
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_label("Name").fill("deploy")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.get_by_label("deploy")).to_have_value(re.compile("^sch_"))
    await looks_well(page)
    await page.goto(f"{address}/jobs?form=true")
    await page.get_by_label("Name").fill("Typed")
    assert "Typed" in await page.evaluate("JSON.stringify({...sessionStorage})")
    await page.goto(f"{address}/account")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    assert await page.evaluate("sessionStorage.length") == 0
    # Nothing of what was seen comes back with the browser's own button.
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.get_by_label("Name").fill("anna@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/account")
