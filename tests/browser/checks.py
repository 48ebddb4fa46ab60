"""What must be true of every page that a browser shows."""

import asyncio
from collections.abc import Collection
from time import monotonic

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

#: Only what is reported is worked out in full; all styles come from the page's own server. Rules of WCAG 2.2
#: are off unless they are asked for.
OPTIONS = "{resultTypes: ['violations'], preload: false, rules: {'target-size': {enabled: true}}}"
#: Seconds until a page is laid out for another window, on however busy a machine.
PATIENCE = 5.0


async def accessible(page: Page, theirs: Collection[str] = ()) -> None:
    """No rule of axe-core is broken, but for those of somebody else's markup.

    It comes in by the debugger, which no content policy holds up.
    """
    # What a click led to may be there before its colors are.
    await page.wait_for_load_state("load")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate(f"axe.run({OPTIONS}).then(found => found.violations)")
    broken = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n"
        + "\n".join(f"    {' '.join(map(str, node['target']))}" for node in rule["nodes"])
        for rule in found
        if rule["id"] not in theirs
    ]
    assert not broken, "\n".join([page.url, *broken])


async def fits(page: Page) -> None:
    """Nothing is wider than the window, once the page is laid out for it."""
    give_up = monotonic() + PATIENCE
    while True:
        width, window = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if width <= window or monotonic() > give_up:
            break
        await asyncio.sleep(0.05)
    assert width <= window, f"{page.url} is {width} pixels wide in a window of {window}"
