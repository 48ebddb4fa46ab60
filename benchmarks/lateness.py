"""How late runs start when a thousand jobs are due at the same instant, second after second."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.results import Row, at_most, below, exactly, ratios
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.database.runs.pending import CHANNEL

QUESTION = (
    "lateness of one-second jobs that are all due at the same instant, beside APScheduler 3 and procrastinate"
)
#: Seconds between the making of the jobs and their first instant; for the last runs to end.
AHEAD, AFTER = 3, 2

EVERY_SECOND = """
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom)
        SELECT 'job ' || n, $2::timestamptz::date, $2::timestamptz::time, true, 1, true, $2, $2
        FROM generate_series(1, $1::int) AS n
        RETURNING jobid
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun) SELECT jobid, $2, $2 FROM made
"""
#: What the ledger says of the window, in milliseconds.
STARTED = """
    SELECT count(*) AS runs,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY late) AS p50,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY late) AS p99
    FROM (
        SELECT extract(epoch FROM {instant} - scheduledfor)::float8 * 1000 AS late FROM joblog
        WHERE status = 'finished' AND scheduledfor >= $1 AND scheduledfor < $2
    ) AS lateness
"""
COMMITTED = "pg_xact_commit_timestamp(xmin)"


class Peer(NamedTuple):
    """Another scheduler with the same jobs."""

    name: str
    module: str
    store: str | None
    """How its driver's URL begins; None: it keeps nothing."""
    seconds: int


def _peers(sizes: Sizes) -> list[Peer]:
    return [
        Peer("APScheduler, in memory", "apscheduler_peer", None, sizes.peer_seconds),
        Peer("APScheduler, on this Postgres", "apscheduler_peer", "postgresql+psycopg", sizes.peer_seconds),
        Peer("procrastinate", "procrastinate_peer", "postgresql", sizes.lateness_seconds),
    ]


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    ours: list[dict[str, float]] = []
    committed: list[dict[str, float]] = []
    peers: dict[Peer, list[dict[str, float]]] = {peer: [] for peer in _peers(sizes)}
    for _ in range(sizes.repetitions):
        async with fresh_database(server) as url:
            seen, kept = await _service(url, sizes)
        ours.append(seen)
        committed += kept
        for peer, of_peer in peers.items():
            async with fresh_database(server) as url:
                of_peer.append(await _peer(peer, url, sizes))
    return _rows(ours, committed, peers, sizes)


def _rows(
    ours: list[dict[str, float]],
    committed: list[dict[str, float]],
    peers: dict[Peer, list[dict[str, float]]],
    sizes: Sizes,
) -> list[Row]:
    all_of_them = sizes.lateness_jobs * sizes.lateness_seconds
    p99 = _of(ours, "p99")
    rows = [
        Row("service, runs", _of(ours, "runs"), "", sizes.judged(exactly(all_of_them))),
        Row("service, start p50", _of(ours, "p50"), "ms"),
        Row("service, start p99", p99, "ms", sizes.judged(at_most(50, " ms"))),
    ]
    if committed:
        p99 = _of(committed, "p99")
        rows += [
            Row(
                "service, result committed p50", _of(committed, "p50"), "ms", sizes.judged(at_most(25, " ms"))
            ),
            Row("service, result committed p99", p99, "ms", sizes.judged(at_most(40, " ms"))),
        ]
    for peer, seen in peers.items():
        rows += [
            Row(f"{peer.name}, runs of {sizes.lateness_jobs * peer.seconds:,}", _of(seen, "runs")),
            Row(f"{peer.name}, start p50", _of(seen, "p50"), "ms"),
            Row(f"{peer.name}, start p99", _of(seen, "p99"), "ms"),
            Row(
                f"service, {'result committed' if committed else 'start'} ÷ {peer.name}, start, p99",
                ratios(p99, _of(seen, "p99")),
                "",
                sizes.judged(below(1)),
            ),
        ]
    return rows


async def _service(url: URL, sizes: Sizes) -> tuple[dict[str, float], list[dict[str, float]]]:
    """What the ledger says of starts; and of commits, where the server keeps their times."""
    window = timedelta(seconds=sizes.lateness_seconds)
    async with bare_connection(url) as connection, programs.service(url):
        first = await begin(connection, sizes.lateness_jobs)
        await asyncio.sleep(AHEAD + sizes.lateness_seconds + AFTER)
        seen = await started(connection, first, first + window)
        if await connection.fetchval("SHOW track_commit_timestamp") != "on":
            return seen, []
        return seen, [await started(connection, first, first + window, COMMITTED)]


async def begin(connection: Any, jobs: int) -> datetime:
    """Make so many jobs that run each second; the first instant of all of them."""
    first: datetime = await connection.fetchval(
        f"SELECT date_trunc('second', clock_timestamp()) + interval '{AHEAD} seconds'"
    )
    await connection.execute(EVERY_SECOND, jobs, first)
    # As the service does with each job that is created: a ticker that sleeps knows of none.
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
    return first


async def started(
    connection: Any, since: datetime, until: datetime, instant: str = "startedat"
) -> dict[str, float]:
    """What the ledger says of the runs that were due then."""
    return dict(await connection.fetchrow(STARTED.format(instant=instant), since, until))


async def _peer(peer: Peer, url: URL, sizes: Sizes) -> dict[str, float]:
    driver = peer.store and url.set(drivername=peer.store)
    address = driver.render_as_string(hide_password=False) if driver else ""
    arguments = (address, str(sizes.lateness_jobs), str(peer.seconds))
    seen: dict[str, float] = json.loads(await programs.answer_of(peer.module, *arguments))
    return seen


def _of(seen: Sequence[dict[str, float]], name: str) -> list[float]:
    return [one[name] for one in seen]
