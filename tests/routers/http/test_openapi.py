"""The service keeps to its OpenAPI document, whatever a generator of requests comes up with."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.settings import Settings
from tests.factories import empty
from tests.processes.service import SERVING
from tests.servers import Server, dsn

# A start in the past, 30 February and an interval without repeat fit the schema; the service refuses them
# all the same.
MORE_THAN_A_SCHEMA = [
    "GET /upcoming",
    "GET /performance",
    "GET /audit",
    "POST /jobs/{jobid}/run",
    "PUT /calendars/{name}",
    "POST /jobs",
    "POST /keys",
    "POST /channels",
    "PUT /channels/{channelid}",
    "POST /rules",
    "POST /rules/preview",
    "POST /mutes",
    "POST /issues/{issueid}/acknowledge",
    "POST /users",
    "POST /projects",
    "PATCH /projects/{project}",
    "PUT /projects/{project}/secrets/{secret}",
    "PATCH /users/{userid}",
    "PATCH /jobs/{jobid}",
    "POST /jobs/{jobid}/pause",
    "POST /jobs/{jobid}/backfill",
    "POST /jobs/bulk",
    "POST /logs/retry",
    "POST /runs/{logid}/{token}",
    "PUT /limits/{scope}/{name}",
    "POST /schedules/preview",
    "GET /jobs",
    "GET /jobs/{jobid}/explain",
    "GET /jobs/{jobid}/days",
    "GET /jobs/{jobid}/logs",
    "GET /logs",
]
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20301231,
        "operations": [
            {
                "include-name": name,
                "checks": {
                    "positive_data_acceptance": {
                        "expected-statuses": ["2xx", "303", "404", "409", "410", "412", "422"]
                    }
                },
            }
            for name in MORE_THAN_A_SCHEMA
        ],
    }
)
schema = schemathesis.openapi.from_dict(create_app(Settings(ticker=False)).openapi(), config=CONFIG)


@pytest.fixture(scope="session")
def own_database(server: Server) -> Iterator[URL]:
    """The service outlives each test: on the database of other tests it would meddle with them."""
    with server.migrated_database() as url:
        yield url


@pytest.fixture(scope="session")
def address(own_database: URL) -> Iterator[str]:
    """A real process, as requests arrive as bytes there and not as objects; one for all tests of a worker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    own = {"SCHEDULER_DATABASE_URL": dsn(own_database), "SCHEDULER_TICKER": "off"}
    command = [sys.executable, "-m", "scheduler_api", "serve", "--port", "0"]
    with subprocess.Popen(command, env=kept | own, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        while not (found := SERVING.search(said)):
            said += (line := process.stderr.readline())
            assert line, said.decode()
        reading = threading.Thread(target=process.stderr.read)
        reading.start()
        yield found.group(1).decode()
        process.terminate()
        reading.join()


@pytest.fixture
def empty_database(own_database: URL, address: str) -> None:
    """No operation meets what others have left."""
    asyncio.run(emptied(own_database))


async def emptied(url: URL) -> None:
    database = Database(url, name="tests", pool=PoolOptions(1, 0, 5.0))
    await empty(database, served=True)
    await database.close()


# A stream of events has no end to wait for.
@pytest.mark.usefixtures("empty_database")
@schema.exclude(path="/events").parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_to_the_document(address: str, case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(base_url=address)
