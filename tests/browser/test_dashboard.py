"""What the dashboard promises: live, undoable, by keyboard alone, and without scripts."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.browser.checks import accessible, fits
from tests.browser.conftest import NewPage, Site, Watch
from tests.factories import add_job, execute, is_active, scalar, sum_up
from tests.processes.service import PATIENCE

TARGET = {"url": "http://127.0.0.1:9/", "method": "GET", "retries": 0}


#: The color of text on light pages, and on dark ones.
INK, LIGHT_INK = "rgb(27, 34, 48)", "rgb(231, 234, 240)"


async def add_jobs(site: Site, *names: str, **values: Any) -> None:
    """Daily jobs that run in two hours."""
    now = await scalar(site.database, "SELECT clock_timestamp()")
    due = now.replace(microsecond=0) + timedelta(hours=2)
    start = due - timedelta(days=10)
    zone = ZoneInfo(values.get("timezone", "UTC"))
    local = start.astimezone(zone)
    daily = {"startdate": local.date(), "starttime": local.time(), "interval": 86_400}
    for name in names:
        await add_job(site.database, jobname=name, due=due, **daily | values)


async def add_failed(site: Site) -> int:
    """A job with a call that failed for good; the log."""
    await add_jobs(site, "Failing", target=TARGET)
    await execute(
        site.database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, lastrun, kind, host, error)"
        " SELECT 1, at, 'failed', at, at, at, 'http', '127.0.0.1:9', 'No connection.'"
        " FROM (SELECT clock_timestamp() - interval '1 hour' AS at) AS clock",
    )
    await sum_up(site.database)
    return int(await scalar(site.database, "SELECT max(logid) FROM joblog"))


async def test_what_a_list_is_sorted_by_can_be_read(site: Site, page: Page) -> None:
    """With the arrow that says which way."""
    await add_jobs(site, "Sorted")
    for sort in ("jobname", "-schedule", "lastrun", "-duration", "nextrun"):
        await page.goto(f"/jobs?sort={sort}")
        header = page.locator("th[aria-sort] a")
        assert await header.evaluate("a => a.scrollWidth <= a.clientWidth"), sort


async def test_a_change_shows_in_another_window_without_reload(site: Site, new_page: NewPage) -> None:
    await add_jobs(site, "Watched")
    one, other = await new_page(), await new_page()
    await other.goto("/jobs")
    await expect(other.locator("#liveness")).to_have_text("live")
    await other.evaluate("window.loaded = 'once'")
    await one.goto("/jobs/1")
    await one.get_by_role("button", name="Run now").click()
    row = other.locator("#job-1")
    await expect(row.locator(".strip li")).to_have_count(1)
    await expect(row.locator(".last")).to_contain_text("ago")
    await one.get_by_role("button", name="Pause", exact=True).click()
    await expect(row.get_by_role("button", name="Resume Watched")).to_be_visible()
    assert await other.evaluate("window.loaded") == "once"


async def test_what_is_shown_anew_takes_nothing_from_the_reader(site: Site, page: Page) -> None:
    await add_jobs(site, *(f"Job {number}" for number in range(12)))
    await page.set_viewport_size({"width": 1280, "height": 300})
    await page.goto("/jobs")
    await expect(page.locator("#liveness")).to_have_text("live")
    await page.get_by_label("Select Job 8").check()
    await page.locator("#job-9 summary").click()
    await page.get_by_label("Tag", exact=True).fill("half a na")
    await page.locator("#job-7 a").first.focus()
    scrolled = await page.evaluate("window.scrollTo(0, 400), window.scrollY")
    await execute(site.database, "UPDATE job SET jobname = 'Renamed' WHERE jobid = 1")
    await execute(site.database, "SELECT pg_notify('scheduler_changes', '')")
    await expect(page.locator("#job-1 a").first).to_have_text("Renamed")
    await expect(page.get_by_label("Select Job 8")).to_be_checked()
    assert await page.locator("#job-9 details").get_attribute("open") is not None
    await expect(page.get_by_label("Tag", exact=True)).to_have_value("half a na")
    await expect(page.locator("#job-7 a").first).to_be_focused()
    assert await page.evaluate("window.scrollY") == scrolled


async def test_a_hidden_page_does_not_look(site: Site, page: Page) -> None:
    await add_jobs(site, "Watched")
    await page.goto("/jobs")
    await expect(page.locator("#liveness")).to_have_text("live")
    hide = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    await page.evaluate(hide % "true" + tell)
    await execute(site.database, "UPDATE job SET jobname = 'Renamed' WHERE jobid = 1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await execute(site.database, "SELECT pg_notify('scheduler_changes', '')")
    # Another page hears of it, so this one would have, too.
    other = await page.context.new_page()
    await other.goto("/jobs")
    await expect(other.locator("#job-1 a").first).to_have_text("Renamed")
    assert asked == []
    await expect(page.locator("#job-1 a").first).to_have_text("Watched")
    await page.evaluate(hide % "false" + tell)
    await expect(page.locator("#job-1 a").first).to_have_text("Renamed")


async def test_a_page_that_cannot_follow_looks_by_itself(site: Site, page: Page, watch: Watch) -> None:
    await add_jobs(site, "Watched")
    await page.route("**/events*", lambda route: route.abort())
    await page.clock.install()
    await page.goto("/jobs")
    await execute(site.database, "UPDATE job SET jobname = 'Renamed' WHERE jobid = 1")
    await page.clock.run_for(30_000)
    await expect(page.locator("#job-1 a").first).to_have_text("Renamed")
    assert all("ERR_FAILED" in issue for issue in watch.issues)
    watch.issues.clear()


async def test_a_pause_is_undone_where_it_was_made(site: Site, page: Page) -> None:
    await add_jobs(site, "Nightly", "Another")
    await page.goto("/jobs?name=Night")
    await page.get_by_label("More for Nightly").click()
    await page.get_by_role("button", name="Pause Nightly").click()
    notice = page.locator("[data-part=notice]")
    await expect(notice).to_contain_text("Paused Nightly.")
    assert not await is_active(site.database, 1)
    await expect(page.get_by_role("button", name="Resume Nightly")).to_be_visible()
    await expect(page.get_by_label("More for Nightly")).to_be_focused()
    await accessible(page)
    await notice.get_by_role("button", name="Undo").click()
    await expect(notice).to_contain_text("Resumed Nightly.")
    assert await is_active(site.database, 1)
    await expect(page).to_have_url(re.compile(r"/jobs\?name=Night$"))


@pytest.mark.parametrize("javascript", [True, False])
async def test_an_edit_shows_what_it_changes(site: Site, new_page: NewPage, javascript: bool) -> None:
    await add_jobs(site, "Nightly")
    page = await new_page(javascript=javascript)
    await page.goto("/jobs/1")
    await page.get_by_role("link", name="Edit", exact=True).click()
    await expect(page.get_by_label("Name")).to_have_value("Nightly")
    await page.locator("#kind-cron").check()
    await page.locator("#cron").fill("30 3 * * *")
    if not javascript:
        await page.get_by_role("button", name="Preview").click()
    preview = page.locator("#preview")
    await expect(preview).to_contain_text("runs removed")
    await expect(preview).to_contain_text("runs added")
    await expect(preview).to_contain_text("At 03:30 every day")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile(r"/jobs/1(\?edited=1)?$"))
    await page.get_by_role("link", name="Changes").click()
    await expect(page.locator("main")).to_contain_text("At 03:30 every day")
    # The change, with before and after.
    await expect(page.get_by_role("row", name=re.compile("edited"))).to_contain_text(
        "cron: none → 30 3 * * *"
    )


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_failed_run_is_tried_again(site: Site, new_page: NewPage, javascript: bool) -> None:
    logid = await add_failed(site)
    page = await new_page(javascript=javascript)
    await page.goto("/overview")
    await expect(page.get_by_role("link", name="“Failing” failed", exact=True)).to_be_visible()
    await page.get_by_role("button", name=re.compile("Retry.*Failing")).click()
    ended = "SELECT status = 'failed' AND attempt = 2 FROM joblog WHERE logid = :logid"
    async with asyncio.timeout(PATIENCE):
        while not await scalar(site.database, ended, logid=logid):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("javascript", [True, False])
async def test_many_jobs_are_paused_and_go_on(site: Site, new_page: NewPage, javascript: bool) -> None:
    await add_jobs(site, "One", "Two", "Three")
    page = await new_page(javascript=javascript)
    await page.goto("/jobs")
    await page.get_by_label("Select One").check()
    await page.get_by_label("Select Three").check()
    await page.get_by_role("button", name="Pause …").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pause 2 jobs?")
    if javascript:  # or axe would wait for its own timers
        await accessible(page)
    await page.get_by_role("button", name="Pause 2 jobs").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Paused 2 jobs")
    assert [await is_active(site.database, jobid) for jobid in (1, 2, 3)] == [False, True, False]
    await page.get_by_role("button", name="Resume these jobs").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Resumed 2 jobs")
    await page.get_by_role("link", name="Back to jobs").click()
    if javascript:
        # What can be done shows when something is selected.
        await expect(page.get_by_role("button", name="Delete …")).to_be_hidden()
        await page.get_by_label("Select all jobs on this page").check()
        await expect(page.get_by_text("Selected (3)")).to_be_visible()
        await page.get_by_label("Select Two").uncheck()
        assert await page.get_by_label("Select all jobs on this page").evaluate("box => box.indeterminate")
    await page.get_by_label("All 3").check()
    await page.get_by_role("button", name="Delete …").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Delete 3 jobs?")
    await page.get_by_role("button", name="Delete 3 jobs").click()
    await page.get_by_role("link", name="Back to jobs").click()
    await expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()


async def test_all_is_done_by_the_keyboard_alone(site: Site, page: Page) -> None:
    await add_jobs(site, "First", "Second")
    keys = page.keyboard
    await page.goto("/jobs")
    await expect(page.locator("#liveness")).to_have_text("live")
    await keys.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await accessible(page)
    await keys.press("Escape")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    for key in ("j", "j", "x"):
        await keys.press(key)
    await expect(page.get_by_label("Select Second")).to_be_checked()
    await keys.press("r")
    await keys.press("Enter")
    await expect(page.locator("[data-part=notice]")).to_contain_text("Started Second.")
    await keys.press("p")
    await keys.press("Enter")
    await expect(page.get_by_role("button", name="Resume Second")).to_be_visible()
    await keys.press("k")
    await keys.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("First")
    await expect(page.locator("#liveness")).to_have_text("live")
    await keys.press("e")
    await expect(page.get_by_label("Name")).to_be_focused()
    await keys.press("Control+A")
    await keys.type("Renamed")
    await keys.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Renamed")
    await expect(page.locator("#liveness")).to_have_text("live")
    await keys.press("g")
    await keys.press("j")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Jobs")
    await expect(page.locator("#liveness")).to_have_text("live")
    await keys.press("/")
    await keys.type("Second")
    await keys.press("Enter")
    await expect(page).to_have_url(re.compile(r"\?search=Second$"))
    await expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize("javascript", [True, False])
async def test_times_are_on_the_chosen_clocks(site: Site, new_page: NewPage, javascript: bool) -> None:
    await add_jobs(site, "Far away", timezone="Asia/Tokyo")
    page = await new_page(javascript=javascript)
    await page.goto("/jobs")
    next_run = page.locator("#job-1 .next")
    for choice, zone in (("utc", "UTC"), ("job", "Asia/Tokyo"), ("utc", "UTC")):
        async with page.expect_navigation():
            await page.get_by_label("Time zone").select_option(choice)
            if not javascript:
                await page.get_by_role("button", name="Apply").click()
        await expect(next_run).to_contain_text(zone)
    await page.goto("/upcoming")
    await expect(page.get_by_role("row", name=re.compile("Far away"))).to_contain_text("UTC")


async def test_the_readers_own_zone_is_known(site: Site, page: Page) -> None:
    await add_jobs(site, "Far away", timezone="Asia/Tokyo")
    await page.context.clear_cookies()
    await page.goto("/jobs")
    zone = await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    # The page was loaded anew, as it was made without knowing it.
    await expect(page.locator("#job-1 .next")).to_contain_text(zone)
    await expect(page.get_by_label("Time zone")).to_have_value("mine")


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_theme_is_chosen_and_kept(site: Site, new_page: NewPage, javascript: bool) -> None:
    await add_jobs(site, "Nightly")
    page = await new_page(javascript=javascript)
    await page.emulate_media(color_scheme="light")

    async def shows(ink: str) -> None:
        await expect(page.locator("body")).to_have_css("color", ink)

    await page.goto("/jobs")
    await shows(INK)
    for theme, ink in (("dark", LIGHT_INK), ("light", INK), ("dark", LIGHT_INK)):
        async with page.expect_navigation():
            await page.get_by_label("Theme").select_option(theme)
            if not javascript:
                await page.get_by_role("button", name="Apply").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", theme)
        await shows(ink)
    await page.goto("/overview")
    await shows(LIGHT_INK)
    if javascript:
        await accessible(page)
    await page.emulate_media(media="print")
    await shows(INK)


async def test_a_countdown_runs_and_never_turns_negative(site: Site, page: Page) -> None:
    await add_jobs(site, "Soon")
    # Nothing is told, so nothing is shown anew meanwhile.
    await page.route("**/events*", lambda _: None)
    await page.goto("/jobs")
    ago = page.locator("#job-1 [data-brief=due]")
    await expect(ago).to_have_text(re.compile(r"in (1|2) h"))
    shift = "(element, by) => element.dataset.ago = new Date(Date.now() + by).toISOString()"
    await ago.evaluate(shift, 90_000)
    await expect(ago).to_have_text("in 1 min")
    await ago.evaluate(shift, 1_500)
    await expect(ago).to_have_text("due now")
    await expect(ago).to_have_text(re.compile(r"overdue \d s"))


async def test_a_job_is_a_line_and_its_exact_times_are_a_glance_a_tab_or_a_tap_away(
    site: Site, page: Page
) -> None:
    await add_jobs(site, *(f"Job {number} with a name that goes on and on and on" for number in range(20)))
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.goto("/jobs")
    rows = page.locator(".jobs tbody tr")
    places = "all => all.map(row => row.getBoundingClientRect()).map(({height, bottom}) => [height, bottom])"
    found = await rows.evaluate_all(places)
    assert {height for height, _ in found} == {44}
    assert sum(bottom <= 900 for _, bottom in found) >= 14
    moment = page.locator("#job-1 .next .when")
    exact = moment.locator("time")
    hidden = "time => time.getBoundingClientRect().width <= 1"
    assert await exact.evaluate(hidden)
    await moment.hover()
    assert not await exact.evaluate(hidden)
    await page.mouse.move(0, 0)
    assert await exact.evaluate(hidden)
    await moment.focus()
    assert not await exact.evaluate(hidden)
    await accessible(page)
    await page.set_viewport_size({"width": 390, "height": 844})
    assert max(height for height, _ in await rows.evaluate_all(places)) <= 96
    await fits(page)


async def test_a_collision_is_spread_by_one_click(site: Site, page: Page) -> None:
    for name in ("One", "Two"):
        job = {"jobname": name, "cron": "0 3 * * *", "repeat": True}
        await page.request.post("/jobs", data=job)
    await page.goto("/upcoming")
    await page.get_by_role("button", name=re.compile("Spread over 10 minutes.*One")).click()
    await expect(page.get_by_role("button", name=re.compile("Spread over 10 minutes.*One"))).to_be_hidden()
    assert await scalar(site.database, "SELECT jitter FROM job WHERE jobid = 1") == 600


async def test_a_definition_is_copied_as_json(site: Site, page: Page) -> None:
    await add_jobs(site, "Nightly")
    await page.goto("/jobs/1")
    await page.get_by_role("link", name="Configuration").click()
    await page.get_by_text("JSON definition").click()
    text = await page.get_by_label("Definition as JSON").inner_text()
    assert json.loads(text)["interval"] == 86_400
    await expect(page.get_by_role("button", name="Copy")).to_be_visible()


async def test_markup_in_names_stays_text(site: Site, page: Page) -> None:
    markup = "<img src=x onerror=\"document.title='owned'\">"
    await add_jobs(site, markup, tags=[markup])
    for path in ("/jobs", "/jobs/1", "/upcoming", "/overview", "/logs", "/jobs/1?form=true"):
        await page.goto(path)
        await execute(site.database, "SELECT pg_notify('scheduler_changes', '')")
        assert await page.locator("img[src=x]").count() == 0
        assert await page.title() != "owned"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/1", "/overview", "/upcoming", "/jobs?form=true"])
async def test_a_page_prints_without_its_controls(site: Site, page: Page, path: str) -> None:
    await add_jobs(site, "Printed")
    await page.goto(path)
    await page.emulate_media(media="print")
    await expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
