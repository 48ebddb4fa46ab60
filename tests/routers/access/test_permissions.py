"""What each role may do, at every address: compared with a table that was written by hand."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import AsyncClient

from scheduler_api.actors import Role
from scheduler_api.app import PARTS
from scheduler_api.database.engine import Database
from scheduler_api.routers import pages
from scheduler_api.routers.http import permissions
from tests.factories import execute
from tests.routers.access.conftest import Comes, key_of
from tests.routers.test_loop import VALUES

HTML = "text/html"
CONVERTOR = re.compile(r":\w+}")
#: By method and address: the first of metrics, viewer, operator, editor and admin who may; `-`: open to all.
TABLE = """
    GET / -
    GET /healthz -
    GET /readyz -
    GET /problems -
    GET /problems/{code} -
    GET /docs -
    GET /redoc -
    GET /swagger-ui -
    GET /sign-in -
    POST /sign-in -
    GET /sign-in/oidc -
    GET /sign-in/oidc/callback -
    GET /sign-in/{token} -
    POST /sign-in/{token} -
    POST /sign-out -
    POST /runs/{logid}/{token} -
    POST /monitors/{token} -
    POST /monitors/{token}/start -
    POST /monitors/{token}/fail -
    POST /preferences -
    GET /metrics metrics
    GET /metrics/jobs metrics
    GET /account viewer
    POST /account/password viewer
    POST /account/sign-out viewer
    GET /overview viewer
    GET /performance viewer
    GET /events viewer
    GET /forecast viewer
    GET /upcoming viewer
    GET /jobs viewer
    GET /jobs/{jobid} viewer
    GET /jobs/{jobid}/changes viewer
    GET /jobs/{jobid}/check viewer
    GET /jobs/{jobid}/days viewer
    GET /jobs/{jobid}/explain viewer
    GET /jobs/{jobid}/logs viewer
    GET /jobs/{jobid}/secrets viewer
    GET /jobs/{jobid}/upcoming viewer
    GET /projects/{project}/secrets viewer
    GET /logs viewer
    GET /logs/{logid} viewer
    GET /issues viewer
    GET /issues/{issueid} viewer
    GET /alerts viewer
    GET /channels viewer
    GET /channels/{channelid} viewer
    GET /rules viewer
    GET /rules/{ruleid}/preview viewer
    POST /rules/preview viewer
    GET /mutes viewer
    POST /mutes operator
    DELETE /mutes/{muteid} operator
    POST /mutes/{muteid}/delete operator
    GET /limits viewer
    GET /calendars viewer
    GET /calendars/{name} viewer
    POST /schedules/preview viewer
    POST /issues/{issueid}/acknowledge operator
    POST /issues/{issueid}/close operator
    POST /alerts/{alertid}/retry operator
    POST /channels/{channelid}/test operator
    POST /jobs/run operator
    POST /jobs/bulk operator
    POST /jobs/{jobid}/run operator
    POST /jobs/{jobid}/pause operator
    POST /jobs/{jobid}/restore editor
    POST /jobs/{jobid}/undo editor
    POST /jobs/{jobid}/resume operator
    POST /jobs/{jobid}/skip operator
    POST /jobs/{jobid}/backfill operator
    POST /logs/retry operator
    POST /logs/{logid}/retry operator
    POST /logs/{logid}/cancel operator
    POST /jobs editor
    PATCH /jobs/{jobid} editor
    DELETE /jobs/{jobid} editor
    POST /jobs/{jobid}/edit editor
    POST /jobs/{jobid}/delete editor
    POST /jobs/{jobid}/spread editor
    POST /jobs/{jobid}/test editor
    GET /jobs/{jobid}/monitor editor
    POST /jobs/{jobid}/monitor editor
    POST /jobs/{jobid}/secrets editor
    DELETE /jobs/{jobid}/secrets/{secretid} editor
    POST /jobs/{jobid}/secrets/{secretid}/delete editor
    POST /projects/{project}/secrets/edit editor
    PUT /projects/{project}/secrets/{secret} editor
    DELETE /projects/{project}/secrets/{secret} editor
    POST /projects/{project}/secrets/{secret}/delete editor
    PUT /limits/{scope}/{name} editor
    DELETE /limits/{scope}/{name} editor
    POST /calendars/edit editor
    PUT /calendars/{name} editor
    DELETE /calendars/{name} editor
    POST /calendars/{name}/delete editor
    POST /restore/confirm admin
    GET /audit admin
    GET /projects viewer
    POST /projects admin
    PATCH /projects/{project} admin
    POST /projects/{project}/edit admin
    DELETE /projects/{project} admin
    POST /projects/{project}/delete admin
    POST /channels admin
    PUT /channels/{channelid} admin
    DELETE /channels/{channelid} admin
    POST /channels/{channelid}/edit admin
    POST /channels/{channelid}/delete admin
    POST /rules admin
    DELETE /rules/{ruleid} admin
    POST /rules/{ruleid}/delete admin
    GET /keys admin
    POST /keys admin
    DELETE /keys/{keyid} admin
    POST /keys/{keyid}/delete admin
    GET /users admin
    POST /users admin
    PATCH /users/{userid} admin
    DELETE /users/{userid} admin
    POST /users/{userid}/edit admin
    POST /users/{userid}/delete admin
    POST /users/{userid}/link admin
"""
WHO = [line.split() for line in TABLE.strip().splitlines()]
#: Of what nothing is there.
UNKNOWN = dict.fromkeys(("{logid}", "{keyid}", "{userid}", "{issueid}"), "999")
RANKS = {name: rank for rank, name in enumerate(["-", *Role])}


def test_every_address_is_in_the_table() -> None:
    routers = [part.router for part in PARTS] + [pages.own_router]
    routes = [route for router in routers for route in _routes(router)]
    found = {
        (method, permissions._CONVERTOR.sub("}", route.path)) for route in routes for method in route.methods
    }
    assert found == {(method, path) for method, path, _ in WHO}


def _routes(router: Any) -> list[Any]:
    found = [route for route in router.routes if isinstance(route, APIRoute)]
    inner = [route.original_router for route in router.routes if hasattr(route, "original_router")]
    return found + [route for one in inner for route in _routes(one)]


def test_a_route_that_nobody_has_thought_of_is_not_made() -> None:
    with pytest.raises(LookupError, match="explode has no permission"):
        permissions.needed("POST", "/jobs/{jobid:jobid}/explode")


@pytest.mark.parametrize("accept", ["application/json", HTML])
async def test_each_role_may_do_what_the_table_says(comes: Comes, database: Database, accept: str) -> None:
    clients: dict[str, AsyncClient] = {"-": comes(accept=accept)}
    for role in Role:
        clients[role] = comes(await key_of(database, role), accept=accept)
    wrong = []
    for method, path, first in WHO:
        if path == "/events":
            # It has no end for those who may.
            continue
        for who, client in clients.items():
            address = path.replace("{jobid}", "999")
            for name, value in (VALUES | UNKNOWN).items():
                address = address.replace(name, value)
            answer = await client.request(method, address)
            may = RANKS[who] >= RANKS[first]
            if _is_refused(answer, who) == may:
                wrong.append((who, method, path, answer.status_code))
    assert not wrong


def _is_refused(answer: Any, who: str) -> bool:
    """Of strangers: they are to sign in; of others: they may not."""
    if who == "-":
        to_sign_in = answer.headers.get("location", "").startswith("/sign-in?") or (
            answer.status_code == 303 and answer.headers.get("location") == "/sign-in"
        )
        is_told = answer.status_code == 401 and answer.headers.get("www-authenticate", "").startswith(
            "Bearer"
        )
        own = answer.request.url.path.startswith(("/sign-in", "/sign-out"))
        return bool((to_sign_in or is_told) and not own)
    return bool(answer.status_code == 403)


async def test_who_may_not_is_told_what_it_needs(comes: Comes, database: Database) -> None:
    client = comes(await key_of(database, "viewer", "a board"))
    answer = await client.post("/jobs", json={"jobname": "Sync", "interval": 60})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert answer.json()["detail"] == "This needs the role editor, and a board has the role viewer."
    assert (await client.get("/jobs")).json() == []


@pytest.mark.parametrize("accept", ["application/json", HTML])
async def test_who_may_delete_no_job_deletes_not_many(comes: Comes, database: Database, accept: str) -> None:
    editor = comes(await key_of(database, "editor"))
    await editor.post("/jobs", json={"jobname": "Sync", "interval": 60})
    client = comes(await key_of(database, "operator"), accept=accept)
    for action, status in (("delete", 403), ("pause", 200)):
        if accept == HTML:
            form = {"action": action, "scope": "matching", "confirmed": "true", "count": "1"}
            answer = await client.post("/jobs/bulk", data=form)
        else:
            answer = await client.post("/jobs/bulk", json={"action": action, "all": True})
        assert answer.status_code == status, action
    assert (await editor.get("/jobs/1")).json()["job"]["state"] == "paused"


async def test_who_may_not_sees_no_button_for_it(comes: Comes, database: Database, service: FastAPI) -> None:
    """On no page that a viewer may see there is a form, or a link to one, that would be refused."""
    editor = comes(await key_of(database, "editor"))
    target = {"url": "https://example.com/hook"}
    await editor.post("/jobs", json={"jobname": "Sync", "interval": 60, "target": target})
    await editor.put("/calendars/holidays", json={"days": ["2030-12-25"]})
    await editor.post("/jobs/1/secrets")
    channel = {"name": "#ops", "kind": "slack", "url": "https://chat.example/x"}
    assert (await comes(await key_of(database, "admin")).post("/channels", json=channel)).status_code == 201
    await execute(
        database, "INSERT INTO jobissue (jobid, kind, since, seenat) VALUES (1, 'failed', now(), now());"
    )
    await execute(
        database,
        "INSERT INTO alert (channelid, issueid, jobid, event, at, facts, deadat)"
        ' VALUES (1, 1, 1, \'opened\', now(), \'{"jobname": "Sync", "kind": "failed"}\', now())',
    )
    logid = (await editor.get("/jobs/1")).json()["logs"][0]["logid"]
    for role, refused in (("viewer", "operator"), ("operator", "editor"), ("editor", "admin")):
        client = comes(await key_of(database, role), accept=HTML)
        for path in ("/overview", "/jobs", "/jobs/1", "/logs", f"/logs/{logid}", "/upcoming", "/calendars",
                     "/calendars/holidays", "/account", "/jobs/1/days", "/projects", "/issues", "/issues/1",
                     "/alerts", "/channels", "/projects/default/secrets"):  # fmt: skip
            page = (await client.get(path)).text
            asked = {other for other in _forbidden(refused) if _leads(page, other)}
            assert not asked, (role, path, asked)
            if RANKS[role] < RANKS["editor"]:
                assert "?form=true" not in page, (role, path)
        for form in ("/jobs?form=true", "/jobs/1?form=true", "/jobs?form=true&from=1"):
            assert (await client.get(form)).status_code == (200 if role == "editor" else 403), (role, form)


def _forbidden(first: str) -> list[str]:
    return [path for method, path, who in WHO if method == "POST" and RANKS[who] >= RANKS[first]]


def _leads(page: str, path: str) -> bool:
    pattern = re.sub(r"{\w+}", r"[^/\"?]+", path)
    return re.search(rf'(method="post" action|formaction)="{pattern}["?]', page) is not None
