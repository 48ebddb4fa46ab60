"""What people do, by keyboard and mouse, with scripts and without."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.checks import accessible
from tests.browser.conftest import NewPage, Site
from tests.factories import is_active
from tests.processes.test_ticker import until_status


async def _describe(page: Page) -> None:
    """Fill in the form for a job of each night."""
    await page.goto("/jobs")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="New job").click()
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("Nightly report")
    await page.get_by_role("radio", name="Cron").check()
    await page.locator("#cron").fill("30 2 * * *")
    await page.locator("#timezone").fill("Europe/Berlin")


async def _create(page: Page) -> None:
    """Send the form, which leads to the job that it made."""
    await page.get_by_role("button", name="Create job").click()
    await expect(page).to_have_url(re.compile(r"/jobs/1(\?created=1)?$"))
    await expect(page.locator("[data-part=notice]")).to_contain_text("Created Nightly report.")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Nightly report")


async def test_a_job_is_created_while_its_runs_are_shown(page: Page) -> None:
    await _describe(page)
    preview = page.locator("#preview")
    await expect(preview).to_contain_text("02:30")
    await expect(preview.get_by_role("listitem")).not_to_have_count(0)
    await page.locator("#cron").fill("soon")
    await expect(preview.get_by_role("listitem")).to_have_count(0)
    await accessible(page)
    await page.locator("#cron").fill("45 3 * * *")
    await expect(preview).to_contain_text("03:45")
    await _create(page)


async def test_a_job_is_created_without_scripts(new_page: NewPage) -> None:
    page = await new_page(javascript=False)
    await _describe(page)
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("#preview")).to_contain_text("02:30")
    await expect(page.get_by_label("Name")).to_have_value("Nightly report")
    await _create(page)


async def test_a_creation_is_undone(page: Page) -> None:
    await _describe(page)
    await _create(page)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-part=notice]")).to_contain_text("Deleted Nightly report.")


async def test_what_is_wrong_is_said_beside_its_field(page: Page) -> None:
    await _describe(page)
    await page.locator("#cron").fill("soon")
    await page.get_by_role("button", name="Create job").click()
    await expect(page.get_by_role("alert")).to_contain_text("The job was not created")
    await expect(page.locator("#cron")).to_be_focused()
    await expect(page.locator("#cron")).to_have_attribute("aria-invalid", "true")
    await accessible(page)


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_job_runs_at_once_and_is_paused(site: Site, new_page: NewPage, javascript: bool) -> None:
    page = await new_page(javascript=javascript)
    await _describe(page)
    await _create(page)
    await page.get_by_role("button", name="Run now").click()
    await until_status(site.database, 1, "finished")
    if not javascript:
        await page.reload()
    await expect(page.get_by_role("row", name=re.compile("finished:"))).to_be_visible()
    await page.get_by_label("More for Nightly report").click()
    await page.get_by_text("Pause with a reason or end …").click()
    await page.get_by_label("Reason").fill("Holidays")
    await page.get_by_role("button", name="Pause job").click()
    await expect(page.locator("[data-part=state]")).to_contain_text("Holidays")
    assert not await is_active(site.database, 1)


@pytest.mark.parametrize("javascript", [True, False])
async def test_an_edit_and_a_deletion_are_undone(site: Site, new_page: NewPage, javascript: bool) -> None:
    page = await new_page(javascript=javascript)
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *"})
    notice = page.locator("[data-part=notice]")
    await page.goto("/jobs/1?form=true")
    await page.locator("#cron").fill("0 3 * * *")
    await page.get_by_role("button", name="Save").click()
    await expect(notice).to_contain_text("Saved Nightly report.")
    await expect(page.get_by_text("At 03:00 every day").first).to_be_visible()
    await notice.get_by_role("button", name="Undo").click()
    await expect(notice).to_contain_text("Undid the last edit of Nightly report.")
    await expect(page.get_by_text("At 02:00 every day").first).to_be_visible()
    await page.goto("/jobs/1#delete")
    await page.get_by_role("button", name="Delete job").click()
    await expect(notice).to_contain_text("Deleted Nightly report.")
    await expect(page.locator("#job-1")).to_have_count(0)
    await notice.get_by_role("button", name="Undo").click()
    await expect(notice).to_contain_text("Restored Nightly report.")
    await expect(page.locator("#job-1")).to_contain_text("Nightly report")
    assert await is_active(site.database, 1)


async def test_filters_are_kept_under_a_name(site: Site, page: Page) -> None:
    await page.request.post(
        "/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *", "tags": ["shop"]}
    )
    await page.request.post("/jobs/1/run")
    views = page.get_by_role("navigation", name="Views")
    await page.goto("/logs?status=failed&name=night&limit=20")
    await views.get_by_role("button", name="Save view …").click()
    await page.get_by_label("Name", exact=True).fill("Nights that failed")
    await page.keyboard.press("Enter")
    link = views.get_by_role("link", name="Nights that failed")
    await expect(link).to_have_attribute("aria-current", "true")
    await page.goto("/logs")
    await expect(views.get_by_role("button", name="Save view …")).to_have_count(0)
    await link.click()
    await expect(page).to_have_url(re.compile(r"/logs\?status=failed&name=night$"))
    # Each list has its own.
    await page.goto("/jobs")
    await expect(link).to_have_count(0)
    await page.get_by_label("Search jobs").fill("night")
    await views.get_by_role("button", name="Save view …").click()
    await page.get_by_label("Name", exact=True).fill("<b>Nights</b>")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.reload()
    await expect(views.get_by_role("link", name="<b>Nights</b>")).to_be_visible()
    # They stay while the list is searched, whatever else comes and goes.
    for text in ("nothing has this", "night", "nothing", ""):
        await page.get_by_label("Search jobs").fill(text)
        await expect(page.locator(".jobs tbody tr")).to_have_count(1 if text in {"night", ""} else 0)
        await expect(views.get_by_role("link", name="<b>Nights</b>")).to_be_visible()
        await expect(page.get_by_role("navigation", name="Tags").get_by_text("Nights")).to_have_count(0)
    await accessible(page)
    await views.get_by_role("button", name="Remove the view <b>Nights</b>").click()
    await page.reload()
    await expect(views.get_by_role("link")).to_have_count(0)


async def test_a_list_is_shown_again_as_it_was(site: Site, page: Page) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *"})
    await page.goto("/jobs?limit=50&state=active")
    await page.get_by_role("columnheader", name="Job").get_by_role("link").click()
    await expect(page).to_have_url(re.compile("sort=jobname"))
    await expect(page.locator("html")).to_have_class("scripted")
    await page.goto("/jobs?form=true")
    await page.goto("/overview")
    jobs = page.get_by_role("navigation", name="Main").get_by_role("link", name="Jobs", exact=True)
    await jobs.click()
    # The order and the number of rows, and no filter.
    await expect(page).to_have_url(re.compile(r"/jobs\?limit=50&sort=jobname$"))
    await page.goto("/jobs")
    await expect(jobs).to_have_attribute("href", "/jobs")


async def test_jobs_are_suggested_by_their_names(site: Site, page: Page) -> None:
    for name in ("Nightly report", "Nightly import", "Refresh"):
        await page.request.post("/jobs", data={"jobname": name, "cron": "0 2 * * *", "tags": ["shop"]})
    for path in ("/logs?status=failed", "/upcoming"):
        await page.goto(path)
        await page.get_by_label("Job", exact=True).press_sequentially("night")
        await expect(page.locator("#suggested option")).to_have_count(2)
        values = await page.locator("#suggested option").evaluate_all("all => all.map((one) => one.value)")
        assert values == ["Nightly report", "Nightly import"]
    await page.goto("/jobs")
    assert await page.locator("#tags option").evaluate_all("all => all.map((one) => one.value)") == ["shop"]


@pytest.mark.parametrize("width", [1280, 390])
async def test_rows_have_as_much_room_as_the_reader_wants(site: Site, page: Page, width: int) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly", "cron": "0 2 * * *", "tags": ["shop", "eu"]})
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto("/jobs")
    row = page.locator("#job-1")
    compact = await row.bounding_box()
    await page.get_by_role("button", name="Comfortable rows").click()
    await expect(page.get_by_role("button", name="Compact rows")).to_be_visible()
    comfortable = await row.bounding_box()
    assert compact is not None
    assert comfortable is not None
    assert comfortable["height"] > 1.2 * compact["height"]
    await accessible(page)


async def test_a_cron_expression_is_picked_or_typed(site: Site, page: Page) -> None:
    await page.goto("/jobs?form=true")
    await page.get_by_label("Name").fill("Picked")
    await page.get_by_role("radio", name="Cron").check()
    text = page.locator("#cron")
    minute, hour = page.get_by_label("Minute", exact=True), page.get_by_label("Hour", exact=True)
    day, month = page.get_by_label("Day of the month"), page.get_by_label("Month", exact=True)
    await minute.select_option("every 15 minutes")
    await hour.select_option("09")
    await expect(text).to_have_value("*/15 9 * * *")
    await day.select_option("last")
    await expect(text).to_have_value("*/15 9 L * *")
    await page.get_by_label("Mon", exact=True).check()
    await expect(text).to_have_value("*/15 9 L * MON")
    await expect(page.locator("#cron-said")).to_contain_text("days of the week, too")
    await day.select_option("any")
    await expect(page.locator("#cron-said")).to_have_text("")
    for name in ("Mon", "Tue", "Wed", "Thu", "Fri"):
        await page.get_by_label(name, exact=True).check()
    await expect(text).to_have_value("*/15 9 * * MON-FRI")
    await expect(page.locator("#preview")).to_contain_text("09:15")
    await accessible(page)
    await text.fill("5,35 7 1 */2 sat-7")
    await expect(minute).to_have_value("5,35")
    await expect(day).to_have_value("1")
    await expect(month).to_have_value("*/2")
    assert [await page.get_by_label(name, exact=True).is_checked() for name in ("Fri", "Sat", "Sun")] == [
        *(False, True, True)
    ]
    # What the pickers do not know stays.
    await hour.select_option("every 6 hours")
    await expect(text).to_have_value("5,35 */6 1 */2 sat-7")
    await text.fill("@daily")
    await expect(hour).to_have_value("0")
    await hour.select_option("04")
    await expect(text).to_have_value("0 4 * * *")
    await text.fill("0 4 * * 0-7")
    await expect(page.get_by_label("Wed", exact=True)).to_be_checked()
    await text.fill("constructor")
    await expect(hour).to_have_value("0")
    await text.fill("30 0 4 * * *")
    await expect(hour).to_have_value("4")
    await hour.select_option("05")
    await expect(text).to_have_value("30 0 5 * * *")
    await text.fill("0 4 * * MON#1")
    await expect(page.get_by_label("Mon", exact=True)).to_be_checked(indeterminate=True)
    await text.fill("0 4 * * *")
    await page.get_by_role("button", name="Create job").click()
    await expect(page.locator("[data-part=notice]")).to_contain_text("Created Picked.")


async def test_the_form_helps_while_one_types(site: Site, page: Page) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *", "repeat": True})
    await page.set_viewport_size({"width": 1280, "height": 500})
    await page.goto("/jobs?form=true")
    await expect(page.get_by_role("button", name="Create job")).to_be_in_viewport()
    await page.get_by_role("radio", name="After another job").check()
    await page.get_by_label("Upstream job").press_sequentially("night")
    await expect(page.locator("#upstream option")).to_have_count(1)
    assert await page.locator("#upstream option").evaluate("one => [one.value, one.label]") == [
        "1",
        "Nightly report (1)",
    ]
    await page.get_by_text("HTTP target").click()
    body = page.get_by_label("Body", exact=True)
    await body.fill('{"a": 1')
    await expect(page.get_by_text("Not valid JSON, so it would be sent as text")).to_be_visible()
    await accessible(page)
    await body.fill('{"a": 1}')
    await expect(page.get_by_text("Valid JSON.")).to_be_visible()
    await body.fill("plain")
    await expect(page.locator("#body-said")).to_be_empty()


async def test_what_was_typed_is_there_for_who_comes_back(site: Site, page: Page) -> None:
    """After a look at another page, and after a refusal; but nothing of it in a form that is opened anew."""
    await page.goto("/jobs?form=true")
    await page.get_by_label("Name").fill("Nightly report")
    await page.get_by_role("radio", name="Cron").check()
    await page.locator("#cron").fill("0 2 * * *")
    await page.get_by_role("link", name="Runs", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    await page.go_back()
    await expect(page.get_by_label("Name")).to_have_value("Nightly report")
    await expect(page.locator("#cron")).to_have_value("0 2 * * *")
    await expect(page.locator("#preview")).to_contain_text("02:00")
    await page.locator("#cron").fill("0 2 31 2 *")
    await page.get_by_role("button", name="Create job").click()
    await expect(page.get_by_role("alert")).to_contain_text("The job was not created")
    await page.go_back()
    await expect(page.get_by_label("Name")).to_have_value("Nightly report")
    await expect(page.locator("#cron")).to_have_value("0 2 31 2 *")
    await page.get_by_role("link", name="New job").click()
    await expect(page.get_by_label("Name")).to_have_value("")


async def test_the_skip_link_leads_to_the_list(site: Site, page: Page) -> None:
    await page.request.post("/jobs", data={"jobname": "Nightly report", "cron": "0 2 * * *"})
    await page.goto("/jobs")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to jobs")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("table")).to_be_focused()
