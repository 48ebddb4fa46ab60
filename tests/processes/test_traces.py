"""Traces as a collector gets them: from a real process, by OpenTelemetry's own variables."""

import asyncio

from httpx import AsyncClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from tests.processes.service import PATIENCE, Service, services
from tests.receiver import Receiver, receiving


async def call(service: Service, target: Receiver) -> None:
    """Let a job call the target once."""
    async with AsyncClient(base_url=service.url) as client:
        created = await client.post(
            "/jobs", json={"jobname": "A call", "target": {"url": target.url}, "delay": 3000}
        )
        assert created.status_code == 201, created.text
        assert (await client.post(f"/jobs/{created.json()['jobid']}/run")).status_code == 202
        async with asyncio.timeout(PATIENCE):
            await target.arrived(1)


async def test_a_collector_gets_what_a_process_traced(database: Database, worker_database: URL) -> None:
    async with receiving() as collector, receiving() as target:
        variables = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "nightly"}
        async with services(1, worker_database, **variables) as [service]:
            await call(service, target)
            # What has not been sent is sent at the end.
            assert await service.stop() == 0
    found = [ExportTraceServiceRequest.FromString(body) for _, body in collector.requests]
    names = set()
    for resource in (one for request in found for one in request.resource_spans):
        named = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert named["service.name"] == "nightly"
        names |= {span.name for scope in resource.scope_spans for span in scope.spans}
    host = target.url.split("/")[2]
    assert names == {"POST /jobs", "POST /jobs/{jobid}/run", f"send {host}", "POST"}


async def test_a_collector_that_is_away_stops_nothing(database: Database, worker_database: URL) -> None:
    async with receiving() as target:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with services(1, worker_database, **variables) as [service]:
            await call(service, target)
            assert await service.stop() == 0
