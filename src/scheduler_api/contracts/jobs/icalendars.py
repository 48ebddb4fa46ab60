"""Calendars from iCalendar files (RFC 5545), as offices, countries and calendar programs publish them."""

from datetime import date, datetime, timedelta

import recurring_ical_events
from icalendar import Calendar, Event
from icalendar.prop import vRecur

from scheduler_api.contracts.jobs.calendars import CalendarDraft
from scheduler_api.contracts.values import EARLIEST, MAX_CALENDAR_DAYS
from scheduler_api.errors import FieldError, InvalidInput

#: Years before and after this one for which events that repeat are written out.
YEARS_BEFORE, YEARS_AFTER = 1, 10
#: How an event may repeat. A rule that never holds would be looked for up to the year 9999, INTERVAL=0 for
#: ever; these hold every few years at least.
REPEATING = {
    "WEEKLY": {"FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY"},
    "MONTHLY": {"FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY"},
    "YEARLY": {"FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY", "BYMONTH", "BYMONTHDAY"},
}
#: Days that each month has at most.
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MAX_INTERVAL, MAX_WEEK = 100, 5
#: Holidays are a few dozen.
MAX_REPEATING = 100

DAY = timedelta(days=1)


def draft_of(content: bytes, year: int) -> CalendarDraft:
    """The days of all-day events, those that repeat from the year before this one on; others are left out.

    Raises InvalidInput.
    """
    try:
        found = Calendar.from_ical(content)
        events = [part for part in found.walk("VEVENT") if isinstance(part, Event)]
        spans = _spans([event for event in events if _lasts_all_day(event)], year)
        if not spans:
            raise _invalid("The file has no all-day event.")
        if len(spans) > MAX_CALENDAR_DAYS:
            raise _too_many()
        name = str(found.get("X-WR-CALNAME", ""))[:2000]
        described = {"description": name} if name else {}
        return CalendarDraft.model_validate({"days": [_text(*span) for span in spans]} | described)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        raise _invalid("This is no iCalendar file, or an event in it cannot be read.") from None


def _lasts_all_day(event: Event) -> bool:
    """And has not been called off."""
    start = event.get("DTSTART")
    is_off = str(event.get("STATUS", "")).upper() != "CANCELLED"
    return is_off and start is not None and type(start.dt) is date


def _spans(events: list[Event], year: int) -> list[tuple[date, date]]:
    """First and last days, in order."""
    begin, end = date(year - YEARS_BEFORE, 1, 1), date(year + YEARS_AFTER + 1, 1, 1)
    repeating = [event for event in events if "RRULE" in event or "RDATE" in event]
    series, a_year = Calendar(), 0.0
    for event in repeating:
        _bound(event, end)
        series.add_component(event)
        a_year += _times_a_year(event.get("RRULE"))
    if (
        a_year > MAX_CALENDAR_DAYS / (YEARS_BEFORE + YEARS_AFTER) + len(repeating)
        or len(repeating) > MAX_REPEATING
    ):
        raise _too_many()
    single = {(event.start, event.end - DAY) for event in events if event not in repeating}
    written_out = recurring_ical_events.of(series).between(begin, end)
    return sorted({(event.start, event.end - DAY) for event in written_out} | single)


def _bound(event: Event, end: date) -> None:
    """Let an event repeat no longer than it matters. Raises InvalidInput for a rule that may never hold."""
    rule = event.get("RRULE")
    if "EXRULE" in event or event.start.year < EARLIEST.year or (rule is not None and not _is_plain(rule)):
        raise _invalid(
            "Events may repeat each week, month or year: by RRULE, with INTERVAL, UNTIL, BYDAY, and BYMONTH "
            "with BYMONTHDAY."
        )
    if rule is not None:
        last = rule.get("UNTIL", [end])[0]
        rule["UNTIL"] = [min(last.date() if isinstance(last, datetime) else last, end)]


def _is_plain(rule: object) -> bool:
    if not isinstance(rule, vRecur) or not set(rule) <= REPEATING.get(rule["FREQ"][0], set()):
        return False
    months, days = rule.get("BYMONTH", range(1, 13)), rule.get("BYMONTHDAY", [])
    return (
        all(1 <= step <= MAX_INTERVAL for step in rule.get("INTERVAL", ()))
        and all(1 <= month <= len(LENGTHS) for month in months)
        and all(any(1 <= abs(day) <= LENGTHS[month - 1] for month in months) for day in days)
        and all(abs(day.relative or 1) <= MAX_WEEK for day in rule.get("BYDAY", ()))
        and not (days and "BYDAY" in rule)
        and ("BYMONTH" in rule or rule["FREQ"][0] != "YEARLY" or not (days or "BYDAY" in rule))
    )


def _times_a_year(rule: vRecur | None) -> float:
    """About how often a rule holds in a year."""
    if rule is None:
        return 0.0
    steps = {"WEEKLY": 53, "MONTHLY": 12, "YEARLY": len(rule.get("BYMONTH", [0]))}[rule["FREQ"][0]]
    of_week = 1 if rule["FREQ"][0] == "WEEKLY" else MAX_WEEK
    week = sum(1 if day.relative else of_week for day in rule.get("BYDAY", ()))
    times: float = steps * max(week, len(rule.get("BYMONTHDAY", ())), 1) / rule.get("INTERVAL", [1])[0]
    return times


def _too_many() -> InvalidInput:
    return _invalid(f"The file has more than {MAX_CALENDAR_DAYS:,} days or ranges.")


def _text(first: date, last: date) -> str:
    return f"{first}" if last <= first else f"{first}/{last}"


def _invalid(sentence: str) -> InvalidInput:
    return InvalidInput(FieldError(("days",), sentence))
