"""Who may come in."""

from collections.abc import Callable

import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient, Response

import scheduler_api.app
from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.errors import Misconfigured
from scheduler_api.settings import Settings


async def ask(
    settings: Settings, *, method: str = "GET", path: str = "/jobs", peer: str = "127.0.0.1", **headers: str
) -> Response:
    app = create_app(settings)
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, client=(peer, 50000))
        async with AsyncClient(transport=transport, base_url="http://localhost:5000") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)


@pytest.fixture
def configured(settings: Settings, database: Database) -> Callable[..., Settings]:
    return lambda **changes: Settings.model_validate(settings.model_dump() | changes)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1"])
async def test_this_machine_may_come_in(settings: Settings, database: Database, peer: str) -> None:
    assert (await ask(settings, peer=peer)).status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.0.2.1", "2001:db8::1", "nonsense"])
async def test_other_machines_may_not(settings: Settings, database: Database, peer: str) -> None:
    response = await ask(settings, peer=peer, x_forwarded_for="127.0.0.1", forwarded="for=127.0.0.1")
    assert response.status_code == 403
    assert response.json()["code"] == "forbidden"
    assert "SCHEDULER_AUTH" in response.json()["detail"]


async def test_unless_the_gate_is_off_which_each_page_says(configured: Callable[..., Settings]) -> None:
    response = await ask(configured(auth="off"), peer="192.0.2.1", host="anything", accept="text/html")
    assert response.status_code == 200
    assert "SCHEDULER_AUTH=off" in response.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5000", "127.0.0.1:80", "[::1]:5000"])
async def test_known_hosts(settings: Settings, database: Database, host: str) -> None:
    assert (await ask(settings, host=host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:localhost", ""])
async def test_a_host_that_only_resolves_to_this_machine(
    settings: Settings, database: Database, host: str
) -> None:
    assert (await ask(settings, host=host)).status_code == 403
    assert (await ask(settings, host=host, path="/healthz")).status_code == 200


async def test_hosts_can_be_named(configured: Callable[..., Settings]) -> None:
    named = configured(auth="off", allowed_hosts=("jobs.example",))
    assert (await ask(named, host="Jobs.Example:80")).status_code == 200
    assert (await ask(named, host="other.example")).status_code == 403
    assert (await ask(configured(allowed_hosts=("*",)), host="other.example")).status_code == 200


@pytest.mark.parametrize("path", ["/jobs", "/jobs/run"])
@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"sec_fetch_site": "same-origin"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "cross-site"}, True),
        ({"sec_fetch_site": "same-site"}, True),
        ({"origin": "http://localhost:5000"}, False),
        ({"origin": "http://localhost:5001"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
    ],
)
async def test_no_change_from_a_page_of_another_site(
    settings: Settings, database: Database, path: str, headers: dict[str, str], refused: bool
) -> None:
    response = await ask(settings, method="POST", path=path, **headers)
    assert (response.status_code == 403) is refused
    assert (await ask(settings, path="/jobs", **headers)).status_code == 200


def test_open_to_all_by_any_name_is_refused_however_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """`uvicorn scheduler_api.app:app` as well: a page of another site has a name of its own."""
    monkeypatch.setenv("SCHEDULER_AUTH", "off")
    with pytest.raises(Misconfigured, match="SCHEDULER_ALLOWED_HOSTS"):
        _ = scheduler_api.app.app
