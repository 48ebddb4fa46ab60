"""A machine that does anything in any order with jobs, beside a model: the ledger agrees after each step."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from scheduler_api.contracts.history.explanation import ExplanationOutcome
from scheduler_api.contracts.jobs.actions import History, Missed, Pause, Resume
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.errors import InvalidInput
from scheduler_api.schedule.succession import MAX_COMPARED
from scheduler_api.services.history import backfill, checks, explain
from scheduler_api.services.jobs import actions, creating, editing, reading, undoing
from scheduler_api.services.runs import passes
from tests.factories import ACTOR, CIPHER, connected, empty, logs
from tests.services.model import BEGIN, LAST_NOW, MINUTE, Model, Rules

Row = Any
#: How many jobs to try; `make explore` tries many more.
EXAMPLES = int(os.environ.get("SCHEDULER_TEST_EXAMPLES", "25"))

#: Schedules that both sides understand, each in its own words.
SCHEDULES: dict[str, tuple[dict[str, Any], Callable[[datetime], bool]]] = {
    "every 7 minutes": (
        {"interval": 420, "startdate": "2030-01-01", "starttime": "00:03", "repeat": True},
        lambda t: t >= BEGIN + 3 * MINUTE and (t - BEGIN - 3 * MINUTE) % (7 * MINUTE) == timedelta(0),
    ),
    "every 5 hours": (
        {"interval": 18_000, "startdate": "2030-01-01", "starttime": "01:00", "repeat": True},
        lambda t: t >= BEGIN + 60 * MINUTE and (t - BEGIN - 60 * MINUTE) % (300 * MINUTE) == timedelta(0),
    ),
    "each third minute by cron": ({"cron": "*/3 * * * *"}, lambda t: t.minute % 3 == 0),
    "hourly by cron": ({"cron": "15 * * * *"}, lambda t: t.minute == 15),
    "daily by cron": ({"cron": "30 4 * * *"}, lambda t: (t.hour, t.minute) == (4, 30)),
}
NO_KIND = {"interval": None, "cron": None, "startdate": None, "starttime": None}

schedules = st.sampled_from(sorted(SCHEDULES))
exclusions = st.lists(st.sampled_from(["2030-01-02", "2030-01-03", "2030-01-05"]), max_size=2, unique=True)
ends = st.none() | st.sampled_from([BEGIN + timedelta(days=2, hours=5), BEGIN + timedelta(days=4)])


class Machine(RuleBasedStateMachine):
    """One job after the other, on a real Postgres."""

    url: URL

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = self.runner.run(self._open())
        self.now = BEGIN + timedelta(seconds=1)
        self.jobid = 0
        self.schedule = ""
        self.model = Model(Rules(lambda _: False), self.now)
        self.horizon = datetime.min.replace(tzinfo=UTC)
        self.ended: datetime | None = None

    async def _open(self) -> Database:
        database = connected(self.url)
        await empty(database)
        return database

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()

    def do(self, service: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Call a service at the machine's time, in a transaction of its own."""

        async def work(session: Session, _: datetime) -> Any:
            return await service(session, self.now, *arguments)

        return self.runner.run(self.database.transact(work))

    @initialize(
        schedule=schedules,
        misfire=st.sampled_from(["once", "all", "skip"]),
        grace=st.sampled_from([30, 600, 20_000]),
        exclude=exclusions,
        until=ends,
        maxruns=st.none() | st.integers(1, 8),
        active=st.booleans(),
    )
    def create(
        self,
        schedule: str,
        misfire: str,
        grace: int,
        exclude: list[str],
        until: datetime | None,
        maxruns: int | None,
        active: bool,
    ) -> None:
        self.schedule = schedule
        written, calls_for = SCHEDULES[schedule]
        common = {"misfire": misfire, "grace": grace, "exclude": exclude, "maxruns": maxruns}
        ends = {"until": until.isoformat() if until else None}
        draft = JobDraft.model_validate({"jobname": "A job", "active": active, **written, **common, **ends})
        self.jobid = self.do(creating.create, ACTOR, CIPHER, draft).jobid
        days = frozenset(datetime.fromisoformat(day).date() for day in exclude)
        rules = Rules(calls_for, days, until, maxruns, misfire, timedelta(seconds=grace))
        self.model = Model(rules, self.now, state="active" if active else "paused")

    def exists(self) -> bool:
        return self.model.state != "deleted"

    @rule(minutes=st.sampled_from([1, 3, 20, 300, 1500]), seconds=st.integers(0, 59))
    def advance(self, minutes: int, seconds: int) -> None:
        # Requests are a microsecond apart, also at the end of time: the clock never goes back.
        self.now = max(self.now, min(self.now + timedelta(minutes=minutes, seconds=seconds), LAST_NOW))

    @rule(claimers=st.integers(1, 3))
    def tick(self, claimers: int) -> None:
        async def claimer() -> None:
            async def work(session: Session, _: datetime) -> Any:
                return await passes.run_pass(session, self.now, 10, self.now)

            while (await self.database.transact(work)).claimed:
                pass

        async def together() -> None:
            await asyncio.gather(*(claimer() for _ in range(claimers)))
            # Whoever found the promise locked has gone; what it led to is left to one more.
            await claimer()

        self.runner.run(together())
        self.model.tick(self.now)

    @precondition(exists)
    @rule(schedule=schedules, exclude=exclusions)
    def edit_schedule(self, schedule: str, exclude: list[str]) -> None:
        written, calls_for = SCHEDULES[schedule]
        kind = NO_KIND | {key: value for key, value in written.items() if key != "repeat"}
        if kind["startdate"] is not None and self.now >= BEGIN + 3 * MINUTE and schedule != self.schedule:
            return
        days = frozenset(datetime.fromisoformat(day).date() for day in exclude)
        rules = replace(self.model.rules, calls_for=calls_for, excluded=days)
        if self.redefine(rules, kind | {"exclude": exclude}):
            self.schedule = schedule

    @precondition(exists)
    @rule(exclude=exclusions)
    def edit_exclusions(self, exclude: list[str]) -> None:
        days = frozenset(datetime.fromisoformat(day).date() for day in exclude)
        self.redefine(replace(self.model.rules, excluded=days), {"exclude": exclude})

    @precondition(exists)
    @rule(until=ends)
    def edit_end(self, until: datetime | None) -> None:
        patch = {"until": until.isoformat() if until else None}
        self.redefine(replace(self.model.rules, until=until), patch)

    def redefine(self, rules: Rules, patch: dict[str, Any]) -> bool:
        """Edit the schedule, unless that would be refused; whether it was done."""
        if self.spent() or not rules.has_run_after(max([self.now, *self.model.fates])):
            return False
        # Of so many that are due, only the newest are compared.
        if sum(at <= self.now for at in self.model.open()) > MAX_COMPARED:
            return False
        before = self.row()
        self.do(editing.edit, ACTOR, CIPHER, self.jobid, JobPatch.model_validate(patch))
        self.model.edit(rules, self.now, redefined=self.row()["version"] != before["version"])
        return True

    @precondition(exists)
    @rule(maxruns=st.none() | st.integers(1, 8))
    def edit_maxruns(self, maxruns: int | None) -> None:
        if maxruns is None or maxruns > self.model.runs:
            self.do(editing.edit, ACTOR, CIPHER, self.jobid, JobPatch.model_validate({"maxruns": maxruns}))
            if maxruns != self.model.rules.maxruns:
                self.model.bound(replace(self.model.rules, maxruns=maxruns), self.now)

    def spent(self) -> bool:
        return self.model.rules.maxruns is not None and self.model.runs >= self.model.rules.maxruns

    @precondition(exists)
    @rule(misfire=st.sampled_from(["once", "all", "skip"]), name=st.sampled_from(["A job", "Another"]))
    def edit_other_fields(self, misfire: str, name: str) -> None:
        self.do(
            editing.edit,
            ACTOR,
            CIPHER,
            self.jobid,
            JobPatch.model_validate({"misfire": misfire, "jobname": name}),
        )
        self.model.edit(replace(self.model.rules, misfire=misfire), self.now, redefined=False)

    @precondition(lambda self: self.model.state in {"active", "paused"})
    @rule(reason=st.none() | st.just("maintenance"))
    def pause(self, reason: str | None) -> None:
        self.do(actions.pause, ACTOR, self.jobid, Pause(reason=reason))
        self.model.pause()

    @precondition(lambda self: self.model.state == "paused")
    @rule(missed=st.sampled_from(Missed))
    def resume(self, missed: Missed) -> None:
        self.do(actions.resume, ACTOR, self.jobid, Resume(missed=missed))
        self.model.resume(self.now, missed)

    @precondition(exists)
    @rule()
    def run_now(self) -> None:
        self.now += timedelta(microseconds=1)
        self.do(actions.run_now, ACTOR, self.jobid)
        self.model.manual += 1

    # Or the model's few days would end before an endless schedule does.
    @precondition(
        lambda self: (
            self.model.state == "active" and BEGIN < min(self.model.free(), default=BEGIN) <= LAST_NOW
        )
    )
    @rule()
    def skip(self) -> None:
        self.do(actions.skip_next, ACTOR, self.jobid)
        self.model.skip(self.now)

    @precondition(exists)
    @rule(hours=st.integers(1, 12), length=st.integers(1, 6), every=st.booleans())
    def backfill(self, hours: int, length: int, every: bool) -> None:
        since = self.now - timedelta(hours=hours)
        until = since + timedelta(hours=length)
        order = Backfill(since=since.isoformat(), until=until.isoformat(), all=every)  # type: ignore[arg-type]  # parsed
        if since < self.horizon:
            with pytest.raises(InvalidInput, match="Must not be before"):
                self.do(backfill.backfill, ACTOR, self.jobid, order)
            return
        self.do(backfill.backfill, ACTOR, self.jobid, order)
        self.model.backfill(self.now, since, until, every=every)

    @precondition(exists)
    @rule(sure=st.integers(0, 4))
    def delete(self, sure: int) -> None:
        if sure == 0:
            self.do(editing.delete, ACTOR, self.jobid, History.KEEP)
            self.model.delete(self.now)

    @precondition(lambda self: self.model.state == "deleted")
    @rule()
    def restore(self) -> None:
        self.do(undoing.restore, ACTOR, CIPHER, self.jobid)
        self.model.restore(self.now)

    def row(self) -> Row:
        async def look(session: Session) -> Row:
            job = await reading.get(session, self.jobid)
            return job.model_dump()

        return self.runner.run(self.database.read(look))

    @invariant()
    def the_ledger_agrees(self) -> None:
        if not self.jobid:
            return
        rows = self.runner.run(logs(self.database, self.jobid))
        assert self.fates_of(rows) == self.kept(self.model.fates)
        said = self.row()
        assert said["state"] == self.model.state
        # Lists know of its runs without looking at them; plain runs begin as they end.
        ends = [row.finishedat for row in rows if row.status == "finished"]
        self.ended = max([*ends, self.ended] if self.ended else ends, default=None)
        assert (said["lastrun"], said["lastsuccess"]) == (self.ended, self.ended)
        assert (said["laststatus"], said["failures"]) == (self.ended and "finished", 0)
        asked = {row.scheduledfor: row for row in rows if row.cause == "backfill"}
        assert set(self.kept(asked)) == {at for at in self.model.backfilled if at >= self.horizon}
        self.every_run_is_there(rows)
        promised = [row.scheduledfor for row in rows if row.status == "pending" and row.cause == "schedule"]
        assert promised == (self.model.open()[:1] if self.model.state == "active" else [])

    def every_run_is_there(self, rows: list[Row]) -> None:
        there = [row for row in rows if row.status == "finished" or row.cause != "schedule"]
        ran = [fate for fate in self.model.fates.values() if fate == "ran"]
        assert len(there) + self.counted() == len(ran) + self.model.manual + len(self.model.backfilled)

    def counted(self) -> int:
        """How many runs history has counted, and does not keep."""
        return 0

    def kept(self, told: dict[datetime, Any]) -> dict[datetime, Any]:
        """What is of the time whose history is kept."""
        return {at: what for at, what in told.items() if at >= self.horizon}

    def fates_of(self, rows: list[Row]) -> dict[datetime, str]:
        """The ledger, unfolded: what each occurrence's own row, or the one that counts it, says."""
        told = [row for row in rows if row.cause == "schedule" and row.status != "pending"]
        fates = {row.scheduledfor: "ran" if row.status == "finished" else row.reason for row in told}
        assert len(fates) == len(told)
        known = self.kept(self.model.fates)
        missed = Counter[str]()
        for row in told:
            kind = "counted" if row.status == "finished" else row.reason
            inside = [t for t in self.model.fates if row.missed and row.scheduledfor < t <= row.through]
            counted = [t for t in inside if t not in fates and self.model.fates[t] == kind]
            # An edit writes off, or leaves to a day that is excluded, what lies between others that stay.
            if row.scheduledfor < self.horizon:
                # Of some that it stands for the rows have gone, or are those of another one.
                missed[kind] += len(self.kept(dict.fromkeys(counted)))
                continue
            assert len(counted) == row.missed or kind in {"superseded", "excluded"}
            assert row.missed == 0 or row.through == max(counted)
            missed[kind] += row.missed
        others = {t: fate for t, fate in known.items() if t not in fates}
        # Rows of several edits may reach over each other: they add up only as long as all are there.
        vague = {"superseded", "excluded"} if self.horizon > BEGIN else set[str]()
        by_fate = Counter(others.values())
        assert {by_fate[kind] - missed[kind] for kind in {*by_fate, *missed} - vague} <= {0}
        return self.kept(fates | others)

    @invariant()
    def the_check_is_clean(self) -> None:
        if self.jobid:
            report = self.runner.run(self.database.snapshot(checks.check_job, self.jobid))
            assert report.clean, report.findings

    @invariant()
    def the_bounds_hold(self) -> None:
        if not self.jobid:
            return
        rules = self.model.rules
        rows = [row for row in self.runner.run(logs(self.database, self.jobid)) if row.cause == "schedule"]
        ran = [row for row in rows if row.startedat is not None]
        assert rules.maxruns is None or len(ran) <= rules.maxruns
        assert all(row.startedat >= row.scheduledfor for row in ran)
        assert rules.until is None or all(row.scheduledfor <= rules.until for row in rows)

    @precondition(lambda self: self.model.fates != {})
    @rule(choice=st.integers(0, 10_000))
    def explain(self, choice: int) -> None:
        instants = sorted(self.model.fates)
        at = instants[choice % len(instants)]
        if any(at > other.since for other in [self.model]):
            expected = {"ran": {ExplanationOutcome.RAN}, "counted": {ExplanationOutcome.COUNTED}}
            said = self.do(explain.explain, self.jobid, at, 16)
            fate = self.model.fates[at]
            if at < self.horizon and said.outcome is ExplanationOutcome.BEFORE_HISTORY:
                return
            assert said.outcome in expected.get(
                fate, {ExplanationOutcome.SKIPPED, ExplanationOutcome.COUNTED}
            ), said.sentence


def explore(machine: type[Machine], url: URL, examples: int) -> None:
    """Let a machine try so many jobs on a database."""
    run_state_machine_as_test(
        type("Machine", (machine,), {"url": url}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            # To make a failure smaller takes minutes; its steps are printed as they were.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_ledger_agrees_with_the_model_after_each_step(worker_database: URL) -> None:
    explore(Machine, worker_database, EXAMPLES)


def test_what_lies_beyond_the_last_run_is_no_hole(worker_database: URL) -> None:
    """Once drawn by the machine: of 214 occurrences eight ran, and then the job was deleted."""
    machine = type("Machine", (Machine,), {"url": worker_database})()
    try:
        machine.create("every 7 minutes", "all", 30, [], None, 8, active=True)
        machine.advance(1500, 0)
        machine.tick(1)
        machine.edit_other_fields("once", "Another")
        machine.the_check_is_clean()
        machine.delete(0)
        machine.the_ledger_agrees()
        machine.the_check_is_clean()
    finally:
        machine.teardown()
