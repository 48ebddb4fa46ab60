"""Charts, heat maps and strips: what they draw adds up, and every mark has its words."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.history.timeline import Bucket, Recent, Tally, TimedRun, Timeline, TimeRange
from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.web import charts, glance, heat
from scheduler_api.web.charts import BOTTOM, STATUSES, TOP
from scheduler_api.web.times import Clock, Times, chosen

SINCE = datetime(2030, 1, 31, tzinfo=UTC)
COUNTS = st.fixed_dictionaries({kind: st.integers(0, 10**6) for kind in STATUSES})


def timeline(*buckets: dict[str, float | None]) -> Timeline:
    made = [
        Bucket.model_validate({"since": SINCE + n * timedelta(minutes=30), **bucket})
        for n, bucket in enumerate(buckets)
    ]
    total = Tally(p50=1, p95=2) if any(bucket.p95 is not None for bucket in made) else Tally()
    until = SINCE + len(made) * timedelta(minutes=30)
    return Timeline(
        span=TimeRange.DAY,
        since=SINCE,
        until=until,
        width=1800,
        buckets=made,
        runs=[],
        total=total,
        complete=True,
    )


@given(buckets=st.lists(COUNTS, min_size=1, max_size=8))
def test_every_status_shows_inside_its_column(buckets: list[dict[str, float | None]]) -> None:
    chart = charts.results(timeline(*buckets).buckets, 1800, "UTC")
    step = 100 / len(buckets)
    for number, (bucket, column) in enumerate(zip(buckets, chart.columns, strict=True)):
        assert {mark.kind for mark in column.marks} == {kind for kind in STATUSES if bucket[kind]}
        for mark in column.marks:
            assert number * step - 0.001 <= mark.x < mark.x + mark.width <= (number + 1) * step + 0.001
            assert TOP - 0.2 <= mark.y <= mark.y + mark.height <= BOTTOM + 0.2
            assert mark.height > 0
            assert f"{bucket[mark.kind]:,} {mark.kind}" in column.said
    assert len(chart.filled) == sum(any(bucket.values()) for bucket in buckets)


@given(highest=st.integers(1, 10**7))
def test_an_axis_has_a_few_round_values_up_to_the_highest(highest: int) -> None:
    chart = charts.results(timeline({"finished": highest}, {"finished": 1}).buckets, 1800, "UTC")
    values = [int(tick.label.replace(",", "")) for tick in chart.heights]
    assert values[0] == 0
    assert 2 <= len(values) <= 4
    assert highest <= values[-1] <= 3 * highest
    assert len({second - first for first, second in pairwise(values)}) == 1
    assert [chart.heights[0].at, chart.heights[-1].at] == [BOTTOM, TOP]
    (tall,), (small,) = (column.marks for column in chart.columns)
    assert tall.height == pytest.approx((BOTTOM - TOP) * highest / values[-1], abs=2)
    assert small.height >= 2


@pytest.mark.parametrize(
    ("hours", "zone", "first", "labels"),
    [
        (24, "UTC", 12.5, "03:00 06:00 09:00 12:00 15:00 18:00 21:00"),
        (24, "Asia/Kolkata", 2.08, "06:00 09:00 12:00 15:00 18:00 21:00 00:00 03:00"),
        (168, "UTC", 14.29, "Feb 1|Feb 2|Feb 3|Feb 4|Feb 5|Feb 6"),
        (720, "UTC", 0.0, "Jan 31|Feb 5|Feb 10|Feb 15|Feb 20|Feb 25"),
    ],
)
def test_dates_are_round_on_the_clocks_of_the_zone(hours: int, zone: str, first: float, labels: str) -> None:
    buckets = [Bucket(since=SINCE + timedelta(hours=n)) for n in range(hours)]
    dates = [tick for tick in charts.results(buckets, 3600, zone).dates if hours > 600 or tick.at > 0]
    assert [tick.label for tick in dates] == labels.split("|" if "|" in labels else None)
    assert dates[0].at == pytest.approx(first, abs=0.01)
    assert all(0 <= tick.at < 100 for tick in dates)


def test_each_run_is_a_point_and_those_that_took_long_stand_out() -> None:
    assert charts.durations(timeline({"finished": 1}), "UTC") is None
    runs = [
        TimedRun(logid=n, scheduledfor=SINCE + timedelta(minutes=n), status=LogStatus(status), took=took)
        for n, status, took in ((30, "finished", 900.0), (15, "failed", 4000.0), (0, "finished", 3100.0))
    ]
    told = timeline({"p50": 1000.0, "p95": 3100.0}, {})
    told = told.model_copy(update={"runs": runs, "total": Tally(p50=1000.0, p95=3100.0)})
    chart = charts.durations(told, "Europe/Berlin")
    assert chart is not None
    assert [(column.logid, column.marks[0].kind) for column in chart.columns] == [
        (0, "outlier"),
        (15, "failed"),
        (30, "finished"),
    ]
    assert [column.marks[0].x for column in chart.columns] == [0.0, 25.0, 50.0]
    assert [tick.label for tick in chart.heights] == ["0", "2.00 s", "4.00 s"]
    assert chart.columns[1].marks[0].y == TOP
    assert chart.columns[1].said == "4.00 s, failed"
    assert chart.columns[1].when == "2030-01-31 01:15:00 Europe/Berlin"


def test_a_heat_map_has_every_busy_minute_once() -> None:
    load = [0.0] * 1440
    load[0], load[61], load[1439] = 1.0, 4.0, 100.0
    runs = [int(work > 0) for work in load]
    since = SINCE + timedelta(minutes=30)
    forecast = Forecast(since=since, runs=runs, load=load, collisions=[], every=1, complete=True)
    found = heat.heat(forecast, "UTC")
    cells = "".join(path for _, path in found.paths)
    assert sorted(cells.split("M")[1:]) == ["29 24h1v1h-1z", "30 0h1v1h-1z", "31 1h1v1h-1z"]
    assert found.rows == len(found.hours) == 25
    assert dict(found.paths)[5] == "M29 24h1v1h-1z"
    assert found.hours[1].busiest == "01:31, 1 runs"


def test_hours_of_a_heat_map_are_those_of_the_zone() -> None:
    load = [0.0] * 1440
    load[30] = 1.0
    runs = [int(work) for work in load]
    found = heat.heat(
        Forecast(since=SINCE, runs=runs, load=load, collisions=[], every=1, complete=True), "Asia/Kolkata"
    )
    # 00:30 in UTC is six o'clock there.
    assert found.paths == [(5, "M0 1h1v1h-1z")]
    assert found.hours[1].label == "2030-01-31 06:00:00 Asia/Kolkata"
    assert found.hours[1].busiest == "06:00, 1 runs"


def test_an_even_load_is_calm() -> None:
    runs, load = [2] * 1440, [2.0] * 1440
    found = heat.heat(
        Forecast(since=SINCE, runs=runs, load=load, collisions=[], every=1, complete=True), "UTC"
    )
    assert [level for level, _ in found.paths] == [1]


@pytest.mark.parametrize(
    ("clock", "mine", "zone"),
    [
        (None, None, "Asia/Tokyo"),
        ("job", "Europe/Berlin", "Asia/Tokyo"),
        ("mine", "Europe/Berlin", "Europe/Berlin"),
        ("mine", "No/Where", "UTC"),
        ("mine", None, "UTC"),
        ("utc", "Europe/Berlin", "UTC"),
        ("<b>", "<b>", "Asia/Tokyo"),
    ],
)
def test_times_are_shown_as_the_reader_chose(clock: str | None, mine: str | None, zone: str) -> None:
    assert chosen(clock, mine).zone("Asia/Tokyo") == zone


def test_a_zone_that_is_gone_is_shown_in_utc() -> None:
    assert Times(Clock.JOB).zone("Nowhere/Land") == "UTC"


def test_a_mark_says_what_became_of_its_run() -> None:
    runs = [
        Recent(scheduledfor=SINCE, status="finished", missed=0, took=3.24),
        Recent(scheduledfor=SINCE, status="failed", missed=5, took=None),
        Recent(scheduledfor=SINCE, status="pending", missed=0, took=None),
    ]
    marks = glance._marks(runs, "Europe/Berlin")
    assert [mark.text for mark in marks] == [
        "01-31 01:00:00, 3.2 ms",
        "failed 01-31 01:00:00, 5 more",
        "to be retried 01-31 01:00:00",
    ]
    assert [mark.kind for mark in marks] == ["", "f", "p"]
    assert glance._summary(runs).startswith("The last 3 runs, oldest first: ")
