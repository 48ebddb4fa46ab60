"""A pass: what it writes down, for each policy; and rows that go wrong alone."""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Decision, Schedule, decide
from scheduler_api.services.runs import judging, passes
from scheduler_api.services.runs.passes import PassReport
from scheduler_api.workers.singly import whole_else_singly
from tests.factories import NOON, add_job, execute, is_active, logs, scalar
from tests.servers import undistributed


async def run_at(database: Database, now: datetime, limit: int = 100) -> PassReport:
    """One pass at an instant of our choice."""

    def work(singly: bool) -> Awaitable[PassReport]:
        return database.transact(lambda session, _: passes.run_pass(session, now, limit, now, singly=singly))

    return await whole_else_singly("a pass", work)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def test_nothing_is_done_before_its_time(database: Database) -> None:
    jobid = await add_job(database)
    assert await run_at(database, after(-0.001)) == PassReport()
    assert [log.status for log in await logs(database, jobid)] == ["pending"]


async def test_a_single_run_finishes_and_retires_its_job(database: Database) -> None:
    jobid = await add_job(database)
    assert await run_at(database, after(2)) == PassReport(claimed=1, finished=1)
    (log,) = await logs(database, jobid)
    assert (log.status, log.scheduledfor, log.nextrun) == ("finished", NOON, None)
    assert (log.lastrun, log.startedat, log.finishedat) == (after(2), after(2), after(2))
    assert not await is_active(database, jobid)


@pytest.mark.parametrize(
    ("schedule", "cases"),
    [
        ({"interval": 60}, 1),
        ({"cron": "0 * * * *", "timezone": "Europe/Berlin"}, 1),
        # Each is tried at a time of its own.
        ({"cron": "0 * * * *", "jitter": 3000}, 3),
    ],
)
async def test_jobs_of_one_schedule_that_are_due_at_once_are_decided_on_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any], cases: int
) -> None:
    decided = list[datetime]()

    def counted(schedule: Schedule, occurrence: datetime, *args: Any) -> Decision:
        decided.append(occurrence)
        return decide(schedule, occurrence, *args)

    monkeypatch.setattr(judging, "decide", counted)
    jobids = [await add_job(database, repeat=True, **schedule) for _ in range(3)]
    assert (await run_at(database, after(3600))).finished == 3
    assert decided == [NOON] * cases
    assert len({str((await logs(database, jobid))[1].scheduledfor) for jobid in jobids}) == 1


async def test_a_repeating_run_promises_the_next_on_the_grid_of_the_previous(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    await run_at(database, after(2))
    await run_at(database, after(61.5))
    first, second, third = await logs(database, jobid)
    assert [first.status, second.status, third.status] == ["finished", "finished", "pending"]
    assert [first.scheduledfor, second.scheduledfor, third.scheduledfor] == [NOON, after(60), after(120)]
    assert (third.nextrun, third.lastrun, third.missed) == (after(120), after(61.5), 0)
    assert await is_active(database, jobid)


async def test_a_run_keeps_a_short_row(database: Database) -> None:
    """Each run has one, for months: a column that most of them fill costs gigabytes."""
    await add_job(database, interval=60)
    await run_at(database, after(62))
    await run_at(database, after(120))
    filled = """
        SELECT array_agg(name) FROM joblog, jsonb_each(to_jsonb(joblog)) AS of_it (name, value)
        WHERE status = 'finished' AND (missed IS NULL) = :alone AND value <> 'null' AND name <> 'cell'
    """
    least = {
        "logid", "jobid", "scheduledfor", "startedat", "finishedat", "parentlogid", "day", "status", "cause",
        "kind", "runs", "attempt", "spent",
    }  # fmt: skip
    assert set(await scalar(database, filled, alone=True)) == least
    # It ran for two.
    assert set(await scalar(database, filled, alone=False)) == least | {"missed", "through"}


@undistributed
async def test_a_run_takes_few_bytes(database: Database) -> None:
    """The cell of a distributed table is one more column."""
    await add_job(database, interval=60)
    await run_at(database, after(62))
    await run_at(database, after(120))
    size = "SELECT pg_column_size(joblog) FROM joblog WHERE status = 'finished' AND (missed IS NULL) = :alone"
    assert await scalar(database, size, alone=True) == 104
    assert await scalar(database, size, alone=False) == 120


async def test_misfire_once_runs_once_and_counts_the_rest(database: Database) -> None:
    jobid = await add_job(database, interval=60, misfire="once")
    assert await run_at(database, after(630)) == PassReport(claimed=1, finished=1)
    ran, promise = await logs(database, jobid)
    assert (ran.status, ran.missed) == ("finished", 10)
    assert promise.scheduledfor == after(660)


async def test_misfire_all_runs_each_in_order(database: Database) -> None:
    jobid = await add_job(database, interval=60, misfire="all")
    for _ in range(4):
        await run_at(database, after(150))
    entries = await logs(database, jobid)
    assert [(log.status, log.scheduledfor, log.missed) for log in entries] == [
        ("finished", NOON, 0),
        ("finished", after(60), 0),
        ("finished", after(120), 0),
        ("pending", after(180), 0),
    ]


async def test_misfire_skip_says_what_it_dropped(database: Database) -> None:
    jobid = await add_job(database, interval=60, misfire="skip", grace=90)
    assert await run_at(database, after(630)) == PassReport(claimed=1, skipped=1)
    dropped, promise = await logs(database, jobid)
    assert (dropped.status, dropped.reason, dropped.missed) == ("skipped", "misfire", 8)
    assert (dropped.startedat, dropped.lastrun, dropped.finishedat) == (None, None, after(630))
    # 90 s late is not later than grace: it runs, and so does the one after it.
    assert promise.scheduledfor == after(540)
    assert await run_at(database, after(630)) == PassReport(claimed=1, finished=1)
    assert await run_at(database, after(630)) == PassReport(claimed=1, finished=1)
    assert await run_at(database, after(630)) == PassReport()


async def test_a_single_run_that_is_too_late_is_skipped(database: Database) -> None:
    jobid = await add_job(database, misfire="skip", grace=90)
    await run_at(database, after(91))
    (log,) = await logs(database, jobid)
    assert (log.status, log.reason) == ("skipped", "misfire")
    assert not await is_active(database, jobid)


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
async def test_the_ledger_adds_up_to_the_schedule_after_downtime(database: Database, misfire: str) -> None:
    jobid = await add_job(database, interval=7, misfire=misfire, grace=20)
    for now in (after(3), after(500), after(503), after(1000)):
        while (await run_at(database, now)).claimed:
            pass
    *settled, promise = await logs(database, jobid)
    assert promise.status == "pending"
    assert sum(1 + log.missed for log in settled) == (promise.scheduledfor - NOON) // timedelta(seconds=7)
    assert promise.scheduledfor == after(1001)


async def test_a_pass_is_bounded(database: Database) -> None:
    for _ in range(5):
        await add_job(database)
    assert (await run_at(database, after(1), limit=3)).claimed == 3
    assert (await run_at(database, after(1), limit=3)).claimed == 2


async def test_the_end_of_the_calendar_ends_a_job(database: Database) -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    jobid = await add_job(database, due=end, interval=60)
    assert await run_at(database, end) == PassReport(claimed=1, finished=1)
    assert [log.status for log in await logs(database, jobid)] == ["finished"]
    assert not await is_active(database, jobid)


@pytest.fixture
async def poison(database: Database) -> AsyncIterator[int]:
    """The jobid whose next promise the database refuses to store."""
    jobid = await add_job(database, interval=60)
    await execute(
        database,
        f"""
        CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.jobid = {jobid} THEN RAISE EXCEPTION 'poisoned'; END IF;
            RETURN NEW;
        END $$
        """,
    )
    await execute(
        database, "CREATE TRIGGER poison BEFORE UPDATE ON joblog FOR EACH ROW EXECUTE FUNCTION poison()"
    )
    yield jobid
    # With whatever triggers there are.
    await execute(database, "DROP FUNCTION poison CASCADE")


async def test_a_poisoned_row_fails_alone(database: Database, poison: int) -> None:
    await execute(database, "ALTER TABLE joblog DISABLE TRIGGER poison")
    healthy = [await add_job(database, interval=60, due=after(n)) for n in (-1, 1)]
    await execute(database, "ALTER TABLE joblog ENABLE TRIGGER poison")
    assert await run_at(database, after(2)) == PassReport(claimed=3, finished=2, failed=1)
    for jobid in healthy:
        assert [log.status for log in await logs(database, jobid)] == ["finished", "pending"]
    (failed,) = await logs(database, poison)
    assert failed.status == "failed"
    assert "poisoned" in failed.error
    assert not await is_active(database, poison)


async def test_a_row_that_cannot_even_fail_stays_and_does_not_hold_up_others(
    database: Database, poison: int
) -> None:
    healthy = await add_job(database, interval=60)
    await execute(
        database,
        "CREATE TRIGGER stuck BEFORE INSERT ON joblog FOR EACH ROW EXECUTE FUNCTION poison()",
    )
    (row,) = await logs(database, poison)
    assert await run_at(database, after(2)) == PassReport(claimed=2, finished=1, refused={row.logid})
    await execute(database, "DROP TRIGGER stuck ON joblog")
    assert [log.status for log in await logs(database, healthy)] == ["finished", "pending"]
    assert [log.status for log in await logs(database, poison)] == ["pending"]


@pytest.mark.parametrize(
    ("cron", "following"), [("0 0 1 2 *", datetime(2030, 2, 1, tzinfo=UTC)), ("0 13 * * *", after(3600))]
)
async def test_a_run_that_the_schedule_does_not_call_for_runs_and_the_schedule_goes_on(
    database: Database, cron: str, following: datetime
) -> None:
    """A row that was made by hand."""
    jobid = await add_job(database, cron=cron, repeat=True)
    assert await run_at(database, after(2)) == PassReport(claimed=1, finished=1)
    assert [(log.status, log.scheduledfor) for log in await logs(database, jobid)] == [
        ("finished", NOON),
        ("pending", following),
    ]


async def test_a_bug_in_the_plan_of_one_run_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, healthy = await add_job(database, cron="0 12 * * *", repeat=True), await add_job(database)

    def bug(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(judging, "_refined", bug)
    assert await run_at(database, after(2)) == PassReport(claimed=2, finished=1, failed=1)
    (failed,) = await logs(database, broken)
    assert failed.error == "The schedule cannot be computed: AssertionError"
    assert [log.status for log in await logs(database, healthy)] == ["finished"]


async def test_a_schedule_that_cannot_be_computed_fails_alone(database: Database) -> None:
    """A policy from a newer version, say: that job stops and says why; the others run."""
    broken = await add_job(database, interval=60)
    healthy = await add_job(database, interval=60)
    await execute(database, "ALTER TABLE job DROP CONSTRAINT ck_job_misfire")
    try:
        await execute(database, "UPDATE job SET misfire = 'later' WHERE jobid = :jobid", jobid=broken)
        assert await run_at(database, after(2)) == PassReport(claimed=2, finished=1, failed=1)
    finally:
        await execute(database, "UPDATE job SET misfire = 'once'")
        await execute(
            database,
            "ALTER TABLE job ADD CONSTRAINT ck_job_misfire CHECK (misfire IN ('once', 'all', 'skip'))",
        )
    (failed,) = await logs(database, broken)
    assert failed.status == "failed"
    assert "later" in failed.error
    assert [log.status for log in await logs(database, healthy)] == ["finished", "pending"]


async def test_verdict_and_next_promise_are_one_transaction(database: Database) -> None:
    """Whatever the moment, an active job has exactly one live log: seen from another connection."""
    for _ in range(20):
        await add_job(database, interval=1)
    live = (
        "SELECT count(*) FROM job WHERE active AND 1 <> (SELECT count(*) FROM joblog"
        " WHERE joblog.jobid = job.jobid AND status IN ('pending', 'running'))"
    )

    async def work(session: Session, _: datetime) -> int:
        await passes.run_pass(session, after(1), 100, after(1))
        return int(await scalar(database, live))

    assert await database.transact(work) == 0
    assert await scalar(database, live) == 0


async def test_a_pass_over_what_was_due_before_the_clock_was_set_back_takes_nothing(
    database: Database,
) -> None:
    await add_job(database, interval=60)

    async def work(session: Session, _: datetime) -> PassReport:
        return await passes.run_pass(session, after(-3600), 10, after(60))

    assert await database.transact(work) == PassReport()
