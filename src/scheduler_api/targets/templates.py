"""Placeholders such as `{{ jobid }}` in a target's URL, headers and body: names only, nothing executable."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
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

#: Two braces, and the rest of the placeholder if they open one.
_OPENING = re.compile(r"\{\{(?:[ \t]{0,20}([A-Za-z0-9_.:-]{1,40})[ \t]{0,20}\}\})?")
_PLACEHOLDER = re.compile(rf"\{{\{{[ \t]{{0,20}}({'|'.join((*_KNOWN, *ALERT_NAMES))})[ \t]{{0,20}}\}}\}}")
_UNPRINTABLE = re.compile(r"[^ -~]")


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


def fill_url(text: str, values: Values) -> str:
    """The URL with every value percent-encoded, so that none can change the structure around it."""

    def encoded(match: re.Match[str]) -> str:
        return quote(_text_of(values, match[1]), safe="", errors="replace")

    return _PLACEHOLDER.sub(encoded, text) if "{{" in text else text


def fill_header(text: str, values: Values) -> str:
    """The header's value; what a header cannot carry of the values is percent-encoded as UTF-8."""

    def encoded(match: re.Match[str]) -> str:
        return _UNPRINTABLE.sub(
            lambda character: quote(character[0], safe="", errors="replace"), _text_of(values, match[1])
        )

    return _PLACEHOLDER.sub(encoded, text) if "{{" in text else text


def fill_text(text: str, values: Values, escaped: Callable[[str], str] = str) -> str:
    """The text with the values as they are, or escaped."""
    if "{{" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: escaped(_text_of(values, match[1])), text)


def fill_json(value: Any, values: Values) -> Any:
    """The JSON value with all its strings filled in, but not its keys.

    A string that is nothing but one placeholder becomes the value itself: a number stays a number,
    and nothing becomes null.
    """
    if isinstance(value, str):
        if "{{" not in value:
            return value
        whole = _PLACEHOLDER.fullmatch(value)
        return _value_of(values, whole[1]) if whole else fill_text(value, values)
    if isinstance(value, dict):
        return {key: fill_json(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_json(item, values) for item in value]
    return value


def _text_of(values: Values, name: str) -> str:
    value = _value_of(values, name)
    return "" if value is None else str(value)


def _value_of(values: Values, placeholder: str) -> str | int | None:
    name, *form = placeholder.split(":")
    value = values.get(name)
    if not isinstance(value, datetime):
        return value
    if "unix" in form:
        return int(value.timestamp())
    if "local" in form:
        value = value.astimezone(ZoneInfo(str(values["timezone"])))
    return value.date().isoformat() if "date" in form else value.isoformat().replace("+00:00", "Z")
