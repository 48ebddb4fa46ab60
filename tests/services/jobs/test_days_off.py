"""Jobs whose calendars change, at instants of our choice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler_api.contracts.jobs.actions import Missed, Pause, Resume
from scheduler_api.contracts.jobs.calendars import CalendarDraft
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import JobState
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.history import checks
from scheduler_api.services.jobs import actions, calendars, creating, reading
from scheduler_api.services.runs import passes
from tests.factories import ACTOR, CIPHER, logs

BEGIN = datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC)
DAYS: list[dict[str, Any]] = [{"calendars": ["days"]}, {"exclude": ["2030-01-01", "2030-01-03"]}]


def after(**span: float) -> datetime:
    return BEGIN + timedelta(**span)


async def do(database: Database, now: datetime, service: Any, *args: Any) -> Any:
    async def work(session: Session, _: datetime) -> Any:
        return await service(session, now, *args)

    return await database.transact(work)


async def set_days(database: Database, now: datetime, *days: str) -> None:
    await do(database, now, calendars.put, ACTOR, "days", CalendarDraft(days=list(days)))
    await do(database, now, calendars.follow, ACTOR, None, 0)


async def create(database: Database, **fields: Any) -> None:
    draft = JobDraft.model_validate({"jobname": "A job", "calendars": ["days"]} | fields)
    await do(database, BEGIN, creating.create, ACTOR, CIPHER, draft)


async def tick(database: Database, now: datetime) -> None:
    async def work(session: Session, _: datetime) -> int:
        return (await passes.run_pass(session, now, 10, now)).claimed

    while await database.transact(work):
        pass


async def is_clean(database: Database) -> bool:
    report = await database.snapshot(checks.check_job, 1)
    assert report.clean, report.findings
    return report.clean


async def state(database: Database) -> JobState:
    return (await database.read(reading.get, 1)).state


@pytest.mark.parametrize("days", DAYS, ids=["calendar", "exclude"])
@pytest.mark.parametrize("maxruns", [None, 3])
async def test_a_job_may_end_with_days_off(
    database: Database, days: dict[str, Any], maxruns: int | None
) -> None:
    await set_days(database, BEGIN, "2030-01-01", "2030-01-03")
    span = {"startdate": "2030-01-01", "starttime": "00:03", "until": "2030-01-03T05:00:00Z"}
    own = {"calendars": []} | days
    await create(database, interval=3600, misfire="all", maxruns=maxruns, **span, **own)
    await do(database, BEGIN, actions.pause, ACTOR, 1, Pause())
    await do(database, after(days=2, hours=7), actions.resume, ACTOR, 1, Resume(missed=Missed.SKIP))
    assert await is_clean(database)


@pytest.mark.parametrize("maxruns", [None, 8])
async def test_the_rest_of_a_schedule_may_become_days_off(database: Database, maxruns: int | None) -> None:
    await set_days(database, BEGIN)
    await create(database, cron="15 * * * *", until="2030-01-02T05:00:00Z", maxruns=maxruns)
    await tick(database, after(hours=7))
    await set_days(database, after(hours=7), "2030-01-01/2031-01-01")
    await tick(database, after(days=2, hours=7))
    assert await is_clean(database)
    assert await state(database) is JobState.COMPLETED


async def test_a_paused_job_without_a_day_left_is_completed(database: Database) -> None:
    await set_days(database, BEGIN)
    await create(database, cron="15 * * * *", until="2030-01-02T05:00:00Z")
    await do(database, BEGIN, actions.pause, ACTOR, 1, Pause())
    now = after(days=2, hours=7)
    assert await is_clean(database)
    await set_days(database, now, "2030-01-01/2031-01-01")
    assert await is_clean(database)
    if await state(database) is JobState.PAUSED:
        await do(database, now, actions.resume, ACTOR, 1, Resume(missed=Missed.SKIP))
        assert await is_clean(database)
    assert await state(database) is JobState.COMPLETED


async def test_what_was_skipped_stays_skipped(database: Database) -> None:
    await set_days(database, BEGIN)
    await create(database, cron="0 2 * * *")
    for _ in range(2):
        await do(database, BEGIN, actions.skip_next, ACTOR, 1)
    await set_days(database, BEGIN, "2030-01-01")
    assert await is_clean(database)
    await tick(database, after(days=1, hours=7))
    assert [(log.status, log.reason) for log in await logs(database, 1)][:2] == [
        ("skipped", "excluded"),
        ("skipped", "request"),
    ]
    assert await is_clean(database)
