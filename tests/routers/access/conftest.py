"""A service that requires signing in."""

from collections.abc import AsyncIterator, Callable

import pytest
from argon2 import PasswordHasher
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from scheduler_api.actors import Role
from scheduler_api.app import create_app
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.database.engine import Database
from scheduler_api.services.access import keys
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers import doorkeeper
from scheduler_api.workers.passwords import Passwords
from tests.factories import ACTOR

#: From where they come: another machine.
ADDRESS = ("10.0.0.5", 50000)
Comes = Callable[..., AsyncClient]


@pytest.fixture(scope="session")
def guarded(application: FastAPI, settings: Settings) -> FastAPI:
    """After `application`, whose connections it shares."""
    return create_app(settings.model_copy(update={"auth": Auth.REQUIRED}))


@pytest.fixture
def weakly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed in no time: the library's own strength takes a tenth of a second."""
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("scheduler_api.running.Passwords", lambda: Passwords(weak))


@pytest.fixture
async def service(
    guarded: FastAPI, database: Database, weakly: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    # What is decided is looked up each time, but for the test of that.
    monkeypatch.setattr(doorkeeper, "KNOWN_SECONDS", 0.0)
    async with LifespanManager(guarded) as manager:
        guarded.state.served = manager.app
        yield guarded


@pytest.fixture
async def comes(service: FastAPI) -> AsyncIterator[Comes]:
    """Clients of the service, each with headers of its own."""
    opened: list[AsyncClient] = []

    def come(key: str | None = None, base: str = "http://localhost", **headers: str) -> AsyncClient:
        transport = ASGITransport(
            service.state.served, raise_app_exceptions=False, client=("10.0.0.5", 50000)
        )
        own = {"accept": "*/*", **headers} | ({} if key is None else {"authorization": f"Bearer {key}"})
        opened.append(AsyncClient(transport=transport, base_url=base, headers=own))
        return opened[-1]

    yield come
    for client in opened:
        await client.aclose()


async def key_of(database: Database, role: Role | str, name: str = "a program") -> str:
    """A new key of a role."""
    added = await database.transact(keys.add, ACTOR, KeyDraft(name=name, role=Role(role)))
    return added.key
