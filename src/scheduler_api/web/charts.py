"""Charts of what has run, put together on the server: bars with their places, and the words for each."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

from scheduler_api.contracts.history.timeline import Bucket, Timeline
from scheduler_api.wording.instants import local, milliseconds

#: The size of a chart, in units of its own, and the gap between two bars.
WIDTH, HEIGHT, GAP = 960.0, 120.0, 2.0
#: What is less is not to be seen.
LEAST = 2.0
STATUSES = ("finished", "running", "missed", "skipped", "failed")


class Bar(NamedTuple):
    """A rectangle."""

    kind: str
    x: float
    y: float
    width: float
    height: float


class Column(NamedTuple):
    """One stretch of time: its bars, from the bottom up, and what they say."""

    when: str
    said: str
    bars: list[Bar]


class Chart(NamedTuple):
    """Columns in order, and what the full height stands for."""

    columns: list[Column]
    top: str

    @property
    def filled(self) -> list[Column]:
        """The columns in which something happened: for a table, newest first."""
        return [column for column in reversed(self.columns) if column.bars]


def results(timeline: Timeline, zone: str) -> Chart:
    """How the occurrences of each stretch ended, stacked. Heights are square roots, so that few show, too."""
    highest = max((_sum(bucket) for bucket in timeline.buckets), default=0)

    def bars(bucket: Bucket, x: float, width: float) -> Iterator[Bar]:
        whole = _sum(bucket)
        if not whole:
            return
        height = HEIGHT * (whole / highest) ** 0.5
        parts = [(kind, getattr(bucket, kind)) for kind in STATUSES if getattr(bucket, kind)]
        heights = [max(LEAST, height * count / whole) for _, count in parts]
        scale = height / sum(heights) if sum(heights) > height else 1.0
        bottom = HEIGHT
        for (kind, _), part in zip(parts, heights, strict=True):
            bottom -= part * scale
            yield Bar(kind, x, round(bottom, 1), width, round(part * scale, 1))

    def said(bucket: Bucket) -> str:
        return ", ".join(f"{getattr(bucket, kind):,} {kind}" for kind in STATUSES if getattr(bucket, kind))

    return Chart(_columns(timeline, zone, bars, said), f"{highest:,}")


def durations(timeline: Timeline, zone: str) -> Chart | None:
    """How long the calls of each stretch took: p95, and the median in front of it. None: none was made."""
    highest = max((bucket.p95 or 0.0 for bucket in timeline.buckets), default=0.0)
    if timeline.total.p95 is None:
        return None

    def bars(bucket: Bucket, x: float, width: float) -> Iterator[Bar]:
        for kind, value in (("p95", bucket.p95), ("p50", bucket.p50)):
            if value is not None:
                height = max(LEAST, HEIGHT * value / highest) if highest else LEAST
                yield Bar(kind, x, round(HEIGHT - height, 1), width, round(height, 1))

    def said(bucket: Bucket) -> str:
        if bucket.p50 is None or bucket.p95 is None:
            return ""
        return f"median {milliseconds(bucket.p50)}, 95 % within {milliseconds(bucket.p95)}"

    return Chart(_columns(timeline, zone, bars, said), milliseconds(highest))


def _columns(
    timeline: Timeline,
    zone: str,
    bars: Callable[[Bucket, float, float], Iterator[Bar]],
    said: Callable[[Bucket], str],
) -> list[Column]:
    step = WIDTH / len(timeline.buckets)
    width = round(step - GAP, 2)
    length = timedelta(seconds=timeline.width)
    return [
        Column(
            f"{local(bucket.since, zone)} to {local(bucket.since + length, zone)[11:19]}",
            said(bucket),
            list(bars(bucket, round(number * step, 2), width)),
        )
        for number, bucket in enumerate(timeline.buckets)
    ]


def _sum(bucket: Bucket) -> int:
    return bucket.finished + bucket.failed + bucket.running + bucket.skipped + bucket.missed
