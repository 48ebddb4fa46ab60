"""Settling when the database does not take everything at once."""

import asyncio
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.engine import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.transactions import Fence
from scheduler_api.workers.delivery import ends
from scheduler_api.workers.delivery.settler import Settler
from tests.factories import add_job, scalar
from tests.services.runs.test_claims import TARGET, claim


async def test_an_outdated_replica_hands_back_later_what_somebody_holds(
    database: Database, worker_database: URL
) -> None:
    """Else it would stay with the replica until its lease runs out."""
    for _ in range(3):
        await add_job(database, target=TARGET)
    due = await scalar(database, "SELECT max(nextrun) FROM joblog")
    started = (await claim(database, due + timedelta(seconds=1))).started
    compatible = await scalar(database, "SELECT compatiblefrom FROM schemaversion")
    outdated = Database(
        worker_database,
        name="tests",
        pool=PoolOptions(2, 0, 5.0),
        fence=Fence(compatible - 1, lambda _: None),
    )
    settled = asyncio.Event()
    settler = Settler(outdated, lambda over: settled.set() if over else None, lambda _: None)
    settler.loop.start()
    running = "SELECT count(*) FROM joblog WHERE status = 'running'"
    try:
        async with database.transactional.begin() as connection:
            held = text("SELECT FROM joblog WHERE logid = :logid FOR UPDATE")
            await connection.execute(held, {"logid": started[0].logid})
            for one in started:
                settler.put(ends.released(one, "Not begun."))
            async with asyncio.timeout(30):
                await settled.wait()
            assert await scalar(database, running) == 1
        async with asyncio.timeout(30):
            while await scalar(database, running):
                await asyncio.sleep(0.01)
    finally:
        await settler.loop.cancel()
        await outdated.close()
