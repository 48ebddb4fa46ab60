"""What the tables take, how fast that grows, and whether there is room."""

from datetime import date, timedelta

import pytest

from scheduler_api.contracts.system.overview import IssueKind, Storage
from scheduler_api.database.engine import Database
from scheduler_api.services.system import overview, storage
from scheduler_api.services.system.troubles import Replica
from tests.factories import NOON, add_job, execute, lay_out_days, scalar

GB = 10**9


async def look(database: Database, keep: timedelta | None = None, free: int | None = None) -> Storage:
    return await database.read(storage.measure, NOON, keep, free)


async def fill(database: Database, first: date, days: int, runs: int) -> None:
    """A job since noon of a day, and runs on each of so many days from that one on."""
    await lay_out_days(database, first, 60)
    jobid = await add_job(database, interval=60, createdat=NOON - timedelta(days=days))
    await execute(
        database,
        "INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat)"
        " SELECT first + n, :jobid, first + n + k * interval '1 second', 'finished', :now, :now"
        " FROM (SELECT CAST(:first AS date) AS first) AS since, generate_series(0, :days - 1) AS n,"
        " generate_series(1, :runs) AS k",
        jobid=jobid, first=first, days=days, runs=runs, now=NOON,
    )  # fmt: skip


async def test_an_empty_database_has_a_size_and_no_growth(fresh: Database) -> None:
    found = await look(fresh, timedelta(days=90), 50 * GB)
    assert found.bytes > found.history > 0
    assert (found.growth, found.fullin, found.horizon) == (None, None, None)
    assert (found.keepdays, found.free) == (90, 50 * GB)


async def test_growth_is_that_of_late(fresh: Database) -> None:
    # The parts of sixty days, of which the last twenty are to come.
    first = NOON.date() - timedelta(days=40)
    await fill(fresh, first, 40, 500)
    found = await look(fresh)
    assert found.growth is not None
    takes = "SELECT pg_total_relation_size('joblog_' || to_char(CAST(:day AS date), 'YYYYMMDD'))"
    empty = await scalar(fresh, takes, day=NOON.date() + timedelta(days=10))
    grown = await scalar(fresh, takes, day=NOON.date() - timedelta(days=10))
    assert grown - empty < found.growth < grown * 2


@pytest.mark.parametrize(("hours", "known"), [(5, False), (7, True)])
async def test_nothing_is_said_of_some_hours(fresh: Database, hours: int, known: bool) -> None:
    await lay_out_days(fresh, NOON.date() - timedelta(days=3), 10)
    await add_job(fresh, createdat=NOON - timedelta(hours=hours))
    assert ((await look(fresh)).growth is not None) is known


async def test_a_disk_is_full_or_history_ends_before(fresh: Database) -> None:
    await fill(fresh, NOON.date() - timedelta(days=20), 20, 100)
    growth = (await look(fresh)).growth
    assert growth is not None
    # For ever, it is a matter of time.
    assert (await look(fresh, None, growth * 50)).fullin == pytest.approx(50, rel=0.01)
    # Thirty days more are kept, and the oldest part goes as a whole: 38 days are still to come.
    keep = timedelta(days=50)
    assert (await look(fresh, keep, growth * 39)).fullin is None
    assert (await look(fresh, keep, growth * 37)).fullin == pytest.approx(37, rel=0.01)
    # On somebody else's server nobody knows.
    assert (await look(fresh, None, None)).fullin is None


async def test_what_waits_to_be_exported_fills_the_disk(fresh: Database) -> None:
    """It is kept for as long as that takes, however long it is wanted."""
    await fill(fresh, NOON.date() - timedelta(days=20), 20, 100)
    growth = (await look(fresh)).growth
    assert growth is not None
    keep = timedelta(days=3)
    assert (await look(fresh, keep, growth * 5)).fullin is None
    # As long as days are open, no export would help.
    assert (await fresh.read(storage.measure, NOON, keep, None, exported=True)).waiting is None
    await execute(fresh, "UPDATE history SET closedto = :day", day=NOON.date() - timedelta(days=2))
    found = await fresh.read(storage.measure, NOON, keep, growth * 5, exported=True)
    assert found.waiting == NOON.date() - timedelta(days=20)
    assert found.fullin == pytest.approx(5, rel=0.01)


async def test_growth_does_not_change_with_the_first_job(fresh: Database) -> None:
    """What it left is of its time, too."""
    await fill(fresh, NOON.date() - timedelta(days=10), 10, 500)
    before = (await look(fresh)).growth
    await add_job(fresh, createdat=NOON - timedelta(hours=7))
    await execute(fresh, "DELETE FROM joblog WHERE day = 'infinity'")
    await execute(fresh, "DELETE FROM job WHERE jobid = 1")
    await execute(fresh, "UPDATE joblog SET jobid = 2 WHERE day < 'infinity'")
    await execute(fresh, "UPDATE joblog SET finishedat = scheduledfor WHERE day < 'infinity'")
    after = (await look(fresh)).growth
    assert before is not None
    assert after is not None
    assert after < before * 3


async def test_a_horizon_is_told(fresh: Database) -> None:
    await execute(fresh, "UPDATE history SET horizon = '2029-12-01'")
    assert (await look(fresh)).horizon == date(2029, 12, 1)


@pytest.mark.parametrize(("days", "what"), [
    (0.4, "The disk will be full in less than a day"),
    (1.2, "The disk will be full in about 1 day"),
    (9, "The disk will be full in about 9 days"),
    (20, None),
])  # fmt: skip
async def test_a_disk_that_is_full_soon_is_an_issue(
    fresh: Database, monkeypatch: pytest.MonkeyPatch, days: float, what: str | None
) -> None:
    monkeypatch.setattr(storage, "_full_in", lambda *_: days)
    found = await fresh.transact(overview.look, Replica())
    assert [one.what for one in found.issues if one.kind is IssueKind.DISK] == ([what] if what else [])
