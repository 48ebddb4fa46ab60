"""What a claim of a call costs beside thousands of calls that are in progress."""

from datetime import timedelta
from time import perf_counter
from typing import Any

from sqlalchemy.engine import URL

from benchmarks.due_jobs import settle_down
from benchmarks.results import Row, at_most
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Terms
from scheduler_api.services.runs import claims
from scheduler_api.services.runs.shares import Room

QUESTION = "a claim of one call, beside many that are in progress"
LEASE = timedelta(minutes=5)
#: Claims of a repetition; and hosts, where calls in progress go to many.
CLAIMS, HOSTS = 100, 1000
#: So many jobs with a call each, to hosts in turn.
CALLS = """
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, active, createdat, validfrom, kind, host, target)
        SELECT 'job ' || n, '2020-01-01', '00:00', true, '2020-01-01', '2020-01-01', 'http', name,
               jsonb_build_object('url', 'http://' || name || '/')
        FROM generate_series(1, $1::int) AS n, LATERAL (SELECT n % $2::int || '.example') AS host (name)
        RETURNING jobid, host
    )
"""
DUE = f"""{CALLS}
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, now(), now(), 'http', host FROM made
"""
IN_PROGRESS = f"""{CALLS}, claimed AS (
        INSERT INTO joblog (
            jobid, scheduledfor, kind, host, status, lastrun, startedat, leasetoken, leaseuntil
        )
        SELECT jobid, now(), 'http', host, 'running', now(), now(),
               gen_random_uuid(), now() + interval '1 hour'
        FROM made RETURNING logid, jobid
    )
    INSERT INTO logattempt (logid, jobid, attempt, startedat, replica)
    SELECT logid, jobid, 1, now(), 'other' FROM claimed
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    count = sizes.in_progress
    own = f"{count:,} in progress, all to its host"
    found: dict[str, list[float]] = {}
    target = sizes.judged(at_most(5, " ms"))
    for name, calls, hosts in (
        ("none in progress", 0, 1),
        (f"{count:,} in progress to {HOSTS:,} hosts", count, HOSTS),
        (own, count, 1),
    ):
        found[name] = [await _claims(server, calls, hosts) for _ in range(sizes.repetitions)]
    return [Row(f"a claim of one call, {name}", times, "ms", target) for name, times in found.items()]


async def _claims(server: URL, calls: int, hosts: int) -> float:
    """Milliseconds of a claim, its commit included."""
    async with fresh_database(server) as url, service_database(url) as database:
        async with bare_connection(url) as connection:
            await connection.execute(IN_PROGRESS, calls, hosts)
            await connection.execute(DUE, 2 * CLAIMS, 1)
            await settle_down(connection)
        terms = Terms("benchmark", LEASE, calls + 2 * CLAIMS)
        # What is prepared once is not what claims cost.
        await _claim(database, terms)
        began = perf_counter()
        for _ in range(CLAIMS):
            await _claim(database, terms)
        return (perf_counter() - began) / CLAIMS * 1000


async def _claim(database: Database, terms: Terms) -> None:
    async def work(session: Any, now: Any) -> claims.Claim:
        return await claims.claim(session, now, Room.of(1), terms)

    assert len((await database.transact(work)).started) == 1
