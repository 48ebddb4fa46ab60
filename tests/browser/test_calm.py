"""What a page does while the service is slow, gone or busy; and what the reader can hold back."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Request, Route, expect
from sqlalchemy import text

from tests.browser.checks import accessible
from tests.browser.conftest import NewPage, Site, Watch
from tests.browser.test_dashboard import add_jobs
from tests.factories import execute, is_active, scalar
from tests.processes.service import PATIENCE

TELL = "SELECT pg_notify('scheduler_changes', '')"
ENDED = """
    INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun)
    SELECT 1, at, 'finished', at, at, at
    FROM (SELECT clock_timestamp() - make_interval(secs => :ago) AS at) AS past
"""
MANUAL = "SELECT count(*) FROM joblog WHERE cause = 'manual'"


@contextlib.asynccontextmanager
async def locked_jobs(site: Site) -> AsyncIterator[None]:
    """While somebody holds all jobs, what changes one waits in vain."""
    async with site.database.transactional.connect() as connection:
        await connection.begin()
        await connection.execute(text("LOCK TABLE job IN EXCLUSIVE MODE"))
        yield
        await connection.rollback()


async def live(page: Page) -> None:
    await expect(page.locator("#liveness")).to_have_text("live")


async def test_a_second_click_does_nothing(site: Site, page: Page) -> None:
    await add_jobs(site, "Slow")
    await page.goto("/jobs/1")
    await live(page)
    answered, sent = asyncio.Event(), list[Request]()

    async def hold(route: Route) -> None:
        sent.append(route.request)
        await answered.wait()
        await route.continue_()

    await page.route("**/jobs/1/run", hold)
    button = page.get_by_role("button", name="Run now")
    await button.click()
    await expect(button).to_have_attribute("aria-busy", "true")
    await button.click()
    answered.set()
    await expect(page.locator("[data-part=notice]")).to_contain_text("Started Slow.")
    await expect(button).not_to_have_attribute("aria-busy", "true")
    assert len(sent) == 1
    await button.click()
    await expect(page.get_by_role("row", name=re.compile("finished:"))).to_have_count(2)


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_form_that_was_sent_in_vain_is_sent_again(
    site: Site, new_page: NewPage, watch: Watch, javascript: bool
) -> None:
    await add_jobs(site, "Busy")
    page = await new_page(javascript=javascript)
    await page.goto("/jobs/1?form=true")
    await page.get_by_label("Name").fill("Renamed in vain")
    async with locked_jobs(site):
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("What you entered is kept on this page.")).to_be_visible()
        if javascript:
            await accessible(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Renamed in vain")
    assert any("503" in issue for issue in watch.issues) or not javascript
    watch.issues.clear()


async def test_what_is_done_in_vain_can_be_done_again(site: Site, page: Page, watch: Watch) -> None:
    await add_jobs(site, "Busy")
    await page.goto("/jobs/1")
    await live(page)
    notice = page.locator("[data-part=notice]")
    async with locked_jobs(site):
        await page.get_by_role("button", name="Pause", exact=True).click()
        await expect(notice.get_by_role("button", name="Retry")).to_be_visible()
    await page.context.set_offline(True)
    await notice.get_by_role("button", name="Retry").click()
    await expect(notice).to_contain_text("The service is unreachable. Nothing was changed.")
    await page.context.set_offline(False)
    await notice.get_by_role("button", name="Retry").click()
    await expect(notice).to_contain_text("Paused Busy.")
    assert not await is_active(site.database, 1)
    watch.issues.clear()


async def test_new_runs_wait_until_they_are_asked_for(site: Site, page: Page) -> None:
    await add_jobs(site, "Of the past")
    await execute(site.database, ENDED, ago=600.0)
    await page.goto("/logs")
    await live(page)
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    for ago in (300.0, 200.0):
        await execute(site.database, ENDED, ago=ago)
    await execute(site.database, "UPDATE job SET jobname = 'Renamed'")
    await execute(site.database, TELL)
    news = page.get_by_role("button", name="2 new runs")
    await expect(news).to_be_visible()
    # What is there is as new as ever.
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Renamed")
    await accessible(page)
    await news.click()
    await expect(rows).to_have_count(3)
    await expect(news).to_be_hidden()


async def test_updates_can_be_held(site: Site, page: Page) -> None:
    await add_jobs(site, "Watched")
    await page.goto("/jobs")
    await live(page)
    await page.get_by_role("button", name="Pause updates").click()
    await expect(page.locator("#liveness")).to_have_text("updates paused")
    await page.reload()
    await expect(page.locator("#liveness")).to_have_text("updates paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await execute(site.database, "UPDATE job SET jobname = 'Renamed'")
    await execute(site.database, TELL)
    # Another page hears of it, so this one would have, too.
    other = await page.context.new_page()
    await other.goto("/overview")
    await expect(other.locator("#liveness")).to_have_text("updates paused")
    assert asked == []
    await expect(page.locator("#job-1 a").first).to_have_text("Watched")
    await page.get_by_role("button", name="Resume updates").click()
    await expect(page.locator("#job-1 a").first).to_have_text("Renamed")
    await live(page)


async def test_a_page_that_has_grown_old_says_so(site: Site, page: Page, watch: Watch) -> None:
    await add_jobs(site, "Watched")
    await page.route("**/events*", lambda route: route.abort())
    await page.goto("/jobs")
    await expect(page.locator("#stale")).to_be_hidden()
    await page.route("**/jobs", lambda route: route.abort())
    await expect(page.locator("#stale")).to_contain_text("Not up to date", timeout=10_000)
    await expect(page.locator("#liveness")).to_be_empty()
    await accessible(page)
    await page.unroute("**/jobs")
    await expect(page.locator("#stale")).to_be_hidden()
    await live(page)
    watch.issues.clear()


async def test_a_key_asks_before_it_changes_anything(site: Site, page: Page) -> None:
    await add_jobs(site, "First")
    await page.goto("/jobs")
    await live(page)
    await page.keyboard.press("j")
    await page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Run now First")
    await expect(dialog).to_be_visible()
    await accessible(page)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    assert await scalar(site.database, MANUAL) == 0
    await page.keyboard.press("r")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-part=notice]")).to_contain_text("Started First.")
    assert await scalar(site.database, MANUAL) == 1


async def test_keys_can_be_switched_off(site: Site, page: Page) -> None:
    await add_jobs(site, "First")
    await page.goto("/jobs")
    await live(page)
    await page.get_by_text("Keyboard shortcuts").click()
    await page.get_by_label("Use single-key shortcuts").uncheck()
    await page.reload()
    await live(page)
    for key in ("j", "r", "n", "?"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page).to_have_url(re.compile(r"/jobs$"))
    await page.get_by_text("Keyboard shortcuts").click()
    await expect(page.get_by_label("Use single-key shortcuts")).not_to_be_checked()
    await page.get_by_label("Use single-key shortcuts").check()
    await page.keyboard.press("Escape")
    await page.locator("h1").click()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


async def test_a_list_is_searched_while_one_types(site: Site, page: Page) -> None:
    await add_jobs(site, "Nightly report", "Import", "Nightly backup")
    await page.goto("/jobs?sort=jobname")
    await live(page)
    rows, search = page.locator("tbody tr"), page.get_by_label("Search jobs")
    await search.press_sequentially("nightly")
    await expect(rows).to_have_count(2)
    await expect(search).to_be_focused()
    await expect(page).to_have_url(re.compile(r"/jobs\?search=nightly&sort=jobname$"))
    await search.press_sequentially(" xyz")
    await expect(page.get_by_role("heading", name="No matching jobs")).to_be_visible()
    await accessible(page)
    await search.fill("")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Select all jobs on this page").check()
    await expect(page.get_by_text("Selected (3)")).to_be_visible()


async def test_a_page_looks_again_every_two_seconds_at_most(site: Site, page: Page) -> None:
    await add_jobs(site, "First")
    await page.clock.install()
    await page.goto("/jobs")
    await page.clock.run_for(3000)
    await live(page)
    # From here on the page's time passes only as told, however busy the machine is.
    await page.clock.pause_at(await page.evaluate("Date.now()") + 3000)
    hear = (
        "window.heard = false;"
        "new EventSource('/events').addEventListener('change', () => (window.heard = true), {once: true})"
    )

    async def rename(name: str) -> None:
        """Another name, of which the page has heard when this returns, as a stream beside its own has."""
        await page.evaluate(hear)
        await execute(site.database, "UPDATE job SET jobname = :name", name=name)
        async with asyncio.timeout(PATIENCE):
            while not await page.evaluate("window.heard"):
                await execute(site.database, TELL)
                await asyncio.sleep(0.05)

    name = page.locator("#job-1 a").first
    await rename("Second")
    await page.clock.run_for(50)
    await expect(name).to_have_text("Second")
    await rename("Third")
    await page.clock.run_for(1800)
    # Whatever the page had asked for is answered before this is.
    await page.evaluate("fetch('/jobs').then((answer) => answer.text())")
    await expect(name).to_have_text("Second")
    await page.clock.run_for(300)
    await expect(name).to_have_text("Third")


async def test_a_run_that_is_no_longer_of_the_list_goes(site: Site, page: Page) -> None:
    await add_jobs(site, "Of the past")
    for ago in (30.0, 20.0, 10.0):
        await execute(site.database, ENDED, ago=ago)
    await page.goto("/logs?status=finished")
    await live(page)
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    failed = "UPDATE joblog SET status = 'failed', error = 'x' WHERE logid = 3 AND status = 'finished'"
    await execute(site.database, failed)
    await execute(site.database, TELL)
    await expect(rows).to_have_count(2)
    await expect(page.locator("#log-3")).to_have_count(0)


async def test_the_load_of_a_day_can_be_read_on_a_phone(site: Site, new_page: NewPage) -> None:
    desk, hourly = await new_page(), {"jobname": "Hourly", "cron": "@hourly"}
    assert (await desk.request.post("/jobs", data=hourly)).ok
    page = await new_page(width=390)
    await page.goto("/upcoming")
    label = page.locator(".heat text").last
    await expect(label).to_be_visible()
    assert await label.evaluate("label => label.getBoundingClientRect().height") >= 8
    said = await page.locator(".heat rect title").nth(5).text_content() or ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:00: 1 run, .* s of work; busiest minute .*", said), said
