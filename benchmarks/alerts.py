"""What alerts cost runs: passes and deliveries with rules on every job, against those without any."""

from typing import Any

from sqlalchemy.engine import URL

from benchmarks.contestants import BATCH, BEST_PLAN, service_pass
from benchmarks.deliveries import deliver
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes

QUESTION = "due passes and deliveries with rules on every job, against those without any"
#: Nobody listens there; nothing is sent.
CHANNELS = """
    INSERT INTO alertchannel (name, kind, origin, ciphertext, createdat, changedat)
    SELECT 'channel ' || n, 'slack', 'http://127.0.0.1:1', 'x', now(), now() FROM generate_series(1, 10) AS n
"""
RULES = """
    INSERT INTO alertrule (channelid, kinds, createdat)
    SELECT channelid, '{failed,missed,late,stuck,silent,paused}', now() FROM alertchannel
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    return [*await _passes(server, sizes), *await _deliveries(server, sizes)]


async def _passes(server: URL, sizes: Sizes) -> list[Row]:
    due = max(sizes.due)
    plain, ruled = [], []
    async with (
        fresh_database(server) as url,
        service_database(url) as database,
        bare_connection(url, **BEST_PLAN) as connection,
    ):
        await refill(connection, BATCH)
        await service_pass(database)
        for _ in range(sizes.repetitions_of(due)):
            await connection.execute("DELETE FROM alertchannel")
            await refill(connection, due)
            plain.append(await service_pass(database))
            await _add_rules(connection)
            await refill(connection, due)
            ruled.append(await service_pass(database))
    return [
        Row("passes without rules", plain, "runs/s"),
        Row("passes with rules", ruled, "runs/s"),
        Row("passes with ÷ without", ratios(ruled, plain), "", sizes.judged(at_least(0.95))),
    ]


async def _deliveries(server: URL, sizes: Sizes) -> list[Row]:
    in_flight = max(sizes.in_flight)
    plain, ruled = [], []
    for _ in range(sizes.repetitions):
        async with fresh_database(server) as url:
            plain.append((await deliver(url, sizes.deliveries, in_flight)).rate)
        async with fresh_database(server) as url:
            async with bare_connection(url) as connection:
                await _add_rules(connection)
            ruled.append((await deliver(url, sizes.deliveries, in_flight)).rate)
    return [
        Row("deliveries without rules", plain, "deliveries/s"),
        Row("deliveries with rules", ruled, "deliveries/s"),
        Row("deliveries with ÷ without", ratios(ruled, plain), "", sizes.judged(at_least(0.95))),
    ]


async def _add_rules(connection: Any) -> None:
    for statement in (CHANNELS, RULES):
        await connection.execute(statement)
