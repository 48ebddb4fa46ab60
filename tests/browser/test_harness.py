"""The tests of the pages can fail: what they look for is found."""

import pytest
from playwright.async_api import Page

from tests.browser.checks import accessible, fits
from tests.browser.conftest import Watch

BAD = (
    "<html><title>Bad</title><img src='https://example.com/a.png'><p style='width: 3000px'>wide</p>"
    "<script>throw new Error('thrown')</script><script src='/static/missing.js'></script></html>"
)
POLICY = "script-src 'self' 'unsafe-inline'; style-src 'self'"


async def test_what_is_wrong_with_a_page_is_found(page: Page, watch: Watch) -> None:
    headers = {"content-security-policy": POLICY, "content-type": "text/html"}
    await page.route("**/bad", lambda route: route.fulfill(body=BAD, headers=headers))
    await page.route("**/broken", lambda route: route.fulfill(status=500, body="broken", headers=headers))
    await page.goto("/bad", wait_until="networkidle")
    found = "\n".join(watch.issues)
    assert "left this machine: https://example.com/a.png" in found
    assert "console: Applying inline style violates" in found
    assert "script: thrown" in found
    assert "404 for script" in found
    with pytest.raises(AssertionError, match=r"image-alt \(critical\): .*\n    img"):
        await accessible(page)
    await page.evaluate("document.querySelector('p').style.width = '3000px'")
    with pytest.raises(AssertionError, match="pixels wide"):
        await fits(page)
    await page.goto("/broken")
    assert "500 for document" in watch.issues[-1]
    watch.issues.clear()
