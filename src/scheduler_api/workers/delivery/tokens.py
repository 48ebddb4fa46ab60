"""Tokens of OAuth 2.0: fetched with a client's credentials, and kept until shortly before they expire.

They are kept in this process alone: a replica that starts fetches its own.
"""

import asyncio
import base64
import json
import re
from collections import OrderedDict
from hashlib import sha256
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode

from scheduler_api.errors import TokenUnavailable
from scheduler_api.targets.headers import INSTALLATION
from scheduler_api.targets.scrubbing import scrubbed, secrets_in
from scheduler_api.workers.delivery.client import Call, Client

#: Tokens that are kept.
MAX_KEPT = 1000
#: Seconds that the provider has to answer.
PATIENCE = 20.0
#: Seconds for which a token is kept that does not say so, and the most for any; and how long before its
#: end it counts as expired: clocks differ, and calls take a while.
UNSAID, LONGEST, MARGIN = 300.0, 86_400.0, 30.0
#: Seconds for which a provider that gave none is not asked again: many calls may be waiting.
FAILED_SECONDS = 2.0

_TOKEN = re.compile(r"[\x21-\x7e]{1,4000}", re.ASCII)
_ERROR = re.compile(r"[a-z_]{1,60}", re.ASCII)


class Credentials(NamedTuple):
    """Who asks for a token, where, and what for."""

    tokenurl: str
    clientid: str
    clientsecret: str
    scope: str


class Token(NamedTuple):
    """A token, and what it was fetched with."""

    text: str
    credentials: Credentials
    is_fresh: bool
    """Whether it was fetched for this very call."""


class _Kept:
    """What is known of one client's token."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.text: str | None = None
        self.until = 0.0
        self.failure: TokenUnavailable | None = None


class Tokens:
    """Fetches tokens through the client for targets, which calls what the guard allows, and keeps them."""

    def __init__(self, client: Client, installation: str) -> None:
        self._client, self._installation = client, installation
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def token(self, credentials: Credentials) -> Token:
        """The token to send. Raises TokenUnavailable, OutOfDescriptors."""
        key = _key(credentials)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        # Who waits gets what the one before has fetched.
        async with kept.turn:
            if monotonic() < kept.until:
                if kept.failure is not None:
                    raise kept.failure
                if kept.text is not None:
                    return Token(kept.text, credentials, is_fresh=False)
            try:
                kept.text, seconds = await self._fetch(credentials)
            except TokenUnavailable as error:
                kept.failure, kept.until = error, monotonic() + FAILED_SECONDS
                raise
            kept.failure, kept.until = None, monotonic() + seconds
            return Token(kept.text, credentials, is_fresh=True)

    def forget(self, token: Token) -> None:
        """The target does not take this token any more."""
        kept = self._kept.get(_key(token.credentials))
        if kept is not None and kept.text == token.text:
            kept.text = None

    async def _fetch(self, credentials: Credentials) -> tuple[str, float]:
        """A new token, and for how many seconds to keep it."""
        form = {"grant_type": "client_credentials"} | (
            {"scope": credentials.scope} if credentials.scope else {}
        )
        # Each part is encoded by itself (RFC 6749, section 2.3.1).
        pair = f"{quote_plus(credentials.clientid)}:{quote_plus(credentials.clientsecret)}"
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            INSTALLATION: self._installation,
        }
        call = Call("POST", credentials.tokenurl, headers, urlencode(form).encode(), PATIENCE)
        answer = await self._client.call(call)
        if answer.failure is not None:
            # A provider that speaks no HTTP is quoted, and may repeat what it was asked with.
            secrets = secrets_in(headers, [credentials.clientsecret])
            raise TokenUnavailable(scrubbed(f"No access token: {answer.error}", secrets, is_cut=True))
        document = _object(answer.body)
        if answer.status != 200:  # noqa: PLR2004 - OK
            error = document.get("error")
            spelled = f": {error}" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
            raise TokenUnavailable(f"No access token: the token URL answered {answer.status}{spelled}.")
        text, kind = document.get("access_token"), document.get("token_type")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise TokenUnavailable("No access token: the answer of the token URL holds none.")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise TokenUnavailable("No access token: the token URL gave one of another type than Bearer.")
        return text, _seconds(document.get("expires_in"))


def _key(credentials: Credentials) -> bytes:
    return sha256(repr(credentials).encode()).digest()


def _object(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body or "")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(given: object) -> float:
    # Some providers write the number as text.
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 12:  # noqa: PLR2004 - a number
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        return UNSAID
    seconds = LONGEST if given > LONGEST else float(given)
    return max(seconds - MARGIN, seconds / 2)
