"""Every error leaves as a problem, with the status that the table gives it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import AsyncClient
from structlog.testing import capture_logs

from scheduler_api import errors
from scheduler_api.app import PARTS, create_app
from scheduler_api.database.engine import Database
from scheduler_api.errors import SchedulerError
from scheduler_api.routers.http import problems
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.settings import Settings
from tests.factories import add_job, scalar

#: These end the process at its start and reach no client.
AT_START = {"Misconfigured", "ReplicasInTheWay", "NotDistributable", "EmbeddedServerError"}
#: What the page to sign in tells, and programs never get.
OF_SIGNING_IN = {"SignInRefused", "ProviderUnavailable"}


@pytest.fixture
def application(settings: Settings) -> FastAPI:
    """One of its own for each test: routes are added to it."""
    return create_app(settings)


def kinds(parent: type[SchedulerError] = SchedulerError) -> Iterator[type[SchedulerError]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_has_a_row_in_the_table_a_title_and_a_code_of_its_own() -> None:
    known = [kind for kind in kinds() if kind.__name__ not in AT_START | OF_SIGNING_IN]
    assert {kind.__name__ for kind in known} == {kind.__name__ for kind in problems.STATUSES}
    assert len({kind.code for kind in known}) == len(known)
    for kind in known:
        assert kind.__doc__
        assert kind.__doc__.partition("\n")[0].endswith(".")


@pytest.mark.parametrize(
    "error",
    [errors.DatabaseUnavailable("Away."), errors.DatabaseBusy("Busy."), errors.OutcomeUnknown("Unknown.")],
)
async def test_a_database_in_trouble_is_503_with_the_time_to_come_back(
    app: FastAPI, client: AsyncClient, error: SchedulerError
) -> None:
    @app.get("/trouble")
    async def issue() -> None:
        raise error from OSError("what the server said")

    with capture_logs() as logged:
        response = await client.get("/trouble")
    (told,) = (entry for entry in logged if entry["event"] == "request failed")
    assert (told["code"], told["path"], told["because"]) == (error.code, "/trouble", "what the server said")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.json()["code"], response.json()["detail"]) == (error.code, str(error))


async def test_a_bug_is_a_500_that_tells_nothing(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the password is hunter2")

    response = await client.get("/bug")
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "hunter2" not in response.text


async def test_an_unknown_address_and_an_unknown_method(client: AsyncClient) -> None:
    missing = await client.get("/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    refused = await client.put("/jobs")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, POST"
    mistaken = await client.get("/jobs/run")
    assert (mistaken.status_code, mistaken.headers["allow"]) == (405, "POST")


async def test_browsers_get_a_page(client: AsyncClient) -> None:
    response = await client.get("/jobs/77", headers={"accept": "text/html"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "Job 77 does not exist." in response.text


@pytest.mark.parametrize(
    "url",
    [
        "/jobs?nonsense=1",
        "/logs?stauts=failed",
        "/upcoming?x=1",
        "/jobs/1?befor=3",
        "/overview?x",
        "/jobs?created=1",
    ],
)
async def test_an_unknown_parameter_is_refused(client: AsyncClient, database: Database, url: str) -> None:
    """A misspelled filter would show everything, a misspelled `dryrun` do everything."""
    await add_job(database)
    refused = await client.get(url)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    name = url.partition("?")[2].partition("=")[0]
    (error,) = refused.json()["errors"]
    assert error["pointer"] == f"?{name}"
    assert error["detail"].startswith("There is no such parameter.")


async def test_an_unknown_parameter_of_an_action_does_nothing(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database)
    assert (await client.delete("/jobs/1?dry_run=true")).status_code == 422
    assert await scalar(database, "SELECT deletedat IS NULL FROM job")


def test_every_route_looks_at_its_query() -> None:
    routes = [route for part in PARTS for route in part.router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    lenient = [route.path for route in routes if not isinstance(route, StrictRoute)]
    assert lenient == []
