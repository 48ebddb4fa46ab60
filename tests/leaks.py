"""Secrets that tests make, looked for in all that is logged meanwhile."""

import re
import secrets
from collections.abc import Iterable

#: What is known by its form: API keys, secrets that sign, addresses at which targets report, links.
FORMS = re.compile(
    r"sch_[0-9A-Za-z]{36}|whsec_[A-Za-z0-9+/]{40,}|/runs/\d+/[0-9a-f-]{32,36}|/sign-in/(?!oidc)[\w-]{40,}"
)
#: What tests have for passwords and for credentials of targets.
KNOWN = {
    "correct horse battery",
    "sesame-open-up",
    "sesame-too",
    "Bearer-e5a1c0",
    "TOPSECRET",
    "s3cret of the client",
}
#: Tokens that were made at random since.
MADE: set[str] = set()
#: More are not remembered: those of the test that runs are among the newest.
MAX_MADE = 10_000

_token_urlsafe = secrets.token_urlsafe


def _remembered(nbytes: int | None = None) -> str:
    made = _token_urlsafe(nbytes)
    if len(MADE) >= MAX_MADE:
        MADE.clear()
    MADE.add(made)
    return made


def watch() -> None:
    """Remember each token that is made from now on."""
    secrets.token_urlsafe = _remembered


def found_in(texts: Iterable[str]) -> list[str]:
    """The secrets that stand in any of the texts."""
    found = set[str]()
    for text in texts:
        found.update(FORMS.findall(text))
        found.update(known for known in KNOWN if known in text)
        found.update(word for word in re.findall(r"[\w-]{20,}", text) if word in MADE)
    return sorted(found)
