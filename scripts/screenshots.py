"""Take pictures of the pages, on demonstration data and a clock that stands still.

Run by `make screenshots`; they are in docs/screenshots afterwards, and differ only where a page does.
"""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from scheduler_api.database import migrations
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.embedded.server import EmbeddedServer
from tests.browser import chromium, demonstration
from tests.processes.service import services

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
#: The day before the clocks of Berlin show an hour twice.
NOW = datetime(2030, 10, 26, 9, 41, tzinfo=UTC)
PAGES = [
    ("overview", "/overview"),
    ("jobs", "/jobs"),
    ("form", "/jobs?form=true"),
    ("job", f"/jobs/{demonstration.NIGHTLY}"),
    ("job-failing", f"/jobs/{demonstration.ORDERS_JOB}"),
    ("job-paused", f"/jobs/{demonstration.PAUSED}"),
    ("explain", f"/jobs/{demonstration.NIGHTLY}/explain?at=2030-10-26T00:30:00Z"),
    ("edit", f"/jobs/{demonstration.NIGHTLY}?form=true"),
    ("upcoming", "/upcoming"),
    ("runs", "/logs"),
    ("log", f"/logs/{demonstration.FAILED_LOG}"),
    ("log-running", f"/logs/{demonstration.RUNNING_LOG}"),
    ("error", "/nowhere"),
]
#: Those that are taken in the dark, too.
IN_THE_DARK = {"jobs"}
WIDTHS = (1280, 390)
TALLEST = 1100


async def _take(browser: Browser, site: str, name: str, path: str, width: int, *, dark: bool) -> None:
    page = await browser.new_page(
        base_url=site,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    # A first page is loaded anew when it has told the reader's zone.
    await page.context.add_cookies([{"name": "zone", "value": "UTC", "url": site}])
    await page.goto(path, wait_until="load")
    await page.evaluate("document.activeElement.blur()")  # no caret, which blinks
    height = min(TALLEST, await page.evaluate("document.documentElement.scrollHeight"))
    file = FOLDER / f"{name}{'-dark' if dark else ''}-{width}.png"
    await page.screenshot(
        path=file,
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": height},
        animations="disabled",
    )
    print(f"{file.name}: {file.stat().st_size:,} bytes")
    await page.close()


async def _take_all(site: str) -> None:
    async with async_playwright() as playwright:
        # Letters in shades of grey: smaller files, and the same on every screen.
        flags = [*chromium.flags(), "--disable-lcd-text"]
        browser = await playwright.chromium.launch(executable_path=chromium.chromium(), args=flags)
        for name, path in PAGES:
            for dark in (False, True) if name in IN_THE_DARK else (False,):
                for width in WIDTHS:
                    await _take(browser, site, name, path, width, dark=dark)
        await browser.close()


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scheduler-screenshots-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "data", settings={"fsync": "off"})
        url = await server.start()
        try:
            database = Database(url, name="screenshots", pool=PoolOptions(1, 0, 5.0))
            await migrations.migrate(database)
            await demonstration.fill(database, NOW)
            await demonstration.stand_still(database, NOW)
            await database.close()
            async with services(1, url, SCHEDULER_TICKER="off") as (service,):
                await _take_all(service.url)
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
