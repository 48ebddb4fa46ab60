"""Behind PgBouncer, in transaction mode, against the server itself: deliveries, and requests that write."""

import shutil
import sys
from collections.abc import Mapping

from sqlalchemy.engine import URL, make_url

from benchmarks.deliveries import deliver
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import dsn, fresh_database
from benchmarks.sizes import Sizes
from tests.pooler import PgBouncer

QUESTION = "deliveries/s of one replica behind PgBouncer (transaction mode) against the server itself"


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        print("There is no PgBouncer on this machine.", file=sys.stderr)
        return []
    pooler = PgBouncer(program, server)
    try:
        return await _compare(server, pooler, max(sizes.in_flight), sizes)
    finally:
        pooler.stop()


async def _compare(server: URL, pooler: PgBouncer, in_flight: int, sizes: Sizes) -> list[Row]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(sizes.repetitions):
        for is_pooled, found in rates.items():
            async with fresh_database(server) as url:
                settings = _behind(pooler, url) if is_pooled else {}
                found.append((await deliver(url, sizes.deliveries, in_flight, settings)).rate)
    name = f"{in_flight} in flight"
    return [
        Row(f"{name}, direct", rates[False], "deliveries/s"),
        Row(f"{name}, behind the pooler", rates[True], "deliveries/s"),
        Row(f"{name}, behind ÷ direct", ratios(rates[True], rates[False]), "", sizes.judged(at_least(0.7))),
    ]


def _behind(pooler: PgBouncer, url: URL) -> Mapping[str, str]:
    return {
        "SCHEDULER_DATABASE_URL": dsn(make_url(pooler.address).set(database=url.database)),
        "SCHEDULER_DATABASE_POOLER": "transaction",
        "SCHEDULER_DATABASE_DIRECT_URL": dsn(url),
    }
