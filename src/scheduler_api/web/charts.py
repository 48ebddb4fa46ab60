"""Charts of what has run, put together on the server: marks with their places, axes, and the words for each.

Across, places are shares of the width in percent, so that a chart is as wide as there is room and no text is
stretched; down, they are pixels.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduler_api.contracts.history.timeline import Bucket, TimedRun, Timeline
from scheduler_api.wording.instants import local, milliseconds, short

#: Pixels: where the highest mark ends, and where all begin; below it are the dates.
TOP, BOTTOM = 16.0, 136.0
#: Pixels that a mark has at least: what is less is not to be seen. And percent between two columns.
LEAST, GAP = 2.0, 0.15
#: From the bottom up.
STATUSES = ("finished", "running", "missed", "skipped", "failed")
#: A run stands out that takes so many times as long as the median.
OUTLIES = 3.0
#: How far apart two dates are at least, by the length of what is shown.
_HOURS, _DAYS = (1, 3, 6, 12), (1, 2, 5, 10)
#: Dates beside each other, at most.
_DATES = 9


class Mark(NamedTuple):
    """A rectangle, or the middle of a point."""

    kind: str
    x: float
    y: float
    width: float = 0.0
    height: float = 0.0


class Column(NamedTuple):
    """One stretch of time, or one run: its marks, from the bottom up, and what they say."""

    when: str
    said: str
    marks: list[Mark]
    logid: int | None = None
    """The run, if it is about one."""


class Tick(NamedTuple):
    """A place on an axis, and what it stands for."""

    at: float
    label: str


class Chart(NamedTuple):
    """Columns in order, and the axes."""

    columns: list[Column]
    heights: list[Tick]
    """From the bottom up."""
    dates: list[Tick]

    @property
    def filled(self) -> list[Column]:
        """The columns in which something happened: for a table, newest first."""
        return [column for column in reversed(self.columns) if column.marks]


def results(buckets: Sequence[Bucket], width: int, zone: str) -> Chart:
    """How the occurrences of each stretch, `width` seconds long, ended; stacked."""
    heights = _heights(max(1, *(_sum(bucket) for bucket in buckets)), least=1)
    step = 100.0 / len(buckets)
    columns = []
    for number, bucket in enumerate(buckets):
        counts = [(kind, getattr(bucket, kind)) for kind in STATUSES if getattr(bucket, kind)]
        marks = list(_stacked(counts, heights[-1], number * step, step - GAP))
        said = ", ".join(f"{count:,} {kind}" for kind, count in counts)
        columns.append(Column(_stretch(bucket.since, width, zone), said, marks))
    ticks = [Tick(tick.at, f"{tick.value:,.0f}") for tick in heights]
    return Chart(columns, ticks, _dates(buckets[0].since, len(buckets) * width, zone))


def durations(timeline: Timeline, zone: str) -> Chart | None:
    """How long the newest runs took: a point for each. None: there were none."""
    if not timeline.runs:
        return None
    heights = _heights(max(1.0, *(run.took for run in timeline.runs)))
    length = timeline.until - timeline.since
    columns = []
    for run in sorted(timeline.runs, key=lambda run: run.scheduledfor):
        x = round(100.0 * ((run.scheduledfor - timeline.since) / length), 2)
        kind = "outlier" if _stands_out(run, timeline.total.p50) else run.status.value
        said = milliseconds(run.took) + (f", {run.status.value}" if run.status != "finished" else "")
        point = Mark(kind, x, _y(run.took, heights[-1]))
        columns.append(Column(local(run.scheduledfor, zone), said, [point], run.logid))
    ticks = [Tick(tick.at, milliseconds(tick.value) if tick.value else "0") for tick in heights]
    seconds = int(length.total_seconds())
    return Chart(columns, ticks, _dates(timeline.since, seconds, zone))


def _stands_out(run: TimedRun, median: float | None) -> bool:
    return median is not None and run.status == "finished" and run.took > OUTLIES * median


class _Height(NamedTuple):
    at: float
    value: float


def _heights(highest: float, least: float = 0.0) -> list[_Height]:
    """Round values for an axis up to the highest one: two or three steps above nothing."""
    size = 10.0 ** (len(f"{highest / 2:.0f}") - 1) if highest >= 2 else 1.0  # noqa: PLR2004 - two steps
    steps = (size * factor for factor in (1, 2, 2.5, 5, 10, 20))
    step = max(least, next(step for step in steps if 3 * step >= highest and (least < 1 or step % 1 == 0)))
    count = max(1, -int(-highest // step))
    top = _Height(TOP, count * step)
    return [_Height(_y(number * step, top), number * step) for number in range(count + 1)]


def _y(value: float, top: _Height) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / top.value, 1)


def _stacked(counts: Sequence[tuple[str, int]], top: _Height, x: float, width: float) -> Iterator[Mark]:
    heights = [max(LEAST, (BOTTOM - TOP) * count / top.value) for _, count in counts]
    scale = min(1.0, (BOTTOM - TOP) / sum(heights)) if heights else 1.0
    bottom = BOTTOM
    for (kind, _), height in zip(counts, heights, strict=True):
        bottom -= height * scale
        yield Mark(kind, round(x, 3), round(bottom, 1), round(width, 3), round(height * scale, 1))


def _stretch(since: datetime, width: int, zone: str) -> str:
    until = since + timedelta(seconds=width)
    return f"{short(since, zone)} to {short(until, zone, since)}"


def _dates(since: datetime, seconds: int, zone: str) -> list[Tick]:
    """Round times of the zone's clocks, with a share of the width for each."""
    hours = seconds // 3600
    full = list(_full_hours(since, since + timedelta(seconds=seconds), ZoneInfo(zone)))
    if hours <= 48:  # noqa: PLR2004 - two days
        step = next((size for size in _HOURS if hours / size <= _DATES), _HOURS[-1])
        found = [(at, f"{at:%H:%M}") for at in full if at.hour % step == 0]
    else:
        step = next((size for size in _DAYS if hours / 24 / size <= _DATES), _DAYS[-1])
        found = [(at, f"{at:%b} {at.day}") for at in full if at.hour == 0][::step]
    share = 100.0 / seconds
    return [Tick(round((at - since).total_seconds() * share, 2), label) for at, label in found]


def _full_hours(since: datetime, until: datetime, clock: ZoneInfo) -> Iterator[datetime]:
    """The full hours of a zone's clocks: in UTC, they may be at a quarter or at half past."""
    at = since.replace(minute=0, second=0, microsecond=0)
    while at < until:
        shown = at.astimezone(clock)
        if at >= since and shown.minute == 0:
            yield shown
        at += timedelta(minutes=15)


def _sum(bucket: Bucket) -> int:
    return bucket.finished + bucket.failed + bucket.running + bucket.skipped + bucket.missed
