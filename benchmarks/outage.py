"""A pass after an outage: each run stands for those that were missed, and each job gets an issue for them."""

from sqlalchemy.engine import URL

from benchmarks.contestants import BATCH, service_pass
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes

QUESTION = "due pass, runs/s after an outage in which all jobs missed runs, against one in which none did"
#: They have been due for up to an hour. Issues were counted while there were none, as before an outage.
MISSED = ("UPDATE job SET interval = 60", "VACUUM (ANALYZE) job, jobissue")


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    count = max(sizes.due)
    plain: list[float] = []
    after: list[float] = []
    async with (
        fresh_database(server) as url,
        service_database(url) as database,
        bare_connection(url) as connection,
    ):
        await refill(connection, BATCH)
        await service_pass(database)
        for _ in range(sizes.repetitions):
            await refill(connection, count)
            plain.append(await service_pass(database))
            await refill(connection, count)
            for statement in MISSED:
                await connection.execute(statement)
            after.append(await service_pass(database))
    due = f"{count:,} due".replace(",", " ")
    return [
        Row(f"{due}, none missed", plain, "runs/s"),
        Row(f"{due}, after an outage", after, "runs/s"),
        Row(f"{due}, after an outage ÷ none missed", ratios(after, plain), "", sizes.judged(at_least(0.4))),
    ]
