"""Which headers a target may bring along."""

import re
from functools import lru_cache

from scheduler_api.targets import templates

MAX_NAME = 200
MAX_VALUE = 4000

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Headers have no charset that they could declare: RFC 9110 leaves them ASCII.
_VALUE = re.compile(r"[\x20-\x7e]*")

#: By which the service knows its own requests, should they come back to it.
INSTALLATION = "scheduler-installation"
#: They describe the message or the connection, which only the sender knows.
_FRAMING = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: The service says these itself, and receivers trust them.
_OURS = frozenset(
    {
        INSTALLATION,
        "scheduler-run",
        "traceparent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    },
)


#: What the names of headers that let somebody in have in them.
_SECRET = re.compile(
    r"auth(?!or(?!iz))|cookie|token|secret|passw|api[-_.]?key|credential|signature|session|subscription"
    r"|(?<!idempotency)[-_]key$",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether the value of such a header is likely to let whoever reads it in."""
    return _SECRET.search(name) is not None


def as_word(name: str) -> str:
    """A header's name as part of the name of a secret."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "header"


def error_in(name: str, value: str) -> str | None:
    """What is wrong with a header, as a sentence that tells what to do; None: nothing.

    The value may hold placeholders.
    """
    if len(name) > MAX_NAME or _TOKEN.fullmatch(name) is None:
        return "Give a header name of letters, digits and hyphens."
    lower = name.lower()
    if lower in _FRAMING or lower.startswith("proxy-"):
        return f"Leave the header {name} out: it belongs to the connection."
    if lower in _OURS:
        return f"Leave the header {name} out: the service sets it."
    return _error_of_value(name, value) or templates.error_in(value)


def _error_of_value(name: str, value: str) -> str | None:
    if len(value) > MAX_VALUE:
        return f"Shorten the value of the header {name} to {MAX_VALUE} characters."
    if _VALUE.fullmatch(value) is None:
        return (
            f"Remove line breaks and characters outside of ASCII from the value of the header {name}."
            " Receivers read them differently; percent-encode them, or send them in the body."
        )
    if value != value.strip(" "):
        return f"Remove the spaces around the value of the header {name}."
    return None
