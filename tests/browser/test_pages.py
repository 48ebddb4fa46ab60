"""Every page in every light and at every width: no rule of accessibility is broken, nothing overflows."""

from typing import Literal

import pytest
from playwright.async_api import Page, ViewportSize, expect

from scheduler_api.services.runs import retention
from tests.browser import demonstration
from tests.browser.checks import accessible, fits
from tests.browser.conftest import NewPage, Site
from tests.factories import scalar

PHONE: ViewportSize = {"width": 320, "height": 640}
#: Beside those of a phone and a desk: around each at which something is laid out in another way.
WIDTHS = (360, 414, 600, 671, 673, 768, 900, 959, 961, 1100, 1151, 1153, 1440, 1700, 2000)
WHEN = "2030-01-31T12:00:00Z"
PAGES = {
    "/jobs": 200,
    "/jobs?name=nothing": 200,
    "/jobs?form=true": 200,
    f"/jobs?form=true&from={demonstration.ORDERS_JOB}": 200,
    f"/jobs/{demonstration.NIGHTLY}?form=true": 200,
    f"/jobs/{demonstration.ORDERS_JOB}?span=7d": 200,
    "/overview": 200,
    "/upcoming": 200,
    f"/jobs/{demonstration.NIGHTLY}": 200,
    f"/jobs/{demonstration.ORDERS_JOB}": 200,
    f"/jobs/{demonstration.PAUSED}": 200,
    f"/jobs/{demonstration.MONITOR}": 200,
    f"/jobs/{demonstration.MONITOR}?form=true": 200,
    f"/jobs/{demonstration.NIGHTLY}/explain?at={WHEN}": 200,
    f"/jobs/{demonstration.ORDERS_JOB}/days": 200,
    "/performance": 200,
    "/calendars": 200,
    "/projects": 200,
    "/logs?status=pending": 200,
    f"/logs/{demonstration.FAILED_LOG}": 200,
    f"/logs/{demonstration.RUNNING_LOG}": 200,
    "/issues": 200,
    "/issues?state=ended": 200,
    "/issues/1": 200,
    "/alerts": 200,
    "/channels": 200,
    "/logs": 200,
    "/logs?status=failed": 200,
    "/account": 200,
    "/audit": 200,
    "/users": 200,
    "/keys": 200,
    "/nowhere": 404,
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_accessible_and_fits(site: Site, page: Page, path: str) -> None:
    await demonstration.fill(site.database, await scalar(site.database, "SELECT clock_timestamp()"))
    # The pages that count days read history.
    while await site.database.transact(retention.sweep):
        pass
    response = await page.goto(path)
    assert response is not None
    assert response.status == PAGES[path]
    await fits(page)
    await accessible(page)
    # Colours and widths are each judged once: a rule breaks by one of them or by neither.
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size(PHONE)
    await fits(page)
    await accessible(page)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        await fits(page)


async def test_pages_that_ask_before_they_do_are_accessible_and_fit(site: Site, new_page: NewPage) -> None:
    await demonstration.fill(site.database, await scalar(site.database, "SELECT clock_timestamp()"))
    page = await new_page(width=320, scheme="dark")
    await page.goto(f"/jobs/{demonstration.NIGHTLY}#backfill")
    await page.get_by_role("button", name="Show what would run").click()
    await expect(page.get_by_role("heading", name="Backfill")).to_be_visible()
    await fits(page)
    await accessible(page)
    await page.goto("/jobs?name=report")
    await page.get_by_role("button", name="Pause all").click()
    await expect(page.get_by_label("Resume at")).to_be_visible()
    await fits(page)
    await accessible(page)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (768, "light"), (1440, "dark")])
@pytest.mark.parametrize("path", ["/overview", "/jobs", "/logs", f"/jobs/{demonstration.ORDERS_JOB}"])
async def test_the_first_pages_are_accessible_at_each_width(
    site: Site, new_page: NewPage, path: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    await demonstration.fill(site.database, await scalar(site.database, "SELECT clock_timestamp()"))
    page = await new_page(width=width, scheme=scheme)
    await page.goto(path)
    await accessible(page)


@pytest.mark.parametrize(
    "path", ["/jobs", "/logs", "/overview", "/upcoming", "/issues", "/alerts", "/channels"]
)
async def test_an_empty_page_is_accessible_and_fits(site: Site, new_page: NewPage, path: str) -> None:
    page = await new_page(width=320, scheme="dark", contrast="more")
    await page.goto(path)
    await accessible(page)
    await fits(page)


#: What the markup of Swagger UI breaks, which is not ours: a link in a button, headings that skip a level,
#: lists to choose from without names, an example that scrolls and takes no keys, a title outside of all
#: landmarks.
OF_SWAGGER_UI = {
    "nested-interactive",
    "heading-order",
    "select-name",
    "scrollable-region-focusable",
    "region",
}


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
async def test_the_reference_is_as_accessible_as_its_authors_allow(
    site: Site, new_page: NewPage, width: int
) -> None:
    page = await new_page(width=width)
    await page.goto("/swagger-ui")
    await page.locator(".opblock-summary").first.click()
    await expect(page.locator(".opblock-body").first).to_be_visible()
    await accessible(page, OF_SWAGGER_UI)
    await fits(page)
