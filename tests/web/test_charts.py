"""Charts, heat maps and strips: what they draw adds up, and every mark has its words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.history.timeline import Bucket, Recent, Tally, Timeline, TimeRange
from scheduler_api.web import charts, glance, heat
from scheduler_api.web.charts import HEIGHT, STATUSES, WIDTH
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
        span=TimeRange.DAY, since=SINCE, until=until, width=1800, buckets=made, total=total, complete=True
    )


@given(buckets=st.lists(COUNTS, min_size=1, max_size=8))
def test_every_status_shows_inside_its_column(buckets: list[dict[str, float | None]]) -> None:
    chart = charts.results(timeline(*buckets), "UTC")
    for bucket, column in zip(buckets, chart.columns, strict=True):
        assert {bar.kind for bar in column.bars} == {kind for kind in STATUSES if bucket[kind]}
        for bar in column.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert -0.2 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.2
            assert bar.height > 0
            assert f"{bucket[bar.kind]:,} {bar.kind}" in column.said
    assert len(chart.filled) == sum(any(bucket.values()) for bucket in buckets)


def test_durations_are_drawn_with_the_median_in_front() -> None:
    assert charts.durations(timeline({"finished": 1}), "UTC") is None
    chart = charts.durations(timeline({}, {"p50": 10.0, "p95": 40.0}), "Europe/Berlin")
    assert chart is not None
    empty, full = chart.columns
    assert empty.bars == []
    assert [(bar.kind, bar.height) for bar in full.bars] == [("p95", HEIGHT), ("p50", HEIGHT / 4)]
    assert full.said == "median 10 ms, 95 % within 40 ms"
    assert full.when == "2030-01-31 01:30:00 Europe/Berlin to 02:00:00"


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
