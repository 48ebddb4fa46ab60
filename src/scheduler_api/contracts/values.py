"""The values that fields hold, each checked and explained where it is wrong."""

import re
import unicodedata
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from scheduler_api.schedule import InvalidCron, expression, is_pseudo, is_zone

#: The largest jobid and logid: both are bigint.
MAX_ID = 2**63 - 1
#: The largest integer column: about 68 years, as seconds.
MAX_INTERVAL = 2**31 - 1
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
LINE_END = re.compile(r"\r\n|\r|\n")
#: Days and ranges of a calendar.
MAX_CALENDAR_DAYS = 500
CALENDAR_NAME = re.compile(r"^[a-z0-9][a-z0-9.-]{0,49}$")
PROJECT_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,49}$")
SECRET_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,99}$")
#: The project of jobs for which none is given; it is always there.
DEFAULT_PROJECT = "default"
EXCLUDED = re.compile(r"\d{4}-\d{2}-\d{2}(/\d{4}-\d{2}-\d{2})?", re.ASCII)
#: Instants and excluded days lie between these.
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9900, 1, 1, tzinfo=UTC)
#: Steps in the path of an error that say only which kind of value it is about.
TEXT, SECRET = "<text>", "<secret>"
#: Control characters, surrogates, and the separators that end a line.
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}


class Input(BaseModel):
    """What clients send: strictly of its types, and nothing that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Output(BaseModel):
    """What the service answers: every field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def without_defaults(schema: dict[str, Any], *examples: Any) -> None:
    """Of a patch, what is left out stays as it is: clients that send declared defaults would change it."""
    for field in schema["properties"].values():
        field.pop("default", None)
    schema.pop("required", None)
    schema["examples"] = list(examples)


def all_given(schema: dict[str, Any]) -> None:
    """Of what an answer repeats as it was written, nothing is left out."""
    for field in schema["properties"].values():
        field.pop("default", None)
    schema["required"] = [*schema["properties"]]
    schema.pop("examples", None)


def without_nulls(model: type[BaseModel], data: Any) -> tuple[Any, list[str]]:
    """What a patch gives, and the names of the fields that it resets with a null."""
    if not isinstance(data, dict):
        return data, []
    gone = [name for name, value in data.items() if value is None and name in model.model_fields]
    return {name: value for name, value in data.items() if name not in gone}, gone


def invalid(code: str, message: str) -> PydanticCustomError:
    """An error that a value has."""
    return PydanticCustomError(code, message)


def clean_text(value: str) -> str:
    """The text in its normal form (NFC). Raises for what cannot be shown."""
    if any(unicodedata.category(character) in UNPRINTABLE for character in value):
        raise invalid("unprintable", "Must not contain control characters or unpaired surrogates.")
    return unicodedata.normalize("NFC", value)


def _prose(value: str) -> str:
    """Text of several lines."""
    return "\n".join(clean_text(line.replace("\t", " ")) for line in LINE_END.split(value))


def _date(value: object) -> object:
    if not isinstance(value, str) or not DATE.fullmatch(value):
        raise invalid("date", "Must be a date such as 2030-01-31.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise invalid("date", "This date does not exist.") from None


def _clock(value: object) -> object:
    if not isinstance(value, str) or not CLOCK.fullmatch(value):
        raise invalid("time", "Must be a time of day such as 09:30 or 09:30:15.")
    try:
        return time.fromisoformat(value)
    except ValueError:
        raise invalid("time", "This time does not exist.") from None


def _zone(value: str) -> str:
    if is_pseudo(value):
        sentence = "Means something else on each machine; give an IANA name such as Europe/Berlin."
        raise invalid("timezone", sentence)
    if not is_zone(value):
        raise invalid("timezone", "Unknown time zone. Use an IANA name such as Europe/Berlin.")
    return value


def invalid_at(field: str, message: str) -> PydanticCustomError:
    """An error that a whole model has, and the field to blame."""
    return PydanticCustomError(field, message, {"field": field})


def _instant(value: object) -> object:
    if not isinstance(value, str) or not INSTANT.fullmatch(value):
        raise invalid("instant", "Must be an instant with an offset, such as 2030-01-31T02:00:00+01:00.")
    try:
        instant = datetime.fromisoformat(value.replace("z", "Z").replace("t", "T")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid("instant", "This date and time do not exist.") from None
    if not EARLIEST <= instant <= LATEST:
        raise invalid("instant", f"Must lie between the years {EARLIEST.year} and {LATEST.year}.")
    return instant


def _cron(value: str) -> str:
    try:
        expression(value)
    except InvalidCron as error:
        raise invalid("cron", str(error)) from None
    return value


# Few days are excluded by many jobs, and read each time that a schedule is asked for.
@lru_cache(maxsize=16_384)
def days_of(text: str) -> tuple[date, date]:
    """The first and the last day of `2030-12-25` or `2030-12-24/2031-01-01`."""
    first, _, last = text.partition("/")
    return date.fromisoformat(first), date.fromisoformat(last or first)


def _excluded_days(value: str) -> str:
    if not EXCLUDED.fullmatch(value):
        raise invalid(
            "exclude", "Must be a date such as 2030-12-25, or a range such as 2030-12-24/2031-01-01."
        )
    try:
        first, last = days_of(value)
    except ValueError:
        raise invalid("exclude", "This date does not exist.") from None
    if first > last:
        raise invalid("exclude", "The first day of a range must not come after the last.")
    if not EARLIEST.year <= first.year <= last.year <= LATEST.year:
        raise invalid("exclude", f"Must lie between the years {EARLIEST.year} and {LATEST.year}.")
    return value


def _calendar_name(value: str) -> str:
    if not CALENDAR_NAME.fullmatch(value):
        raise invalid(
            "calendar", "Must be 1 to 50 lower-case letters, digits, dots and hyphens, such as de-holidays."
        )
    return value


def _project_name(value: str) -> str:
    if not PROJECT_NAME.fullmatch(value):
        raise invalid("project", "Must be 1 to 50 lower-case letters, digits and hyphens, such as billing.")
    return value


def _secret_name(value: str) -> str:
    if not SECRET_NAME.fullmatch(value):
        raise invalid(
            "secret",
            "Must be 1 to 100 lower-case letters, digits, dots, hyphens and underscores, such as crm-token.",
        )
    return value


def _once_each(value: list[str]) -> list[str]:
    return list(dict.fromkeys(value))


JobName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=100),
    AfterValidator(clean_text),
]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_prose)]
OwnerName = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(clean_text)
]
CalendarDate = Annotated[
    date,
    BeforeValidator(_date),
    WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
]
ClockTime = Annotated[
    time,
    BeforeValidator(_clock),
    WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2})?$"}),
]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
CronText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_cron)]
ExcludedDays = Annotated[
    str,
    AfterValidator(_excluded_days),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}(/\d{4}-\d{2}-\d{2})?$"}),
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"^[^,]*$"),
    AfterValidator(clean_text),
]
Tags = Annotated[list[Tag], Field(max_length=20)]
Exclusions = Annotated[list[ExcludedDays], Field(max_length=400)]
CalendarName = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    AfterValidator(_calendar_name),
    WithJsonSchema({"type": "string", "pattern": CALENDAR_NAME.pattern}),
]
ProjectName = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    AfterValidator(_project_name),
    WithJsonSchema({"type": "string", "pattern": PROJECT_NAME.pattern}),
]
SecretName = Annotated[
    str,
    AfterValidator(_secret_name),
    WithJsonSchema({"type": "string", "pattern": SECRET_NAME.pattern}),
]
CalendarNames = Annotated[list[CalendarName], Field(max_length=4), AfterValidator(_once_each)]
CalendarDays = Annotated[list[ExcludedDays], Field(max_length=MAX_CALENDAR_DAYS)]
ReasonText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(clean_text),
]
#: How many, or how many seconds.
Count = Annotated[int, Field(ge=1, le=MAX_INTERVAL)]
#: Seconds, up to a day.
Jitter = Annotated[int, Field(ge=0, le=86_400)]
ZoneName = Annotated[str, StringConstraints(max_length=100), AfterValidator(_zone)]
