"""`maxruns` and `until` are bounds: no order of what people and crashes do exceeds them."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.engine import URL

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.contracts.jobs.actions import Missed, Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import leases
from scheduler_api.database.runs.claims import Started
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobHasNoFuture, SchedulerError
from scheduler_api.schedule import Budget
from scheduler_api.services.history import backfill, checks, explain, upcoming
from scheduler_api.services.jobs import actions, editing, planning, reading
from scheduler_api.services.runs import holding, passes, repairs, retrying
from tests.factories import ACTOR, CIPHER, NOON, add_job, empty, execute, is_active, logs, scalar
from tests.services.runs.test_claims import TARGET, after, at, claim, failed, finished, is_clean, reap, settle


async def take_over(session: Session, now: datetime) -> Any:
    return await holding.reap(session, now, await leases.expired(session, now, 10))


Order = Callable[[Database, int, Started], Awaitable[Any]]


def pause_until(until: datetime | None, **more: Any) -> Pause:
    return Pause.model_validate({"until": until and until.isoformat()} | more)


def made_up_for(until: datetime, *, every: bool = False) -> Backfill:
    since = NOON - timedelta(days=1)
    return Backfill.model_validate({"since": since.isoformat(), "until": until.isoformat(), "all": every})


async def pause_and_resume(database: Database, jobid: int, _: Started) -> None:
    await at(database, after(5), actions.pause, ACTOR, jobid, Pause())
    assert await scalar(database, "SELECT resumefrom FROM job") is None
    await at(database, after(100), actions.resume, ACTOR, jobid, Resume())


async def pause_and_resume_without_what_was_missed(database: Database, jobid: int, _: Started) -> None:
    await at(database, after(5), actions.pause, ACTOR, jobid, Pause())
    await at(database, after(100), actions.resume, ACTOR, jobid, Resume(missed=Missed.SKIP))


async def pause_for_a_while(database: Database, jobid: int, _: Started) -> None:
    await at(database, after(5), actions.pause, ACTOR, jobid, pause_until(after(100)))
    assert await at(database, after(100), actions.resume_all, [jobid]) == 1


async def pause_twice(database: Database, jobid: int, _: Started) -> None:
    await at(database, after(5), actions.pause, ACTOR, jobid, Pause())
    await at(database, after(70), actions.pause, ACTOR, jobid, Pause(reason="Still."))
    await at(database, after(100), actions.resume, ACTOR, jobid, Resume())


async def edit(database: Database, jobid: int, _: Started) -> None:
    patch = JobPatch.model_validate({"jitter": 1, "jobname": "Another"})
    await at(database, after(100), editing.edit, ACTOR, CIPHER, jobid, patch)


async def edit_while_paused(database: Database, jobid: int, started: Started) -> None:
    await at(database, after(5), actions.pause, ACTOR, jobid, Pause())
    await edit(database, jobid, started)
    await at(database, after(110), actions.resume, ACTOR, jobid, Resume())


async def skip(database: Database, jobid: int, _: Started) -> None:
    with pytest.raises(JobHasNoFuture):
        await at(database, after(100), actions.skip_next, ACTOR, jobid)


async def heal(database: Database, jobid: int, _: Started) -> None:
    await at(database, after(100), repairs.repair, jobid)
    await at(database, after(100), repairs.realign, 0, 10)
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE jobid = :jobid", jobid=jobid) == 1


async def make_up(database: Database, jobid: int, _: Started) -> None:
    order = made_up_for(after(100))
    assert (await at(database, after(101), backfill.backfill, ACTOR, jobid, order)).count == 0


async def lose_the_replica(database: Database, jobid: int, _: Started) -> None:
    await reap(database, after(100))
    (again,) = (await claim(database, after(100))).started
    await pause_and_resume(database, jobid, again)
    await settle(database, after(120), finished(again))


async def fail_and_retry(database: Database, jobid: int, started: Started) -> None:
    await settle(database, after(70), failed(started, again=False))
    await at(database, after(80), retrying.retry, ACTOR, 1)
    with contextlib.suppress(JobHasNoFuture):
        await at(database, after(90), actions.pause, ACTOR, jobid, Pause())
    (again,) = (await claim(database, after(100))).started
    await settle(database, after(120), finished(again))


@pytest.mark.parametrize(
    "values", [{}, {"misfire": "all"}, {"misfire": "skip", "grace": 30}, {"overlap": True}], ids=str
)
@pytest.mark.parametrize(
    "order",
    [
        pause_and_resume, pause_and_resume_without_what_was_missed, pause_for_a_while, pause_twice,
        edit, edit_while_paused, skip, heal, make_up, lose_the_replica, fail_and_retry,
    ],
)  # fmt: skip
@pytest.mark.parametrize("bound", [{"maxruns": 1}, {"until": NOON + timedelta(seconds=30)}], ids=str)
async def test_what_happens_during_the_last_run_makes_no_further_one(
    database: Database, bound: dict[str, Any], order: Order, values: dict[str, Any]
) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, **bound, **values)
    (started,) = (await claim(database, after(2))).started
    await order(database, jobid, started)
    await settle(database, after(130), finished(started))
    assert (await claim(database, after(400))).started == []
    assert [log.status for log in await logs(database, jobid)] == ["finished"]
    assert (await database.read(reading.get, jobid)).state == "completed"
    assert await is_clean(database, jobid)


async def test_a_job_that_was_paused_during_its_only_run_is_completed_by_it(database: Database) -> None:
    jobid = await add_job(database, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(3), actions.pause, ACTOR, jobid, pause_until(after(3600), reason="Moving"))
    assert await is_clean(database, jobid)
    await settle(database, after(4), finished(started))
    job = await database.read(reading.get, jobid)
    assert (job.state, job.pausereason, job.pauseduntil) == ("completed", None, None)
    assert await is_clean(database, jobid)


async def test_a_paused_job_that_goes_on_stays_paused_when_its_run_ends(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=2)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(3), actions.pause, ACTOR, jobid, Pause())
    await settle(database, after(4), finished(started))
    assert (await database.read(reading.get, jobid)).state == "paused"
    await at(database, after(200), actions.resume, ACTOR, jobid, Resume())
    (last,) = (await claim(database, after(201))).started
    await settle(database, after(202), finished(last))
    assert (await claim(database, after(400))).started == []
    assert not await is_active(database, jobid)
    assert await is_clean(database, jobid)


async def test_more_runs_during_the_last_one_are_run(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=1)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(3), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"maxruns": 2}))
    await settle(database, after(50), finished(started))
    (last,) = (await claim(database, after(61))).started
    await settle(database, after(62), finished(last))
    assert (await claim(database, after(400))).started == []
    assert await is_clean(database, jobid)


async def test_more_runs_after_the_end_of_a_schedule_call_for_nothing(database: Database) -> None:
    jobid = await add_job(database, interval=60, maxruns=1, until=after(600))
    await at(database, after(2), passes.run_pass, 10, after(2))
    assert not await is_active(database, jobid)
    await at(
        database, after(900), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"maxruns": None})
    )
    assert not await is_active(database, jobid)
    assert await is_clean(database, jobid)


async def test_a_job_that_follows_another_outlives_the_runs_of_its_former_schedule(
    database: Database,
) -> None:
    parent = await add_job(database, interval=60)
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    none = dict.fromkeys(("startdate", "starttime", "interval"))
    patch = JobPatch.model_validate(none | {"after": {"jobid": parent, "on": "any"}})
    await at(database, after(3), editing.edit, ACTOR, CIPHER, jobid, patch)
    await settle(database, after(4), finished(started))
    assert await is_active(database, jobid)


async def test_during_the_last_run_nothing_is_said_to_come(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=1)
    await claim(database, after(2))
    _, row = await at(database, after(3), upcoming.job_now, jobid)
    assert upcoming.upcoming(Budget(10_000), after(3), row, 10).occurrences == []
    for state in ("active", "paused"):
        said = await at(database, after(4), explain.explain, jobid, after(600), 16)
        assert (said.outcome, "as maxruns (1) allows" in said.sentence) == ("completed", True), state
        await at(database, after(5), actions.pause, ACTOR, jobid, Pause())


async def test_what_lies_beyond_the_runs_that_are_left_is_not_expected(database: Database) -> None:
    jobid = await add_job(database, interval=60, maxruns=2)
    fates = [
        (await at(database, after(-5), explain.explain, jobid, after(60 * number), 16)).outcome
        for number in (1, 2)
    ]
    assert fates == ["expected", "completed"]


async def test_nothing_is_made_up_for_that_came_between_the_last_run_and_more_of_them(
    database: Database,
) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=1)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), finished(started))
    await at(
        database, after(190), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"maxruns": 2})
    )
    order = made_up_for(after(600))
    assert (await at(database, after(195), backfill.backfill, ACTOR, jobid, order)).count == 0
    assert await is_clean(database, jobid)


async def test_nothing_is_made_up_for_that_came_after_the_last_of_the_runs_that_an_edit_kept(
    database: Database,
) -> None:
    jobid = await add_job(database, interval=60, maxruns=2, misfire="all")
    patch = JobPatch.model_validate({"exclude": ["2030-12-25"]})
    await at(database, after(250), editing.edit, ACTOR, CIPHER, jobid, patch)
    for second in (251, 252):
        await at(database, after(second), passes.run_pass, 10, after(second))
    await at(
        database, after(400), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"maxruns": 5})
    )
    assert (
        await at(database, after(401), backfill.backfill, ACTOR, jobid, made_up_for(after(400)))
    ).count == 0
    assert await is_clean(database, jobid)


async def test_what_an_edit_wrote_off_is_made_up_for_although_what_it_kept_was_enough(
    database: Database,
) -> None:
    jobid = await add_job(database, interval=60, maxruns=1, misfire="all")
    await at(
        database, after(370), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"interval": 120})
    )
    await at(database, after(371), passes.run_pass, 10, after(371))
    made_up = await at(database, after(372), backfill.backfill, ACTOR, jobid, made_up_for(after(370)))
    assert made_up.occurrences == [after(60), after(180), after(300)]
    assert await is_clean(database, jobid)


#: How many jobs to try; `make explore` tries many more.
EXAMPLES = int(os.environ.get("SCHEDULER_TEST_EXAMPLES", "20"))
END = NOON + timedelta(minutes=30)


class Machine(RuleBasedStateMachine):
    """A job with a target, and whatever people, replicas and crashes do to it, in any order."""

    url: URL

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = Database(self.url, name="bounds", pool=PoolOptions(2, 0, 5.0))
        self.now = NOON
        self.jobid = 0
        self.maxruns: int | None = None
        self.until: datetime | None = None
        self.started: list[Started] = []

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()

    def do(self, service: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Call a service at the machine's time; what it refuses is refused."""
        with contextlib.suppress(SchedulerError):
            return self.runner.run(at(self.database, self.now, service, *arguments))

    @initialize(
        maxruns=st.none() | st.integers(1, 3),
        until=st.none() | st.just(END),
        misfire=st.sampled_from(["once", "all", "skip"]),
        overlap=st.booleans(),
        jitter=st.sampled_from([0, 20]),
        retries=st.integers(0, 2),
    )
    def create(
        self,
        maxruns: int | None,
        until: datetime | None,
        misfire: str,
        overlap: bool,
        jitter: int,
        retries: int,
    ) -> None:
        self.maxruns, self.until = maxruns, until
        target = TARGET | {"retries": retries}
        values: dict[str, Any] = {
            "maxruns": maxruns, "until": until, "misfire": misfire, "overlap": overlap
        }  # fmt: skip

        async def anew() -> int:
            await empty(self.database)
            jobid = await add_job(self.database, interval=60, target=target, jitter=jitter, **values)
            delay = planning.spread(jobid, jitter)
            await execute(self.database, "UPDATE joblog SET nextrun = nextrun + :delay", delay=delay)
            return jobid

        self.jobid = self.runner.run(anew())

    @rule(seconds=st.sampled_from([1, 15, 61, 200, 900]))
    def advance(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def begin(self) -> None:
        self.started += self.runner.run(claim(self.database, self.now)).started

    @precondition(lambda self: self.started)
    @rule(choice=st.integers(0, 99), end=st.sampled_from(["finished", "failed", "over", "released", "lost"]))
    def end(self, choice: int, end: str) -> None:
        started = self.started.pop(choice % len(self.started))
        ends = {"finished": finished(started), "over": failed(started, again=False)}
        if end != "lost":
            ended = ends.get(end, failed(started)._replace(outcome=end))
            self.runner.run(settle(self.database, self.now, ended))

    @rule()
    def reap(self) -> None:
        self.do(take_over)

    @rule(length=st.none() | st.sampled_from([10, 100, 1000]))
    def pause(self, length: int | None) -> None:
        until = None if length is None else self.now + timedelta(seconds=length)
        self.do(actions.pause, ACTOR, self.jobid, pause_until(until))

    @rule(missed=st.sampled_from(Missed))
    def resume(self, missed: Missed) -> None:
        self.do(actions.resume, ACTOR, self.jobid, Resume(missed=missed))

    @rule()
    def resume_due(self) -> None:
        self.do(actions.resume_all, [self.jobid])

    @rule(
        patch=st.sampled_from(
            [
                {"jitter": 0}, {"jitter": 30}, {"misfire": "all"}, {"misfire": "skip"}, {"overlap": True},
                {"overlap": False}, {"exclude": ["2030-12-25"]}, {"interval": 90}, {"interval": 60},
            ]
        )
    )  # fmt: skip
    def edit(self, patch: dict[str, Any]) -> None:
        self.do(editing.edit, ACTOR, CIPHER, self.jobid, JobPatch.model_validate(patch))

    @rule(more=st.integers(1, 2))
    def edit_maxruns(self, more: int) -> None:
        if self.maxruns is not None and self.do(
            editing.edit, ACTOR, CIPHER, self.jobid, JobPatch.model_validate({"maxruns": self.maxruns + more})
        ):
            self.maxruns += more

    @rule()
    def skip(self) -> None:
        self.do(actions.skip_next, ACTOR, self.jobid)

    @rule()
    def run_now(self) -> None:
        self.now += timedelta(microseconds=1)
        self.do(actions.run_now, ACTOR, self.jobid)

    @rule(every=st.booleans())
    def make_up(self, every: bool) -> None:
        self.do(backfill.backfill, ACTOR, self.jobid, made_up_for(self.now, every=every))

    @rule(logid=st.integers(1, 5))
    def retry(self, logid: int) -> None:
        self.do(retrying.retry, ACTOR, logid)

    @rule(logid=st.integers(1, 5))
    def cancel(self, logid: int) -> None:
        self.do(retrying.cancel, ACTOR, logid)

    @rule()
    def heal(self) -> None:
        self.do(repairs.repair, self.jobid)

    def rows(self) -> Sequence[Any]:
        found = self.runner.run(logs(self.database, self.jobid)) if self.jobid else []
        return [row for row in found if row.cause in {"schedule", "backfill"}]

    @invariant()
    def the_bounds_hold(self) -> None:
        rows = self.rows()
        ran = [row for row in rows if row.cause == "schedule" and (row.attempt > 1 or row.startedat)]
        assert self.maxruns is None or len(ran) <= self.maxruns
        assert self.until is None or all(row.scheduledfor <= self.until for row in rows)
        assert all(row.startedat is None or row.startedat >= row.scheduledfor for row in rows)

    @invariant()
    def the_check_is_clean(self) -> None:
        if self.jobid:
            report = self.runner.run(self.database.snapshot(checks.check_job, self.jobid))
            assert report.clean, report.findings


def test_no_order_of_things_exceeds_a_bound(worker_database: URL) -> None:
    run_state_machine_as_test(
        type("Machine", (Machine,), {"url": worker_database}),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            # To make a failure smaller takes minutes; its steps are printed as they were.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


#: Damage to a job that ran at noon, and has two runs left; what the check must say of it.
DAMAGE = {
    "startedat = scheduledfor - interval '1 s'": "before its instant",
    "finishedat = startedat - interval '1 s'": "before it began",
    "startedat = NULL": "never began",
    "host = NULL, kind = 'plain'": "without a call",
    "status = 'failed', error = 'No.'": "an attempt of it has finished",
    "status = 'skipped', reason = 'misfire'": "a request was made",
    "runs = 9": "maxruns is 3",
    "runs = 3": "as often as maxruns says",
    "scheduledfor = '2030-01-31 10:00Z'": "lie outside",
}
#: And to what belongs to it.
FURTHER_DAMAGE = {
    "DELETE FROM logattempt": "no attempt of it has",
    "UPDATE logattempt SET outcome = 'failed'": "no attempt of it has",
    "UPDATE joblog SET host = NULL, kind = 'plain' WHERE status = 'pending'": "another host",
    "UPDATE job SET maxruns = 1": "as often as maxruns says",
    "UPDATE job SET until = '2030-01-31 12:00:30Z'": "not on its schedule",
    "UPDATE job SET active = false, pausedat = now()": "it has a scheduled run",
}
DAMAGE_DONE = {
    f"UPDATE joblog SET {harm} WHERE status = 'finished'": said for harm, said in DAMAGE.items()
} | FURTHER_DAMAGE


@pytest.mark.parametrize("harm", DAMAGE_DONE)
async def test_the_check_knows_every_bound(database: Database, harm: str) -> None:
    since = NOON - timedelta(seconds=1)
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=3, createdat=since, validfrom=since)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), finished(started))
    assert await is_clean(database, jobid)
    await execute(database, harm)
    report = await database.snapshot(checks.check_job, jobid)
    said = [finding.detail for finding in report.findings]
    assert any(DAMAGE_DONE[harm] in detail for detail in said), said
    assert not report.clean


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("deleted", "which it is not"), ("superseded", "its schedule holds"),
        ("until", "a schedule that has none"),
    ],
)  # fmt: skip
async def test_the_check_knows_why_a_log_may_be_skipped(database: Database, reason: str, said: str) -> None:
    jobid = await add_job(database, interval=60)
    await execute(
        database,
        "UPDATE joblog SET status = 'skipped', nextrun = NULL, reason = :reason, finishedat = scheduledfor",
        reason=reason,
    )
    report = await database.snapshot(checks.check_job, jobid)
    assert any(said in finding.detail for finding in report.findings), report.findings


async def test_the_check_knows_the_bound_that_held_before_there_were_more_runs(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=1)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), finished(started))
    await at(
        database, after(190), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"maxruns": 9})
    )
    assert await is_clean(database, jobid)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, error, runs)"
        " VALUES (:jobid, :at, 'failed', :at, :at, 'No.', 2)",
        jobid=jobid,
        at=after(60),
    )
    report = await database.snapshot(checks.check_job, jobid)
    assert "Log 3 is run 2; maxruns is 1." in [finding.detail for finding in report.findings]


async def test_a_paused_job_is_looked_at_although_nothing_of_it_is_to_come(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=1)
    await claim(database, after(2))
    await at(database, after(3), actions.pause, ACTOR, jobid, Pause())
    report = await database.snapshot(checks.check_job, jobid)
    assert (report.clean, report.rows, report.expected) == (True, 1, 1)
    # As it was once left behind: it ran a second time, and stayed paused for ever.
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, status, startedat, finishedat, kind, host, runs)"
        " VALUES (:jobid, :at, 'finished', :at, :at, 'http', 'a.example', 2)",
        jobid=jobid,
        at=after(60),
    )
    report = await database.snapshot(checks.check_job, jobid)
    assert any("maxruns is 1" in finding.detail for finding in report.findings), report.findings
    await execute(database, "UPDATE joblog SET status = 'failed', error = 'No.', finishedat = now(),"
                            " leasetoken = NULL, leaseuntil = NULL WHERE status = 'running'")  # fmt: skip
    report = await database.snapshot(checks.check_job, jobid)
    assert any("nothing of it is to come" in finding.detail for finding in report.findings)
