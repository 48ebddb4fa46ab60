"""Filters as forms send them, and the addresses that keep them."""

import pytest

from scheduler_api.routers.http.instants import with_offset
from scheduler_api.web import filters


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2030-01-31T12:00", "2030-01-31T12:00:00Z"),
        ("2030-01-31T12:00:30", "2030-01-31T12:00:30Z"),
        ("2030-01-31T12:00:30+01:00", "2030-01-31T12:00:30+01:00"),
        ("2030-01-31T12:00:30Z", "2030-01-31T12:00:30Z"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_a_time_without_an_offset_is_meant_as_utc(text: str, meant: str) -> None:
    assert with_offset(text) == meant


def test_addresses_keep_what_is_given() -> None:
    query = {"status": "failed", "since": "", "retried": "3"}
    assert filters.given(query, filters.OF_RUNS) == {"status": "failed"}
    assert filters.address("/logs", {"tag": "a&b=<c>/ö"}) == "/logs?tag=a%26b%3D%3Cc%3E%2F%C3%B6"
    assert filters.address("/logs", {}) == "/logs"
