"""The form for a job: how its fields, all of them text, become a draft."""

import re
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from scheduler_api.contracts import JobDraft, flaws_of
from scheduler_api.errors import Flaw, InvalidInput
from scheduler_api.schedule import UnknownZone, instant_of

#: What a browser sends for a date with a time: no offset.
LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
SEPARATORS = re.compile(r"[\s,;]+")


def draft_of(fields: dict[str, str]) -> JobDraft:
    """The form's fields as a draft; an empty field counts as left out. Raises InvalidInput."""
    values: dict[str, Any] = {name: value for name, value in fields.items() if value.strip()}
    if values.get("cron"):
        # A browser leaves out a box that is not ticked; a cron expression repeats by itself.
        values.setdefault("repeat", "true")
    for name, separators in (("exclude", SEPARATORS), ("tags", re.compile(","))):
        if name in values:
            values[name] = [part.strip() for part in separators.split(values[name]) if part.strip()]
    if LOCAL.fullmatch(values.get("until", "")):
        values["until"] = _instant(values["until"], values.get("timezone", "UTC"))
    try:
        return JobDraft.model_validate(values, strict=False)
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
