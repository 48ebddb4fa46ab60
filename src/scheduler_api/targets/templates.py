"""Placeholders such as `{{ jobid }}` in a target's URL, headers and body: names only, nothing executable.

`in_url` and the like read a text once, and give back what fills it in for one delivery after another.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

#: What a placeholder may name.
NAMES = (
    "jobid",
    "jobname",
    "logid",
    "scheduledfor",
    "attempt",
    "runs",
    "deliveryid",
    "parentlogid",
    "timezone",
)
#: How an instant may be written: RFC 3339 by default; in the zone of the job instead of UTC with `local`.
FORMATS = ("rfc3339", "date", "unix", "local", "rfc3339:local", "date:local")
_KNOWN = (*NAMES, *(f"scheduledfor:{form}" for form in FORMATS))
#: What a placeholder may name in what a channel is sent.
ALERT_NAMES = ("title", "text", "url", "event", "alerts", "messageid")

Values = Mapping[str, str | int | datetime | None]
"""What the names stand for in one delivery; None, or no entry, renders as nothing."""
T = TypeVar("T")
Fill = Callable[[Values], T]
"""What a text comes to with these values."""

#: Two braces, and the rest of the placeholder if they open one.
_OPENING = re.compile(r"\{\{(?:[ \t]{0,20}([A-Za-z0-9_.:-]{1,40})[ \t]{0,20}\}\})?")
_PLACEHOLDER = re.compile(rf"\{{\{{[ \t]{{0,20}}({'|'.join((*_KNOWN, *ALERT_NAMES))})[ \t]{{0,20}}\}}\}}")
_UNPRINTABLE = re.compile(r"[^ -~]")
#: Nothing else has it in it, as nobody else knows it: it never leaves the process.
_MARK = token_hex(16)
_MARKED = re.compile(f'"{_MARK}=([^=]*)="|{_MARK}~([^~]*)~'.encode())


def error_in(text: str, names: Sequence[str] = NAMES) -> str | None:
    """What is wrong with the placeholders of `text`, as a sentence; None: nothing."""
    known = _KNOWN if names is NAMES else names
    for opening in _OPENING.finditer(text):
        name = opening[1]
        if name is None:
            return "Two opening braces must begin a placeholder such as {{ jobid }}."
        if name.startswith("scheduledfor:") and "scheduledfor" in known and name not in known:
            return f"There is no {name}; scheduledfor takes {', '.join(f':{form}' for form in FORMATS)}."
        if name not in known:
            return f"There is no placeholder {name}; there are {', '.join(names)}."
    return None


def error_within(value: Any, names: Sequence[str] = NAMES) -> str | None:
    """The first error in any string of a JSON value; keys are no templates."""
    if isinstance(value, str):
        return error_in(value, names)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return None
    errors = (error_within(item, names) for item in value)
    return next((error for error in errors if error is not None), None)


def without(text: str) -> str:
    """The text with a harmless character in place of each placeholder, to be judged as it will be."""
    return _PLACEHOLDER.sub("0", text)


def has_text(text: str) -> bool:
    """Whether there is more to the text than placeholders."""
    return bool(_PLACEHOLDER.sub("", text).strip())


def in_url(text: str) -> Fill[str]:
    """Of a URL: every value is percent-encoded, so that none can change the structure around it."""
    return in_text(text, lambda value: quote(value, safe="", errors="replace"))


def in_header(text: str) -> Fill[str]:
    """Of a header's value; what a header cannot carry of the values is percent-encoded as UTF-8."""

    def encoded(character: re.Match[str]) -> str:
        return quote(character[0], safe="", errors="replace")

    return in_text(text, lambda value: _UNPRINTABLE.sub(encoded, value))


def in_text(text: str, escaped: Callable[[str], str] = str) -> Fill[str]:
    """Of a text, with the values as they are, or escaped."""
    first, *rest = _PLACEHOLDER.split(text)
    if not rest:
        return lambda _: text
    pieces = [(_text(name), constant) for name, constant in zip(rest[::2], rest[1::2], strict=True)]
    return lambda values: first + "".join([escaped(said(values)) + constant for said, constant in pieces])


def in_json(value: Any, dumps: Callable[[Any], bytes]) -> Fill[bytes]:
    """Of a JSON value, filled in as by `fill_json`; `dumps` writes a value as JSON."""
    # All of it is written once, with marks instead of values.
    document = dumps(_filled(value, lambda name: f"{_MARK}={name}=", lambda name: f"{_MARK}~{name}~"))
    first, *rest = _MARKED.split(document)
    if not rest:
        return lambda _: document
    pieces = [
        (_dumped(whole, dumps) if whole else _dumped_inside(part, dumps), constant)
        for whole, part, constant in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    ]
    return lambda values: first + b"".join([dumped(values) + constant for dumped, constant in pieces])


def fill_json(value: Any, values: Values) -> Any:
    """The JSON value with all its strings filled in, but not its keys.

    A string that is nothing but one placeholder becomes the value itself: a number stays a number,
    and nothing becomes null.
    """
    return _filled(value, lambda name: _value(name)(values), lambda name: _text(name)(values))


def _filled(value: Any, whole: Callable[[str], Any], part: Callable[[str], str]) -> Any:
    """The JSON value with something for each placeholder, be it a whole string or part of one."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        lone = _PLACEHOLDER.fullmatch(value)
        return whole(lone[1]) if lone else _PLACEHOLDER.sub(lambda found: part(found[1]), value)
    if isinstance(value, dict):
        return {key: _filled(item, whole, part) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, whole, part) for item in value]
    return value


def _dumped(name: bytes, dumps: Callable[[Any], bytes]) -> Fill[bytes]:
    value = _value(name.decode())
    return lambda values: dumps(value(values))


def _dumped_inside(name: bytes, dumps: Callable[[Any], bytes]) -> Fill[bytes]:
    text = _text(name.decode())
    return lambda values: dumps(text(values))[1:-1]


def _text(placeholder: str) -> Fill[str]:
    value = _value(placeholder)

    def said(values: Values) -> str:
        found = value(values)
        return "" if found is None else str(found)

    return said


def _value(placeholder: str) -> Fill[str | int | None]:
    name, *form = placeholder.split(":")

    def value(values: Values) -> str | int | None:
        found = values.get(name)
        return _written(found, form, values) if isinstance(found, datetime) else found

    return value


def _written(instant: datetime, form: Sequence[str], values: Values) -> str | int:
    if "unix" in form:
        return int(instant.timestamp())
    if "local" in form:
        instant = instant.astimezone(ZoneInfo(str(values["timezone"])))
    return instant.date().isoformat() if "date" in form else instant.isoformat().replace("+00:00", "Z")
