"""A pass over all that is due, through the service layer, against bare SQL on the least tables."""

from sqlalchemy.engine import URL

from benchmarks.contestants import BARE_TABLES, BATCH, BEST_PLAN, bare_pass, bare_refill, service_pass
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes

QUESTION = (
    "due pass, runs/s through the service layer against one set-based statement in one connection, on two"
    " tables with one key and one partial index"
)


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    rows: list[Row] = []
    async with fresh_database(server) as url:
        async with bare_connection(url) as connection:
            await connection.execute(BARE_TABLES)
        for count in sizes.due:
            rows += await _compare(url, count, sizes)
    return rows


async def _compare(url: URL, count: int, sizes: Sizes) -> list[Row]:
    bare: list[float] = []
    service: list[float] = []
    async with service_database(url) as database, bare_connection(url, **BEST_PLAN) as connection:
        await refill(connection, BATCH)
        await service_pass(database)
        for _ in range(sizes.repetitions_of(count)):
            await refill(connection, count)
            await bare_refill(connection)
            bare.append(await bare_pass(connection))
            await refill(connection, count)
            service.append(await service_pass(database))
    due = f"{count:,} due".replace(",", " ")
    return [
        Row(f"{due}, bare SQL", bare, "runs/s"),
        Row(f"{due}, service", service, "runs/s"),
        Row(f"{due}, service ÷ bare SQL", ratios(service, bare), "", sizes.judged(at_least(0.9))),
    ]
