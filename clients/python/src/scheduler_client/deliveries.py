"""Requests that the service sends: whether they come from it, and what they are.

Signatures are those of Standard Webhooks. Its own library takes UTF-8 alone; this takes any bytes.
"""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

#: How old a signature may be, and how far ahead its clock, in seconds.
TOLERANCE = 300
#: Bytes of a key, at least: what Standard Webhooks asks for.
MIN_KEY = 24


class NotFromService(Exception):
    """The request is not signed with the secret, or not within five minutes of now."""


class Delivery(NamedTuple):
    """A request of which it is known that the service sent it."""

    id: str
    """The same for all attempts of a run: who remembers it does the work once."""
    report: str | None
    """Where to report on the run, if this request is answered with 202."""


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> Delivery:
    """Verify a request by its headers and its body as it came, whatever that holds, an empty one too.

    Raises NotFromService, and ValueError for what is no secret.
    """
    key = _key(secret)
    lower = {name.lower(): value for name, value in headers.items()}
    id_, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE:
        raise NotFromService("The header webhook-timestamp is missing, too old, or too new.")
    digest = hmac.digest(key, _bytes(f"{id_}.{timestamp}.") + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    signatures = _bytes(lower.get("webhook-signature", "")).split(b" ")
    if not any(hmac.compare_digest(signature, expected) for signature in signatures):
        raise NotFromService("No signature is of this secret and this body.")
    return Delivery(id_, lower.get("scheduler-run"))


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    # Anybody can sign with an empty one.
    if len(key) < MIN_KEY:
        raise ValueError("A secret is whsec_ and base64, as the service has shown it once; this is none.")
    return key


def _bytes(text: str) -> bytes:
    """As it came: servers keep bytes that are no text in surrogates."""
    return text.encode("utf-8", "surrogateescape")
