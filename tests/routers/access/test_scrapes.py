"""Who may read metrics: a role of its own, and programs on this machine."""

from ipaddress import ip_network
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from scheduler_api.app import create_app
from scheduler_api.database.access import keys
from scheduler_api.database.engine import Database
from scheduler_api.errors import DatabaseUnavailable
from scheduler_api.services.system import gauges
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers import doorkeeper, scrapes
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
        ("127.0.0.1", {"x-forwarded-proto": "https"}, 401),
        ("127.0.0.1", {"cf-connecting-ip": "10.0.0.5"}, 401),
        ("127.0.0.1", {"scheduler-installation": "another"}, 401),
    ],
)
async def test_programs_on_this_machine_need_no_key(
    service: FastAPI, peer: str, headers: dict[str, str], status: int
) -> None:
    transport = ASGITransport(service.state.served, client=(peer, 50000))
    async with AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        assert (await client.get("/metrics")).status_code == status
        # What tells of single jobs needs one.
        for path in ("/metrics/jobs", "/jobs"):
            assert (await client.get(path)).status_code == 401, path


async def test_a_unix_socket_is_a_proxys(service: FastAPI) -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await service.state.served({**scope, "client": None}, receive, send)

    async with AsyncClient(transport=ASGITransport(bare), base_url="http://localhost") as client:
        assert (await client.get("/metrics")).status_code == 401


@pytest.mark.parametrize("name", ["trusted_proxies", "proxy_user_header"])
async def test_where_there_is_a_proxy_all_need_a_key(
    application: FastAPI, settings: Settings, database: Database, name: str
) -> None:
    more = {"trusted_proxies": (ip_network("10.0.0.0/8"),), "proxy_user_header": "remote-user"}
    app = create_app(settings.model_copy(update={"auth": Auth.REQUIRED, name: more[name]}))
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, client=("127.0.0.1", 50000))
        async with AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/metrics")).status_code == 401


async def test_a_key_reads_metrics_by_any_name_of_the_host(
    application: FastAPI, settings: Settings, database: Database
) -> None:
    own = {"auth": Auth.REQUIRED, "allowed_hosts": ("jobs.example.com",)}
    key = await key_of(database, "metrics")
    app = create_app(settings.model_copy(update=own))
    async with LifespanManager(app) as manager:
        for peer, headers, status in (
            ("10.0.0.5", {"authorization": f"Bearer {key}"}, 200),
            ("127.0.0.1", {"host": "localhost:5000"}, 200),
            ("10.0.0.5", {}, 403),
        ):
            transport = ASGITransport(manager.app, client=(peer, 50000))
            async with AsyncClient(
                transport=transport, base_url="http://172.18.0.5:5000", headers=headers
            ) as client:
                assert (await client.get("/metrics")).status_code == status
                assert (await client.get("/jobs")).status_code == 403


async def test_a_key_that_was_good_reads_metrics_while_the_database_is_away(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrapes, "GOOD_FOR", 0.0)
    known, new = comes(await key_of(database, "metrics")), comes(await key_of(database, "metrics", "new"))
    assert (await known.get("/metrics")).status_code == 200

    async def away(*_: Any) -> None:
        raise DatabaseUnavailable("It is away.")

    monkeypatch.setattr(keys, "by_digest", away)
    monkeypatch.setattr(gauges, "measure", away)
    told = await known.get("/metrics")
    assert told.status_code == 200
    assert "scheduler_cluster_up 0.0" in told.text
    for client, path in ((known, "/jobs"), (known, "/metrics/jobs"), (new, "/metrics")):
        answer = await client.get(path)
        assert answer.status_code == 503 or path == "/metrics/jobs", path
    monkeypatch.setattr(doorkeeper, "LAST_KNOWN_SECONDS", -1.0)
    assert (await known.get("/metrics")).status_code == 503


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
