"""Secrets of projects: named by targets, sent where they belong, shown nowhere."""

import asyncio
import base64
import contextlib
import errno
import html
import json
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from cryptography.fernet import Fernet
from httpx import AsyncClient

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.secrets import ProjectSecretDraft
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import project_secrets as rows
from scheduler_api.database.jobs.project_secrets import FIRST
from scheduler_api.database.statements import Session, Statement
from scheduler_api.errors import SecretInUse, SecretsUnavailable
from scheduler_api.services.jobs import creating, project_secrets, secrets
from scheduler_api.settings import Settings
from scheduler_api.targets.urls import origin_of
from tests.certificates import certificate
from tests.factories import ACTOR, CIPHER, execute, scalar
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import HTML
from tests.routers.test_targets import JOB, create, field_errors, log_of, run_due, run_now

WORD = "sesame-open-up"
BEARER = f"Bearer {WORD}"
STORED = """
    SELECT concat_ws(' ', (SELECT string_agg(CAST(job AS text), ' ') FROM job),
        (SELECT string_agg(CAST(auditevent AS text), ' ') FROM auditevent),
        (SELECT string_agg(CAST(projectsecret AS text), ' ') FROM projectsecret),
        (SELECT string_agg(convert_from(ciphertext, 'UTF8'), ' ') FROM projectsecret),
        (SELECT string_agg(CAST(idempotencykey AS text), ' ') FROM idempotencykey),
        (SELECT string_agg(CAST(logattempt AS text), ' ') FROM logattempt))
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def put(client: AsyncClient, name: str, origin: str, value: str, status: int = 200) -> Any:
    body = {"origin": origin, "value": value}
    response = await client.put(f"/projects/default/secrets/{name}", json=body)
    assert response.status_code == status, response.text
    return response.json()


async def listed(client: AsyncClient, project: str = "default") -> dict[str, Any]:
    return {one["name"]: one for one in (await client.get(f"/projects/{project}/secrets")).json()}


async def test_a_credential_becomes_a_secret_and_is_never_shown(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(dict(request.headers) | {"again": f'"{WORD}"'}, status=500)

    receiver.answer = echo
    headers = {
        "Authorization": BEARER,
        "X-Api-Key": 'k"ey with / in it',
        "X-Author": "Anna",
        "X-Run-Token": "{{logid}}",
    }
    target = {"url": receiver.url, "headers": headers, "retries": 0}
    body = JOB | {"target": target}
    made = await client.post("/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert made.status_code == 201, made.text
    shown = made.json()["target"]["headers"]
    # What is no credential, or is made anew for each run, stays text.
    assert (shown["X-Author"], shown["X-Run-Token"]) == ("Anna", "{{logid}}")
    assert shown["Authorization"].keys() == shown["X-Api-Key"].keys() == {"secret"}
    again = await client.post("/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert again.json() == made.json()
    logid = await run_now(client, 1)
    await run_due(client, failed=1)
    ((request, _),) = receiver.requests
    assert (request.headers["Authorization"], request.headers["X-Api-Key"]) == (BEARER, headers["X-Api-Key"])
    assert request.headers["X-Run-Token"] == str(logid)
    answers = [made, again, await client.post("/jobs/1/test")]
    for path in (
        "/jobs/1",
        "/jobs",
        "/jobs/1/changes",
        f"/logs/{logid}",
        "/audit",
        "/projects/default/secrets",
    ):
        answers += [await client.get(path), await client.get(path, headers=HTML)]
    answers += [
        await client.get(f"/jobs{query}", headers=HTML) for query in ("/1?form=true", "?form=true&from=1")
    ]
    for answer in answers:
        assert answer.is_success, answer.url
        for piece in (WORD, "ey with / in it"):
            assert piece not in answer.text, answer.url
    stored = await scalar(database, STORED)
    assert "authorization-" in stored
    assert WORD not in stored


async def test_a_job_can_be_sent_back_as_it_was_given(client: AsyncClient, receiver: Receiver) -> None:
    """One value for one header and origin is one secret, and who sends it again changes nothing."""
    target = {"url": receiver.url, "headers": {"Authorization": BEARER}}
    jobid = await create(client, target)
    job = (await client.get(f"/jobs/{jobid}")).json()["job"]
    again = await client.patch(f"/jobs/{jobid}", json={"target": target})
    assert (again.status_code, again.json()["version"]) == (200, 1), again.text
    copy = await client.post("/jobs", json=job | {"jobname": "A copy", "startdate": "2031-01-31"})
    assert copy.status_code == 201, copy.text
    ((name, secret),) = (await listed(client)).items()
    assert copy.json()["target"]["headers"] == {"Authorization": {"secret": name}}
    assert (secret["generated"], secret["jobs"], secret["origin"]) == (True, 2, origin_of(receiver.url))
    for other in ({"Authorization": "Bearer another-one"}, {"X-Auth": BEARER}):
        await client.patch(f"/jobs/{jobid}", json={"target": {"headers": other}})
    assert len(await listed(client)) == 3


async def test_a_secret_is_set_once_and_sent_by_all_that_name_it(
    client: AsyncClient, receiver: Receiver
) -> None:
    origin = origin_of(receiver.url)
    made = await put(client, "crm-token", f"{origin}/", BEARER)
    assert made.keys() == {"name", "project", "origin", "generated", "createdat", "changedat", "jobs"}
    assert (made["origin"], made["generated"], made["jobs"]) == (origin, False, 0)
    target = {"url": receiver.url, "headers": {"X-Anything": {"secret": "crm-token"}}}
    first, second = [await create(client, target) for _ in range(2)]
    await put(client, "crm-token", origin, "Bearer of-a-later-day")
    for jobid in (first, second):
        await run_now(client, jobid)
    await run_due(client, finished=2)
    assert {request.headers["X-Anything"] for request, _ in receiver.requests} == {"Bearer of-a-later-day"}
    refused = await client.delete("/projects/default/secrets/crm-token")
    assert (refused.status_code, refused.json()["code"]) == (409, "secret_in_use")
    assert refused.json()["detail"] == f"It is used by these jobs: {first}, {second}. Change them first."
    elsewhere = await put(client, "crm-token", "https://elsewhere.example.com", "x", 409)
    assert elsewhere["detail"].startswith(f"It is sent to {origin} by these jobs: {first}")
    await client.patch(f"/jobs/{first}", json={"target": {"headers": {"X-Anything": None}}})
    await client.delete(f"/jobs/{second}")
    assert (await client.delete("/projects/default/secrets/crm-token")).status_code == 204
    assert (await client.delete("/projects/default/secrets/crm-token")).status_code == 404
    actions = [event["action"] for event in (await client.get("/audit")).json()]
    assert (actions.count("secretset"), actions.count("secretremoved")) == (2, 1)


async def test_a_secret_goes_to_its_own_origin_only(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    await put(client, "crm-token", "https://crm.example.com", BEARER)
    named = {"headers": {"Authorization": {"secret": "crm-token"}}}
    for url in (
        "http://crm.example.com/",
        "https://crm.example.com:8443/",
        "https://crm.example.com.evil.example/",
    ):
        told = field_errors(await client.post("/jobs", json=JOB | {"target": {"url": url} | named}))
        assert told == {"/target/headers/Authorization": (
            f"The secret crm-token is for https://crm.example.com, and would be sent to {origin_of(url)}."
        )}  # fmt: skip
    jobid = await create(client, {"url": "https://CRM.example.com:443/hooks", "retries": 0} | named)
    moved = await client.patch(f"/jobs/{jobid}", json={"target": {"url": receiver.url}})
    assert field_errors(moved).keys() == {"/target/headers/Authorization"}
    # Nor where somebody writes into the tables.
    await execute(
        database,
        "UPDATE job SET target = target || jsonb_build_object('url', CAST(:url AS text)), host = 'x'",
        url=receiver.url,
    )
    logid = await run_now(client, jobid)
    await run_due(client, failed=1)
    assert receiver.requests == []
    (attempt,) = (await log_of(client, logid))["attempts"]
    assert attempt["error"].startswith(
        "The secret crm-token is for https://crm.example.com, and was not sent"
    )


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        ({"headers": {"Authorization": {"secret": "nothing"}}}, "/target/headers/Authorization"),
        ({"headers": {"Authorization": {"secret": "No Name"}}}, "/target/headers/Authorization/secret"),
        ({"headers": {"Authorization": {"name": "crm"}}}, "/target/headers/Authorization/secret"),
        ({"headers": {"Authorization": 5}}, "/target/headers/Authorization"),
        ({"headers": {"Content-Type": {"secret": "crm-token"}}}, "/target/headers"),
        ({"clientcert": {"secret": "crm-token"}}, "/target/clientcert"),
        ({"cacert": {"secret": "crm-token"}}, "/target/cacert"),
        ({"url": "http://example.com/", "cacert": {"secret": "crm-token"}}, "/target/cacert"),
        ({"oauth2": {"tokenurl": "https://example.com/"}}, "/target/oauth2/clientid"),
        ({"oauth2": {"tokenurl": "x", "clientid": "a", "clientsecret": {"secret": "crm-token"}}},
         "/target/oauth2/tokenurl"),
        ({"oauth2": {"tokenurl": "https://id.example.com/", "clientid": "a",
                     "clientsecret": {"secret": "crm-token"}}},
         "/target/oauth2/clientsecret"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_named_secret_is_told_at_its_place(
    client: AsyncClient, target: dict[str, Any], pointer: str
) -> None:
    await put(client, "crm-token", "https://example.com", "no certificate")
    told = field_errors(
        await client.post("/jobs", json=JOB | {"target": {"url": "https://example.com/"} | target})
    )
    assert pointer in told


async def test_what_does_not_fit_a_header_is_told_without_saying_what_it_is(client: AsyncClient) -> None:
    await put(client, "crm-token", "https://example.com", f"{WORD}\nand more")
    target = {"url": "https://example.com/", "headers": {"Authorization": {"secret": "crm-token"}}}
    told = await client.post("/jobs", json=JOB | {"target": target})
    assert "is not fit for that" in field_errors(told)["/target/headers/Authorization"]
    assert WORD not in told.text


@pytest.mark.parametrize(
    "body",
    [
        {"origin": "https://example.com/path", "value": WORD},
        {"origin": "ftp://example.com", "value": WORD},
        {"origin": "https://example.com", "value": ""},
        {"origin": "https://example.com", "value": WORD * 5000},
        {"origin": "https://example.com", "value": f"{WORD}\0"},
        {"origin": "https://example.com", "value": [WORD]},
    ],
)
async def test_a_bad_secret_is_refused_without_repeating_it(
    client: AsyncClient, body: dict[str, Any]
) -> None:
    response = await client.put("/projects/default/secrets/crm-token", json=body)
    assert response.status_code == 422
    assert WORD not in response.text
    assert (await client.put("/projects/default/secrets/Crm", json=body)).status_code == 422
    assert (await client.put("/projects/nowhere/secrets/crm", json=body)).status_code in {404, 422}
    assert await listed(client) == {}


async def test_a_form_sets_names_and_removes_them(client: AsyncClient, receiver: Receiver) -> None:
    fields = {"name": "crm-token", "origin": origin_of(receiver.url), "value": BEARER}
    wrong = await client.post(
        "/projects/default/secrets/edit", data=fields | {"origin": "nowhere"}, headers=HTML
    )
    assert (wrong.status_code, WORD in wrong.text, "crm-token" in wrong.text) == (422, False, True)
    assert (await client.post("/projects/default/secrets/edit", data=fields, headers=HTML)).status_code == 303
    page = await client.get("/projects/default/secrets", headers=HTML)
    assert ("crm-token" in page.text, WORD in page.text) == (True, False)
    form = {"jobname": "By form", "kind": "every", "interval": "60", "target_url": receiver.url,
            "target_headers": "X-Key: {{secret:crm-token}}\r\nCookie: a=sesame-too"}  # fmt: skip
    assert (await client.post("/jobs", data=form, headers=HTML)).status_code == 303
    edit = await client.get("/jobs/1?form=true", headers=HTML)
    assert "X-Key: {{secret:crm-token}}" in edit.text
    assert "sesame-too" not in edit.text
    (cookie,) = {name for name in await listed(client) if name.startswith("cookie-")}
    form |= {
        "version": "1",
        "jobname": "Again",
        "target_headers": f"X-Key: {{{{secret:crm-token}}}}\r\nCookie: {{{{secret:{cookie}}}}}",
    }
    saved = await client.post("/jobs/1/edit", data=form, headers=HTML)
    assert saved.status_code == 303, saved.text
    await run_now(client, 1)
    await run_due(client, finished=1)
    ((request, _),) = receiver.requests
    assert (request.headers["X-Key"], request.headers["Cookie"]) == (BEARER, "a=sesame-too")
    await client.delete("/jobs/1")
    removed = await client.post("/projects/default/secrets/crm-token/delete", headers=HTML, data={})
    assert removed.status_code == 303
    assert "crm-token" not in await listed(client)


async def test_what_was_typed_stays_where_a_secret_is_in_use(client: AsyncClient, receiver: Receiver) -> None:
    await put(client, "crm-token", origin_of(receiver.url), BEARER)
    await create(client, {"url": receiver.url, "headers": {"Authorization": {"secret": "crm-token"}}})
    form = {"name": "crm-token", "origin": "https://crm.example.com", "value": "Bearer x"}
    refused = await client.post("/projects/default/secrets/edit", data=form, headers=HTML)
    assert refused.status_code == 409
    assert "The secret was not saved." in refused.text
    assert "It is sent to" in refused.text
    assert 'value="https://crm.example.com"' in refused.text
    assert "Bearer x" not in refused.text


async def test_the_page_of_secrets_goes_on(client: AsyncClient) -> None:
    for number in range(3):
        await put(client, f"token-{number}", "https://crm.example.com", "Bearer x")
    first = await client.get("/projects/default/secrets?limit=2", headers=HTML)
    assert ("token-1<" in first.text, "token-2<" in first.text) == (True, False)
    following = first.text.partition('rel="next" href="')[2].partition('"')[0]
    last = await client.get(following, headers=HTML)
    assert ("token-1<" in last.text, "token-2<" in last.text) == (False, True)
    assert 'rel="next"' not in last.text


async def test_a_job_takes_along_to_another_project_what_came_with_it(
    client: AsyncClient, receiver: Receiver
) -> None:
    await client.post("/projects", json={"name": "crm"})
    await put(client, "own", origin_of(receiver.url), "of the project")
    jobid = await create(
        client, {"url": receiver.url, "headers": {"Authorization": BEARER, "X-Own": {"secret": "own"}}}
    )
    told = field_errors(await client.patch(f"/jobs/{jobid}", json={"project": "crm"}))
    assert told == {"/target/headers/X-Own": "The project crm has no secret own."}
    change = {"project": "crm", "target": {"headers": {"X-Own": None}}}
    assert (await client.patch(f"/jobs/{jobid}", json=change)).status_code == 200
    await run_now(client, jobid)
    await run_due(client, finished=1)
    assert receiver.requests[0][0].headers["Authorization"] == BEARER
    assert [one["jobs"] for one in (await listed(client, "crm")).values()] == [1]


async def test_what_no_job_names_any_more_goes(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    await put(client, "kept", origin_of(receiver.url), "set by somebody")
    jobs = [
        await create(client, {"url": receiver.url, "headers": {"Authorization": f"Bearer number {n}"}})
        for n in (1, 2)
    ]
    await client.delete(f"/jobs/{jobs[0]}")
    assert await database.transact(project_secrets.remove_unnamed) == 0
    await execute(database, "UPDATE projectsecret SET changedat = changedat - interval '25 hours'")
    await execute(database, "UPDATE job SET deletedat = deletedat - interval '25 hours'")
    assert await database.transact(project_secrets.remove_unnamed) == 1
    assert {name.partition("-")[0]: one["jobs"] for name, one in (await listed(client)).items()} == {
        "kept": 0, "authorization": 1,
    }  # fmt: skip


async def test_a_value_that_was_replaced_is_not_taken_for_another(
    client: AsyncClient, receiver: Receiver
) -> None:
    """Somebody renews a secret that came with a job: a job that comes with the old value sends that one."""
    target = {"url": receiver.url, "headers": {"Authorization": BEARER}}
    await create(client, target)
    (name,) = await listed(client)
    await put(client, name, origin_of(receiver.url), "Bearer of-a-later-day")
    second = await create(client, target)
    third = await create(client, target)
    assert sorted(await listed(client)) == [name, f"{name}-2"]
    for jobid in (1, second, third):
        await run_now(client, jobid)
    await run_due(client, finished=3)
    sent = sorted(request.headers["Authorization"] for request, _ in receiver.requests)
    assert sent == ["Bearer of-a-later-day", BEARER, BEARER]


async def test_all_secrets_are_encrypted_anew_and_those_that_are_lost_are_told(
    client: AsyncClient, database: Database, settings: Settings
) -> None:
    for number in range(3):
        await put(client, f"secret-{number}", "https://example.com", f"value {number}")
    await create(client, {"url": "https://example.com/"})
    await client.post("/jobs/1/secrets")
    assert (await client.get("/readyz")).json()["checks"]["secrets"] == "ok"
    new = Fernet.generate_key().decode()
    both = Cipher([new, *settings.secret_keys()])
    rotated = await database.transact(secrets.rotate, both, FIRST)
    assert (rotated.done, rotated.lost) == (4, 0)
    assert rotated.last is not None
    assert (await database.transact(secrets.rotate, both, rotated.last)).last is None
    assert "4 need a key" in (await client.get("/readyz")).json()["checks"]["secrets"]
    assert await database.read(secrets.unreadable, Cipher([new])) == 0


async def test_without_a_key_no_credential_is_taken(database: Database) -> None:
    """It would be kept as it is. What is none needs no key."""
    for name, expected in (("Authorization", 0), ("X-Author", 1)):
        target = {"url": "https://example.com/", "headers": {name: BEARER}}
        draft = JobDraft.model_validate({"jobname": "Keyless", "interval": 60, "target": target})
        with contextlib.ExitStack() as stack:
            if not expected:
                stack.enter_context(pytest.raises(SecretsUnavailable, match="SCHEDULER_SECRET_KEY"))
            await database.transact(creating.create, ACTOR, Cipher([]), draft)
        assert await scalar(database, "SELECT count(*) FROM job") == expected


# Certificates and tokens.


async def test_a_target_with_certificates_of_its_own(client: AsyncClient, tmp_path: Path) -> None:
    encryption = certificate(tmp_path, "127.0.0.1")
    certificate(tmp_path, "scheduler")
    encryption.verify_mode = ssl.CERT_REQUIRED
    encryption.load_verify_locations(tmp_path / "scheduler.pem")
    async with receiving(encryption=encryption) as receiver:
        origin = origin_of(receiver.url)
        await put(client, "our-ca", origin, (tmp_path / "127.0.0.1.pem").read_text())
        await put(client, "our-cert", origin, (tmp_path / "scheduler.pem").read_text())
        target = {"url": receiver.url, "retries": 0}
        # Since TLS 1.3 a server says that it lacks a certificate when the connection is there already.
        for more, failure in (
            ({}, "tls"),
            ({"cacert": {"secret": "our-ca"}}, "connect"),
            ({"cacert": {"secret": "our-ca"}, "clientcert": {"secret": "our-cert"}}, None),
        ):
            jobid = await create(client, target | more)
            answer = (await client.post(f"/jobs/{jobid}/test")).json()
            assert (answer["failure"], answer["ok"]) == (failure, failure is None), answer
        (peer,) = {request.get_extra_info("peercert")["subject"] for request, _ in receiver.requests}
        assert peer == ((("commonName", "scheduler"),),)
        # Without a client certificate the next call is a stranger again: no connection is shared.
        assert (await client.post("/jobs/2/test")).json()["ok"] is False


async def test_a_pair_that_does_not_belong_together_is_refused(client: AsyncClient, tmp_path: Path) -> None:
    for name in ("one", "other"):
        certificate(tmp_path, name)
    one, other = [(tmp_path / f"{name}.pem").read_text() for name in ("one", "other")]
    mark = "-----BEGIN CERTIFICATE-----"
    mixed = one.partition(mark)[0] + mark + other.partition(mark)[2]
    for value, why in (
        (mixed, "its key is that of another certificate."),
        (mark + one.partition(mark)[2], "without a passphrase."),
        ("nothing", "it must hold a certificate in PEM"),
    ):
        await put(client, "pair", "https://example.com", value)
        target = {"url": "https://example.com/", "clientcert": {"secret": "pair"}}
        told = field_errors(await client.post("/jobs", json=JOB | {"target": target}))
        assert why in told["/target/clientcert"]


class Provider:
    """Gives tokens for client credentials, as it is told."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver, self.status, self.given = receiver, 200, 0
        self.answer: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}
        receiver.answer = self.token

    async def token(self, _: web.BaseRequest) -> web.StreamResponse:
        self.given += 1
        return web.json_response({"access_token": f"token-{self.given}", **self.answer}, status=self.status)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with receiving() as receiver:
        yield Provider(receiver)


async def signing_in(client: AsyncClient, receiver: Receiver, provider: Provider, **more: Any) -> int:
    await put(client, "crm-client", origin_of(provider.receiver.url), WORD)
    oauth2 = {"tokenurl": provider.receiver.url, "clientid": "scheduler:", "scope": "a b",
              "clientsecret": {"secret": "crm-client"}}  # fmt: skip
    return await create(client, {"url": receiver.url, "oauth2": oauth2, "retries": 3, "backoff": 1} | more)


async def test_a_token_is_fetched_once_and_sent_until_it_expires(
    client: AsyncClient, receiver: Receiver, provider: Provider
) -> None:
    jobid = await signing_in(client, receiver, provider)
    for _ in range(3):
        await run_now(client, jobid)
        await run_due(client, finished=1)
    assert provider.given == 1
    assert [request.headers["Authorization"] for request, _ in receiver.requests] == ["Bearer token-1"] * 3
    ((asked, body),) = provider.receiver.requests
    assert body == b"grant_type=client_credentials&scope=a+b"
    pair = base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode()
    assert pair == f"scheduler%3A:{WORD}"
    shown = (await client.get(f"/jobs/{jobid}")).json()["job"]["target"]["oauth2"]
    assert shown["clientsecret"] == {"secret": "crm-client"}
    # Its parts can be changed one by one.
    changed = await client.patch(f"/jobs/{jobid}", json={"target": {"oauth2": {"scope": "c"}}})
    assert changed.json()["target"]["oauth2"] == shown | {"scope": "c"}
    gone = await client.patch(f"/jobs/{jobid}", json={"target": {"oauth2": None}})
    assert gone.json()["target"]["oauth2"] is None


async def test_a_token_that_is_not_taken_any_more_is_fetched_anew(
    client: AsyncClient, database: Database, receiver: Receiver, provider: Provider
) -> None:
    jobid = await signing_in(client, receiver, provider)
    await run_now(client, jobid)
    await run_due(client, finished=1)

    async def pick(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401 if request.headers["Authorization"] == "Bearer token-1" else 200)

    receiver.answer = pick
    await run_now(client, jobid)
    await run_due(client, retried=1)
    await execute(database, "UPDATE joblog SET nextrun = now() WHERE day = 'infinity' AND attempt = 2")
    await run_due(client, finished=1)
    assert provider.given == 2
    # A fresh one that is refused is the target's word.
    receiver.always(401)
    provider.answer = {"token_type": "bearer", "expires_in": "3600"}
    await client.patch(f"/jobs/{jobid}", json={"target": {"oauth2": {"scope": "other"}}})
    await run_now(client, jobid)
    await run_due(client, failed=1)


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (400, {"error": "invalid_client"}, "the token URL answered 400: invalid_client."),
        (500, {"error": f"<{WORD}>"}, "the token URL answered 500."),
        (200, {"access_token": f"{WORD}\r\nX: y"}, "the answer of the token URL holds none."),
        (200, {"access_token": None}, "the answer of the token URL holds none."),
        (200, {"token_type": "mac"}, "of another type than Bearer."),
    ],
)
async def test_without_a_token_the_target_is_not_called(
    client: AsyncClient,
    receiver: Receiver,
    provider: Provider,
    status: int,
    answer: dict[str, Any],
    error: str,
) -> None:
    jobid = await signing_in(client, receiver, provider)
    provider.status = status
    provider.answer |= answer
    logid = await run_now(client, jobid)
    await run_due(client, retried=1)
    assert receiver.requests == []
    (attempt,) = (await log_of(client, logid))["attempts"]
    assert (attempt["failure"], attempt["outcome"]) == ("template", "failed")
    assert attempt["error"].startswith("No access token: ")
    assert attempt["error"].endswith(error)
    assert WORD not in json.dumps(await log_of(client, logid))
    refused = await client.post(f"/jobs/{jobid}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "token_unavailable")


async def test_what_was_fetched_is_not_in_what_is_kept(
    client: AsyncClient, receiver: Receiver, provider: Provider
) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"{request.headers['Authorization']} {WORD}", status=500)

    receiver.answer = echo
    jobid = await signing_in(client, receiver, provider, retries=0)
    logid = await run_now(client, jobid)
    await run_due(client, failed=1)
    (attempt,) = (await log_of(client, logid))["attempts"]
    assert attempt["excerpt"] == "••• •••"


# What a hostile reader of the code has tried.


async def test_a_move_to_another_project_takes_nothing_to_another_origin(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    await client.post("/projects", json={"name": "crm"})
    theirs = {"url": "https://crm.example.com/", "headers": {"Authorization": BEARER}}
    await create(client, theirs)
    (name,) = await listed(client)
    moved = {"project": "crm", "target": {"url": receiver.url}}
    assert field_errors(await client.patch("/jobs/1", json=moved)).keys() == {"/target/headers/Authorization"}
    own = await create(client, {"url": receiver.url})
    for reference in ({"X-Auth": {"secret": name}}, {"Authorization": {"secret": name}}):
        taken = {"project": "crm", "target": {"headers": reference}}
        assert field_errors(await client.patch(f"/jobs/{own}", json=taken))
    assert await scalar(database, "SELECT count(*) FROM projectsecret WHERE project = 'crm'") == 0


async def test_targets_are_kept_as_other_versions_know_them(client: AsyncClient, database: Database) -> None:
    await create(client, {"url": "https://example.com/"})
    await client.patch("/jobs/1", json={"target": {"timeout": 5}})
    kept = json.loads(await scalar(database, "SELECT CAST(target AS text) FROM job"))
    assert not {"clientcert", "cacert", "oauth2"} & kept.keys()
    untouched = await client.patch("/jobs/1", json={"jobname": "A call"})
    assert untouched.json()["version"] == 2
    assert len((await client.get("/jobs/1/changes")).json()) == 2


async def test_a_credential_that_an_earlier_version_kept_is_for_its_host(
    client: AsyncClient, database: Database, receiver: Receiver
) -> None:
    await create(client, {"url": "https://crm.example.com/"})
    plain = json.dumps({"Authorization": BEARER})
    await execute(
        database,
        "UPDATE job SET target = jsonb_set(target, '{headers}', CAST(CAST(:plain AS text) AS jsonb))",
        plain=plain,
    )
    moved = await client.patch("/jobs/1", json={"target": {"url": receiver.url}})
    assert field_errors(moved).keys() == {"/target/headers/Authorization"}
    assert (await client.patch("/jobs/1", json={"jobname": "Renamed"})).status_code == 200
    assert WORD not in await scalar(database, "SELECT CAST(target AS text) FROM job")


async def test_a_token_url_that_speaks_no_http_tells_no_secret(
    client: AsyncClient, receiver: Receiver
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (line,) = [one for one in head.split(b"\r\n") if one.lower().startswith(b"authorization")]
        writer.write(b"HTTP/1.1 200 OK\r\nX: a\x00" + line + b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        here = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await put(client, "crm-client", here, WORD)
        oauth2 = {"tokenurl": f"{here}/token", "clientid": "c", "clientsecret": {"secret": "crm-client"}}
        jobid = await create(client, {"url": receiver.url, "oauth2": oauth2, "retries": 0})
        logid = await run_now(client, jobid)
        await run_due(client, failed=1)
        test = await client.post(f"/jobs/{jobid}/test")
    told = json.dumps(await log_of(client, logid)) + test.text
    assert "No access token" in told
    for secret in (WORD, base64.b64encode(f"c:{WORD}".encode()).decode()[:12]):
        assert secret not in told


@pytest.mark.parametrize(
    "spell",
    [
        json.dumps,
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("<", "\\u003c").replace("&", "\\u0026"),
        html.escape,
        lambda text: quote(text, safe=""),
        lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
    ids=["json", "php", "go", "html", "percent", "lower percent", "base64"],
)
async def test_an_echo_is_found_however_it_is_spelled(
    client: AsyncClient, receiver: Receiver, spell: Callable[[str], str]
) -> None:
    key = "abc/def+ghijkl<&mnop=="

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"said {spell(request.headers['X-Api-Key'])}.", status=500)

    receiver.answer = echo
    await create(client, {"url": receiver.url, "headers": {"X-Api-Key": key}, "retries": 0})
    excerpt = (await client.post("/jobs/1/test")).json()["excerpt"]
    assert excerpt.replace('"', "") == "said •••."


async def test_an_answer_that_breaks_off_in_the_middle_of_an_echo(client: AsyncClient) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\nyou sent {BEARER[:-1]}".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await create(client, {"url": url, "headers": {"Authorization": BEARER}, "retries": 0})
        excerpt = (await client.post("/jobs/1/test")).json()["excerpt"]
    assert excerpt.strip() == "you sent"


async def test_a_report_repeats_no_secret(client: AsyncClient, receiver: Receiver) -> None:
    receiver.always(202)
    target = {"url": receiver.url, "headers": {"Authorization": BEARER}, "retries": 0}
    logid = await run_now(client, await create(client, target))
    await run_due(client, running=1)
    report = receiver.requests[0][0].headers["scheduler-run"].partition("5000")[2]
    token = report.rpartition("/")[2]
    assert (await client.post(report, json={"lines": [f"sent {WORD}"]})).status_code == 200
    failed = {"status": "failed", "message": f"refused {BEARER} of {token}", "retry": False}
    assert (await client.post(report, json=failed)).status_code == 200
    told = json.dumps(await log_of(client, logid), ensure_ascii=False)
    assert (WORD in told, token in told, "refused ••• of •••" in told) == (False, False, True)


async def test_a_secret_is_not_replaced_by_what_its_jobs_cannot_use(client: AsyncClient) -> None:
    origin = "https://example.com"
    await put(client, "crm-token", origin, "fine")
    await create(client, {"url": f"{origin}/", "headers": {"X-Key": {"secret": "crm-token"}}})
    for value in ("two\nlines", "äöü", "{{nothing}}", "x" * 4001):
        refused = await put(client, "crm-token", origin, value, 422)
        (error,) = refused["errors"]
        assert (error["pointer"], error["detail"].startswith("Jobs use it as X-Key: ")) == ("/value", True)
    # What a form or a file ends with is no part of it.
    await put(client, "crm-token", origin, "another one\r\n")


async def test_a_secret_that_is_let_go_stays_for_a_day(client: AsyncClient, database: Database) -> None:
    for value in ("Bearer first one", "Bearer second one"):
        await create(client, {"url": "https://example.com/", "headers": {"Authorization": value}})
    names = sorted(await listed(client))
    await execute(database, "UPDATE projectsecret SET changedat = changedat - interval '3 days'")
    await client.patch("/jobs/1", json={"target": {"headers": {"Authorization": None}}})
    await client.delete("/jobs/2")
    assert await database.transact(project_secrets.remove_unnamed) == 0
    assert sorted(await listed(client)) == names
    await execute(database, "UPDATE projectsecret SET changedat = changedat - interval '25 hours'")
    await execute(database, "UPDATE job SET deletedat = deletedat - interval '25 hours'")
    assert await database.transact(project_secrets.remove_unnamed) == 2


async def test_a_sweep_sees_who_names_a_secret_meanwhile(client: AsyncClient, database: Database) -> None:
    await create(client, {"url": "https://example.com/", "headers": {"Authorization": BEARER}})
    (name,) = await listed(client)
    await client.patch("/jobs/1", json={"target": {"headers": {"Authorization": None}}})
    await execute(database, "UPDATE projectsecret SET changedat = changedat - interval '3 days'")
    naming = {"url": "https://example.com/", "headers": {"Authorization": {"secret": name}}}

    async def sweep(session: Session, now: datetime) -> int:
        found = await rows.lock_unnamed(session, now, project_secrets.UNUSED, 10)
        assert found
        # As if it had been named after the first look, and before the lock.
        await session.all(
            Statement("UPDATE job SET secretnames = ARRAY[CAST(:name AS text)] WHERE jobid = 1"), name=name
        )
        return await rows.remove_of(session, now, project_secrets.UNUSED, found)

    assert await database.transact(sweep) == 0
    assert (await client.post("/jobs", json=JOB | {"target": naming})).status_code == 201


async def test_two_who_set_a_secret_at_once_do_not_move_it(client: AsyncClient, database: Database) -> None:
    draft = ProjectSecretDraft(origin="https://a.example.com", value="one")
    other = ProjectSecretDraft(origin="https://b.example.com", value="other")
    added, named = asyncio.Event(), asyncio.Event()

    async def first(session: Session, now: datetime) -> None:
        await project_secrets.put(session, now, ACTOR, ("default", "both"), draft, CIPHER)
        added.set()
        await named.wait()
        job = {"jobname": "Names it", "interval": 60,
               "target": {"url": "https://a.example.com/", "headers": {"X": {"secret": "both"}}}}  # fmt: skip
        await creating.create(session, now, ACTOR, CIPHER, JobDraft.model_validate(job))

    writing = asyncio.create_task(database.transact(first))
    await added.wait()
    late = asyncio.create_task(
        database.transact(project_secrets.put, ACTOR, ("default", "both"), other, CIPHER)
    )
    await asyncio.sleep(0)
    named.set()
    await writing
    with pytest.raises(SecretInUse, match=re.escape("It is sent to https://a.example.com")):
        await late
    assert await scalar(database, "SELECT origin FROM projectsecret") == "https://a.example.com"


@pytest.mark.parametrize("seconds", [10**400, -1, 0, True, "9" * 30, "1e5", None, [1], 1e400])
async def test_tokens_that_last_oddly_long(
    client: AsyncClient, receiver: Receiver, provider: Provider, seconds: Any
) -> None:
    provider.answer["expires_in"] = seconds
    jobid = await signing_in(client, receiver, provider)
    assert (await client.post(f"/jobs/{jobid}/test")).json()["ok"] is True


async def test_authorities_with_remarks_in_other_letters(client: AsyncClient, tmp_path: Path) -> None:
    encryption = certificate(tmp_path, "127.0.0.1")
    async with receiving(encryption=encryption) as receiver:
        pem = (tmp_path / "127.0.0.1.pem").read_text()
        await put(client, "our-ca", origin_of(receiver.url), f"# Müllers Behörde\n{pem}")
        jobid = await create(client, {"url": receiver.url, "cacert": {"secret": "our-ca"}})
        assert (await client.post(f"/jobs/{jobid}/test")).json()["ok"] is True


async def test_no_descriptor_for_a_certificate_costs_no_attempt(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encryption = certificate(tmp_path, "127.0.0.1")
    async with receiving(encryption=encryption) as receiver:
        pem = (tmp_path / "127.0.0.1.pem").read_text()
        for name in ("our-ca", "our-cert"):
            await put(client, name, origin_of(receiver.url), pem)
        certs = {"cacert": {"secret": "our-ca"}, "clientcert": {"secret": "our-cert"}}
        jobid = await create(client, {"url": receiver.url, "retries": 0} | certs)

        def exhausted(*_: Any, **__: Any) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "NamedTemporaryFile", exhausted)
            assert (await client.post(f"/jobs/{jobid}/test")).status_code == 503
        assert (await client.post(f"/jobs/{jobid}/test")).json()["ok"] is True


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("X_API_KEY", True),
        ("Ocp-Apim-Subscription-Key", True),
        ("X-Functions-Key", True),
        ("PRIVATE-KEY", True),
        ("Idempotency-Key", False),
        ("X-Idempotency-Key", False),
        ("X-Author", False),
        ("X-Keyboard", False),
    ],
)
async def test_headers_that_hold_credentials_by_their_names(
    client: AsyncClient, name: str, secret: bool
) -> None:
    await create(client, {"url": "https://example.com/", "headers": {name: "abcdefgh"}})
    shown = (await client.get("/jobs/1")).json()["job"]["target"]["headers"][name]
    assert isinstance(shown, dict) is secret


async def test_what_tells_repeated_requests_apart_is_no_help_to_guess(
    client: AsyncClient, database: Database
) -> None:
    body = JOB | {"target": {"url": "https://example.com/", "headers": {"Authorization": "Bearer 1234"}}}
    key = {"Idempotency-Key": "once"}
    assert (await client.post("/jobs", json=body, headers=key)).status_code == 201
    draft = JobDraft.model_validate_json(json.dumps(body)).model_dump_json(exclude_unset=True)
    assert await scalar(database, "SELECT digest FROM idempotencykey") != sha256(draft.encode()).digest()
    other = json.loads(json.dumps(body).replace("1234", "5678"))
    assert (await client.post("/jobs", json=other, headers=key)).status_code == 422
    assert (await client.post("/jobs", json=body, headers=key)).status_code == 201


async def test_a_rehearsed_edit_promises_nothing_that_would_be_refused(client: AsyncClient) -> None:
    await create(client, {"url": "https://example.com/"})
    wrong = {"target": {"headers": {"Authorization": {"secret": "nothing"}}}}
    for query in ("", "?dryrun=true"):
        assert (await client.patch(f"/jobs/1{query}", json=wrong)).status_code == 422


async def test_a_target_that_nobody_understands_can_be_replaced(
    client: AsyncClient, database: Database
) -> None:
    """A newer version, or somebody by hand, has written it."""
    await create(client, {"url": "https://example.com/"})
    await execute(database, "UPDATE job SET target = target || '{\"later\": 1}'")
    refused = await client.patch("/jobs/1", json={"jobname": "Renamed"})
    assert field_errors(refused).keys() == {"/target/later"}
    assert (await client.patch("/jobs/1", json={"target": None})).status_code == 200
