"""Expressions of other dialects: they mean something here, or the answer says what to write."""

import calendar
from datetime import date, datetime, timedelta

import pytest

from scheduler_api.schedule.expressions import InvalidCron, expression

NO_YEAR = "Leave out the year at the end: `until` ends a schedule, and `startdate` without `cron` is one run."
ON_CALENDAR = "This is systemd's OnCalendar; write five fields, such as 0 2 * * MON-FRI, and set `timezone`."
COMMAND = "Leave out what stands behind the five fields; what a job does is its `target`."
ADVICE = {
    "*/90 * * * *": "A step of 90 never comes round within 60 minutes; for that, set `interval` to 5400"
    " seconds.",
    "0 */36 * * *": "A step of 36 never comes round within 24 hours; for that, set `interval` to 129600"
    " seconds.",
    "0 12 * * ? 2026": NO_YEAR,
    "0 0 12 * * ? 2026-2028": NO_YEAR,
    "at(2031-01-01T02:00:00)": "Instead of at(…), set `startdate` and `starttime`.",
    "OnCalendar=Mon..Fri 02:00": ON_CALENDAR,
    "Mon..Fri 02:00 Europe/Berlin": ON_CALENDAR,
    "*-*-01 00:00": ON_CALENDAR,
    "0 2 * * * root /usr/bin/backup": COMMAND,
    "0 2 * * * backup": COMMAND,
    "cron(0 12 * * ? *)": "Leave out cron( and ), and the year at the end.",
    "rate(5 minutes)": "Instead of rate(…), set `interval` to 300 seconds.",
    "rate(1 day)": "Instead of rate(…), set `interval` to 86400 seconds.",
    "CRON_TZ=Europe/Berlin 0 3 * * *": "Instead of CRON_TZ=, set `timezone` to Europe/Berlin.",
    "0 22-4 * * *": "The hour 22-4 runs backward; write 22-23,0-4.",
    "50-10 * * * *": "The minute 50-10 runs backward; write 50-59,0-10.",
    "0 0 * * FRI-MON": "The day of week FRI-MON runs backward; write FRI-SAT,SUN-MON.",
    "0 0 * NOV-FEB *": "The month NOV-FEB runs backward; write NOV-DEC,JAN-FEB.",
    "0~30 * * * *": "Instead of ~, write one value, and set `jitter` to spread the runs.",
    "H H * * *": "Instead of H, write one value, and set `jitter` to spread the runs.",
    "H/15 * * * *": "Instead of H, write one value, and set `jitter` to spread the runs.",
    "@reboot": "Jobs do not run when the service starts; give a time, or an interval.",
    "@every 1h30m": "Instead of @every, set `interval` to 5400 seconds.",
    "@every": "Instead of @every, set `interval`, in seconds.",
}


@pytest.mark.parametrize(("text", "said"), ADVICE.items())
def test_other_dialects_are_told_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InvalidCron) as raised:
        expression(text)
    assert str(raised.value) == said


def weekday_nearest(year: int, month: int, number: int) -> date | None:
    """By hand: of the weekdays of the month the nearest, a day before rather than two after."""
    last = calendar.monthrange(year, month)[1]
    if number > last:
        return None
    days = [date(year, month, day) for day in range(1, last + 1)]
    return min((day for day in days if day.weekday() < 5), key=lambda day: abs(day.day - number))


#: What clocks show, and the days of four years.
SINCE, END = datetime(2028, 1, 1), datetime(2032, 1, 1)
DAYS = {SINCE.date() + timedelta(days=number) for number in range((END - SINCE).days)}


def found(text: str) -> set[date]:
    """The days on which it matches."""
    days = set()
    at = expression(text).first(SINCE, END)
    while at is not None:
        days.add(at.date())
        at = expression(text).first(at + timedelta(minutes=1), END)
    return days


@pytest.mark.parametrize("number", [1, 2, 15, 28, 29, 30, 31])
def test_the_nearest_weekday(number: int) -> None:
    months = {(day.year, day.month) for day in DAYS}
    assert found(f"0 0 {number}W * *") == {weekday_nearest(*month, number) for month in months} - {None}


@pytest.mark.parametrize("before", [1, 3, 27, 30])
def test_days_before_the_last_of_the_month(before: int) -> None:
    expected = {day for day in DAYS if day.day == calendar.monthrange(day.year, day.month)[1] - before}
    assert found(f"0 0 L-{before} * *") == expected


def test_such_days_go_with_others() -> None:
    assert found("0 0 1,L-1,15W * *") == found("0 0 1 * *") | found("0 0 L-1 * *") | found("0 0 15W * *")
    assert found("0 0 15W * MON") == found("0 0 15W * *") | found("0 0 * * MON")
    assert found("0 0 ? * MON") == found("0 0 * * MON")
    assert found("0 0 15 * ?") == found("0 0 15 * *")


@pytest.mark.parametrize("text", ["0 0 32W * *", "0 0 0W * *", "0 0 L-31 * *", "0 0 L-0 * *", "? * * * *"])
def test_days_that_no_month_has(text: str) -> None:
    with pytest.raises(InvalidCron):
        expression(text)
