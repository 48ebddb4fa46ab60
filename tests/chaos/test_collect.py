"""What the service has done when it is at rest."""

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.chaos.collect import RESTLESS
from tests.factories import add_job, execute
from tests.servers import dsn


@pytest.mark.parametrize(("following", "behind"), [("- interval '1 min'", 1), ("+ interval '1 min'", 0)])
async def test_a_job_that_catches_up_is_behind_while_its_call_is_made(
    database: Database, worker_database: URL, following: str, behind: int
) -> None:
    """None of its runs is pending then."""
    await add_job(database, target={"url": "http://a.example/"}, interval=2)
    await execute(
        database,
        "UPDATE joblog SET status = 'running', nextrun = NULL, startedat = now(), lastrun = now(),"
        " leasetoken = gen_random_uuid(), leaseuntil = now() + interval '1 min',"
        f" following = now() {following}",
    )
    connection = await asyncpg.connect(dsn(worker_database))
    try:
        found = dict(await connection.fetchrow(RESTLESS))
    finally:
        await connection.close()
    assert found == {"overdue": 0, "behind": behind, "held": 0, "paused": 0, "asleep": 0, "futureless": 0}
