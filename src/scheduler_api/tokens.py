"""What programs and browsers show to say who they are: made at random, and kept as digests only."""

import base64
import hashlib
import secrets
import string
import zlib

#: Scanners for secrets know a key by what it begins with, and that it is one by what it ends with.
KEY_PREFIX = "sch_"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECKSUM = 30, 6
#: How much of a key lists show.
SHOWN = len(KEY_PREFIX) + 6


def new_key() -> str:
    """An API key: 30 random digits of base 62 (178 bits), and a checksum of them."""
    random = "".join(secrets.choice(DIGITS) for _ in range(RANDOM))
    return f"{KEY_PREFIX}{random}{_checksum(random)}"


def is_key(text: str) -> bool:
    """Whether it has the form of a key: hardly any guess does."""
    random = text[len(KEY_PREFIX) : -CHECKSUM]
    return (
        len(text) == len(KEY_PREFIX) + RANDOM + CHECKSUM
        and text.isascii()
        and text.startswith(KEY_PREFIX)
        and text.endswith(_checksum(random))
    )


def new_token() -> str:
    """What a session, or a link that works once, is known by: 256 random bits."""
    return secrets.token_urlsafe(32)


def derived(purpose: str, *tokens: str) -> str:
    """A token that follows from others, for one purpose; it tells nothing of them."""
    return challenge_of("\n".join((purpose, *tokens)))


def challenge_of(verifier: str) -> str:
    """What may be shown before the verifier is: its SHA-256 in URL-safe base64 (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(digest_of(verifier)).rstrip(b"=").decode()


def digest_of(token: str) -> bytes:
    """What is kept of it: of something random, nobody finds it by that."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _checksum(random: str) -> str:
    rest, found = zlib.crc32(random.encode(errors="replace")), ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, len(DIGITS))
        found = DIGITS[digit] + found
    return found
