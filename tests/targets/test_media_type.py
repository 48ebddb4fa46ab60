"""Media types."""

import pytest

from scheduler_api.targets import media_type


@pytest.mark.parametrize("charset", sorted(media_type.CHARSETS))
def test_each_charset_is_one_of_pythons(charset: str) -> None:
    assert "abc".encode(charset).decode(charset) == "abc"


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/plain", False),
        ("application/jsonx", False),
        ("", False),
    ],
)
def test_json_by_any_name(text: str, is_json: bool) -> None:
    assert media_type.parsed(text).is_json is is_json


def test_the_header_by_any_case() -> None:
    found = media_type.of({"X": "y", "content-TYPE": "text/plain; charset=latin1"})
    assert found == ("text/plain", "iso-8859-1", None)
    assert media_type.of({}) == ("", "utf-8", None)
    assert media_type.parsed("text/plain; charset=rot13").unknown == "rot13"
