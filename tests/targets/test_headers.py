"""Which headers a target may bring along."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets import headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc"),
        ("Cookie", "a=b; c=d"),
        ("Content-Type", "application/json"),
        ("User-Agent", "me/1"),
        ("X-Job", "{{ jobname }}"),
        ("X-Empty", ""),
        ("X_Odd.name!", "a ~"),
        ("X-Long", "a" * 4000),
    ],
)
def test_good_headers(name: str, value: str) -> None:
    assert headers.error_in(name, value) is None


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "HOST",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Accept-Encoding",
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
        "traceparent",
        "Scheduler-Run",
        "",
        "X Y",
        "X:",
        "X\r\nY",
        "X\0",
        "Ünicode",
        "X(y)",
        "X" * 201,
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert headers.error_in(name, "x") is not None


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nHost: evil",
        "a\nb",
        "a\rb",
        "a\0b",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "€",
        "Grüße",
        "a\u2028b",
        " a",
        "a ",
        "a" * 4001,
        "{{ oops }}",
    ],
)
def test_values_that_are_refused(value: str) -> None:
    assert headers.error_in("X-Job", value) is not None


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_passes_is_one_line(name: str, value: str) -> None:
    if headers.error_in(name, value) is None:
        assert name.isascii()
        assert f"{name}: {value}\r\n".encode("ascii").splitlines() == [f"{name}: {value}".encode("ascii")]
