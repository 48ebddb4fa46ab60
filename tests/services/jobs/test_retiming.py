"""An edit takes away only what the new schedule does not call for; what both call for stays, due or not."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler_api import metrics
from scheduler_api.contracts.history.explanation import ExplanationOutcome
from scheduler_api.contracts.jobs.actions import Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.errors import InvalidInput
from scheduler_api.schedule import Budget
from scheduler_api.services.history import explain, upcoming
from scheduler_api.services.jobs import actions, editing
from scheduler_api.services.jobs.planning import spread
from scheduler_api.services.runs import passes, repairs
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, logs, scalar
from tests.services.runs.test_claims import TARGET, after, at, claim, finished, is_clean, settle

MINUTELY: dict[str, Any] = {"cron": "* * * * *", "startdate": None, "starttime": None, "repeat": True}
SINCE = NOON - timedelta(seconds=1)
ELSEWHERE: list[dict[str, Any]] = [
    {"exclude": ["2030-12-25"]},
    {"until": "2031-01-01T00:00:00Z"},
    {"dstfold": "both"},
    {"dstgap": "skip"},
    {"cron": "*/1 * * * *"},
    {"cron": "0 * * * * *"},
    {"timezone": "Europe/Berlin"},
    {"jitter": 50},
]


async def add(database: Database, due: datetime = NOON, **values: Any) -> int:
    return await add_job(database, due=due, createdat=SINCE, validfrom=SINCE, **values)


async def edit(database: Database, now: datetime, jobid: int, patch: dict[str, Any]) -> None:
    await at(database, now, editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate(patch))
    assert await is_clean(database, jobid)


async def run(database: Database, now: datetime) -> None:
    """All that is due, in passes."""

    async def work(session: Session, _: datetime) -> int:
        return (await passes.run_pass(session, now, 100, now)).claimed

    while await database.transact(work):
        pass


async def told(database: Database, jobid: int) -> list[tuple[datetime, str, int]]:
    """Each log: its occurrence, what became of it, and how many more it stands for."""
    return [(row.scheduledfor, row.reason or row.status, row.missed) for row in await logs(database, jobid)]


@pytest.mark.parametrize("patch", ELSEWHERE, ids=str)
async def test_a_run_that_waits_for_its_jitter_stays(database: Database, patch: dict[str, Any]) -> None:
    jobid = await add(database, jitter=57, **MINUTELY)
    delay = spread(jobid, 57)
    await execute(database, "UPDATE joblog SET nextrun = nextrun + :delay", delay=delay)
    await edit(database, after(10), jobid, patch)
    (waiting,) = await logs(database, jobid)
    assert (waiting.logid, waiting.status, waiting.scheduledfor) == (1, "pending", NOON)
    assert waiting.nextrun == NOON + spread(jobid, patch.get("jitter", 57))
    await run(database, after(59))
    assert await told(database, jobid) == [(NOON, "finished", 0), (after(60), "pending", 0)]
    said = await at(database, after(59), explain.explain, jobid, NOON, 16)
    assert (said.outcome, said.scheduled) == (ExplanationOutcome.RAN, True)
    assert await is_clean(database, jobid)


@pytest.mark.parametrize("misfire", ["once", "all"])
async def test_of_what_is_late_only_that_is_over_which_the_new_one_does_not_call_for(
    database: Database, misfire: str
) -> None:
    jobid = await add(database, interval=60, misfire=misfire, grace=3600)
    patch = JobPatch.model_validate({"interval": 120})
    _, row, draft = await at(database, after(290), upcoming.job_to_edit, jobid, patch)
    preview = upcoming.preview_edit(Budget(10_000), after(290), row, draft)
    assert preview.superseded == 2
    await edit(database, after(290), jobid, {"interval": 120})
    assert await told(database, jobid) == [(NOON, "pending", 0), (after(60), "superseded", 1)]
    assert (await logs(database, jobid))[0].logid == 1
    await run(database, after(295))
    found = await told(database, jobid)
    if misfire == "once":
        assert found == [(NOON, "finished", 2), (after(60), "superseded", 1), (after(360), "pending", 0)]
    else:
        assert found == [
            (NOON, "finished", 0),
            (after(60), "superseded", 1),
            (after(120), "finished", 0),
            (after(240), "finished", 0),
            (after(360), "pending", 0),
        ]
    assert await is_clean(database, jobid)
    fates = {}
    for minute in range(5):
        fates[minute] = (
            await at(database, after(300), explain.explain, jobid, after(60 * minute), 16)
        ).outcome
    kept = ExplanationOutcome.COUNTED if misfire == "once" else ExplanationOutcome.RAN
    assert fates == {
        0: ExplanationOutcome.RAN,
        1: ExplanationOutcome.SKIPPED,
        2: kept,
        3: ExplanationOutcome.COUNTED,
        4: kept,
    }
    said = await at(database, after(300), explain.explain, jobid, after(180), 16)
    assert "the job was edited before it ran" in said.sentence
    said = await at(database, after(300), explain.explain, jobid, after(120), 16)
    assert ("run of 2030-01-31 12:00:00 +00:00, which ran" in said.sentence) == (misfire == "once")


@pytest.mark.parametrize("misfire", ["once", "all"])
async def test_a_denser_schedule_calls_for_nothing_of_the_past_that_the_old_one_did_not(
    database: Database, misfire: str
) -> None:
    jobid = await add(database, interval=3600, misfire=misfire)
    await edit(database, after(1815), jobid, {"interval": 60})
    assert await told(database, jobid) == [(NOON, "pending", 0)]
    await run(database, after(1820))
    assert await told(database, jobid) == [(NOON, "finished", 0), (after(1860), "pending", 0)]
    await run(database, after(1860))
    assert await is_clean(database, jobid)


async def test_a_day_that_is_excluded_now_takes_away_what_is_due_on_it(database: Database) -> None:
    jobid = await add(database, interval=60)
    await edit(database, after(150), jobid, {"exclude": ["2030-01-31"]})
    assert (await told(database, jobid))[0] == (NOON, "superseded", 2)
    await edit(database, after(170), jobid, {"exclude": []})
    await run(database, after(190))
    assert (after(180), "finished", 0) in await told(database, jobid)
    assert await is_clean(database, jobid)


async def test_one_edit_after_the_other_keeps_what_all_call_for(database: Database) -> None:
    jobid = await add(database, interval=60, misfire="all")
    await edit(database, after(250), jobid, {"interval": 120})
    await edit(database, after(370), jobid, {"cron": "*/3 * * * *", "interval": None, "startdate": None,
                                             "starttime": None})  # fmt: skip
    await edit(database, after(380), jobid, {"exclude": ["2030-12-25"]})
    await run(database, after(385))
    assert [row for row in await told(database, jobid) if row[1] != "superseded"] == [
        (NOON, "finished", 0),
        (after(360), "finished", 0),
        (after(540), "pending", 0),
    ]
    assert await is_clean(database, jobid)


async def test_all_that_a_pause_has_missed_stays_however_much_it_is(database: Database) -> None:
    jobid = await add(database, **MINUTELY)
    await at(database, after(-1), actions.pause, ACTOR, jobid, Pause())
    week = timedelta(days=7)
    await edit(database, NOON + week, jobid, {"exclude": ["2030-02-02", "2030-12-25"]})
    assert await scalar(database, "SELECT resumefrom FROM job") == NOON
    await at(database, NOON + week, actions.resume, ACTOR, jobid, Resume())
    await run(database, NOON + week)
    ran, off, nextone = await logs(database, jobid)
    assert (ran.status, ran.missed) == ("finished", 6 * 24 * 60)
    assert (off.reason, off.missed) == ("superseded", 24 * 60 - 1)
    assert nextone.scheduledfor == NOON + week + timedelta(minutes=1)
    assert await is_clean(database, jobid)


async def test_of_other_cadences_the_newest_thousand_are_compared(database: Database) -> None:
    jobid = await add(database, **MINUTELY)
    await at(database, after(-1), actions.pause, ACTOR, jobid, Pause())
    now = NOON + timedelta(minutes=1199)
    await edit(database, now, jobid, {"cron": "0-59 * * * *"})
    assert await scalar(database, "SELECT resumefrom FROM job") == NOON + timedelta(minutes=200)
    assert await told(database, jobid) == [(NOON, "superseded", 199)]


async def test_what_a_run_under_way_is_followed_by_stays(database: Database) -> None:
    jobid = await add(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await edit(database, after(100), jobid, {"until": "2031-01-01T00:00:00Z"})
    await settle(database, after(130), finished(started))
    assert await told(database, jobid) == [(NOON, "finished", 0), (after(60), "pending", 0)]
    (started,) = (await claim(database, after(131))).started
    await settle(database, after(132), finished(started))
    assert await is_clean(database, jobid)


async def test_a_promise_that_is_only_tried_at_another_time_keeps_its_log(database: Database) -> None:
    jobid = await add(database, interval=60)
    await edit(database, after(-0.5), jobid, {"jitter": 40, "exclude": ["2030-12-25"]})
    (promise,) = await logs(database, jobid)
    assert (promise.logid, promise.nextrun) == (1, NOON + spread(jobid, 40))


async def test_a_single_run_that_is_due_outlives_an_edit(database: Database) -> None:
    jobid = await add(database)
    await edit(database, after(10), jobid, {"exclude": ["2030-12-25"]})
    await run(database, after(11))
    assert await told(database, jobid) == [(NOON, "finished", 0)]
    with pytest.raises(InvalidInput):
        await edit(database, after(20), jobid, {"exclude": []})
    assert await is_clean(database, jobid)


@pytest.mark.parametrize(
    ("patch", "rows"),
    [
        ({"exclude": ["2030-12-25"]}, [(0, "request"), (60, "pending")]),
        ({"interval": 30}, [(0, "request"), (30, "pending")]),
        ({"interval": 120}, [(0, "request"), (120, "pending")]),
        ({"exclude": ["2030-01-31"]}, [(43200, "pending")]),
    ],
    ids=str,
)
async def test_what_is_skipped_ahead_of_its_time_stays_so(
    database: Database, patch: dict[str, Any], rows: list[tuple[int, str]]
) -> None:
    jobid = await add(database, interval=60)
    await at(database, after(-0.9), actions.skip_next, ACTOR, jobid)
    await edit(database, after(-0.5), jobid, patch)
    excluded = "exclude" in patch and patch["exclude"] == ["2030-01-31"]
    found = [(row.scheduledfor, row.reason or row.status) for row in await logs(database, jobid)]
    assert found == [(NOON if excluded else after(seconds), said) for seconds, said in rows]
    await run(database, after(200))
    assert await is_clean(database, jobid)


async def test_a_promise_that_was_kept_and_lost_is_given_again(database: Database) -> None:
    jobid = await add(database, interval=60)
    await edit(database, after(250), jobid, {"interval": 120})
    await execute(database, "DELETE FROM joblog WHERE status = 'pending'")
    assert await at(database, after(260), repairs.repair, jobid)
    await run(database, after(270))
    assert [row for row in await told(database, jobid) if row[1] == "finished"] == [(NOON, "finished", 2)]
    assert await is_clean(database, jobid)


def counted(reason: str) -> float:
    """How many occurrences metrics have counted as skipped for it."""
    return metrics.REGISTRY.get_sample_value("scheduler_missed_total", {"reason": reason}) or 0.0


async def test_what_was_skipped_ahead_and_has_come_in_part_is_parted_by_an_edit(database: Database) -> None:
    jobid = await add(database, cron="0 12 * * *", startdate=None, starttime=None, repeat=True,
                      exclude=["2030-01-31/2030-02-02"])  # fmt: skip
    days = [NOON + timedelta(days=day) for day in range(5)]
    await execute(database, "UPDATE joblog SET nextrun = :at", at=days[3])
    before = counted("excluded")
    await at(database, after(-0.5), actions.skip_next, ACTOR, jobid)
    assert await told(database, jobid) == [
        (days[0], "excluded", 2), (days[3], "request", 0), (days[4], "pending", 0)
    ]  # fmt: skip
    now = days[1] + timedelta(hours=1)
    await edit(database, now, jobid, {"exclude": ["2030-02-02"], "until": "2031-01-01T00:00:00Z"})
    assert await told(database, jobid) == [
        (days[0], "excluded", 1), (days[2], "excluded", 0), (days[3], "request", 0), (days[4], "pending", 0)
    ]  # fmt: skip
    # What is told in two rows now was counted when it was one.
    assert counted("excluded") - before == 3
    await edit(database, now, jobid, {"exclude": []})
    assert await told(database, jobid) == [(days[0], "excluded", 1), (days[2], "pending", 0)]
