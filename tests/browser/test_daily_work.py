"""The daily work: what people come for, and in how many clicks they have it."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from scheduler_api.services.runs import retention
from tests.browser import demonstration
from tests.browser.checks import accessible
from tests.browser.conftest import NewPage, Site
from tests.browser.test_dashboard import add_jobs
from tests.factories import is_active, scalar


class Clicks:
    """Clicks, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def on(self, locator: Locator) -> None:
        await locator.click()
        self.count += 1


async def test_which_jobs_run_in_an_hour(site: Site, page: Page) -> None:
    await add_jobs(site, "Daily report", "Daily backup")
    await add_jobs(site, "Hourly sync", interval=3600)
    due = await scalar(site.database, "SELECT nextrun FROM joblog WHERE jobid = 1")
    await page.goto("/overview")
    clicks = Clicks()
    await clicks.on(page.get_by_role("navigation", name="Main").get_by_role("link", name="Upcoming"))
    hours = page.get_by_role("navigation", name=re.compile("^Hours"))
    await clicks.on(hours.get_by_role("link", name=f"{due:%H}:00"))
    rows = page.locator("table.ahead tbody tr")
    await expect(rows).to_have_count(3)
    for name in ("Daily report", "Daily backup", "Hourly sync"):
        await expect(rows.filter(has_text=name)).to_have_count(1)
    assert clicks.count == 2


async def test_what_was_slow_this_week(site: Site, page: Page) -> None:
    await demonstration.fill(site.database, await scalar(site.database, "SELECT clock_timestamp()"))
    while await site.database.transact(retention.sweep):
        pass
    await page.goto("/overview")
    clicks = Clicks()
    await clicks.on(page.get_by_role("navigation", name="Main").get_by_role("link", name="Runs"))
    await clicks.on(page.get_by_role("link", name="Slow jobs, this week"))
    await expect(page.get_by_role("row", name=re.compile("Import of orders"))).to_be_in_viewport()
    assert clicks.count == 2
    await clicks.on(page.get_by_role("link", name="Failed", exact=True))
    await expect(page.locator("tbody tr").first).to_contain_text("Import of orders")


async def test_who_changed_what(site: Site, page: Page) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *"})
    assert (await page.request.patch("/jobs/1", data={"cron": "0 3 * * *"})).ok
    await page.goto("/jobs")
    clicks = Clicks()
    await clicks.on(page.get_by_role("link", name="Nightly report"))
    await clicks.on(page.get_by_role("link", name="Edited"))
    await expect(page.get_by_text("0 2 * * *").last).to_be_in_viewport()
    assert clicks.count == 2


async def test_a_copy_opens_and_can_be_undone(site: Site, page: Page) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *"})
    await page.goto("/jobs/1")
    clicks = Clicks()
    await clicks.on(page.get_by_label("More for Nightly report"))
    await clicks.on(page.get_by_role("link", name="Duplicate …"))
    await page.get_by_label("Name").fill("Weekly report")
    await clicks.on(page.get_by_role("button", name="Create job"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Weekly report")
    assert clicks.count == 3
    await page.locator("[data-part=notice]").get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-part=notice]")).to_contain_text("Deleted Weekly report.")
    assert await is_active(site.database, 1)


async def test_why_a_job_failed_last_night_is_two_clicks_away(site: Site, page: Page) -> None:
    await demonstration.fill(site.database, await scalar(site.database, "SELECT clock_timestamp()"))
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.goto("/overview")
    # In sight without scrolling: so is what one click shows.
    row = page.get_by_role("row", name=re.compile("Import of orders.*failed"))
    await expect(row.get_by_text("503 Service Unavailable")).to_be_in_viewport()
    await row.get_by_role("link", name="View run").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Run #")
    last = page.get_by_label("Response to attempt 3")
    await expect(last).to_be_visible()
    await expect(last).to_be_in_viewport()
    await expect(page.get_by_label("Response to attempt 2")).to_be_hidden()
    # And from the list of runs.
    await page.goto("/logs")
    await page.get_by_role("link", name="Failed, 24 h").click()
    await page.get_by_role("row", name=re.compile("failed: Import of orders")).first.click()
    await expect(page.get_by_label("Response to attempt 3")).to_be_in_viewport()
    # On a phone, too.
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.reload()
    await expect(page.get_by_label("Response to attempt 3")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_tag_is_paused_for_a_deployment_and_exactly_that_is_resumed(
    site: Site, new_page: NewPage, javascript: bool
) -> None:
    await add_jobs(site, "One", "Two", tags=["deploy"])
    await add_jobs(site, "Three", "Was paused before", tags=["deploy"])
    await add_jobs(site, "Other")
    page = await new_page(javascript=javascript)
    assert (await page.request.post("/jobs/4/pause")).ok
    await page.goto("/jobs")
    # Three clicks.
    await page.get_by_role("link", name="deploy").first.click()
    await page.get_by_role("button", name="Pause all 4 matching").click()
    await page.get_by_role("button", name=re.compile("^Pause 4 jobs")).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Paused 3 jobs")
    states = [await is_active(site.database, jobid) for jobid in range(1, 6)]
    assert states == [False, False, False, False, True]
    # Later, from the list of jobs: one.
    await page.goto("/jobs")
    await expect(page.get_by_text("Paused together: 3 jobs")).to_be_visible()
    if javascript:
        await accessible(page)
    await page.get_by_role("button", name="Resume all 3").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Resumed 3 jobs")
    states = [await is_active(site.database, jobid) for jobid in range(1, 6)]
    assert states == [True, True, True, False, True]
    await page.goto("/jobs")
    await expect(page.get_by_text("Paused together")).to_have_count(0)
