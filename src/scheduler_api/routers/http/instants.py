"""Instants, days and time zones, as queries write them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from scheduler_api.contracts.values import CalendarDate, Instant
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.forms import LOCAL
from scheduler_api.schedule import is_zone

INSTANT, CALENDAR_DATE = TypeAdapter(Instant), TypeAdapter(CalendarDate)
#: A week and what it is compared with lie between them.
OLDEST, NEWEST = date(1970, 3, 1), date(9000, 1, 1)


def with_offset(text: str, zone: str = "UTC") -> str:
    """A date with a time of a browser, on the clocks of `zone`, as an instant; all else as it is."""
    if not LOCAL.fullmatch(text):
        return text
    try:
        instant = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{instant:%Y-%m-%dT%H:%M:%S}Z"


def on_clocks(fields: Mapping[str, str], *names: str) -> dict[str, str]:
    """The fields of a form without its `zone`, and those that are named as instants on the clocks of it.

    Raises InvalidInput where there is no such zone.
    """
    zone = fields.get("zone", "UTC")
    if not is_zone(zone):
        raise InvalidInput(FieldError(("zone",), "Must be a known time zone."))
    rest = {name: text for name, text in fields.items() if name != "zone"}
    return rest | {name: with_offset(rest[name], zone) for name in names if name in rest}


def query_instant(name: str, text: str) -> datetime:
    """An instant that a query gives. Raises InvalidInput."""
    # In a query, the plus of an offset that was not encoded arrives as a blank.
    text = text if text[10:11] == " " else text.replace(" ", "+")
    try:
        instant: datetime = INSTANT.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError((f"?{name}",), error.errors()[0]["msg"])) from None
    return instant


def _known_zone(name: str) -> str:
    if not is_zone(name):
        raise PydanticCustomError("zone", "Must be a known time zone.")
    return name


OfZone = Annotated[
    Annotated[str, AfterValidator(_known_zone)] | None,
    Query(
        max_length=100, description="The time zone of times without an offset.", examples=["Europe/Berlin"]
    ),
]


async def _at(
    at: Annotated[
        str,
        Query(
            max_length=40,
            description="The instant, in RFC 3339 with an offset, or without one in `zone`.",
            examples=["2026-11-01T02:30:00+01:00"],
        ),
    ],
    zone: OfZone = None,
) -> datetime:
    return query_instant("at", at if zone is None else with_offset(at, zone))


AtInstant = Annotated[datetime, Depends(_at)]


def _query_day(name: str, text: str) -> date:
    try:
        day: date = CALENDAR_DATE.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError((f"?{name}",), error.errors()[0]["msg"])) from None
    return day


async def _before_day(
    before: Annotated[
        str | None,
        Query(max_length=10, description="Only days before this one (YYYY-MM-DD).", examples=["2030-06-02"]),
    ] = None,
) -> date:
    return date.max if before is None else _query_day("before", before)


BeforeDay = Annotated[date, Depends(_before_day)]
"""Before which day a list of days begins."""


async def _until_day(
    until: Annotated[
        str | None,
        Query(
            max_length=10,
            description="The day after the week (YYYY-MM-DD); without it, the week ends today.",
            examples=["2030-06-03"],
        ),
    ] = None,
) -> date | None:
    if until is None:
        return None
    day = _query_day("until", until)
    if not OLDEST <= day <= NEWEST:
        raise InvalidInput(FieldError(("?until",), f"Must lie between {OLDEST} and {NEWEST}."))
    return day


UntilDay = Annotated[date | None, Depends(_until_day)]
"""The day after a week."""


async def _until(
    until: Annotated[
        str | None,
        Query(max_length=40, description="How far to look ahead (RFC 3339): a day by default, 7 at most."),
    ] = None,
) -> datetime | None:
    return None if until is None else query_instant("until", until)


UntilInstant = Annotated[datetime | None, Depends(_until)]
