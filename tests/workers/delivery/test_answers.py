"""Bodies of answers as text."""

import gzip
import zlib

import pytest

from scheduler_api.workers.delivery.answers import MAX_KEPT, MAX_READ, beginning, decoded

TEXT = "Grüße, schön!"


def raw_deflate(data: bytes) -> bytes:
    squeezed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezed.compress(data) + squeezed.flush()


@pytest.mark.parametrize(
    ("charset", "python"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("latin1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16-le"),
        ("x-klingon", "utf-8"),
    ],
)
def test_a_body_is_read_in_the_charset_that_it_declares(charset: str, python: str) -> None:
    assert decoded(TEXT.encode(python), f"text/plain; charset={charset}; x=y", "") == TEXT


def test_what_is_no_text_is_replaced() -> None:
    assert decoded(b"a\xffb", "text/plain", "") == "a\ufffdb"
    assert decoded(b"a\xffb", "text/plain; charset=us-ascii", "") == "a\ufffdb"


@pytest.mark.parametrize(
    ("encoding", "squeezed"),
    [
        ("gzip", gzip.compress(TEXT.encode())),
        ("X-GZIP", gzip.compress(TEXT.encode())),
        ("deflate", zlib.compress(TEXT.encode())),
        ("deflate", raw_deflate(TEXT.encode())),
        ("identity", TEXT.encode()),
        ("", TEXT.encode()),
    ],
    ids=["gzip", "x-gzip", "zlib", "deflate", "identity", "none"],
)
def test_a_body_is_unpacked(encoding: str, squeezed: bytes) -> None:
    assert decoded(squeezed, "text/plain", encoding) == TEXT


def test_a_bomb_is_unpacked_no_further_than_is_looked_at() -> None:
    bomb = gzip.compress(b"a" * 50_000_000)
    assert decoded(bomb, "text/plain", "gzip") == "a" * MAX_READ


def test_of_what_broke_off_the_beginning_is_read() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    whole = gzip.compress(text.encode())
    found = decoded(whole[: len(whole) // 2], "text/plain", "gzip")
    assert found
    assert text.startswith(found)


def test_what_says_that_it_is_packed_and_is_not_is_taken_as_it_is() -> None:
    assert decoded(b"plain", "text/plain", "gzip") == "plain"


def test_a_cut_goes_through_no_character() -> None:
    text = "ä" * MAX_READ
    assert decoded(text.encode(), "text/plain", "") == "ä" * (MAX_READ // 2)
    assert beginning("€" * MAX_KEPT) == ("€" * (MAX_KEPT // 3), True)
    assert beginning("a" * MAX_KEPT) == ("a" * MAX_KEPT, False)
    assert beginning("a" * (MAX_KEPT + 1)) == ("a" * MAX_KEPT, True)
    assert beginning("") == ("", False)
