"""What cells cost: passes and deliveries with tables that are distributed over 16, against those without."""

from sqlalchemy.engine import URL

from benchmarks.contestants import BATCH, BEST_PLAN, service_pass
from benchmarks.deliveries import deliver
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api.database import distribution

QUESTION = (
    "due passes and deliveries with tables distributed over 16 cells of one server, against those without"
)
CELLS = 16


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    return [*await _passes(server, sizes), *await _deliveries(server, sizes)]


async def _passes(server: URL, sizes: Sizes) -> list[Row]:
    due = max(sizes.due)
    found: dict[bool, list[float]] = {False: [], True: []}
    async with fresh_database(server) as plain, fresh_database(server) as celled:
        await _distribute(celled)
        for repetition in range(sizes.repetitions_of(due) + 1):
            for url, rates in zip((plain, celled), found.values(), strict=True):
                async with service_database(url) as database, bare_connection(url, **BEST_PLAN) as connection:
                    await refill(connection, due if repetition else BATCH)
                    rate = await service_pass(database)
                if repetition:
                    rates.append(rate)
    return _rows("passes", "runs/s", found, sizes, 0.7)


async def _deliveries(server: URL, sizes: Sizes) -> list[Row]:
    in_flight = max(sizes.in_flight)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(sizes.repetitions):
        for in_cells, rates in found.items():
            async with fresh_database(server) as url:
                if in_cells:
                    await _distribute(url)
                rates.append((await deliver(url, sizes.deliveries, in_flight)).rate)
    return _rows("deliveries", "deliveries/s", found, sizes, 0.5)


def _rows(what: str, unit: str, found: dict[bool, list[float]], sizes: Sizes, least: float) -> list[Row]:
    ratio = ratios(found[True], found[False])
    return [
        Row(f"{what} without cells", found[False], unit),
        Row(f"{what} with {CELLS} cells", found[True], unit),
        Row(f"{what} with ÷ without", ratio, "", sizes.judged(at_least(least))),
    ]


async def _distribute(url: URL) -> None:
    async with service_database(url) as database:
        steps = distribution.steps(CELLS, engine=False)
        await distribution.distribute(database, steps, lambda _: None)
