"""Who gets JSON and who gets HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.routers.http.negotiation import Media, preferred

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, Media.JSON),
        ("", Media.JSON),
        ("*/*", Media.JSON),
        ("text/*", Media.JSON),
        ("application/json", Media.JSON),
        ("application/json, text/plain, */*", Media.JSON),
        ("image/png", Media.JSON),
        (CHROME, Media.HTML),
        ("text/html", Media.HTML),
        ("TEXT/HTML; charset=utf-8", Media.HTML),
        ("application/xhtml+xml", Media.HTML),
        ("text/html, application/json", Media.HTML),
        ("application/json, text/html", Media.JSON),
        ("application/json;q=0.5, text/html", Media.HTML),
        ("text/html;q=0.5, application/json", Media.JSON),
        ("text/html;q=0", Media.JSON),
        ("text/html;q=nonsense", Media.JSON),
        ("text/html;level=1;q=0.7, application/json;q=0.6", Media.HTML),
    ],
)
def test_the_rule(accept: str | None, media: Media) -> None:
    assert preferred(accept) is media


@given(st.text())
def test_no_header_is_too_strange(accept: str) -> None:
    assert preferred(accept) in Media
