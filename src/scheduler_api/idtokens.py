"""ID tokens of OpenID Connect: whom an identity provider says it has signed in, and whether it is true.

OpenID Connect Core 1.0, section 3.1.3.7. A token counts only if all of it holds.
"""

from collections.abc import Mapping
from datetime import datetime
from secrets import compare_digest
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from scheduler_api.errors import SignInRefused

#: Signatures by a key that only the provider has: none, and a secret that both have, are none of them.
ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
]
#: Characters of a token.
MAX_TOKEN = 32_768
MAX_SUBJECT = 255
#: Seconds by which a provider's clock may be ahead.
SKEW = 30

Claims = Mapping[str, Any]


class Expected(NamedTuple):
    """What a token must say."""

    issuer: str
    audience: str
    nonce: str
    now: datetime


class UnknownKey(Exception):
    """The token is signed by a key that is not among those known."""


def keys_in(document: object) -> KeySet:
    """The keys of a provider's JWKS document. Raises SignInRefused."""
    try:
        # Whatever stands in the document, it is no fault of this service.
        return KeySet.import_key_set(document)  # type: ignore[arg-type]  # what it should be is seen here
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignInRefused("The provider's keys cannot be understood.") from error


def verified(token: object, keys: KeySet, expected: Expected) -> Claims:
    """The claims of a token that is what was expected. Raises UnknownKey, and SignInRefused."""
    claims = _signed(token, keys)
    said = _flaw(claims, expected)
    if said is not None:
        raise SignInRefused(f"The ID token {said}.")
    return claims


def _signed(token: object, keys: KeySet) -> Claims:
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise SignInRefused("The provider sent no ID token that can be read.")
    try:
        return jwt.decode(token, keys, algorithms=ALGORITHMS).claims
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise SignInRefused("The ID token is not signed as it has to be.") from error


def _flaw(claims: Claims, expected: Expected) -> str | None:
    """What is not as expected; None: nothing."""
    audiences = claims.get("aud")
    audiences = audiences if isinstance(audiences, list) else [audiences]
    now = expected.now.timestamp()
    subject, nonce = claims.get("sub"), claims.get("nonce")
    is_shared = len(audiences) > 1 or "azp" in claims
    is_answer = isinstance(nonce, str) and compare_digest(nonce.encode(), expected.nonce.encode())
    is_name = isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and subject.isprintable()
    # Each says what must hold, so that NaN, which is neither earlier nor later, holds nothing.
    conditions = (
        (claims.get("iss") == expected.issuer, "is of another issuer"),
        (expected.audience in audiences, "is for another client"),
        (not is_shared or claims.get("azp") == expected.audience, "was issued to another client"),
        (_is_after(claims.get("exp"), now), "has expired, or does not say when it does"),
        (_is_begun(claims, "iat", now) and _is_begun(claims, "nbf", now), "is not valid yet"),
        (is_answer, "answers another request"),
        (is_name, "names no user"),
    )
    return next((flaw for holds, flaw in conditions if not holds), None)


def _is_after(value: Any, instant: float) -> bool:
    return _is_number(value) and bool(value > instant)


def _is_begun(claims: Claims, name: str, now: float) -> bool:
    return name not in claims or (_is_number(claims[name]) and bool(claims[name] <= now + SKEW))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def claim(claims: Claims, name: str) -> Any:
    """A claim by its name, or by a path through objects, such as `realm_access.roles`; None: none."""
    found: Any = claims.get(name)
    if found is None and "." in name:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found
