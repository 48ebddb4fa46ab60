"""Taking out of an answer what a call was sent with: targets that echo requests must not publish secrets."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote, quote_plus

from scheduler_api.targets.headers import is_secret

#: What stands in its place.
SCRUBBED = "•••"
#: Shorter ones are words that may stand there by chance.
SHORTEST = 6


def secrets_in(headers: Mapping[str, str], further: Iterable[str] = ()) -> list[str]:
    """What of a call's headers lets somebody in, and what it is made of, with what `further` is secret."""
    found: set[str] = set()
    for value in further:
        found |= {value, *_parts(value)}
    for name, value in headers.items():
        if name == "scheduler-run":
            # The address at which the target reports ends with a token.
            found |= {value, value.rpartition("/")[2]}
        elif is_secret(name) and name != "webhook-signature":
            found |= {value, *_parts(value)}
    return [secret for secret in found if len(secret) >= SHORTEST]


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: How an echo may spell it: as JSON (PHP's and Go's have further escapes), in an address, as HTML. All but
#: the last one keep letters and digits as they are.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    _json,
    lambda text: _json(text).replace("/", "\\/"),
    lambda text: "".join(f"\\u{ord(one):04x}" if one in "<>&" else one for one in _json(text)),
    lambda text: quote(text, safe=""),
    lambda text: re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe="")),
    quote_plus,
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    _base64,
)
_LETTERS = re.compile("[A-Za-z0-9]+")


def scrubbed(text: str, secrets: Sequence[str], *, is_cut: bool = False) -> str:
    """The text without them, however they are spelled.

    Of one that was cut, without the beginning of one at its end, too.
    """
    # To spell one takes longer than to see that it is not there, as in most answers none is.
    there = [secret for secret in secrets if is_cut or _may_be_in(text, secret)]
    spelled = sorted({*there, *(spell(one) for one in there for spell in SPELLINGS)}, key=len, reverse=True)
    for secret in spelled:
        text = text.replace(secret, SCRUBBED)
    for secret in spelled if is_cut else ():
        for length in range(len(secret) - 1, SHORTEST - 1, -1):
            text = text.removesuffix(secret[:length])
    return text


def _may_be_in(text: str, secret: str) -> bool:
    # However it is spelled, it gets no shorter.
    if len(text) < len(secret):
        return False
    letters = max(_LETTERS.findall(secret), key=len, default="")
    return letters in text or _base64(secret) in text


def _parts(value: str) -> list[str]:
    """Of `Bearer …` and `Basic …` what comes after that; of the latter the password, too."""
    scheme, _, rest = value.partition(" ")
    if not rest:
        return []
    if scheme.lower() != "basic":
        return [rest]
    try:
        password = base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return [rest]
    return [rest, password]
