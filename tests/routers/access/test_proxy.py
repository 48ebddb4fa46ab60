"""A proxy in front that signs users in, and names them in a header."""

from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from scheduler_api.actors import Grant, Role, Roles
from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.settings import Auth, Settings
from tests.factories import rows, scalar
from tests.routers.access.conftest import key_of
from tests.routers.access.test_signing import ANNA

USER, GROUPS = "Remote-User", "Remote-Groups"
GRANTS = (Grant(Role.VIEWER, "*"), Grant(Role.EDITOR, "platform"), Grant(Role.ADMIN, "user:root"))
Asks = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(scope="session")
def guarded(application: FastAPI, settings: Settings) -> FastAPI:
    """After `application`, whose connections it shares."""
    behind = {"proxy_user_header": USER, "proxy_groups_header": GROUPS, "roles": GRANTS}
    trusted = {"auth": Auth.REQUIRED, "trusted_proxies": (ip_network("10.0.0.0/24"),)}
    return create_app(settings.model_copy(update=behind | trusted))


@pytest.fixture
async def service(guarded: FastAPI, database: Database) -> AsyncIterator[FastAPI]:
    async with LifespanManager(guarded) as manager:
        guarded.state.served = manager.app
        yield guarded


def client_at(service: FastAPI, place: str, **headers: str) -> AsyncClient:
    transport = ASGITransport(service.state.served, raise_app_exceptions=False, client=(place, 50000))
    return AsyncClient(transport=transport, base_url="http://localhost", headers={"accept": "*/*"} | headers)


async def asked(service: FastAPI, place: str, *headers: tuple[str, str]) -> tuple[int, str]:
    """How the service answers who comes with these headers: with the role, or with what is wrong."""
    async with client_at(service, place) as client:
        answer = await client.get("/account", headers=list(headers))
        told = answer.json()
        return answer.status_code, told["role"] if answer.status_code == 200 else told["detail"]


async def test_the_proxy_says_who_it_is(service: FastAPI) -> None:
    proxy = "10.0.0.5"
    assert await asked(service, proxy, (USER, ANNA)) == (200, "viewer")
    assert await asked(service, proxy, (USER, "Anna"), (GROUPS, "staff, platform")) == (200, "editor")
    assert await asked(service, proxy, (USER, "root")) == (200, "admin")
    # Of a name that somebody chose for a group.
    for group in ("root", "user:root", "*"):
        assert await asked(service, proxy, (USER, ANNA), (GROUPS, group)) == (200, "viewer")
    assert (await asked(service, proxy))[0] == 401
    for wrong in ([(USER, "")], [(USER, "a b")], [(USER, ANNA), (USER, "root")], [(GROUPS, "platform")]):
        status, why = await asked(service, proxy, *wrong)
        assert (status, why) == (401, "The proxy's header Remote-User holds no name of a user."), wrong


@pytest.mark.parametrize("place", ["10.0.1.5", "127.0.0.1", "::ffff:10.0.1.5"])
async def test_nobody_else_may_say_so(service: FastAPI, database: Database, place: str) -> None:
    refused = (403, "Only proxies in SCHEDULER_TRUSTED_PROXIES may send the header Remote-User.")
    key = await key_of(database, "admin")
    for headers in (
        [(USER, "root")],
        [(GROUPS, "platform")],
        [(USER.upper(), "root"), ("x-forwarded-for", "10.0.0.5")],
        [(USER, "root"), ("authorization", f"Bearer {key}")],
    ):
        assert await asked(service, place, *headers) == refused, headers
    # What is open to all stays open.
    async with client_at(service, place) as client:
        assert (await client.get("/healthz", headers={USER: "root"})).status_code == 200


async def test_who_has_no_role_does_not_get_in(service: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler_api.routers.http.authentication.roles_of", lambda *_: Roles())
    status, why = await asked(service, "10.0.0.5", (USER, ANNA))
    assert (status, why) == (403, f"{ANNA} has no group that SCHEDULER_ROLES gives a role.")


async def test_a_key_counts_before_it(service: FastAPI, database: Database) -> None:
    key = await key_of(database, "operator", "deploy")
    headers = [(USER, "root"), ("authorization", f"Bearer {key}")]
    assert await asked(service, "10.0.0.5", *headers) == (200, "operator")
    # What the proxy itself asked for is another matter.
    assert await asked(service, "10.0.0.5", (USER, "root"), ("authorization", "Basic eA==")) == (200, "admin")


async def test_changes_name_the_user_and_there_is_nothing_to_sign_out_of(
    service: FastAPI, database: Database
) -> None:
    job = {"jobname": "A job", "startdate": "2040-01-01", "starttime": "00:00", "repeat": False}
    headers = {USER: ANNA, GROUPS: "platform"}
    async with client_at(service, "10.0.0.5", **headers) as client:
        assert (await client.post("/jobs", json=job)).status_code == 201
        found = await rows(database, "SELECT actor, client FROM auditevent")
        assert [tuple(row) for row in found] == [("user", ANNA)]
        page = await client.get("/account", headers={"accept": "text/html"})
        assert "A proxy signs you in and out." in page.text
        assert "Sign out" not in page.text
        # There may be a user of that name who has a password: it is not theirs.
        for path in ("/account/password", "/account/sign-out"):
            assert (await client.post(path, data={"current": "x"})).status_code == 401
        assert await scalar(database, "SELECT count(*) FROM usersession") == 0
