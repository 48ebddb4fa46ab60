"""A job does not call the service that makes its calls: neither by its address nor by way of others."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient

from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.settings import Settings
from tests.receiver import Receiver, receiving
from tests.routers.test_targets import JOB, create, field_errors, log_of, run_due, run_now


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def pass_on(receiver: Receiver, client: AsyncClient) -> None:
    """Let the receiver be a balancer in front of the service."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        kept = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        found = await client.request(request.method, "/jobs/1/pause", headers=kept)
        return web.Response(status=found.status_code, text=found.text)

    receiver.answer = answer


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:5000/jobs/run",
        "http://127.0.0.1:5000/",
        "http://[::1]:5000/",
        "http://LOCALHOST/jobs",
    ],
)
async def test_its_own_address_is_no_target(client: AsyncClient, url: str) -> None:
    told = field_errors(await client.post("/jobs", json=JOB | {"target": {"url": url}}))
    assert told == {"/target/url": "A job does not call this service itself. SCHEDULER_SELF_CALLS allows it."}
    await create(client, {"url": "http://localhost:5001/"})
    assert field_errors(await client.patch("/jobs/1", json={"target": {"url": url}})).keys() == {
        "/target/url"
    }
    form = {"jobname": "By form", "kind": "every", "interval": "60", "target_url": url}
    page = await client.post("/jobs", data=form, headers={"accept": "text/html"})
    assert (page.status_code, "SCHEDULER_SELF_CALLS" in page.text) == (422, True)


async def test_an_undo_leads_to_no_address_that_became_its_own(client: AsyncClient) -> None:
    jobid = await create(client, {"url": "http://localhost:5001/hook"})
    patched = await client.patch(f"/jobs/{jobid}", json={"target": {"url": "http://localhost:5002/"}})
    form = {"version": str(patched.json()["version"])}
    undo = f"/jobs/{jobid}/undo"
    as_target = {"accept": "text/html", "host": "localhost:5001"}
    refused = await client.post(undo, data=form, headers=as_target)
    assert (refused.status_code, "SCHEDULER_SELF_CALLS" in refused.text) == (422, True)
    assert (await client.get(f"/jobs/{jobid}")).json()["job"]["target"]["url"] == "http://localhost:5002/"
    undone = await client.post(undo, data=form, headers={"accept": "text/html"})
    assert undone.status_code == 303, undone.text


async def test_what_comes_back_by_way_of_others_is_refused(client: AsyncClient, receiver: Receiver) -> None:
    pass_on(receiver, client)
    jobid = await create(client, {"url": receiver.url, "retries": 0})
    logid = await run_now(client, jobid)
    await run_due(client, failed=1)
    (attempt,) = (await log_of(client, logid))["attempts"]
    assert (attempt["httpstatus"], "SCHEDULER_SELF_CALLS" in attempt["excerpt"]) == (403, True)
    assert (await client.post(f"/jobs/{jobid}/test")).json()["httpstatus"] == 403
    assert (await client.get("/jobs/1")).json()["job"]["state"] == "active"
    # Of another installation it is a call like any other.
    assert (
        await client.get("/jobs", headers={"scheduler-installation": "0123456789abcdef"})
    ).status_code == 200


async def test_a_setting_allows_it(settings: Settings, database: Database, receiver: Receiver) -> None:
    app = create_app(Settings.model_validate(settings.model_dump() | {"self_calls": True}))
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, client=("127.0.0.1", 50000))
        async with AsyncClient(transport=transport, base_url="http://localhost") as client:
            pass_on(receiver, client)
            await create(client, {"url": "http://localhost:5000/jobs/run"})
            jobid = await create(client, {"url": receiver.url, "retries": 0})
            await run_now(client, jobid)
            await run_due(client, finished=1)
            assert (await client.get("/jobs/1")).json()["job"]["state"] == "paused"


async def test_a_token_is_not_fetched_from_it_either(client: AsyncClient, receiver: Receiver) -> None:
    """Its forms would take the request for theirs."""
    named = {"clientid": "c", "clientsecret": {"secret": "client"}}
    oauth2 = {"tokenurl": "http://localhost:5000/jobs/1/delete"} | named
    told = field_errors(
        await client.post("/jobs", json=JOB | {"target": {"url": receiver.url, "oauth2": oauth2}})
    )
    assert told.keys() == {"/target/oauth2/tokenurl"}
    pass_on(receiver, client)
    secret = {"origin": receiver.url.removesuffix("/hook"), "value": "of the client"}
    assert (await client.put("/projects/default/secrets/client", json=secret)).status_code == 200
    oauth2["tokenurl"] = receiver.url
    jobid = await create(client, {"url": "https://example.com/", "oauth2": oauth2, "retries": 0})
    answer = await client.post(f"/jobs/{jobid}/test")
    assert "the token URL answered 403" in answer.json()["detail"]
    assert (await client.get("/jobs/1")).json()["job"]["state"] == "active"
