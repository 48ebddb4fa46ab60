"""Runs with a target: what a claim takes, and what becomes of each end of an attempt."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from scheduler_api.contracts.jobs.actions import History, Missed, Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.targets import target_of
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import leases
from scheduler_api.database.runs.claims import Started, Terms
from scheduler_api.database.statements import DRIVER, Session
from scheduler_api.errors import LogIsSettled
from scheduler_api.services.history import checks, explain
from scheduler_api.services.jobs import actions, editing, reading
from scheduler_api.services.runs import breakers, claims, holding, repairs, retrying
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.ends import Ended, target_in
from scheduler_api.services.runs.holding import Renewed
from scheduler_api.services.runs.shares import Room
from scheduler_api.targets import Failure
from scheduler_api.workers.singly import whole_else_singly
from tests.factories import (
    ACTOR,
    CIPHER,
    NOON,
    add_job,
    execute,
    is_active,
    logs,
    rows,
    scalar,
    until_it_waits_or_ends,
)
from tests.servers import undistributed

LEASE = timedelta(seconds=15)
TERMS = Terms("tests", LEASE, 100)
TARGET = {"url": "http://a.example/hook", "retries": 2, "backoff": 10}


class Settled(NamedTuple):
    """A log, and what became of it."""

    logid: int
    status: str


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def claim(database: Database, now: datetime, limit: int = 100, terms: Terms = TERMS) -> Claim:
    """One claim at an instant of our choice."""

    async def work(session: Session, _: datetime) -> Claim:
        return await claims.claim(session, now, Room.of(limit), terms)

    return await database.transact(work)


async def settle(database: Database, now: datetime, *ended: Ended) -> list[Settled]:
    async def work(session: Session, _: datetime) -> dict[UUID, str]:
        return (await holding.settle_ends(session, now, ended, frozenset({"a.example"}))).settled

    settled = await database.transact(work)
    return [Settled(end.logid, settled[end.token]) for end in ended if end.token in settled]


async def at(database: Database, now: datetime, service: Any, *args: Any) -> Any:
    async def work(session: Session, _: datetime) -> Any:
        return await service(session, now, *args)

    return await database.transact(work)


async def reap(database: Database, now: datetime) -> list[Settled]:
    """Take over all that has run out."""

    async def work(session: Session, _: datetime, *, singly: bool) -> tuple[list[int], int]:
        tokens = await leases.expired(session, now, 100)
        expired = [log.logid for log in await leases.take_over(session, now, tokens)]
        return expired, await holding.reap(session, now, tokens, singly=singly)

    expired, count = await whole_else_singly(
        "a takeover", lambda singly: database.transact(work, singly=singly)
    )
    query = "SELECT status FROM joblog WHERE logid = :logid"
    reaped = [Settled(logid, await scalar(database, query, logid=logid)) for logid in expired]
    assert sum(one.status != "running" for one in reaped) == count
    return [one for one in reaped if one.status != "running"]


def finished(started: Started) -> Ended:
    return Ended(started.logid, started.token, "finished", httpstatus=200)


def failed(started: Started, failure: Failure = Failure.STATUS, **more: Any) -> Ended:
    values = {"again": True, "httpstatus": 503} | more
    return Ended(started.logid, started.token, "failed", failure, "It said no.", **values)


async def attempts(database: Database, logid: int = 1) -> list[tuple[int, str]]:
    found = await database.read(retrying.get_log, logid)
    return [(attempt.attempt, attempt.outcome) for attempt in found.attempts]


async def is_clean(database: Database, jobid: int = 1) -> bool:
    report = await database.snapshot(checks.check_job, jobid)
    assert report.clean, report.findings
    return True


async def test_a_claim_leases_what_is_due_and_writes_the_attempt_first(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    assert (await claim(database, after(-1))).started == []
    (started,) = (await claim(database, after(2))).started
    assert (started.logid, started.attempt, started.runs) == (1, 1, 1)
    (log,) = await logs(database, jobid)
    assert (log.status, log.lastrun, log.startedat) == ("running", after(2), after(2))
    assert (log.leasetoken, log.leaseuntil, log.following) == (started.token, after(17), after(60))
    assert await attempts(database) == [(1, "running")]
    assert (await claim(database, after(120))).started == []
    assert await is_clean(database)


async def test_without_overlap_the_next_promise_waits_for_the_verdict(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    assert await settle(database, after(130), finished(started)) == [Settled(1, "finished")]
    ran, promise = await logs(database, jobid)
    assert (ran.status, ran.finishedat, ran.leasetoken, ran.following) == ("finished", after(130), None, None)
    assert (promise.scheduledfor, promise.nextrun, promise.lastrun) == (after(60), after(60), after(2))
    assert promise.host == "a.example"
    (again,) = (await claim(database, after(131))).started
    # Two were missed meanwhile: one run for both.
    assert [(log.status, log.missed) for log in await logs(database, jobid)] == [
        ("finished", 0),
        ("running", 1),
    ]
    await settle(database, after(132), finished(again))
    assert await is_clean(database)


async def test_with_overlap_the_schedule_goes_on_at_the_claim(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, overlap=True)
    (first,) = (await claim(database, after(2))).started
    (second,) = (await claim(database, after(61))).started
    assert [log.status for log in await logs(database, jobid)] == ["running", "running", "pending"]
    await settle(database, after(62), finished(second), finished(first))
    assert [log.status for log in await logs(database, jobid)] == ["finished", "finished", "pending"]
    assert await is_clean(database)


async def test_occurrences_that_an_overlap_kept_back_are_skipped_for_that_reason(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, misfire="skip", grace=30)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(200), finished(started))
    rows = [(log.status, log.scheduledfor, log.missed, log.reason) for log in await logs(database, jobid)]
    assert rows == [
        ("finished", NOON, 0, None),
        ("skipped", after(60), 1, "overlap"),
        ("pending", after(180), 0, None),
    ]
    assert await is_clean(database)


async def test_a_failed_attempt_is_repeated_until_they_are_spent(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    now = after(2)
    for attempt in (1, 2):
        (started,) = (await claim(database, now)).started
        assert started.attempt == attempt
        assert await settle(database, now, failed(started)) == [Settled(1, "pending")]
        (log,) = await logs(database, jobid)
        assert (log.status, log.attempt, log.error, log.following) == (
            "pending",
            attempt + 1,
            None,
            after(60),
        )
        assert now <= log.nextrun <= now + timedelta(seconds=10 * 2 ** (attempt - 1))
        now = log.nextrun
        assert await is_clean(database)
    (started,) = (await claim(database, now)).started
    assert await settle(database, now, failed(started)) == [Settled(1, "failed")]
    log, promise = await logs(database, jobid)
    assert (log.status, log.error) == ("failed", "It said no. That was attempt 3.")
    assert promise.scheduledfor == after(60)
    assert await attempts(database) == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert await is_clean(database)


async def test_what_another_attempt_cannot_mend_fails_at_once(database: Database) -> None:
    jobid = await add_job(database, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started, Failure.REDIRECT, again=False, httpstatus=302))
    (log,) = await logs(database, jobid)
    assert (log.status, log.error) == ("failed", "It said no.")
    assert not await is_active(database, jobid)


@pytest.mark.parametrize("seconds", [60, 86_399, 86_400])
async def test_retry_after_is_waited_for_up_to_a_day(database: Database, seconds: int) -> None:
    """However near that is to the end of the time to retry for, which is a day as well."""
    jobid = await add_job(database, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    assert await settle(database, after(3), failed(started, after=float(seconds))) == [Settled(1, "pending")]
    (log,) = await logs(database, jobid)
    assert (log.nextrun, log.attempt) == (after(3 + seconds), 2)
    (started,) = (await claim(database, after(3 + seconds))).started
    assert await settle(database, after(4 + seconds), finished(started)) == [Settled(1, "finished")]
    assert await is_clean(database)


async def test_no_attempt_follows_one_that_ended_after_the_time_to_retry_for(database: Database) -> None:
    jobid = await add_job(
        database, target=TARGET | {"retryfor": 100, "retries": 9, "backoff": 1, "maxbackoff": 1}
    )
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started, after=99.0))
    (started,) = (await claim(database, after(102))).started
    assert await settle(database, after(102), failed(started, after=5.0)) == [Settled(1, "pending")]
    (started,) = (await claim(database, after(107))).started
    await settle(database, after(108), failed(started))
    (log,) = await logs(database, jobid)
    assert log.status == "failed"
    assert log.error.endswith("the last one: more than 100 seconds have passed since the first.")


async def test_an_end_without_the_token_changes_nothing(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    assert await settle(database, after(3), finished(started)._replace(token=uuid4())) == []
    assert [log.status for log in await logs(database, jobid)] == ["running"]
    assert await settle(database, after(3), finished(started)) != []
    before = await logs(database, jobid)
    assert await settle(database, after(4), failed(started)) == []
    assert await logs(database, jobid) == before


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_is_fenced_off(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (zombie,) = (await claim(database, after(2))).started
    assert await reap(database, after(16.9)) == []
    assert await reap(database, after(17)) == [Settled(1, "pending")]
    (heir,) = (await claim(database, after(17))).started
    assert (heir.logid, heir.attempt) == (zombie.logid, 2)
    assert heir.token != zombie.token
    assert await settle(database, after(18), finished(zombie)) == []
    assert await settle(database, after(19), finished(heir)) == [Settled(1, "finished")]
    assert await attempts(database) == [(1, "lost"), (2, "finished")]
    assert [log.status for log in await logs(database, jobid)] == ["finished", "pending"]


async def test_a_lease_that_was_given_by_a_clock_that_was_ahead_is_taken_over_in_time(
    database: Database,
) -> None:
    hour = 3600
    await add_job(database, interval=60, target=TARGET)
    (gone,) = (await claim(database, after(5 * hour))).started
    # Back at the right time.
    assert await reap(database, after(20)) == []
    assert await reap(database, after(34)) == []
    # Shortened once, and not at each look.
    assert [ended.logid for ended in await reap(database, after(36))] == [gone.logid]


async def test_a_retry_that_was_decided_by_a_clock_that_was_ahead_waits_no_longer(
    database: Database,
) -> None:
    """The run began at the right time, and its attempt ended five hours later."""
    await add_job(database, interval=60, target=TARGET | {"backoff": 8})
    (started,) = (await claim(database, after(0))).started
    later = 5 * 3600
    assert await settle(database, after(later), failed(started)) == [Settled(1, "pending")]
    (retry,) = [log for log in await logs(database, 1) if log.attempt == 2]
    assert retry.nextrun > after(later)
    # As long as its clock says so, it is right.
    assert await at(database, after(later), repairs.shorten_waits) == 0
    assert await at(database, after(20), repairs.shorten_waits) == 1
    (shortened,) = [log for log in await logs(database, 1) if log.attempt == 2]
    assert shortened.nextrun - after(20) == retry.nextrun - after(later)
    # Shortened as often as it is looked for until then, and never longer.
    (again,) = (await claim(database, shortened.nextrun)).started
    assert (again.logid, again.attempt) == (1, 2)


async def test_hosts_and_rates_wait_no_longer_either(database: Database) -> None:
    await execute(
        database,
        "INSERT INTO hostfailure (host, failures, since, openuntil, error) VALUES"
        " ('ahead.example', 5, :now, :late, 'x'), ('right.example', 5, :now, :soon, 'x')",
        now=after(0), late=after(5 * 3600), soon=after(50),
    )  # fmt: skip
    await execute(
        database,
        "INSERT INTO concurrencylimit (scope, name, rate, busyuntil) VALUES"
        " ('host', 'ahead.example', 60, :late), ('host', 'right.example', 60, :soon)",
        late=after(5 * 3600), soon=after(50),
    )  # fmt: skip
    assert await at(database, after(0), repairs.shorten_waits) == 0
    hosts = await rows(database, "SELECT openuntil FROM hostfailure ORDER BY host")
    rates = await rows(database, "SELECT busyuntil FROM concurrencylimit ORDER BY name")
    assert [row[0] for row in (*hosts, *rates)] == [after(60), after(50), after(60), after(50)]


async def test_who_lives_renews_a_lease_that_was_given_by_a_clock_that_was_ahead(database: Database) -> None:
    await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(3600))).started
    held = [(started.logid, started.token)]
    assert await reap(database, after(20)) == []
    await at(database, after(30), holding.renew, held, LEASE)
    assert await reap(database, after(40)) == []
    assert await settle(database, after(41), finished(started)) != []


async def test_without_retries_a_lost_attempt_is_never_repeated(database: Database) -> None:
    jobid = await add_job(database, target=TARGET | {"retries": 0})
    await claim(database, after(2))
    assert await reap(database, after(20)) == [Settled(1, "failed")]
    (log,) = await logs(database, jobid)
    assert "may or may not have been delivered" in log.error


async def test_a_renewed_lease_is_not_taken_over(database: Database) -> None:
    await add_job(database, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    held = [(1, started.token)]
    assert await at(database, after(10), holding.renew, held, LEASE) == Renewed({started.token}, set())
    assert await reap(database, after(20)) == []
    assert await at(database, after(20), holding.renew, [(1, uuid4())], LEASE) == Renewed(set(), set())


async def test_a_renewal_waits_for_nobody_and_does_not_cut_short_what_was_accepted_meanwhile(
    database: Database,
) -> None:
    await add_job(database, target=TARGET | {"heartbeattimeout": 3600})
    (started,) = (await claim(database, NOON)).started
    worked, go_on = asyncio.Event(), asyncio.Event()

    async def accept(session: Session, _: datetime) -> None:
        accepted = Ended(1, started.token, "accepted", httpstatus=202)
        await holding.settle_ends(session, after(1), [accepted], frozenset())
        worked.set()
        await go_on.wait()

    accepting = asyncio.create_task(database.transact(accept))
    await worked.wait()
    mine = [(1, started.token)]
    assert await at(database, after(1), holding.renew, mine, LEASE) == Renewed(set(), {started.token})
    go_on.set()
    await accepting
    assert await at(database, after(2), holding.renew, mine, LEASE) == Renewed({started.token}, set())
    assert await scalar(database, "SELECT leaseuntil FROM joblog") == after(3601)


async def tried_afresh(database: Database) -> tuple[Started, Started]:
    """A run that was cancelled while its call was under way, and the one that came instead."""
    await add_job(database, target=TARGET)
    (stale,) = (await claim(database, NOON)).started
    await at(database, after(1), retrying.cancel, ACTOR, 1)
    await at(database, after(2), retrying.retry, ACTOR, 1)
    (log,) = await logs(database, 1)
    assert (log.startedat, log.lastrun) == (None, NOON)
    (valid,) = (await claim(database, after(2))).started
    return stale, valid


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("end", [finished, failed])
async def test_of_two_ends_of_one_log_that_under_its_token_counts(
    database: Database, end: Callable[[Started], Ended], order: int
) -> None:
    stale, valid = await tried_afresh(database)
    ends = [failed(stale, again=False) if end is finished else finished(stale), end(valid)]
    status = "finished" if end is finished else "pending"
    assert await settle(database, after(3), *ends[::order]) == [Settled(1, status)]
    assert await attempts(database) == [(1, "cancelled"), (2, "finished" if end is finished else "failed")]


async def test_what_is_handed_back_is_due_at_once_and_costs_no_attempt(database: Database) -> None:
    jobid = await add_job(database, target=TARGET | {"retries": 0})
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), Ended(1, started.token, "released", Failure.LOST, "Stopped."))
    (log,) = await logs(database, jobid)
    assert (log.status, log.nextrun, log.attempt) == ("pending", after(3), 2)
    assert (log.startedat, log.spent) == (None, 1)


async def test_what_is_handed_back_between_attempts_takes_none_of_them(database: Database) -> None:
    await add_job(database, target=TARGET | {"retries": 1, "backoff": 1})
    ends = [("released", "pending"), ("failed", "pending"), ("released", "pending"), ("failed", "failed")]
    for number, (end, status) in enumerate(ends):
        (started,) = (await claim(database, after(10 * number))).started
        ended = failed(started)._replace(outcome=end)
        assert await settle(database, after(10 * number), ended) == [Settled(1, status)]


async def test_the_last_run_completes_its_job_when_it_settles(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, maxruns=2, overlap=True)
    (first,) = (await claim(database, after(2))).started
    (second,) = (await claim(database, after(62))).started
    assert await is_active(database, jobid)
    await settle(database, after(63), finished(first))
    assert await is_active(database, jobid)
    await settle(database, after(64), finished(second))
    assert not await is_active(database, jobid)
    assert await is_clean(database)


@pytest.mark.parametrize("missing", [True, False])
async def test_an_overlapping_job_whose_next_run_has_run_already_goes_on(
    database: Database, missing: bool
) -> None:
    """By a clock that was ahead; only a schedule that is over completes its job."""
    until = after(120) if missing else after(60)
    jobid = await add_job(database, interval=60, target=TARGET, overlap=True, until=until)
    ran = "INSERT INTO joblog (jobid, scheduledfor, status, finishedat) VALUES (:jobid, :at, 'finished', :at)"
    await execute(database, ran, jobid=jobid, at=after(60))
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), finished(started))
    assert await is_active(database, jobid) == missing
    promised = [log.scheduledfor for log in await logs(database, jobid) if log.status == "pending"]
    assert promised == ([after(120)] if missing else [])


async def test_410_pauses_the_job_and_says_so(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started, Failure.GONE, again=False, httpstatus=410))
    job = await database.read(reading.get, jobid)
    assert job.state == "paused"
    assert "410 Gone" in (job.pausereason or "")
    assert [log.status for log in await logs(database, jobid)] == ["failed"]
    assert await is_clean(database)
    await at(database, after(200), actions.resume, ACTOR, jobid, Resume(missed=Missed.SKIP))
    assert await is_clean(database)


async def test_failures_in_a_row_pause_the_job_with_what_to_do(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET | {"retries": 0}, autopause=2)
    for number, end in enumerate((failed, finished, failed, failed)):
        assert (await database.read(reading.get, jobid)).state == "active"
        now = after(60 * number + 1)
        (started,) = (await claim(database, now)).started
        await settle(database, now, end(started))
    job = await database.read(reading.get, jobid)
    assert job.state == "paused"
    assert (job.pausereason or "").startswith("2 runs in a row failed, the last one: It said no.")
    assert "resume the job" in (job.pausereason or "")


@pytest.mark.parametrize("overlap", [False, True])
async def test_a_pause_during_a_run_keeps_what_comes_next(database: Database, overlap: bool) -> None:
    jobid = await add_job(database, interval=60, target=TARGET, overlap=overlap)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(30), actions.pause, ACTOR, jobid, Pause())
    await settle(database, after(40), finished(started))
    assert [log.status for log in await logs(database, jobid)] == ["finished"]
    assert await is_clean(database)
    job = await at(database, after(50), actions.resume, ACTOR, jobid, Resume())
    assert job.nextrun == after(60)
    assert await is_clean(database)


async def test_a_job_resumed_during_its_run_waits_for_it(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(30), actions.pause, ACTOR, jobid, Pause())
    await at(database, after(40), actions.resume, ACTOR, jobid, Resume())
    assert (await claim(database, after(100))).started == []
    await settle(database, after(110), finished(started))
    assert [log.status for log in await logs(database, jobid)] == ["finished", "pending"]
    assert await is_clean(database)


async def test_an_edit_during_a_run_takes_effect_when_it_settles(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    patch = JobPatch.model_validate({"interval": 600, "target": {"url": "http://b.example/"}})
    await at(database, after(30), editing.edit, ACTOR, CIPHER, jobid, patch)
    assert await is_clean(database)
    await settle(database, after(40), finished(started))
    ran, promise = await logs(database, jobid)
    assert (ran.host, ran.status) == ("a.example", "finished")
    assert (promise.host, promise.scheduledfor) == ("b.example", after(600))
    assert await is_clean(database)


async def test_skipping_during_a_run_skips_the_one_that_would_follow(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(30), actions.skip_next, ACTOR, jobid)
    await settle(database, after(40), finished(started))
    rows = [(log.status, log.scheduledfor) for log in await logs(database, jobid)]
    assert rows == [("finished", NOON), ("skipped", after(60)), ("pending", after(120))]
    assert await is_clean(database)


@pytest.mark.parametrize("history", History)
async def test_a_run_of_a_deleted_job_ends_and_nothing_follows(database: Database, history: History) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(30), editing.delete, ACTOR, jobid, history)
    settled = await settle(database, after(40), finished(started))
    kept = history is History.KEEP
    assert settled == ([Settled(1, "finished")] if kept else [])
    assert [log.status for log in await logs(database, jobid)] == (["finished"] if kept else [])


@pytest.mark.parametrize("outcome", ["failed", "released", "lost"])
async def test_a_call_of_a_deleted_job_is_not_repeated(database: Database, outcome: str) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await at(database, after(3), editing.delete, ACTOR, jobid, History.KEEP)
    if outcome == "lost":
        assert await reap(database, after(30)) == [Settled(1, "failed")]
    else:
        ended = failed(started)._replace(outcome=outcome)
        assert await settle(database, after(4), ended) == [Settled(1, "failed")]
    (log,) = await logs(database, jobid)
    assert "The job was deleted meanwhile" in log.error
    assert await is_clean(database)


async def test_what_is_pending_of_a_deleted_job_is_skipped(database: Database) -> None:
    """It was asked for by the end of a run that was not committed when the job was deleted."""
    parent = await add_job(database, interval=60, target=TARGET)
    jobid = await add_job(
        database, due=None, target=TARGET, tags=["slow"], startdate=None, starttime=None,
        after={"jobid": parent, "on": "any"}, afterjobid=parent,
    )  # fmt: skip
    (started,) = (await claim(database, after(2))).started
    worked, go_on = asyncio.Event(), asyncio.Event()

    async def end(session: Session, _: datetime) -> None:
        await holding.settle_ends(session, after(6), [finished(started)], frozenset())
        worked.set()
        await go_on.wait()

    ending = asyncio.create_task(database.transact(end))
    await worked.wait()
    await at(database, after(7), editing.delete, ACTOR, jobid, History.KEEP)
    go_on.set()
    await ending
    taken = await claim(database, after(30))
    assert (taken.started, taken.skipped, taken.bounded) == ([], 1, False)
    assert [(log.status, log.reason) for log in await logs(database, jobid)] == [("skipped", "deleted")]
    assert await is_clean(database)


async def test_silence_is_followed_by_a_pause_as_any_failure(database: Database) -> None:
    await add_job(database, target=TARGET | {"backoff": 3600, "maxbackoff": 3600, "heartbeattimeout": 10})
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), Ended(1, started.token, "accepted", httpstatus=202))
    assert await reap(database, after(20)) == [Settled(1, "pending")]
    (log,) = await logs(database, 1)
    assert log.nextrun > after(20)


@pytest.mark.parametrize("answered", [[], ["accepted"]])
async def test_what_is_lost_or_silent_is_not_repeated_beyond_the_age_limit(
    database: Database, answered: list[str]
) -> None:
    await add_job(database, target=TARGET | {"retryfor": 100, "heartbeattimeout": 10})
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), *(Ended(1, started.token, outcome) for outcome in answered))
    assert await reap(database, after(103)) == [Settled(1, "failed")]


async def test_a_retry_goes_to_where_the_target_is_now(database: Database) -> None:
    jobid = await add_job(database, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started))
    await at(
        database,
        after(4),
        editing.edit,
        ACTOR,
        CIPHER,
        jobid,
        JobPatch.model_validate({"target": TARGET | {"url": "http://b.example/"}}),
    )
    (started,) = (await claim(database, after(20))).started
    assert started.host == "b.example"
    target = target_in(started.document)
    assert target is not None
    assert target.url == "http://b.example/"


async def test_a_retry_of_a_job_that_lost_its_target_fails(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started))
    await at(
        database, after(4), editing.edit, ACTOR, CIPHER, jobid, JobPatch.model_validate({"target": None})
    )
    (started,) = (await claim(database, after(20))).started
    assert started.document is None
    await settle(database, after(21), failed(started, Failure.TEMPLATE, again=True))
    log, promise = await logs(database, jobid)
    assert (log.status, promise.status, promise.host) == ("failed", "pending", None)


async def test_verdicts_do_not_read_what_is_sent(database: Database) -> None:
    await add_job(database, target=TARGET | {"body": ["x"] * 1000, "headers": {"X-Key": "1"}})
    (started,) = (await claim(database, after(2))).started
    target = target_in(started.document)
    assert target is not None
    assert target.body == ["x"] * 1000

    async def look(session: Session, _: datetime) -> Any:
        log = await leases.lock(session, 1)
        return log and log.target

    assert json.loads(await database.transact(look)) == TARGET


def test_only_small_targets_are_kept() -> None:
    small = json.dumps(TARGET | {"body": ["x"]})
    large = json.dumps(TARGET | {"body": ["x"] * 1000})
    assert target_of(small) is target_of(small)
    assert target_of(large) == target_of(large)
    assert target_of(large) is not target_of(large)


async def test_a_failed_run_is_tried_afresh_on_request(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET | {"retries": 1})
    for now in (2, 30):
        (started,) = (await claim(database, after(now))).started
        await settle(database, after(now), failed(started, again=True))
    assert [log.status for log in await logs(database, jobid)] == ["failed", "pending"]
    await at(database, after(40), retrying.retry, ACTOR, 1)
    # Its second attempt was later than its start.
    assert [(log.startedat, log.lastrun) for log in await logs(database, jobid)] == [(None, after(30))] * 2
    assert await is_clean(database)
    for now, status in ((40, "pending"), (59, "failed")):
        (started,) = (await claim(database, after(now))).started
        assert await settle(database, after(now), failed(started)) == [Settled(1, status)]
    assert await attempts(database) == [(n, "failed") for n in (1, 2, 3, 4)]
    assert await is_active(database, jobid)
    assert await is_clean(database)


async def test_cancelling_a_run_fails_it_and_the_schedule_goes_on(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    log = await at(database, after(3), retrying.cancel, ACTOR, 1)
    assert (log.status, log.error) == ("failed", "It was cancelled by request.")
    assert await settle(database, after(4), finished(started)) == []
    assert [log.status for log in await logs(database, jobid)] == ["failed", "pending"]
    assert await attempts(database) == [(1, "cancelled")]
    assert await is_clean(database)


async def test_cancelling_what_waits_for_another_attempt(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(3), failed(started))
    assert (await at(database, after(4), retrying.cancel, ACTOR, 1)).status == "failed"
    assert [log.status for log in await logs(database, jobid)] == ["failed", "pending"]
    assert await is_clean(database)


async def claims_of(database: Database, now: datetime, count: int, terms: Terms = TERMS) -> Sequence[int]:
    """The jobs that claims of up to `count` take, until none takes any."""
    found: list[int] = []
    while (claimed := await claim(database, now, count, terms)).started or claimed.more:
        found += [started.jobid for started in claimed.started]
    return found


async def test_no_more_calls_to_a_host_than_its_limit(database: Database) -> None:
    for _ in range(5):
        await add_job(database, target=TARGET)
    other = await add_job(database, target=TARGET | {"url": "http://b.example/"})
    assert await claims_of(database, after(1), 3, TERMS._replace(hostmost=2)) == [1, 2, other]
    await execute(database, "INSERT INTO concurrencylimit VALUES ('host', 'a.example', 4)")
    assert await claims_of(database, after(1), 3, TERMS._replace(hostmost=2)) == [3, 4]


async def test_no_more_runs_of_a_job_than_it_allows_whatever_their_cause(database: Database) -> None:
    jobid = await add_job(database, interval=60, target=TARGET)
    (started,) = (await claim(database, after(1))).started
    for number in range(3):
        await at(database, after(2 + number), actions.run_now, ACTOR, jobid)
    assert await claims_of(database, after(10), 10) == []
    await settle(database, after(11), finished(started))
    assert await claims_of(database, after(11), 10) == [jobid]


async def test_no_more_runs_of_jobs_with_a_tag_than_its_limit(database: Database) -> None:
    for tags in (["slow"], ["slow", "other"], ["slow"], []):
        await add_job(database, target=TARGET, tags=tags)
    await execute(database, "INSERT INTO concurrencylimit VALUES ('tag', 'slow', 1)")
    assert await claims_of(database, after(1), 10) == [1, 4]


async def test_a_host_that_does_not_answer_is_left_alone_and_tried_again(database: Database) -> None:
    for _ in range(12):
        await add_job(database, target=TARGET | {"retries": 50})
    started = (await claim(database, after(1), limit=5)).started
    await settle(
        database, after(1), *(failed(one, Failure.CONNECT, httpstatus=None, after=0.0) for one in started)
    )
    assert (await claim(database, after(1.5))).started == []
    until = await scalar(database, "SELECT openuntil FROM hostfailure")
    assert until == after(2)
    (probe,) = (await claim(database, after(2))).started
    assert (await claim(database, after(2))).started == []
    await settle(database, after(3), finished(probe))
    assert await scalar(database, "SELECT count(*) FROM hostfailure") == 0
    assert len((await claim(database, after(40))).started) == 11


@pytest.mark.parametrize(
    ("ends", "row"),
    [("xxxxx", 5), ("xxxx.xxxx", 4), (".xxxxx", 5), ("xxxxx.", None), ("....xx....", None), ("xxx", 3)],
)
async def test_only_failures_in_a_row_count_against_a_host(
    database: Database, ends: str, row: int | None
) -> None:
    for _ in ends:
        await add_job(database, target=TARGET)
    started = (await claim(database, after(1))).started
    # What this replica has not heard of yet.
    await execute(
        database,
        "INSERT INTO hostfailure VALUES ('a.example', 4, now(), NULL, 'x')" if "." in ends else "SELECT 1",
    )
    await settle(
        database,
        after(2),
        *(
            finished(one) if end == "." else failed(one, Failure.TIMEOUT, httpstatus=None)
            for one, end in zip(started, ends, strict=True)
        ),
    )
    assert await scalar(database, "SELECT failures FROM hostfailure") == row
    is_open = await scalar(database, "SELECT count(*) FROM hostfailure WHERE openuntil IS NOT NULL")
    assert is_open == (row == 5)


async def test_hosts_that_nobody_calls_any_more_are_forgotten(database: Database) -> None:
    await add_job(database, target=TARGET)
    for host, day in (("a.example", 1), ("gone.example", 1), ("new.example", 2)):
        await execute(
            database,
            "INSERT INTO hostfailure VALUES (:host, 9, :since, :until, 'x')",
            host=host,
            since=NOON,
            until=NOON + timedelta(days=day),
        )
    await at(database, NOON + timedelta(days=2, hours=1), breakers.forget)
    assert await scalar(database, "SELECT string_agg(host, ' ' ORDER BY host) FROM hostfailure") == (
        "a.example new.example"
    )


@contextlib.asynccontextmanager
async def refusing(database: Database, condition: str) -> AsyncIterator[None]:
    """Let the database refuse changes of logs that fulfil a condition on NEW."""
    await execute(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$",
    )
    await execute(
        database,
        f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON joblog FOR EACH ROW WHEN ({condition})"
        " EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        await execute(database, "DROP FUNCTION refuse CASCADE")


async def test_a_run_that_cannot_be_settled_does_not_keep_others_from_being_taken_over(
    database: Database,
) -> None:
    for _ in range(4):
        await add_job(database, target=TARGET)
    await claim(database, after(1))
    refused = "NEW.logid = 1 AND NEW.status <> 'running' OR NEW.logid = 3 AND NEW.status = 'pending'"
    async with refusing(database, refused):
        assert sorted((one.logid, one.status) for one in await reap(database, after(60))) == [
            (2, "pending"),
            (3, "failed"),
            (4, "pending"),
        ]
    assert "could not be stored" in await scalar(database, "SELECT error FROM joblog WHERE logid = 3")
    # Once the database takes it, that is settled, too.
    assert await reap(database, after(60)) == [Settled(1, "pending")]


class At(Database):
    """The same database at an instant of our choice."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._real, self._now = database, now

    async def transact(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._real.transact(lambda session, _: work(session, self._now, *args, **kwargs))


async def test_a_call_that_cannot_start_does_not_hold_up_the_others(database: Database) -> None:
    for _ in range(4):
        await add_job(database, interval=60, target=TARGET)
    refused = "NEW.logid = 1 AND NEW.status <> 'pending' OR NEW.logid = 3 AND NEW.status = 'running'"
    async with refusing(database, refused):
        clock = At(database, after(1))
        taken = await whole_else_singly(
            "a claim",
            lambda singly: clock.transact(claims.claim, Room.of(100), TERMS, None, singly=singly),
        )
    assert [started.logid for started in taken.started] == [2, 4]
    statuses = "SELECT string_agg(CAST(status AS text), ' ' ORDER BY logid) FROM joblog"
    assert await scalar(database, statuses) == "pending running failed running"
    assert "could not be started" in await scalar(database, "SELECT error FROM joblog WHERE logid = 3")
    assert [started.logid for started in (await claim(database, after(2))).started] == [1]


async def test_one_dead_host_does_not_hold_up_the_others(database: Database) -> None:
    for _ in range(30):
        await add_job(database, target=TARGET)
    other = await add_job(database, target=TARGET | {"url": "http://b.example/"})
    assert other in (await claims_of(database, after(1), 4, TERMS._replace(hostmost=8)))[:4]


async def test_two_claims_at_once_never_exceed_a_limit(database: Database) -> None:
    for _ in range(20):
        await add_job(database, target=TARGET)
    terms = TERMS._replace(hostmost=3)
    found = await asyncio.gather(*(claim(database, after(1), 2, terms) for _ in range(6)))
    assert sum(len(one.started) for one in found) == 3
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'running'") == 3


async def said(database: Database, now: datetime, instant: datetime = NOON) -> str:
    return str((await at(database, now, explain.explain, 1, instant, 16)).sentence)


async def test_it_can_be_asked_how_a_run_stands_and_why_it_waits(database: Database) -> None:
    await add_job(database, interval=60, target=TARGET)
    await execute(
        database,
        "INSERT INTO hostfailure VALUES ('a.example', 5, :since, :until, 'refused')",
        since=after(-60),
        until=after(30),
    )
    assert "a.example has been unreachable since 2030-01-31 11:59:00 +00:00 (refused)" in await said(
        database, after(1)
    )
    (started,) = (await claim(database, after(31))).started
    assert "is in progress: attempt 1 since 2030-01-31 12:00:31" in await said(database, after(32))
    await settle(database, after(33), failed(started))
    assert "has not succeeded yet; attempt 2 is due at" in await said(database, after(33))


async def test_ends_of_runs_of_one_job_that_overlap_do_not_wait_for_each_other(database: Database) -> None:
    """The second is left for the next look, while the first has the job's lock."""
    await add_job(database, interval=60, target=TARGET, overlap=True)
    (first,) = (await claim(database, NOON)).started
    (second,) = (await claim(database, after(60))).started

    async def both(session: Session, _: datetime) -> list[Settled]:
        await holding.settle_ends(session, after(61), [finished(first)], frozenset())
        async with asyncio.timeout(20):
            return await settle(database, after(62), finished(second))

    assert await database.transact(both) == []
    assert await settle(database, after(62), finished(second)) == [Settled(2, "finished")]
    assert await is_clean(database)


@pytest.mark.parametrize("going_on", [False, True])
async def test_a_run_that_moves_into_history_while_its_lock_is_waited_for_is_found_there(
    database: Database, going_on: bool
) -> None:
    """Whether its row goes, or goes on as the next run under another id."""
    await add_job(database, target=TARGET, interval=60 if going_on else None)
    (started,) = (await claim(database, NOON)).started
    settled, go_on = asyncio.Event(), asyncio.Event()

    async def end(session: Session, _: datetime) -> None:
        await holding.settle_ends(session, after(1), [finished(started)], frozenset())
        settled.set()
        await go_on.wait()

    async def cancel(session: Session, _: datetime) -> Any:
        return await retrying.cancel(session, after(2), ACTOR, started.logid)

    ending = asyncio.create_task(database.transact(end))
    await settled.wait()
    cancelling = asyncio.create_task(database.transact(cancel))
    await until_it_waits_or_ends(database, cancelling)
    go_on.set()
    await ending
    with pytest.raises(LogIsSettled, match="already finished"):
        await cancelling


async def test_a_claim_of_what_was_due_before_the_clock_was_set_back_takes_nothing(
    database: Database,
) -> None:
    await add_job(database, interval=60, target=TARGET)

    async def work(session: Session, _: datetime) -> Claim:
        return await claims.claim(session, after(-3600), Room.of(10), TERMS, due=after(60))

    assert (await database.transact(work)).started == []


async def statements_to_settle(
    database: Database, schedule: dict[str, Any], end: Callable[[Started], Ended]
) -> list[str]:
    """What a batch of a hundred ends asks of the database."""
    for _ in range(100):
        await add_job(database, repeat=True, target=TARGET, autopause=5, **schedule)
    started = (await claim(database, after(2))).started
    assert len(started) == 100
    said: list[str] = []

    async def work(session: Session, _: datetime) -> int:
        driver = session.info[DRIVER]
        with driver.query_logger(lambda record: said.append(record.query)):
            ended = [end(one) for one in started]
            report = await holding.settle_ends(session, after(200), ended, frozenset({"a.example"}))
        return len(report.settled)

    assert await database.transact(work) == 100
    # Without those in which the driver asks for types, once.
    return [sql for sql in said if "jit" not in sql and "typeinfo" not in sql]


WELL_OR_ILL = pytest.mark.parametrize(
    "end", [finished, lambda started: failed(started, again=False)], ids=["well", "ill"]
)


@undistributed
@pytest.mark.parametrize(
    "schedule",
    [
        {"interval": 60},
        {"interval": 60, "misfire": "skip", "grace": 10},
        {"interval": 60, "maxruns": 5},
        {"cron": "* * * * *"},
        {"cron": "* * * * *", "misfire": "skip", "grace": 10},
        # These are over then.
        {"interval": 60, "maxruns": 1},
        {"cron": "* * * * *", "until": NOON, "overlap": True},
    ],
    ids=str,
)
@WELL_OR_ILL
async def test_a_batch_of_ends_takes_as_many_statements_as_one(
    database: Database, schedule: dict[str, Any], end: Callable[[Started], Ended]
) -> None:
    asked = await statements_to_settle(database, schedule, end)
    # Some of them have others planned for so many, and what follows as before.
    assert 0 < len(asked) <= 10, asked
    assert await is_clean(database)


@WELL_OR_ILL
async def test_cron_jobs_settle_at_no_more_statements_than_intervals(
    database: Database, end: Callable[[Started], Ended]
) -> None:
    intervals = await statements_to_settle(database, {"interval": 60}, end)
    await execute(database, "TRUNCATE job, joblog CASCADE")
    assert await statements_to_settle(database, {"cron": "* * * * *"}, end) == intervals
