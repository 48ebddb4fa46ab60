"""Cron expressions in words: they say what comes."""

import random
import re
from collections.abc import Iterator
from datetime import date, datetime

import pytest

from scheduler_api.schedule.expressions import expression
from scheduler_api.wording.crons import MONTHS, WEEKDAYS, words

#: What clocks show.
SINCE = datetime(2030, 1, 1)  # noqa: DTZ001 - of no zone
EPOCH = date(1970, 1, 1).toordinal()
SAID = {
    "* * * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "*/40 * * * *": "at minutes 0 and 40 of every hour",
    "5 * * * *": "at minute 5 of every hour",
    "0 * * * *": "every hour",
    "0 */2 * * *": "every 2 hours",
    "5/15 9-17 * * *": "at minutes 5, 20, 35 and 50 from 09:00 to 17:59",
    "*/5 */6 1 JAN-MAR *": "every 5 minutes of hours 0, 6, 12 and 18 on the 1st of the month"
    " in January to March",
    "30 2 * * MON-FRI": "at 02:30 on weekdays",
    "0 9,17 * * *": "at 09:00 and 17:00 every day",
    "15,45 8-18 * * 1-5": "at minutes 15 and 45 from 08:00 to 18:59 on weekdays",
    # Either day will do, unless a field begins with a star.
    "0 3 1-7 * 1": "at 03:00 on the 1st to 7th of the month, or on Monday",
    "0 0 */2 * MON": "at 00:00 on Monday, if it is every 2nd day of the month from the 1st",
    "0 0 1,11,21,22,23 * *": "at 00:00 on the 1st, 11th and 21st to 23rd of the month",
    "0 0 * * 0,7": "at 00:00 on Sunday",
    "0 0 * * SAT,SUN": "at 00:00 on Saturday and Sunday",
    "0 0 29 2 *": "at 00:00 on the 29th of the month in February",
    "0 0 L * *": "at 00:00 on the last day of the month",
    "0 0 LW * *": "at 00:00 on the last weekday of the month",
    "0 0 L-3 * *": "at 00:00 on the day 3 days before the last of the month",
    "0 0 15W * ?": "at 00:00 on the weekday nearest the 15th of the month",
    "0 0 ? * 5L": "at 00:00 on the last Friday of the month",
    "0 0 * * 1#2": "at 00:00 on the second Monday of the month",
    "*/10 * * * * *": "every 10 seconds",
    "30 * * * * *": "at second 30 of every minute",
    "30 0 12 * * *": "at 12:00:30 every day",
    "@hourly": "every hour",
    "@yearly": "at 00:00 on the 1st of the month in January",
}


@pytest.mark.parametrize(("text", "said"), SAID.items())
def test_expressions_in_words(text: str, said: str) -> None:
    assert words(expression(text)) == said


def drawn(number: int) -> Iterator[str]:
    """Expressions of all kinds, the same ones each time."""
    draw = random.Random(20301231)

    def field(first: int, last: int) -> str:
        some = sorted(draw.sample(range(first, last + 1), draw.randint(1, 4)))
        low, high = some[0], some[-1]
        step = draw.randint(2, max(2, (last - first) // 2))
        kinds = ("*", f"*/{step}", f"{low}-{high}", f"{low}/{step}", ",".join(map(str, some)), str(low))
        return draw.choice(kinds)

    for _ in range(number):
        days = draw.choice((("*", "*"), (field(1, 28), "*"), ("*", field(0, 6)), (field(1, 28), field(0, 6))))
        yield f"{field(0, 59)} {field(0, 23)} {days[0]} {draw.choice(('*', field(1, 12)))} {days[1]}"


class Comes:
    """What comes in a year."""

    def __init__(self, text: str) -> None:
        found = list(expression(text).ticks(SINCE, SINCE.replace(year=2031)))
        clocks = {tick // 60_000_000 % 1440 for tick in found}
        self.times = {f"{clock // 60:02}:{clock % 60:02}" for clock in clocks}
        self.minutes, self.hours = {clock % 60 for clock in clocks}, {clock // 60 for clock in clocks}
        days = {tick // 86_400_000_000 for tick in found}
        self.months = {date.fromordinal(EPOCH + day).month for day in days}


def numbers(said: str, before: str) -> set[int]:
    """The numbers in a list or in ranges, such as `minutes 5, 20 to 22 and 50`."""
    found: set[int] = set()
    if not (match := re.search(rf"\b{before}s? ((?:\d+(?:, | and | to )?)+)", said)):
        return found
    for part in re.split(r", | and ", match.group(1).strip()):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_what_words_name_is_what_comes() -> None:
    for text in drawn(300):
        said, comes = words(expression(text)), Comes(text)
        if not comes.times:
            # Not each year has such a day.
            continue
        if re.match(r"at \d\d:", said):
            assert set(re.findall(r"\b\d\d:\d\d\b", said)) == comes.times, (text, said)
        if minutes := numbers(said, "at minute"):
            assert minutes == comes.minutes, (text, said)
        if hours := numbers(said, "of hour"):
            assert hours == comes.hours, (text, said)
        if (step := re.match(r"every (\d+) minutes", said)) is not None:
            assert comes.minutes == set(range(0, 60, int(step.group(1)))), (text, said)
        if span := re.search(r"from (\d\d):00 to (\d\d):59", said):
            first, last = map(int, span.groups())
            assert comes.hours == set(range(first, last + 1)), (text, said)
        if not any(f" to {month}" in said for month in MONTHS):
            named = {number for number, month in enumerate(MONTHS, 1) if month in said}
            assert named in (set(), comes.months) or comes.months < named, (text, said)
        # No day is said twice.
        assert [day for day in WEEKDAYS if said.count(day) > 1] == [], (text, said)
