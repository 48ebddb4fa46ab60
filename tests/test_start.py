"""What keeps the service from starting: settings that do not fit together."""

from collections.abc import Iterator

import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.errors import Misconfigured
from scheduler_api.settings import Settings
from tests.servers import Server, dsn


@pytest.fixture(scope="module")
def other(server: Server) -> Iterator[URL]:
    """Another database that has the schema."""
    with server.migrated_database() as url:
        yield url


async def start(**settings: str) -> None:
    app = create_app(Settings.model_validate({"ticker": False} | settings))
    async with LifespanManager(app):
        pass


async def test_a_direct_address_leads_to_the_same_database(worker_database: URL, other: URL) -> None:
    pooled = {"database_url": dsn(worker_database), "database_pooler": "transaction"}
    await start(**pooled, database_direct_url=dsn(worker_database))
    with pytest.raises(Misconfigured, match="leads to another database"):
        await start(**pooled, database_direct_url=dsn(other))


async def test_a_pooler_and_a_direct_address_go_together(worker_database: URL) -> None:
    with pytest.raises(Misconfigured, match="SCHEDULER_DATABASE_DIRECT_URL"):
        await start(database_url=dsn(worker_database), database_pooler="transaction")
    with pytest.raises(Misconfigured, match="set both"):
        await start(database_url=dsn(worker_database), database_direct_url=dsn(worker_database))
