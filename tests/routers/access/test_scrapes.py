"""Who may read metrics: a role of its own, and programs on this machine."""

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from scheduler_api.database.engine import Database
from tests.factories import add_job, execute
from tests.routers.access.conftest import Comes, key_of
from tests.routers.access.test_projects import key_in


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"host": "[::1]:5000"}, 200),
        ("10.0.0.5", {}, 401),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.5"}, 401),
        ("127.0.0.1", {"forwarded": "for=10.0.0.5"}, 401),
        ("127.0.0.1", {"via": "1.1 proxy"}, 401),
        ("127.0.0.1", {"host": "jobs.example.com"}, 401),
        ("127.0.0.1", {"authorization": "Bearer sch_unknown"}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/metrics/jobs"])
async def test_programs_on_this_machine_need_no_key(
    service: FastAPI, path: str, peer: str, headers: dict[str, str], status: int
) -> None:
    transport = ASGITransport(service.state.served, client=(peer, 50000))
    async with AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        assert (await client.get(path)).status_code == status
        assert (await client.get("/jobs")).status_code in {401, 403}


async def test_a_key_for_metrics_is_good_for_nothing_else(comes: Comes, database: Database) -> None:
    client = comes(await key_of(database, "metrics"))
    for path, status in (("/metrics", 200), ("/metrics/jobs", 200), ("/jobs", 403), ("/overview", 403)):
        assert (await client.get(path)).status_code == status, path


async def test_a_role_in_a_project_tells_of_its_jobs_only(comes: Comes, database: Database) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('billing', now())")
    await add_job(database, project="billing", jobname="Of billing")
    await add_job(database, jobname="Of others")
    for role in ("metrics", "viewer"):
        client = comes(await key_in(database, role))
        assert (await client.get("/metrics")).status_code == 403
        told = (await client.get("/metrics/jobs")).text
        assert ("Of billing" in told, "Of others" in told) == (True, False)
