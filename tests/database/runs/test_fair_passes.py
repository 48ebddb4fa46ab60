"""What a claim of calls reads: never all that is due, however much of it one host has."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import claims, counting, shares
from scheduler_api.database.runs.due import DueLog
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.statements import Session
from scheduler_api.services.runs import claims as services
from scheduler_api.services.runs.shares import Room
from scheduler_api.services.system import health
from tests.factories import NOON, add_job, execute, scalar
from tests.plans import MODES, analyze_logs, blocks_of, plan_of, renew_logs, rows_of, scans_of
from tests.servers import dsn
from tests.services.runs.test_claims import TERMS

#: Nothing is closed.
OPEN: dict[str, Any] = {"jobids": [], "tags": [], "projects": [], "idle": False}
HOG, NEWCOMER = "http://hog.example/", "http://newcomer.example/"


async def add_calls(database: Database, count: int) -> None:
    """Runs of a job with a target: one was due in each second before noon."""
    jobid = await add_job(database, due=None, target={"url": HOG})
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)"
        " SELECT jobid, at, at, kind, host, 'manual'"
        " FROM job, generate_series(CAST(:noon AS timestamptz) - make_interval(secs => :count),"
        " :noon - interval '1 s', interval '1 s') AS at WHERE jobid = :jobid",
        jobid=jobid,
        noon=NOON,
        count=count,
    )


async def backlog(database: Database) -> None:
    """A host with 100,000 due calls, 300 that have none due, and one whose only call was due last."""
    await renew_logs(database)
    await add_calls(database, 100_000)
    for number in range(300):
        later = {"url": f"http://later-{number}.example/"}
        await add_job(database, due=NOON + timedelta(days=1), target=later)
    await add_job(database, due=NOON, target={"url": NEWCOMER})
    await analyze_logs(database)


async def test_a_hundred_thousand_due_calls_of_one_host_are_not_read(database: Database) -> None:
    await backlog(database)
    look = {"due": NOON, "window": 257, "steps": 1000, "after": "", "floor": BEGINNING}
    due = OPEN | {
        "due": NOON,
        "hosts": ["hog.example", "newcomer.example"],
        "shares": [100, 100],
        "floor": BEGINNING,
    }
    for mode in MODES:
        for statement, values, blocks in (
            (shares.ASKING, look, 3000),
            (claims.DUE_CALLS, due, 1000),
            (shares.WAITING, {"now": NOON, "limit": 1000}, 100),
        ):
            plan = await plan_of(database, statement, mode, **values)
            found = scans_of(plan)
            assert found
            assert {node["Index Name"] for node in found} <= {
                "ix_joblog_live_calls",
                "ix_joblog_live_hosts",
                "ix_joblog_live_running",
            }, plan
            assert max(node["Actual Rows"] for node in found) <= 1000
            assert all(node.get("Rows Removed by Filter", 0) <= 1 for node in found), plan
            assert blocks_of(plan) <= blocks

    async def asking(session: Any) -> shares.Askers:
        return await shares.asking(session, NOON, 257, 1000, "", BEGINNING)

    hosts = await database.read(asking)
    assert hosts.whole
    # All are calls of one job but for the newcomer's.
    assert len(hosts.jobids) == 2
    assert hosts.hosts == {"hog.example": NOON - timedelta(seconds=100_000), "newcomer.example": NOON}


UNDER_WAY = """
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, timezone, repeat, interval, active, createdat,
                         validfrom, kind, host, target)
        SELECT 'A job', '2030-01-31', '12:00', 'UTC', true, 60, true, '2030-01-01', '2030-01-01',
               'http', name, jsonb_build_object('url', 'http://' || name || '/')
        FROM generate_series(1, :count) AS g,
             LATERAL (SELECT g % CAST(:hosts AS int) || '.example') AS h (name)
        RETURNING jobid, host
    )
    INSERT INTO joblog (jobid, scheduledfor, kind, host, status, lastrun, startedat, leasetoken, leaseuntil)
    SELECT jobid, at, 'http', host, 'running', at, at, gen_random_uuid(), at + interval '1 hour'
    FROM made, LATERAL (SELECT CAST(:noon AS timestamptz) - interval '1 minute') AS instant (at)
"""


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_ten_thousand_calls_under_way_are_not_read_for_one_that_is_due(
    fresh: Database, is_analyzed: bool
) -> None:
    """Whether the server has counted them, or nothing ever."""
    await execute(fresh, UNDER_WAY, count=10_000, hosts=1000, noon=NOON)
    jobid = await add_job(fresh, target={"url": NEWCOMER})
    if is_analyzed:
        await analyze_logs(fresh)
    hosts = {"hosts": ["newcomer.example", "7.example"]}
    for mode in MODES:
        for statement, values in (
            (counting.BOUNDS, hosts | {"jobids": [jobid], "tags": None, "projects": None, "tight": False}),
            (claims.DUE_CALLS, OPEN | hosts | {"shares": [9, 9], "due": NOON, "floor": BEGINNING}),
            (claims.REST, {"due": NOON, "now": NOON, "floor": BEGINNING}),
        ):
            plan = await plan_of(fresh, statement, mode, **values)
            assert blocks_of(plan) <= 50, plan


@pytest.mark.parametrize("counted", ["never", "when there was one", "when they had gone", "now"])
async def test_calls_under_way_are_read_once_however_many_limits_there_are(
    fresh: Database, counted: str
) -> None:
    before = {"when there was one": 1, "when they had gone": 5000}.get(counted)
    if before is not None:
        await execute(fresh, UNDER_WAY, count=before, hosts=1, noon=NOON)
    if counted == "when they had gone":
        await execute(fresh, "DELETE FROM joblog")
        await execute(fresh, "DELETE FROM job")
    if before is not None:
        await execute(fresh, "ANALYZE job, joblog")
    await execute(fresh, UNDER_WAY, count=5000, hosts=1000, noon=NOON)
    limits = "INSERT INTO concurrencylimit SELECT {scope}, 'name-' || n, 5 FROM generate_series(1, 50) AS n"
    for scope in ("'tag'", "'project'"):
        await execute(fresh, limits.format(scope=scope))
    if counted == "now":
        await execute(fresh, "ANALYZE job, joblog")
    values = {"hosts": ["newcomer.example"], "jobids": [], "tags": None, "projects": None, "tight": False}
    for mode in MODES:
        plan = await plan_of(fresh, counting.BOUNDS, mode, **values)
        # For each there is its job, too.
        assert rows_of(plan) <= 10 * 5000, plan


@pytest.mark.parametrize("is_hidden", [False, True])
async def test_thousands_of_due_calls_of_a_job_that_may_not_run_now_are_looked_past(
    database: Database, is_hidden: bool
) -> None:
    await renew_logs(database)
    await add_calls(database, 20_000)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, lastrun = :noon, startedat = :noon,"
        " leasetoken = gen_random_uuid(), leaseuntil = CAST(:noon AS timestamptz) + interval '1 hour'"
        " WHERE logid = 1",
        noon=NOON,
    )
    other = await add_job(database, target={"url": HOG})
    if is_hidden:
        # Those of a host that is down are older, and as many as are looked at.
        down = await add_job(database, due=None, target={"url": "http://down.example/"})
        await execute(
            database,
            "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)"
            " SELECT :down, at, at, 'http', 'down.example', 'manual'"
            " FROM generate_series(CAST(:since AS timestamptz), :noon, interval '1 hour') AS at"
            " WHERE at < CAST(:since AS timestamptz) + interval '30 days'",
            down=down,
            since=NOON - timedelta(days=60),
            noon=NOON,
        )
        failure = "INSERT INTO hostfailure VALUES ('down.example', 99, :until, :until, 'It is down.')"
        await execute(database, failure, until=NOON + timedelta(hours=1))
    await analyze_logs(database)
    due = OPEN | {"due": NOON, "hosts": ["hog.example"], "shares": [100], "floor": BEGINNING}
    for mode in MODES:
        # A claim knows of jobs that have several of the oldest calls.
        found = await plan_of(database, claims.DUE_CALLS, mode, **due | {"jobids": [1]})
        assert blocks_of(found) <= 1500
    asked: list[list[int]] = []
    real = claims.due

    async def watched(
        session: Session, at: datetime, shares: Any, closed: claims.Closed, floor: Any
    ) -> list[DueLog]:
        asked.append([*closed.jobids])
        return await real(session, at, shares, closed, floor)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(claims, "due", watched)
        claimed = await database.transact(
            lambda session, _: services.claim(session, NOON, Room.of(100), TERMS)
        )
    assert [one.jobid for one in claimed.started] == [other]
    assert asked == [[1]]
    assert claimed.bounded


async def test_what_a_long_transaction_can_see_does_not_slow_the_looks(
    database: Database, worker_database: URL
) -> None:
    """The entries of what has run stay in the indexes as long as it can be seen; the floor skips them."""
    await renew_logs(database)
    await add_calls(database, 20_000)
    somebody = await asyncpg.connect(dsn(worker_database))
    try:
        async with somebody.transaction(isolation="repeatable_read"):
            await somebody.execute("SELECT FROM job LIMIT 1")
            made = "UPDATE joblog SET status = 'finished', nextrun = NULL, finishedat = now()"
            await execute(database, f"{made} WHERE nextrun < :noon", noon=NOON - timedelta(seconds=1))
            look = {"due": NOON, "window": 257, "steps": 1000, "after": ""}
            of_hosts = OPEN | {"hosts": ["hog.example"], "shares": [100]}
            for statement, values in ((shares.ASKING, look), (claims.DUE_CALLS, {"due": NOON} | of_hosts)):
                read, skipping = [
                    blocks_of(await plan_of(database, statement, MODES[0], **values, floor=floor))
                    for floor in (BEGINNING, NOON - timedelta(seconds=20))
                ]
                assert skipping * 10 < read, (read, skipping)
    finally:
        await somebody.close()


async def test_hosts_are_looked_through_in_turn_where_there_are_too_many(database: Database) -> None:
    for number in range(10):
        for _ in range(2):
            await add_job(database, target={"url": f"http://{number}.example/"})

    async def look(after: str, steps: int = 4, due: datetime = NOON) -> shares.Askers:
        async def asking(session: Any) -> shares.Askers:
            return await shares.asking(session, due, 3, steps, after, BEGINNING)

        return await database.read(asking)

    seen: set[str] = set()
    after = ""
    for wanted in ("3.example", "7.example", ""):
        found = await look(after)
        assert (found.whole, found.walked) == (False, wanted)
        # The oldest are always among them.
        assert {"0.example", "1.example"} <= found.hosts.keys()
        seen |= found.hosts.keys()
        after = found.walked
    assert len(seen) == 10
    found = await look("", 10)
    assert (len(found.hosts), found.whole, found.walked) == (10, False, "9.example")
    found = await look("", 11)
    assert (len(found.hosts), found.whole, found.walked) == (10, True, "")
    assert await look("", due=NOON - timedelta(seconds=1)) == shares.Askers({}, True, "", [])


async def test_calls_that_wait_are_counted(database: Database) -> None:
    assert await database.transact(health.waiting) == (0, None)
    now = await scalar(database, "SELECT clock_timestamp()")
    for seconds in (-3, -2, 3600):
        await add_job(database, target={"url": HOG}, due=now + timedelta(seconds=seconds))
    await add_job(database, due=now - timedelta(seconds=9))
    assert await database.transact(health.waiting) == (2, now - timedelta(seconds=3))
