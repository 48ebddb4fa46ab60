"""What runs and orders cost by plans of the time when there was hardly anything; see `tests.stale`."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.jobs.actions import Missed, Pause
from scheduler_api.database.connections import set_locally
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import watching as statements
from scheduler_api.database.runs.claims import Started
from scheduler_api.database.runs.watching import MAX_RUNNING
from scheduler_api.database.statements import DRIVER, Session
from scheduler_api.pools import ALERTS_SETTINGS, DELIVERY_SETTINGS, REQUESTS_SETTINGS, TICKER_SETTINGS
from scheduler_api.services.jobs import together
from scheduler_api.services.runs import claims, holding, passes, watching
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Room
from scheduler_api.services.runs.watching import LATE_AFTER, MAX_SUSPECTS, STUCK_AFTER, STUCK_TIMES
from scheduler_api.targets import Failure
from tests import stale
from tests.factories import ACTOR, NOON
from tests.plans import MODES, rows_of
from tests.servers import undistributed
from tests.services.runs.test_claims import LEASE, TERMS, after

#: By the one plan of those connections, and as requests do the same, by plans for the values of the time.
PASSES, CLAIMS, ORDERS = (
    pytest.mark.parametrize("settings", [own | {"plan_cache_mode": mode} for mode in MODES], ids=MODES)
    for own in (TICKER_SETTINGS, DELIVERY_SETTINGS, REQUESTS_SETTINGS)
)
#: Jobs that are due, of each kind, and so many others.
DUE, OTHERS = 200, 1800
#: Rows that a statement may look at: each table some times, but nothing anew for each run, neither all that
#: is there nor all that the statement is about.
MOST = 10 * 2 * (DUE + OTHERS)
UNCHANGED = "SELECT CAST($1 AS timestamptz)"
#: What is due is for the last time, and after each of these jobs another one runs.
LAST = """
    WITH over AS (
        UPDATE job SET repeat = false, interval = NULL FROM joblog
        WHERE joblog.jobid = job.jobid AND joblog.status = 'pending' AND nextrun = $1 AND job.kind = 'plain'
        RETURNING job.jobid
    )
    INSERT INTO job (jobname, repeat, active, createdat, validfrom, afterjobid, after)
    SELECT 'follower', false, true, '2030-01-01', '2030-01-01', jobid,
           jsonb_build_object('jobid', jobid, 'on', 'finished')
    FROM over
"""
#: Somebody is told of everything.
TELLING = """
    WITH channel AS (
        INSERT INTO alertchannel (name, kind, origin, ciphertext, createdat, changedat)
        SELECT CAST(gen_random_uuid() AS text), 'webhook', 'http://a.example', '', at, at
        FROM (SELECT CAST($1 AS timestamptz) AS at) AS instant RETURNING channelid
    )
    INSERT INTO alertrule (channelid, kinds, createdat)
    SELECT channelid, '{failed,missed,late,stuck,silent,paused}', '2030-01-01' FROM channel
"""
#: Occurrences that are missed are not made up for.
SKIPPING = "UPDATE job SET misfire = 'skip' WHERE createdat < $1"
#: All others are calls in progress, and the targets of some have accepted them.
UNDER_WAY = """
    WITH slow AS (UPDATE job SET stuckafter = 60)
    UPDATE joblog SET status = 'running', kind = 'http', nextrun = NULL, startedat = nextrun,
                      lastrun = nextrun, host = coalesce(host, jobid % 50 || '.example'),
                      leasetoken = gen_random_uuid(), leaseuntil = nextrun + interval '1 day',
                      acceptedat = CASE WHEN jobid % 3 = 0 THEN nextrun END
    WHERE day = 'infinity' AND status = 'pending' AND nextrun > $1
"""
#: Those that are due at noon, however far they have got.
DUE_JOBS = "SELECT jobid FROM job WHERE CAST(jobname AS int) <= $1"
#: Only what checks foreign keys says this.
KEY_CHECK = "FROM ONLY"


@pytest.fixture(params=stale.STATES)
async def counted(request: pytest.FixtureRequest, fresh: Database) -> Database:
    """A database whose tables were counted then, if ever."""
    await stale.count(fresh, request.param, DUE, OTHERS)
    return fresh


async def taken(
    database: Database,
    settings: Mapping[str, str],
    *steps: Callable[[Session, Any], Awaitable[Any]],
    change: str = UNCHANGED,
) -> Any:
    """What comes of the last of some steps, each of which gets what came of the one before.

    They are taken with hardly anything first; then with many jobs, and none looks at all these for each run.
    `settings` are those of the connection; `change` is what is different about the jobs of the test.
    """
    plans: list[Any] = []

    def note(_: Any, message: asyncpg.PostgresLogMessage) -> None:
        plans.extend(stale.plans_in(message))

    async def measured(session: Session, _: datetime) -> Any:
        driver = session.info[DRIVER]
        await driver.execute("LOAD 'auto_explain'")
        await driver.execute(set_locally({**stale.EXPLAINING, **settings}))
        driver.add_log_listener(note)
        for others in (1, OTHERS):
            await driver.execute(stale.FILL, DUE + others, DUE, NOON)
            await driver.execute(change, NOON)
            plans.clear()
            found = None
            await driver.execute(set_locally({stale.EXPLAINED: "0"}))
            for step in steps:
                found = await step(session, found)
            await driver.execute(set_locally({stale.EXPLAINED: "-1"}))
        driver.remove_log_listener(note)
        assert len(plans) > 5
        for plan in plans:
            assert rows_of(plan["Plan"]) <= MOST, plan["Query Text"]
        # That is a statement of its own for each row.
        checks = [plan for plan in plans if KEY_CHECK in plan["Query Text"]]
        assert sum(rows_of(plan["Plan"]) for plan in checks) <= MOST
        return found

    return await database.transact(measured)


@PASSES
async def test_a_pass(counted: Database, settings: Mapping[str, str]) -> None:
    async def run(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(1), DUE, after(1))

    assert (await taken(counted, settings, run)).finished == DUE


@PASSES
async def test_a_pass_that_makes_up_for_what_was_missed(
    counted: Database, settings: Mapping[str, str]
) -> None:
    """Of which somebody is told; and then that it is over."""

    async def make_up(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(7201), DUE, after(1))

    async def go_on(session: Session, made_up: Any) -> Any:
        assert made_up.finished == DUE
        return await passes.run_pass(session, after(10801), DUE, after(10801))

    assert (await taken(counted, settings, make_up, go_on, change=TELLING)).finished == DUE


@PASSES
async def test_a_pass_that_skips_what_was_missed(counted: Database, settings: Mapping[str, str]) -> None:
    async def run(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(7201), DUE, after(1))

    assert (await taken(counted, settings, run, change=SKIPPING)).skipped == DUE


# In cells, each such job may still be compared with all live rows of its cell.
@undistributed
@PASSES
async def test_a_pass_after_which_jobs_are_over(counted: Database, settings: Mapping[str, str]) -> None:
    async def run(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(1), DUE, after(1))

    assert (await taken(counted, settings, run, change=LAST)).finished == DUE


async def test_runs_that_are_late_until_they_begin(counted: Database) -> None:
    async def suspect(session: Session, _: Any) -> Any:
        late = await statements.late_runs(session, after(120), LATE_AFTER, MAX_SUSPECTS)
        return [(run.jobid, JobIssueKind.LATE, run.logid) for run in late]

    async def notice(session: Session, late: Any) -> Any:
        assert len(late) == 2 * DUE
        await watching.verify(session, after(180), late)

    async def begin(session: Session, _: Any) -> Any:
        return await passes.run_pass(session, after(181), DUE, after(1))

    async def clear(session: Session, begun: Any) -> Any:
        await watching.clear(session, after(182))
        return begun

    assert (await taken(counted, ALERTS_SETTINGS, suspect, notice, begin, clear)).finished == DUE


async def test_runs_that_take_too_long_until_they_end(counted: Database) -> None:
    async def suspect(session: Session, _: Any) -> Any:
        late = after(4000)
        stuck = await statements.stuck_runs(session, late, STUCK_AFTER, STUCK_TIMES, MAX_SUSPECTS)
        return [(run.jobid, JobIssueKind.STUCK, run.logid) for run in stuck]

    async def notice(session: Session, stuck: Any) -> Any:
        await watching.verify(session, after(4060), stuck)
        return stuck

    async def end(session: Session, stuck: Any) -> Any:
        ended = [logid for _, _, logid in stuck]
        await session.info[DRIVER].execute("DELETE FROM joblog WHERE logid = ANY($1)", ended)
        await watching.clear(session, after(4061))
        return len(ended)

    assert await taken(counted, ALERTS_SETTINGS, suspect, notice, end, change=UNDER_WAY) == MAX_RUNNING


@pytest.mark.parametrize("outcome", ["finished", "failed", "retried", "accepted", "released"])
async def test_a_claim_and_its_ends(counted: Database, outcome: str) -> None:
    def end(started: Started) -> Ended:
        if outcome in {"finished", "accepted"}:
            return Ended(started.logid, started.token, outcome, httpstatus=200)
        if outcome == "released":
            return Ended(started.logid, started.token, outcome, Failure.LOST, "No.")
        again = outcome == "retried"
        return Ended(started.logid, started.token, "failed", Failure.STATUS, "No.", again=again)

    async def claim(session: Session, _: Any) -> Any:
        return await claims.claim(session, after(1), Room.of(DUE), TERMS)

    async def settle(session: Session, claimed: Any) -> Any:
        ends = [end(started) for started in claimed.started]
        return await holding.settle_ends(session, after(2), ends, frozenset())

    assert len((await taken(counted, DELIVERY_SETTINGS, claim, settle)).settled) == DUE


@CLAIMS
async def test_calls_beside_many_others_to_many_hosts(counted: Database, settings: Mapping[str, str]) -> None:
    """Claimed, held on to, and given up at last."""

    async def claim(session: Session, _: Any) -> Any:
        return await claims.claim(session, after(1), Room.of(DUE), TERMS._replace(hostmost=OTHERS))

    async def renew(session: Session, claimed: Any) -> Any:
        held = [(started.logid, started.token) for started in claimed.started]
        assert len((await holding.renew(session, after(2), held, LEASE)).renewed) == DUE
        return held

    async def give_up(session: Session, held: Any) -> Any:
        late = after(3600)
        expired = await holding.expired(session, late)
        assert {token for _, token in held} <= {*expired}
        return await holding.reap(session, late, expired)

    assert await taken(counted, settings, claim, renew, give_up, change=UNDER_WAY) == DUE


@ORDERS
async def test_orders_to_many_jobs(counted: Database, settings: Mapping[str, str]) -> None:
    def each(order: Callable[..., Awaitable[Any]], *values: Any) -> Callable[[Session, Any], Awaitable[Any]]:
        async def give(session: Session, _: Any) -> Any:
            found = await session.info[DRIVER].fetch(DUE_JOBS, 2 * DUE)
            return await order(session, after(-1), ACTOR, [row["jobid"] for row in found], *values)

        return give

    pause = each(together.pause, Pause(reason="Maintenance"), uuid4())
    resume = each(together.resume, Missed.POLICY)
    run, delete = each(together.run_now), each(together.delete)
    done = await taken(counted, settings, pause, resume, run, run, delete)
    assert len(done) >= 2 * DUE
