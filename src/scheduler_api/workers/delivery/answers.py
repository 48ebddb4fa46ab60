"""Bodies of answers as text: decompressed, in the charset that they declare, and never too much of it."""

import codecs
import zlib

from scheduler_api.targets import media_type

#: How much of a body is looked at, in bytes, as it comes and decompressed: a pattern is looked for in it.
MAX_READ = 64 * 1024
#: How much of a text is kept, in bytes of UTF-8.
MAX_KEPT = 4096


def decoded(data: bytes, content_type: str, content_encoding: str) -> str:
    """The text of a body that may have been cut off; what is no text is replaced, not refused."""
    plain = _inflated(data, content_encoding.strip().lower())
    decoder = codecs.getincrementaldecoder(media_type.parsed(content_type).charset)("replace")
    # A character that the cut goes through is left out, not replaced.
    return decoder.decode(plain[:MAX_READ], final=len(plain) <= MAX_READ)


def beginning(text: str) -> tuple[str, bool]:
    """As much of a text as is kept, and whether it goes on."""
    if len(text) * 4 <= MAX_KEPT:
        return text, False
    data = text[: MAX_KEPT + 1].encode("utf-8", "replace")
    if len(data) <= MAX_KEPT:
        return text, False
    return data[:MAX_KEPT].decode("utf-8", "ignore"), True


def _inflated(data: bytes, encoding: str) -> bytes:
    """The data decompressed, up to a byte more than is looked at; as it is where that cannot be done."""
    if encoding in {"gzip", "x-gzip", "deflate"}:
        # With a head of gzip or zlib; and as many servers send deflate, without one.
        for head in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
            try:
                return zlib.decompressobj(head).decompress(data, MAX_READ + 1)
            except zlib.error:
                continue
    return data
