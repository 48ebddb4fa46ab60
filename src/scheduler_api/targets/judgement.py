"""What an answer means for the run that asked for it."""

import re
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple


class Failure(StrEnum):
    """Why an attempt failed."""

    CONNECT = "connect"
    """No connection, or it broke before there was an answer."""
    DNS = "dns"
    """The host's name could not be looked up."""
    TIMEOUT = "timeout"
    """The whole answer took longer than the target allows."""
    TLS = "tls"
    """No encrypted connection, such as for a certificate that is not accepted."""
    PROTOCOL = "protocol"
    """What came back is no valid HTTP."""
    BLOCKED = "blocked"
    """The target is one that the service does not call."""
    REDIRECT = "redirect"
    """The target pointed elsewhere."""
    STATUS = "status"
    """The status is none that means success."""
    PATTERN = "pattern"
    """The status means success, but the body does not contain what it must."""
    GONE = "gone"
    """The target says that it is gone for good (410)."""
    LOST = "lost"
    """The process that made the call ended before it could say how it went."""
    SILENT = "silent"
    """The target accepted the run, and never reported."""
    CANCELLED = "cancelled"
    """Somebody called it off."""
    REPORTED = "reported"
    """The target itself reported a failure."""
    BUSY = "busy"
    """The service itself had no room to make the call in time."""
    TEMPLATE = "template"
    """The request could not be put together."""


#: Those that say that the host is down, rather than that it did not like this request.
HOST_FAILURES = frozenset({Failure.CONNECT, Failure.DNS, Failure.TIMEOUT, Failure.TLS})


class Answer(NamedTuple):
    """What came back from one call."""

    status: int | None
    """None: no answer, or not even its head."""
    failure: Failure | None
    """What went wrong on the way; None: the answer is complete, whatever it says."""
    error: str | None
    """The same as a sentence for people."""
    retryafter: str | None
    """The header of this name, as it came."""
    excerpt: str | None
    """The beginning of the body, fit to be stored."""
    truncated: bool
    """Whether the body went on after the excerpt."""
    timing: dict[str, float]
    """Milliseconds spent on `dns`, `connect` and `tls`, then until the head of the answer (`firstbyte`),
    and on the whole (`total`). What did not happen, or cannot be told, is left out."""
    body: str = ""
    """As much of the body as is looked at."""


class Rules(NamedTuple):
    """What a target regards as success, and what as worth another attempt."""

    success: Sequence[str]
    pattern: str | None
    retryon: Sequence[str]


class Judgement(NamedTuple):
    """What to make of an answer."""

    failure: Failure | None
    error: str | None
    again: bool
    """Whether another attempt can do better."""
    accepted: bool
    """The target has only taken the run on (202), and will report how it ended."""


_SET = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def is_status_set(text: str) -> bool:
    """Whether `text` names statuses: one ("404"), a class ("2xx") or a range ("200-204")."""
    return _bounds(text) is not None


def matches(status: int, sets: Sequence[str]) -> bool:
    """Whether any of the sets holds the status."""
    return any((bounds := _bounds(text)) is not None and bounds[0] <= status <= bounds[1] for text in sets)


def _bounds(text: str) -> tuple[int, int] | None:
    parts = _SET.fullmatch(text)
    if parts is None:
        return None
    if parts[1]:
        return int(parts[1]) * 100, int(parts[1]) * 100 + 99
    low = int(parts[2])
    high = int(parts[3] or low)
    return (low, high) if low <= high else None


def contains(body: str, pattern: str) -> bool:
    """Whether the pattern occurs in `body`; it is literal, but for `*`, which stands for anything.

    No regular expression: those of strangers can take for ever.
    """
    position = 0
    for part in pattern.split("*"):
        found = body.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def judge(answer: Answer, rules: Rules) -> Judgement:
    """Decide whether the answer is a success, and if not, whether to try again."""
    if answer.failure is not None:
        return _failed(answer.failure, answer.error, again=answer.failure is not Failure.BLOCKED)
    status = answer.status
    assert status is not None
    if not matches(status, rules.success):
        return _judge_status(status, rules.retryon)
    if rules.pattern is not None and not contains(answer.body, rules.pattern):
        error = f"The target answered {_name(status)}, but the answer does not contain the pattern."
        return _failed(Failure.PATTERN, error, again=True)
    return Judgement(None, None, again=False, accepted=status == HTTPStatus.ACCEPTED)


def _judge_status(status: int, retryon: Sequence[str]) -> Judgement:
    said = f"The target answered {_name(status)}"
    if status in REDIRECTS:
        return _failed(Failure.REDIRECT, f"{said}; redirects are not followed.", again=False)
    if status == HTTPStatus.GONE:
        return _failed(Failure.GONE, f"{said}.", again=False)
    return _failed(Failure.STATUS, f"{said}.", again=matches(status, retryon))


def _failed(failure: Failure, error: str | None, *, again: bool) -> Judgement:
    return Judgement(failure, error, again, accepted=False)


#: Those that say where to look instead (RFC 9110, section 15.4); 304 says that nothing has changed.
REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})
#: As RFC 9110 has them. Versions of Python differ in these four.
PHRASES = {int(status): status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def _name(status: int) -> str:
    return f"{status} {PHRASES.get(status, '')}".rstrip()
