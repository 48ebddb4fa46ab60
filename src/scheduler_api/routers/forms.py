"""The form for a job: how its fields, all of them text, become a draft."""

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler_api.contracts import JobDraft, ScheduleDraft, flaws_of
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


def draft_of(fields: dict[str, str]) -> JobDraft:
    """The form's fields as a draft; an empty field counts as left out. Raises InvalidInput."""
    return _validated(_values(fields), JobDraft)


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
    if LOCAL.fullmatch(values.get("until", "")):
        values["until"] = _instant(values["until"], values.get("timezone", "UTC"))
    return values


def _validated(values: dict[str, Any], model: type[Model]) -> Model:
    try:
        return model.model_validate(values, strict=False)
    except ValidationError as error:
        raise InvalidInput(*flaws_of(error.errors(include_url=False, include_input=False))) from None


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
