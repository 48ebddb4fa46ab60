"""Media types: what a body is, and in which characters it is written."""

from collections.abc import Mapping
from email.message import Message
from functools import lru_cache
from typing import NamedTuple

#: Those that others still write in, by the names of the IANA. Python knows more, and some are slow.
CHARSETS = frozenset(
    {
        *("us-ascii", "utf-8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"),
        *(f"iso-8859-{part}" for part in range(1, 17) if part != 12),  # noqa: PLR2004 - there is none
        *(f"windows-125{part}" for part in range(9)),
        *("koi8-r", "koi8-u", "macintosh", "shift_jis", "euc-jp", "iso-2022-jp", "euc-kr"),
        *("gb2312", "gbk", "gb18030", "big5"),
    }
)


class MediaType(NamedTuple):
    """What a Content-Type says."""

    name: str
    """Such as `text/plain`; empty if there is none."""
    charset: str
    """One of CHARSETS; UTF-8 unless it is given."""
    unknown: str | None = None
    """The charset that is given, if it is not one of these."""

    @property
    def is_json(self) -> bool:
        """Whether it is JSON, by any name (RFC 6839)."""
        return self.name == "application/json" or self.name.endswith("+json")


def of(headers: Mapping[str, str]) -> MediaType:
    """The media type that headers declare."""
    return parsed(next((text for name, text in headers.items() if name.lower() == "content-type"), ""))


@lru_cache(maxsize=256)
def parsed(text: str) -> MediaType:
    """The media type of a header's value."""
    message = Message()
    message["Content-Type"] = text
    given = message.get_param("charset")
    charset = given.lower() if isinstance(given, str) else "utf-8"
    name = text.partition(";")[0].strip().lower()
    if charset in {"utf8", "latin1", "latin-1", "ascii"}:
        charset = {"utf8": "utf-8", "ascii": "us-ascii"}.get(charset, "iso-8859-1")
    return MediaType(name, charset) if charset in CHARSETS else MediaType(name, "utf-8", charset)
