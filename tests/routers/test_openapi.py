"""The service keeps to its OpenAPI document, whatever a generator of requests comes up with."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.settings import Settings
from tests.processes.service import Service, services

# A start in the past, 30 February and an interval without repeat fit the schema; the service refuses them
# all the same.
MORE_THAN_A_SCHEMA = [
    "POST /jobs",
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


@pytest.fixture
async def service(database: Database, worker_database: URL) -> AsyncIterator[Service]:
    """A real process: requests arrive as bytes, not as objects."""
    async with services(1, worker_database, SCHEDULER_TICKER="off") as (service,):
        yield service


@schema.parametrize()
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_to_the_document(service: Service, case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(base_url=service.url)
