"""What finished logs cost those who run what is due, and those who only look."""

from time import perf_counter
from typing import Any

from sqlalchemy.engine import URL

from benchmarks.contestants import BATCH, service_pass
from benchmarks.due_jobs import PROMISES, add_past, refill, settle_down
from benchmarks.results import Row, at_least, below, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api.database.engine import Database
from scheduler_api.services.runs import passes
from scheduler_api.services.system import health

QUESTION = "finished history: a pass with and without it, an idle poll with and without it"


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    jobs = sizes.due_beside_history
    rounds = sizes.history_for_pass // jobs
    async with fresh_database(server) as empty, fresh_database(server) as full:
        for url in (empty, full):
            async with bare_connection(url) as connection:
                await refill(connection, jobs)
        async with bare_connection(full) as connection:
            await add_past(connection, 1, rounds)
        passes = await _passes(empty, full, sizes)
        async with bare_connection(full) as connection:
            await add_past(connection, rounds + 1, sizes.history_for_poll // jobs)
        return passes + await _polls(empty, full, sizes)


async def _passes(empty: URL, full: URL, sizes: Sizes) -> list[Row]:
    first: dict[URL, list[float]] = {empty: [], full: []}
    later: dict[URL, list[float]] = {empty: [], full: []}
    for _ in range(sizes.repetitions_of(sizes.due_beside_history)):
        for url in (empty, full):
            async with bare_connection(url) as connection, service_database(url) as database:
                await database.read(health.next_due)
                for rates, prepare in ((first, settle_down), (later, _vacuum)):
                    await _make_due_again(connection)
                    await prepare(connection)
                    rates[url].append(await service_pass(database))
    due, versions = f"{sizes.due_beside_history:,} due", f"{sizes.history_for_pass:,} finished logs"
    return [
        Row(f"{due}, no history", later[empty], "runs/s"),
        Row(f"{due}, {versions}", later[full], "runs/s"),
        Row("with history ÷ without", ratios(later[full], later[empty]), "", sizes.judged(at_least(0.8))),
        # A page's first change after a checkpoint writes the whole page to the log, and an index of a
        # million rows has many pages. A checkpoint comes every few minutes, so this is told apart.
        Row("the first pass after a checkpoint: with ÷ without", ratios(first[full], first[empty]), ""),
    ]


async def _make_due_again(connection: Any) -> None:
    """The live rows anew; the past stays, or each repetition would need minutes to make it."""
    await connection.execute("DELETE FROM joblog WHERE scheduledfor > now() - interval '2 hours'")
    await connection.execute(PROMISES)


async def _vacuum(connection: Any) -> None:
    await connection.execute("VACUUM (ANALYZE) job, joblog")


async def _polls(empty: URL, full: URL, sizes: Sizes) -> list[Row]:
    times: dict[URL, list[float]] = {empty: [], full: []}
    async with service_database(empty) as without, service_database(full) as beside:
        for url, database in ((empty, without), (full, beside)):
            async with bare_connection(url) as connection:
                await settle_down(connection)
            await _poll_time(database, sizes.polls)
        for _ in range(sizes.repetitions):
            for url, database in ((empty, without), (full, beside)):
                times[url].append(await _poll_time(database, sizes.polls))
    target = sizes.judged(below(2, " times"))
    return [
        Row("an idle poll, no history", times[empty], "ms"),
        Row(f"an idle poll, {sizes.history_for_poll:,} finished logs", times[full], "ms"),
        Row("with history ÷ without", ratios(times[full], times[empty]), "times", target),
    ]


async def _poll_time(database: Database, polls: int) -> float:
    """Milliseconds of a look that finds nothing, and of a claim that finds nothing."""
    began = perf_counter()
    for _ in range(polls):
        now = await database.read(health.clock)
        report = await database.transact(passes.run_pass, BATCH, now)
        assert not report.claimed
    return (perf_counter() - began) / polls * 1000
