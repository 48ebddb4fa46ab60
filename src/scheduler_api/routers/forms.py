"""The form for a job: how its fields, all of them text, become a draft."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler_api.contracts import JobDraft, ScheduleDraft, flaws_of
from scheduler_api.contracts.targets import DEEPEST_BODY
from scheduler_api.errors import Flaw, InvalidInput
from scheduler_api.schedule import UnknownZone, instant_of

#: What a browser sends for a date with a time: no offset.
LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
Model = TypeVar("Model", bound=BaseModel)

#: The fields that a preview looks at: the others may be wrong meanwhile.
SCHEDULE = {
    "startdate", "starttime", "timezone", "repeat", "interval", "cron", "until", "exclude",
    "dstgap", "dstfold",
}  # fmt: skip
SEPARATORS = re.compile(r"[\s,;]+")
LINE_END = re.compile(r"\r\n|\r|\n")
TOO_DEEP = f"Must not be nested deeper than {DEEPEST_BODY} levels."
START = {"startdate", "starttime"}
#: What the names of the target's fields begin with.
TARGET = "target_"


def draft_of(fields: dict[str, str]) -> JobDraft:
    """The form's fields as a draft; an empty field counts as left out. Raises InvalidInput."""
    own = {name: value for name, value in fields.items() if not name.startswith(TARGET)}
    values, flaws = _values(own), list[Flaw]()
    if fields.get(f"{TARGET}url", "").strip():
        values["target"] = _target(fields, flaws)
    return _validated(values, JobDraft, flaws)


def schedule_draft_of(fields: dict[str, str]) -> ScheduleDraft:
    """Those of the form's fields that make a schedule. Raises InvalidInput."""
    values = _values(fields)
    return _validated({name: value for name, value in values.items() if name in SCHEDULE}, ScheduleDraft)


def model_of(fields: dict[str, str], model: type[Model]) -> Model:
    """The form's fields as a `model`; an empty field counts as left out. Raises InvalidInput."""
    return _validated({name: value for name, value in fields.items() if value.strip()}, model)


def _values(fields: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: value for name, value in fields.items() if value.strip()}
    if values.get("cron"):
        # A browser leaves out a box that is not ticked; a cron expression repeats by itself.
        values.setdefault("repeat", "true")
    for name, separators in (("exclude", SEPARATORS), ("tags", re.compile(","))):
        if name in values:
            values[name] = [part.strip() for part in separators.split(values[name]) if part.strip()]
    if "after_jobid" in values:
        after = {"jobid": values.pop("after_jobid").strip(), "on": values.pop("after_on", "finished")}
        # The form suggests a start, which is not meant then.
        values = {name: value for name, value in values.items() if name not in START} | {"after": after}
    values.pop("after_on", None)
    if LOCAL.fullmatch(values.get("until", "")):
        values["until"] = _instant(values["until"], values.get("timezone", "UTC"))
    return values


def _target(fields: dict[str, str], flaws: list[Flaw]) -> dict[str, Any]:
    """Those of the form's fields that make a target; what can not be read goes to the flaws."""
    found = {name.removeprefix(TARGET): text for name, text in fields.items() if name.startswith(TARGET)}
    values: dict[str, Any] = {name: text for name, text in found.items() if text.strip()}
    values["url"] = values["url"].strip()
    if "headers" in values:
        values["headers"] = _headers(values["headers"], flaws)
    if "body" in values:
        values["body"] = _body(values["body"], flaws)
    for name in ("success", "retryon"):
        if name in values:
            values[name] = [part for part in SEPARATORS.split(values[name]) if part]
    return values


def _headers(text: str, flaws: list[Flaw]) -> dict[str, str]:
    """Lines such as `Name: value`. What a value is never becomes part of a message."""
    pairs = []
    for number, line in enumerate(LINE_END.split(text), 1):
        name, colon, value = line.partition(":")
        if colon:
            pairs.append((name.strip(), value.strip()))
        elif line.strip():
            flaws.append(Flaw(("target", "headers"), f"Line {number} must be a name, a colon and a value."))
    counts = Counter(name for name, _ in pairs)
    flaws += [
        Flaw(("target", "headers"), f"{name} is given twice.") for name in counts if counts[name] > 1 and name
    ]
    return dict(pairs)


def _body(text: str, flaws: list[Flaw]) -> Any:
    """A JSON object or array as what it is; all else as text, with the line ends that were typed."""
    text = LINE_END.sub("\n", text)
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_float=_finite, parse_constant=_no_constant)
        _check_depth(value, DEEPEST_BODY)
    except _Unkept as error:
        flaws.append(Flaw(("target", "body"), str(error)))
    except RecursionError:
        flaws.append(Flaw(("target", "body"), TOO_DEEP))
    except ValueError:
        return text
    else:
        return value
    return None


def _check_depth(value: Any, left: int) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if left < 0:
        raise _Unkept(TOO_DEEP)
    for item in inner:
        _check_depth(item, left - 1)


class _Unkept(Exception):
    """JSON that would not be sent as it was typed."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Unkept("An object has the same name twice.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Unkept("Holds too large a number.")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _validated(values: dict[str, Any], model: type[Model], flaws: Sequence[Flaw] = ()) -> Model:
    """The values as a `model`. Raises InvalidInput for them, and for the flaws that are known already."""
    try:
        made = model.model_validate(values, strict=False)
    except ValidationError as error:
        further = flaws_of(error.errors(include_url=False, include_input=False))
        raise InvalidInput(*flaws, *further) from None
    if flaws:
        raise InvalidInput(*flaws)
    return made


def _instant(local: str, zone: str) -> str:
    """What clocks in the job's zone call `local`, with its offset."""
    try:
        wall = datetime.fromisoformat(local)
        return instant_of(wall, zone).astimezone(UTC).isoformat()
    except UnknownZone:
        # The zone has a message of its own.
        return f"{wall.isoformat()}Z"
    except (ValueError, OverflowError):
        raise InvalidInput(Flaw(("until",), "There is no such time in the calendar.")) from None
