"""New rules of time zones: next runs are timed anew when a service starts with them, and only then."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import TZPATH

import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database import installation
from scheduler_api.database.engine import Database
from scheduler_api.schedule import zones
from scheduler_api.services.runs import repairs
from scheduler_api.settings import Settings
from scheduler_api.workers.upkeep import Upkeep
from tests.factories import add_job, logs, scalar
from tests.processes.service import PATIENCE
from tests.servers import dsn

AHEAD = datetime(2030, 7, 1, 10, tzinfo=UTC)
DAILY: dict[str, Any] = {
    "cron": "0 12 * * *", "repeat": True, "startdate": None, "starttime": None, "timezone": "Europe/Berlin",
    "validfrom": datetime(2030, 6, 30, 20, tzinfo=UTC),
}  # fmt: skip
KEPT = "SELECT zonerules FROM installation"


async def forget(database: Database) -> None:
    await database.transact(installation.keep_zone_rules, "those of last year")


async def test_next_runs_are_looked_at_once_for_each_set_of_rules(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start with a hundred thousand jobs in zones does not look at them all again."""
    looked: list[int] = []
    realign = repairs.realign

    async def watched(session: Any, now: datetime, after: int, limit: int) -> int | None:
        looked.append(after)
        return await realign(session, now, after, limit)

    monkeypatch.setattr(repairs, "realign", watched)
    await forget(database)
    await add_job(database, due=AHEAD, **DAILY)
    for _ in range(3):
        await Upkeep(database).realign()
    assert looked == [0, 1]
    assert await scalar(database, KEPT) == zones.digest_of_rules()


async def test_a_service_with_new_rules_answers_at_once_and_times_runs_anew(
    database: Database, worker_database: URL
) -> None:
    # As it would have been timed if Berlin had kept its winter time.
    jobid = await add_job(database, due=AHEAD + timedelta(hours=1), **DAILY)
    await forget(database)
    async with database.transactional.begin() as stranger:
        # Somebody holds the job, so that it cannot be looked at: the start does not wait for that.
        await stranger.exec_driver_sql("SELECT FROM job FOR UPDATE")
        app = create_app(Settings.model_validate({"database_url": dsn(worker_database)}))
        async with LifespanManager(app):
            await stranger.rollback()
            async with asyncio.timeout(PATIENCE):
                while await scalar(database, KEPT) != zones.digest_of_rules():
                    await asyncio.sleep(0.02)
    assert [log.scheduledfor for log in await logs(database, jobid)] == [AHEAD]


async def test_the_digest_is_another_one_where_a_zone_has_other_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    before = zones.digest_of_rules()
    assert zones.digest_of_rules() == before
    berlin = tmp_path / "Europe" / "Berlin"
    berlin.parent.mkdir()
    berlin.write_bytes(b"other rules")
    monkeypatch.setattr("scheduler_api.schedule.zones.TZPATH", (str(tmp_path), *TZPATH))
    assert zones.digest_of_rules() != before
