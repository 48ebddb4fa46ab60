"""The identity provider that users sign in with, by OpenID Connect: where it sends them, whom it vouches for.

It is asked through the same client as targets. The operator names the hosts that may be asked, which may be
private; what the provider's documents name is asked only where it is one of them. No redirect is followed.
"""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode

from joserfc.jwk import KeySet

from scheduler_api import idtokens
from scheduler_api.contracts.access.users import USER_NAME
from scheduler_api.errors import ProviderUnavailable, ServiceBusy, SignInRefused
from scheduler_api.idtokens import Claims, Expected, UnknownKey, claim
from scheduler_api.targets import Guard, urls
from scheduler_api.targets.addresses import ANYWHERE
from scheduler_api.tokens import challenge_of, derived
from scheduler_api.workers.delivery.client import Call, Client

#: Seconds for one question to the provider.
PATIENCE = 10.0
#: Seconds for which its documents are remembered.
KNOWN_SECONDS = 3600.0
#: And for which it is remembered that it did not give them.
FAILED_SECONDS = 3.0
#: So many may be signing in at once: each may take as long as the provider does.
AT_ONCE = 20

_ERROR = re.compile(r"[a-z_]{1,50}", re.ASCII)
_TOKEN = re.compile(r"[\w.~+/=-]{1,8000}", re.ASCII)
_FORM = "application/x-www-form-urlencoded"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderOptions(NamedTuple):
    """What the operator says of the provider."""

    issuer: str
    clientid: str
    secret: str | None
    scopes: tuple[str, ...]
    nameclaim: str
    groupsclaim: str
    hosts: tuple[str, ...]
    returnurl: str
    """Where it sends browsers back to."""


class SignInAttempt(NamedTuple):
    """One try to sign in: it belongs to the browser that began it, and to none of its other tries."""

    state: str
    """What the address shows, there and back."""
    browser: str
    """What only the browser has."""

    @property
    def verifier(self) -> str:
        """What the code is of use with alone (RFC 7636)."""
        return derived("verifier", self.state, self.browser)

    @property
    def nonce(self) -> str:
        """What the token must repeat."""
        return derived("nonce", self.state, self.browser)


class Identity(NamedTuple):
    """Whom the provider has signed in."""

    issuer: str
    subject: str
    """Who it is, for ever; the name may change."""
    name: str
    groups: frozenset[str]


class _Provider(NamedTuple):
    """What the provider says of itself."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    by_post: bool
    """Whether the client's secret must be sent in the body."""
    names_itself: bool
    """Whether it says who it is when it sends a browser back (RFC 9207)."""


class IdentityProvider:
    """Asks the provider."""

    def __init__(self, options: ProviderOptions, clock: Callable[[], Awaitable[datetime]]) -> None:
        """`clock` decides whether a token has expired."""
        self._options = options
        self._clock = clock
        self._client = Client(Guard(ANYWHERE, loopback=True), idle=2)
        self._hosts = {urls.host_of(options.issuer), *(host.lower() for host in options.hosts)}
        self._scheme = options.issuer.partition(":")[0]
        self._provider: tuple[float, _Provider] | None = None
        self._keys: tuple[float, KeySet] | None = None
        # Documents are asked for by one for all who wait; that there is no answer is remembered, too.
        self._turn = asyncio.Lock()
        self._failure: tuple[float, ProviderUnavailable] | None = None
        self._busy = 0

    async def open(self) -> None:
        """Get ready."""
        await self._client.open()

    async def close(self) -> None:
        """Drop all connections."""
        await self._client.close()

    async def address(self, attempt: SignInAttempt) -> str:
        """Where the browser signs in. Raises ProviderUnavailable, SignInRefused."""
        provider = await self._known_provider()
        question = urlencode(
            {
                "response_type": "code",
                "client_id": self._options.clientid,
                "redirect_uri": self._options.returnurl,
                "scope": " ".join(self._options.scopes),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": challenge_of(attempt.verifier),
                "code_challenge_method": "S256",
            }
        )
        return f"{provider.authorization}{'&' if '?' in provider.authorization else '?'}{question}"

    async def identify(self, attempt: SignInAttempt, returned: Mapping[str, str]) -> Identity:
        """Whom the provider vouches for, by what it sent the browser back with.

        Raises SignInRefused, ProviderUnavailable, and ServiceBusy.
        """
        if self._busy >= AT_ONCE:
            raise ServiceBusy("Too many are signing in at once; try again in a moment.")
        self._busy += 1
        try:
            provider = await self._known_provider()
            answer = await self._exchange(provider, attempt, self._code(provider, returned))
            claims = await self._verified(provider, answer.get("id_token"), attempt.nonce)
            return self._identity(await self._completed(provider, claims, answer.get("access_token")))
        finally:
            self._busy -= 1

    def _code(self, provider: _Provider, returned: Mapping[str, str]) -> str:
        issuer = returned.get("iss")
        # Else the answer of one provider could be taken for that of another (RFC 9207).
        if issuer != self._options.issuer and (issuer is not None or provider.names_itself):
            raise SignInRefused("The answer comes from another provider.")
        if "error" in returned:
            raise SignInRefused(f"The provider refused the sign-in{_spelled(returned['error'])}.")
        code = returned.get("code", "")
        if not 0 < len(code) <= idtokens.MAX_TOKEN:
            raise SignInRefused("The provider sent no code.")
        return code

    async def _exchange(self, provider: _Provider, attempt: SignInAttempt, code: str) -> Mapping[str, Any]:
        options = self._options
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": options.returnurl,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        if options.secret is None or provider.by_post:
            form["client_id"] = options.clientid
        if options.secret is not None and provider.by_post:
            form["client_secret"] = options.secret
        elif options.secret is not None:
            # Each part is encoded by itself (RFC 6749, section 2.3.1).
            pair = f"{quote_plus(options.clientid)}:{quote_plus(options.secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        body = urlencode(form).encode()
        status, answer = await self._ask(Call("POST", provider.token, headers, body, PATIENCE))
        if status != 200:  # noqa: PLR2004 - OK
            raise SignInRefused(f"The provider did not accept the code{_spelled(answer.get('error'))}.")
        return answer

    async def _verified(self, provider: _Provider, token: object, nonce: str) -> Claims:
        options = self._options
        expected = Expected(options.issuer, options.clientid, nonce, await self._clock())
        try:
            return idtokens.verified(token, await self._known_keys(provider), expected)
        except UnknownKey:
            # Providers take new keys from time to time.
            self._keys = None
        try:
            return idtokens.verified(token, await self._known_keys(provider), expected)
        except UnknownKey:
            raise SignInRefused("The ID token is signed by a key that the provider does not name.") from None

    async def _completed(self, provider: _Provider, claims: Claims, access: object) -> Claims:
        """The claims, with those that the provider tells of only when it is asked for them."""
        wanted = (self._options.nameclaim, self._options.groupsclaim)
        is_whole = all(claim(claims, name) is not None for name in wanted)
        if is_whole or provider.userinfo is None or not isinstance(access, str) or not _is_token(access):
            return claims
        headers = {"Authorization": f"Bearer {access}", "Accept": "application/json"}
        status, told = await self._ask(Call("GET", provider.userinfo, headers, None, PATIENCE))
        if status != 200 or told.get("sub") != claims["sub"]:  # noqa: PLR2004 - OK
            raise SignInRefused("What the provider tells of the user is of no use.")
        return {**told, **claims}

    def _identity(self, claims: Claims) -> Identity:
        options = self._options
        name = claim(claims, options.nameclaim)
        # Other letters may become one of these in lower case.
        name = name.lower() if isinstance(name, str) and name.isascii() else ""
        if not USER_NAME.fullmatch(name):
            raise SignInRefused(f"The claim `{options.nameclaim}` holds no name of a user.")
        if options.nameclaim == "email" and claims.get("email_verified") not in (True, "true"):
            raise SignInRefused("The provider has not verified the e-mail address.")
        groups = claim(claims, options.groupsclaim)
        groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Identity(
            options.issuer, claims["sub"], name, frozenset(one for one in groups if isinstance(one, str))
        )

    async def _known_provider(self) -> _Provider:
        async with self._turn:
            if self._provider is None or self._provider[0] < monotonic():
                address = f"{self._options.issuer.rstrip('/')}/.well-known/openid-configuration"
                self._provider = monotonic() + KNOWN_SECONDS, self._described(await self._document(address))
            return self._provider[1]

    async def _known_keys(self, provider: _Provider) -> KeySet:
        async with self._turn:
            if self._keys is None or self._keys[0] < monotonic():
                found = idtokens.keys_in(await self._document(provider.keys))
                self._keys = monotonic() + KNOWN_SECONDS, found
            return self._keys[1]

    def _described(self, document: Mapping[str, Any]) -> _Provider:
        if document.get("issuer") != self._options.issuer:
            raise SignInRefused("The provider says that it is another issuer.")
        authorization, token, keys = (self._place(name, document.get(name)) for name in _ENDPOINTS)
        userinfo, methods = (
            document.get("userinfo_endpoint"),
            document.get("token_endpoint_auth_methods_supported"),
        )
        return _Provider(
            authorization,
            token,
            keys,
            None if userinfo is None else self._place("userinfo_endpoint", userinfo),
            isinstance(methods, list)
            and "client_secret_basic" not in methods
            and "client_secret_post" in methods,
            document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _place(self, name: str, url: object) -> str:
        """An address that may be asked. Raises SignInRefused."""
        if not isinstance(url, str) or urls.error_in(url) is not None or "{{" in url or "#" in url:
            raise SignInRefused(f"The provider's `{name}` is no address.")
        if url.partition(":")[0].lower() != self._scheme:
            raise SignInRefused(f"The provider's `{name}` does not begin with {self._scheme}://.")
        host = urls.host_of(url)
        if host not in self._hosts:
            raise SignInRefused(f"SCHEDULER_OIDC_HOSTS does not list {host}, where `{name}` is.")
        return url

    async def _document(self, url: str) -> Mapping[str, Any]:
        if self._failure is not None and monotonic() < self._failure[0]:
            raise self._failure[1]
        try:
            status, document = await self._ask(
                Call("GET", url, {"Accept": "application/json"}, None, PATIENCE)
            )
            if status != 200:  # noqa: PLR2004 - OK
                raise ProviderUnavailable(f"The identity provider answered {status} at {url}.")
        except ProviderUnavailable as error:
            self._failure = monotonic() + FAILED_SECONDS, error
            raise
        return document

    async def _ask(self, call: Call) -> tuple[int, Mapping[str, Any]]:
        """The status and the JSON object that the provider answered with. Raises ProviderUnavailable."""
        answer = await self._client.call(call)
        if answer.failure is not None or answer.status is None:
            raise ProviderUnavailable(f"The identity provider cannot be asked: {answer.error}")
        try:
            document = json.loads(answer.body or "")
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ProviderUnavailable(
                f"The identity provider answered {answer.status} at {call.url}, without a JSON object."
            )
        return answer.status, document


def _spelled(error: object) -> str:
    """An error code of OAuth, for a sentence; nothing where it is none."""
    return f": {error}" if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _is_token(text: str) -> bool:
    """Whether it can be sent in a header."""
    return _TOKEN.fullmatch(text) is not None
