"""What is shown anew is shown right: nothing is missed, mixed up, or done by accident."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Site
from tests.browser.test_dashboard import add_failed, add_jobs
from tests.factories import execute, scalar
from tests.processes.service import PATIENCE

TELL = "SELECT pg_notify('scheduler_changes', '')"


async def test_what_changes_before_the_stream_opens_is_seen(site: Site, page: Page) -> None:
    await add_jobs(site, "Watched")
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/events*", hold)
    await page.goto("/jobs")
    # Another one changes it before this page follows.
    await page.request.post("/jobs/1/pause")
    before = str(await page.locator("body").get_attribute("data-mark"))
    async with asyncio.timeout(PATIENCE):
        while before in await (await page.request.get("/jobs", headers={"accept": "text/html"})).text():
            await asyncio.sleep(0.02)
    held.set()
    await expect(page.get_by_role("button", name="Resume Watched")).to_be_visible()


async def test_keys_do_nothing_to_a_row_that_was_not_chosen(site: Site, page: Page) -> None:
    await add_jobs(site, "First", "Second")
    await page.goto("/jobs")
    await expect(page.locator("#liveness")).to_have_text("live")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    for key in ("p", "r", "t", "e"):
        await page.keyboard.press(key)
    await page.keyboard.press("j")
    # Held down: it comes again and again.
    for _ in range(4):
        await page.keyboard.down("r")
    await page.keyboard.up("r")
    assert sent.count("POST") == 0
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-part=notice]")).to_contain_text("Started First.")
    assert sent.count("POST") == 1
    assert await scalar(site.database, "SELECT count(*) FROM joblog WHERE cause = 'manual'") == 1


async def test_a_button_sends_what_it_says(site: Site, page: Page) -> None:
    for name, cron in (("One", "0 3 * * *"), ("Two", "0 3 * * *"), ("Busy", "*/5 * * * *")):
        await page.request.post("/jobs", data={"jobname": name, "cron": cron, "repeat": True})
    await page.goto("/upcoming")
    await expect(page.locator("#liveness")).to_have_text("live")
    await page.request.post("/jobs/1/pause")
    await expect(page.locator("ul.collision li").first).to_be_visible()
    await expect(page.get_by_role("button", name=re.compile("Spread.*One"))).to_have_count(0)
    wrong = await page.evaluate(
        """() => [...document.querySelectorAll("ul.collision form")].filter((form) => {
            const minutes = form.innerText.match(/Spread over (\\d+) minute/);
            const seconds = form.innerText.match(/(\\d+) second/);
            return form.jitter.value != 60 * (minutes?.[1] ?? 0) + Number(seconds?.[1] ?? 0);
        }).length"""
    )
    assert wrong == 0


async def test_the_focus_stays_with_its_run(site: Site, page: Page) -> None:
    logid = await add_failed(site)
    await page.goto("/logs?status=failed")
    await expect(page.locator("#liveness")).to_have_text("live")
    await page.keyboard.press("j")
    chosen = page.locator(f"#log-{logid}")
    await expect(chosen).to_have_class(re.compile("at"))
    await execute(
        site.database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, kind, host, error)"
        " SELECT 1, at, 'failed', at, at, at, 'http', '127.0.0.1:9', 'Again.'"
        " FROM (SELECT clock_timestamp() AS at) AS now",
    )
    await execute(site.database, TELL)
    # It waits until it is asked for, wherever the keys are.
    await page.get_by_role("button", name="1 new run").evaluate("button => button.click()")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(chosen).to_have_class(re.compile("at"))
    await expect(chosen.locator("a").first).to_be_focused()


async def test_a_count_down_goes_to_the_start_and_not_to_the_occurrence(site: Site, page: Page) -> None:
    # Neither it nor its start is over, or beyond the day that the page shows.
    hour = (datetime.now(UTC) + timedelta(hours=2)).hour
    job = {"jobname": "Spread", "cron": f"0 {hour} * * *", "repeat": True, "jitter": 3000}
    await page.request.post("/jobs", data=job)
    await page.goto("/upcoming")
    row = page.locator("table.ahead tbody tr").first
    at, starts = await row.locator("time").get_attribute("datetime"), row.locator("[data-ago]")
    assert await starts.get_attribute("data-ago") != at
    await expect(row).to_contain_text(f"starts {hour:02}:")
