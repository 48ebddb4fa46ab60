"""What has run: timelines and glances, beside the same counted by hand."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from scheduler_api.contracts.history.timeline import TimeRange
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.database.tables.runs import joblog
from scheduler_api.errors import JobNotFound
from scheduler_api.services import views
from scheduler_api.services.history import timeline
from tests.factories import NOON, add_job, empty

LOGS = st.lists(
    st.tuples(
        st.integers(0, 26 * 3600),
        st.sampled_from(["finished", "failed", "skipped"]),
        st.integers(0, 3),
        st.integers(1, 9),
    ),
    max_size=20,
    unique_by=lambda log: log[0],
)


def row(jobid: int, log: tuple[int, str, int, int]) -> dict[str, Any]:
    ago, status, missed, took = log
    at = NOON - timedelta(seconds=ago)
    ran = status != "skipped"
    return {
        "jobid": jobid, "scheduledfor": at, "status": status, "missed": missed or None,
        "kind": "http" if ran else "plain", "host": "x" if ran else None,
        "through": at if missed else None, "startedat": at if ran else None,
        "finishedat": at + timedelta(seconds=took), "reason": None if ran else "paused",
        "error": "x" if status == "failed" else None,
    }  # fmt: skip


async def add_logs(database: Database, jobid: int, logs: list[tuple[int, str, int, int]]) -> None:
    async def work(session: Session, _: datetime) -> None:
        if logs:
            await session.execute(insert(joblog), [row(jobid, log) for log in logs])

    await database.transact(work)


@given(logs=LOGS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_timeline_counts_what_the_ledger_holds(
    database: Database, logs: list[tuple[int, str, int, int]]
) -> None:
    await empty(database)
    jobid = await add_job(database, interval=60, due=None)
    await add_logs(database, jobid, logs)
    found = await database.read(timeline.timeline, NOON, jobid, TimeRange.DAY)
    assert (found.width, len(found.buckets), found.complete) == (1800, 48, True)
    assert found.until == NOON + timedelta(minutes=30)
    counts: Counter[tuple[int, str]] = Counter()
    for ago, status, missed, _ in logs:
        number = (NOON - timedelta(seconds=ago) - found.since) // timedelta(seconds=found.width)
        if number >= 0:
            counts[number, status] += 1 + (missed if status == "skipped" else 0)
            counts[number, "missed"] += missed if status != "skipped" else 0
    for number, bucket in enumerate(found.buckets):
        for kind in ("finished", "failed", "skipped", "missed"):
            assert getattr(bucket, kind) == counts[number, kind], (number, kind)
    for kind in ("finished", "failed", "skipped", "missed"):
        assert getattr(found.total, kind) == sum(n for (_, k), n in counts.items() if k == kind)


async def test_durations_are_those_of_calls(database: Database) -> None:
    jobid = await add_job(database, interval=60, due=None)
    await add_logs(database, jobid, [(60 * n, "finished", 0, n) for n in range(1, 10)])
    total = (await database.read(timeline.timeline, NOON, jobid, TimeRange.DAY)).total
    assert total.p50 == 5000
    assert total.p95 == pytest.approx(8600)


@pytest.mark.parametrize(
    ("span", "buckets"), [(TimeRange.DAY, 48), (TimeRange.WEEK, 84), (TimeRange.MONTH, 60)]
)
async def test_an_empty_timeline_has_all_its_stretches(
    database: Database, span: TimeRange, buckets: int
) -> None:
    jobid = await add_job(database)
    found = await database.read(timeline.timeline, NOON, jobid, span)
    assert len(found.buckets) == buckets
    assert found.total.finished == 0
    assert found.buckets[-1].since <= NOON < found.until


async def test_there_is_no_page_without_a_job(database: Database) -> None:
    with pytest.raises(JobNotFound):
        await database.read(views.of_job, 7, 20, None, TimeRange.DAY)


async def test_a_glance_shows_the_newest_sixty_of_each_job(database: Database) -> None:
    first, second = (
        await add_job(database, interval=60, due=None),
        await add_job(database, interval=60, due=None),
    )
    await add_logs(database, first, [(60 * n, "finished", 0, 1) for n in range(1, 71)])
    await add_logs(database, second, [(60, "failed", 2, 3)])
    found = await database.read(timeline.recent, [first, second, 99])
    assert [len(found[jobid]) for jobid in (first, second, 99)] == [60, 1, 0]
    assert found[first][-1].scheduledfor == NOON - timedelta(minutes=1)
    assert found[first][0].scheduledfor == NOON - timedelta(minutes=60)
    assert (found[second][0].status, found[second][0].missed, found[second][0].took) == ("failed", 2, 3000)
