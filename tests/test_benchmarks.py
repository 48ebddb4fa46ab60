"""The yardsticks that the service is measured against do the work that it does."""

from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient
from sqlalchemy.engine import URL

from benchmarks.bare_app import bare_app
from benchmarks.requests_per_second import draft
from scheduler_api.database.engine import Database
from tests.factories import execute, scalar
from tests.servers import dsn


async def test_bare_handlers_answer_as_the_service_does(
    database: Database, worker_database: URL, client: AsyncClient
) -> None:
    async with LifespanManager(bare_app(dsn(worker_database))) as manager:
        transport = ASGITransport(manager.app)
        async with AsyncClient(transport=transport, base_url="http://localhost") as bare:
            ours, theirs = [await asked.post("/jobs", json=draft(0)) for asked in (client, bare)]
            assert (ours.status_code, theirs.status_code) == (201, 201)
            own = {"jobid", "createdat"}
            assert ours.json().keys() == theirs.json().keys()
            assert {k: v for k, v in ours.json().items() if k not in own} == {
                k: v for k, v in theirs.json().items() if k not in own
            }
            # Rows come as they lie unless somebody asks for an order: the first now lies behind the second.
            await execute(database, "UPDATE job SET owner = owner WHERE jobid = 1")
            for path in ("/jobs/1", "/jobs/2", "/jobs?limit=20", "/jobs?limit=1&cursor=1"):
                assert (await client.get(path)).json() == (await bare.get(path)).json()
    for table in ("joblog", "auditevent"):
        assert await scalar(database, f"SELECT count(*) FROM {table}") == 2
