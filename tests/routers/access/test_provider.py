"""Signing in at an identity provider that does as it should, and at one that does not."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from httpx import URL, ASGITransport, AsyncClient, Client, Response
from structlog.testing import capture_logs

from scheduler_api.actors import Grant, Role
from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.errors import SignInRefused
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers import doorkeeper, identity
from scheduler_api.workers.identity import IdentityProvider, ProviderOptions, SignInAttempt
from tests.factories import execute, rows, scalar
from tests.identity_provider import CLIENT, SECRET
from tests.routers.access.conftest import ADDRESS, Comes
from tests.routers.access.test_signing import PASSWORD, invited

HTML = {"accept": "text/html"}
BEGIN, RETURN = "/sign-in/oidc", "/sign-in/oidc/callback"
GRANTS = (
    Grant(Role.EDITOR, "platform"),
    Grant(Role.VIEWER, "everybody"),
    Grant(Role.ADMIN, "user:root@example.com"),
)


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """Where the provider is."""
    command = [sys.executable, "-m", "tests.identity_provider"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="session")
def at_provider(provider: str) -> Iterator[Client]:
    """A connection of its own, for what browsers and tests ask of it."""
    with Client(base_url=provider) as client:
        yield client


@pytest.fixture(scope="session")
def federated(application: FastAPI, settings: Settings, provider: str) -> FastAPI:
    """After `application`, whose connections it shares."""
    return create_app(
        settings.model_copy(
            update={
                "auth": Auth.REQUIRED,
                "roles": GRANTS,
                "oidc_issuer": provider,
                "oidc_client_id": CLIENT,
                "oidc_client_secret": Settings(oidc_client_secret=SECRET).oidc_client_secret,
                "oidc_label": "Example",
            }
        )
    )


@pytest.fixture
async def service(
    federated: FastAPI, database: Database, at_provider: Client, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    monkeypatch.setattr(doorkeeper, "KNOWN_SECONDS", 0.0)
    behave(at_provider)
    async with LifespanManager(federated) as manager:
        federated.state.served = manager.app
        yield federated


def behave(at_provider: Client, **behaviour: Any) -> list[str]:
    """Let the provider do otherwise from now on; what it was asked before."""
    asked: list[str] = at_provider.post("/behave", json=behaviour).raise_for_status().json()
    return asked


async def there(browser: AsyncClient, at_provider: Client, back: str = "/logs") -> str:
    """Go to the provider and sign in; the address at which the browser comes back."""
    gone = await browser.get(BEGIN, params={"back": back})
    assert gone.status_code == 303, gone.text
    address = gone.headers["location"]
    returned = at_provider.get(address)
    return str(returned.headers["location"]).removeprefix("http://localhost:5000")


async def and_back(browser: AsyncClient, at_provider: Client) -> Response:
    return await browser.get(await there(browser, at_provider))


def said(page: Response) -> str:
    """What the page complains of."""
    found = re.search(r'role="alert">([^<]*)<', page.text)
    assert found is not None, page.text
    return found[1]


async def test_a_user_signs_in_and_has_the_role_of_the_groups(
    comes: Comes, database: Database, at_provider: Client
) -> None:
    browser = comes(**HTML)
    page = (await browser.get("/sign-in?back=/logs")).text
    assert '<a class="button" href="/sign-in/oidc?back=/logs">Sign in with Example</a>' in page
    answer = await and_back(browser, at_provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/logs")
    assert answer.headers["cache-control"] == "no-store"
    me = await browser.get("/account", headers={"accept": "*/*"})
    assert me.json() == {"kind": "user", "name": "anna@example.com", "role": "editor", "projects": {}}
    account = (await browser.get("/account")).text
    assert "Your role comes from your groups" in account
    assert "New password" not in account
    # What is known of the provider is not asked again.
    assert behave(at_provider) == ["describe", "token", "keys"]
    await and_back(comes(**HTML), at_provider)
    assert behave(at_provider) == ["token"]
    acted = (
        "SELECT action, client FROM auditevent WHERE action IN ('useradded', 'signedin') ORDER BY changeid"
    )
    assert [tuple(row) for row in await rows(database, acted)] == [
        ("useradded", "anna@example.com"), ("signedin", "anna@example.com"), ("signedin", "anna@example.com"),
    ]  # fmt: skip
    assert await scalar(database, "SELECT count(*) FROM signinattempt") == 0
    assert await scalar(database, "SELECT count(*) FROM signintry") == 0


async def test_name_and_role_follow_the_provider(
    comes: Comes, database: Database, at_provider: Client
) -> None:
    await and_back(comes(**HTML), at_provider)
    behave(at_provider, claims={"email": "Anna.Meier@example.com", "groups": ["everybody"]})
    browser = comes(**HTML)
    await and_back(browser, at_provider)
    assert (await browser.get("/account", headers={"accept": "*/*"})).json()["role"] == "viewer"
    known = await rows(database, "SELECT name, role FROM useraccount")
    assert [tuple(row) for row in known] == [("anna.meier@example.com", "viewer")]
    # A name that a role was given to by name.
    behave(at_provider, claims={"email": "root@example.com"})
    admin = comes(**HTML)
    await and_back(admin, at_provider)
    user = (await admin.get("/users", headers={"accept": "*/*"})).json()[0]
    assert (user["name"], user["role"], user["issuer"]) == ("root@example.com", "admin", at_provider.base_url)
    # What the provider decides is not decided here.
    for method, path, body in (
        ("PATCH", f"/users/{user['userid']}", {"role": "viewer"}),
        ("POST", f"/users/{user['userid']}/link", None),
    ):
        refused = await admin.request(method, path, json=body, headers={"accept": "*/*"})
        assert refused.status_code == 409, refused.text


async def test_who_has_no_group_any_more_is_signed_out(
    comes: Comes, database: Database, at_provider: Client
) -> None:
    browser = comes(**HTML)
    await and_back(browser, at_provider)
    behave(at_provider, claims={"groups": []})
    assert (await and_back(comes(**HTML), at_provider)).status_code == 401
    assert (await browser.get("/jobs", headers={"accept": "*/*"})).status_code == 401
    assert await scalar(database, "SELECT role FROM useraccount") is None
    behave(at_provider)
    assert (await and_back(browser, at_provider)).status_code == 303


async def test_a_provider_that_is_down_is_asked_by_one_for_all(comes: Comes, at_provider: Client) -> None:
    behave(at_provider, described="down")
    pages = await asyncio.gather(*(comes(**HTML).get(BEGIN) for _ in range(10)))
    assert {page.status_code for page in pages} == {503}
    assert behave(at_provider) == ["describe"]


async def test_a_new_key_is_looked_up_once(comes: Comes, at_provider: Client) -> None:
    await and_back(comes(**HTML), at_provider)
    behave(at_provider, rotate=True)
    assert (await and_back(comes(**HTML), at_provider)).status_code == 303
    assert behave(at_provider, signed="unnamed") == ["token", "keys"]
    assert (await and_back(comes(**HTML), at_provider)).status_code == 401
    assert behave(at_provider) == ["token", "keys"]


async def test_what_the_token_does_not_say_is_asked_for(comes: Comes, at_provider: Client) -> None:
    behave(at_provider, claims={"groups": None}, userinfo={"groups": "platform", "email": "eve@example.com"})
    browser = comes(**HTML)
    assert (await and_back(browser, at_provider)).status_code == 303
    me = (await browser.get("/account", headers={"accept": "*/*"})).json()
    assert (me["name"], me["role"]) == ("anna@example.com", "editor")


async def test_a_client_secret_goes_where_the_provider_takes_it(comes: Comes, at_provider: Client) -> None:
    behave(at_provider, metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    assert (await and_back(comes(**HTML), at_provider)).status_code == 303


async def test_two_tabs_sign_in_side_by_side(comes: Comes, at_provider: Client) -> None:
    browser = comes(**HTML)
    first, second = await there(browser, at_provider, "/jobs"), await there(browser, at_provider, "/logs")
    assert (await browser.get(first)).headers["location"] == "/jobs"
    assert (await browser.get(second)).headers["location"] == "/logs"


TOKENS: Sequence[tuple[dict[str, Any], str]] = (
    ({"claims": {"nonce": "another"}}, "The ID token answers another request."),
    ({"claims": {"nonce": None}}, "The ID token answers another request."),
    ({"signed": "none"}, "The ID token is not signed as it has to be."),
    ({"signed": "HS256"}, "The ID token is not signed as it has to be."),
    ({"signed": "public"}, "The ID token is not signed as it has to be."),
    ({"signed": "stranger"}, "The ID token is not signed as it has to be."),
    ({"claims": {"aud": "another"}}, "The ID token is for another client."),
    ({"claims": {"aud": None}}, "The ID token is for another client."),
    ({"claims": {"aud": [CLIENT, "another"]}}, "The ID token was issued to another client."),
    ({"claims": {"azp": "another"}}, "The ID token was issued to another client."),
    ({"claims": {"iss": "https://login.example.org"}}, "The ID token is of another issuer."),
    ({"claims": {"exp": "0"}}, "The ID token has expired, or does not say when it does."),
    ({"claims": {"exp": None}}, "The ID token has expired, or does not say when it does."),
    ({"claims": {"exp": "nan"}}, "The ID token has expired, or does not say when it does."),
    ({"claims": {"exp": True}}, "The ID token has expired, or does not say when it does."),
    ({"claims": {"nbf": "90"}}, "The ID token is not valid yet."),
    ({"claims": {"sub": None}}, "The ID token names no user."),
    ({"claims": {"sub": 5}}, "The ID token names no user."),
    ({"token": "no token"}, "The provider sent no ID token that can be read."),
    ({"token": "error"}, "The provider did not accept the code: invalid_request."),
    ({"claims": {"email_verified": False}}, "The provider has not verified the e-mail address."),
    ({"claims": {"email_verified": [True]}}, "The provider has not verified the e-mail address."),
    ({"claims": {"email": "\u212aim@example.com"}}, "The claim `email` holds no name of a user."),
    ({"claims": {"groups": ["user:root@example.com", "*"]}}, "anna@example.com has no group that"),
    ({"claims": {"email": "anna\n@example.com"}}, "The claim `email` holds no name of a user."),
    ({"claims": {"groups": ["strangers", {"a": "platform"}]}}, "anna@example.com has no group that"),
    ({"claims": {"groups": None}, "userinfo": {"sub": "another"}}, "What the provider tells of the user"),
    ({"returned": {"iss": "https://login.example.org"}}, "The answer comes from another provider."),
    ({"returned": {"code": ""}}, "The provider sent no code."),
    ({"returned": {"code": "a guess"}}, "The provider did not accept the code: invalid_grant."),
    ({"returned": {"error": "access_denied"}}, "The provider refused the sign-in: access_denied."),
    ({"returned": {"state": "another"}}, "This sign-in was not begun in this browser"),
    (
        {"returned": {"iss": ""}, "metadata": {"authorization_response_iss_parameter_supported": True}},
        "The answer comes from another provider.",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("behaviour", "why"), TOKENS)
async def test_nobody_gets_in_by_what_is_not_as_it_should_be(
    behaviour: dict[str, Any], why: str, comes: Comes, database: Database, at_provider: Client
) -> None:
    behave(at_provider, **behaviour)
    await refused(comes(**HTML), database, at_provider, why)


async def refused(
    browser: AsyncClient, database: Database, at_provider: Client, why: str, status: int = 401
) -> None:
    """The browser comes back and does not get in; the page and the log say why."""
    address = await there(browser, at_provider)
    with capture_logs() as lines:
        page = await browser.get(address)
    assert (page.status_code, said(page)[: len(why)]) == (status, why)
    assert [line["reason"] for line in lines if "reason" in line] == [said(page)]
    assert (await browser.get("/jobs", headers={"accept": "*/*"})).status_code == 401
    assert await scalar(database, "SELECT count(*) FROM usersession") == 0
    # It cannot be tried again with the same address.
    assert said(await browser.get(address)).startswith("This sign-in was not begun in this browser")


@pytest.mark.parametrize("how", ["redirect", "slow", "endless", "garbage", "down"])
async def test_a_provider_that_cannot_be_asked_lets_nobody_in(
    how: str, comes: Comes, database: Database, at_provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "PATIENCE", 0.5)
    behave(at_provider, token=how)
    await refused(comes(**HTML), database, at_provider, "The identity provider ", 503)
    # It is nobody's failure.
    assert await scalar(database, "SELECT count(*) FROM signintry") == 0


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://login.example.org"}, "The provider says that it is another issuer."),
        ({"token_endpoint": "http://169.254.169.254/token"}, "SCHEDULER_OIDC_HOSTS does not list 169.254"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "SCHEDULER_OIDC_HOSTS does not list 127.0.0.1:1"),
        ({"authorization_endpoint": "http://login.example.org/"}, "SCHEDULER_OIDC_HOSTS does not list login"),
        ({"userinfo_endpoint": "http://login.example.org/"}, "SCHEDULER_OIDC_HOSTS does not list login"),
        ({"token_endpoint": "https://127.0.0.1/token"}, "The provider&#39;s `token_endpoint` does not begin"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "The provider&#39;s `authorization_endpoint`"),
        ({"jwks_uri": None}, "The provider&#39;s `jwks_uri` is no address."),
    ],
)  # fmt: skip
async def test_a_provider_leads_nowhere_else(
    metadata: dict[str, Any], why: str, comes: Comes, at_provider: Client
) -> None:
    behave(at_provider, metadata=metadata)
    page = await comes(**HTML).get(BEGIN)
    assert (page.status_code, said(page)[: len(why)]) == (401, why)


async def test_the_given_clock_decides_whether_a_token_has_expired(
    provider: str, at_provider: Client
) -> None:
    behave(at_provider)
    options = ProviderOptions(
        provider, CLIENT, SECRET, ("openid",), "email", "groups", (), "http://here/back"
    )
    for ahead, expired in ((timedelta(minutes=4), False), (timedelta(minutes=6), True)):

        async def clock(ahead: timedelta = ahead) -> datetime:
            return datetime.now(UTC) + ahead

        asks = IdentityProvider(options, clock)
        await asks.open()
        attempt = SignInAttempt("a state", "a browser")
        location = at_provider.get(await asks.address(attempt)).headers["location"]
        returned = dict(URL(location).params)
        if expired:
            with pytest.raises(SignInRefused, match="expired"):
                await asks.identify(attempt, returned)
        else:
            assert (await asks.identify(attempt, returned)).name == "anna@example.com"
        await asks.close()


async def test_what_one_browser_began_ends_in_no_other(
    comes: Comes, database: Database, at_provider: Client
) -> None:
    """Neither gets in by an address that somebody else was sent back to."""
    mallory, victim = comes(**HTML), comes(**HTML)
    address = await there(mallory, at_provider)
    await there(victim, at_provider)
    for browser in (victim, comes(**HTML)):
        page = await browser.get(address)
        assert (page.status_code, said(page)[:16]) == (401, "This sign-in was")
    # Nor with the code of one try in the address of another.
    other = await there(mallory, at_provider)
    code = re.compile(r"code=[^&]*")
    found = code.search(address)
    assert found is not None
    page = await mallory.get(code.sub(found[0], other))
    assert said(page) == "The provider did not accept the code: invalid_grant."
    assert await scalar(database, "SELECT count(*) FROM usersession") == 0


async def test_what_can_be_read_in_two_ways_is_not_read(comes: Comes, at_provider: Client) -> None:
    browser = comes(**HTML)
    address = await there(browser, at_provider)
    assert said(await browser.get(f"{address}&state=another")).endswith("can be read in two ways.")


async def test_a_try_lasts_ten_minutes(comes: Comes, database: Database, at_provider: Client) -> None:
    browser = comes(**HTML)
    address = await there(browser, at_provider)
    await execute(database, "UPDATE signinattempt SET createdat = createdat - interval '10 minutes'")
    assert said(await browser.get(address)).endswith("Sign in again.")


async def test_tries_that_are_begun_stay_few(
    comes: Comes, database: Database, at_provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.database.access.identities.MAX_OPEN", 3)
    for _ in range(5):
        address = await there(browser := comes(**HTML), at_provider)
    assert await scalar(database, "SELECT count(*) FROM signinattempt") == 3
    assert (await browser.get(address)).status_code == 303


async def test_failures_count_by_address(
    comes: Comes, database: Database, at_provider: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.services.access.signing.MAX_RETURNS", 5)
    behave(at_provider, claims={"groups": []})
    for _ in range(5):
        assert (await and_back(comes(**HTML), at_provider)).status_code == 401
    assert (await and_back(comes(**HTML), at_provider)).status_code == 429
    # Who has a password is not the worse for it.
    path = await invited(comes, database)
    form = {"password": PASSWORD, "again": PASSWORD}
    assert (await comes(**HTML).post(path, data=form)).status_code == 303
    tried = await comes(**HTML).post("/sign-in", data={"name": "anna@example.com", "password": PASSWORD})
    assert tried.status_code == 303


async def test_a_name_that_is_taken_is_no_way_in(
    comes: Comes, database: Database, at_provider: Client
) -> None:
    await invited(comes, database)
    page = await and_back(comes(**HTML), at_provider)
    assert said(page).startswith("Another user is called anna@example.com here.")
    # Neither by a change of the name there.
    behave(at_provider, claims={"email": "eve@example.com"})
    assert (await and_back(comes(**HTML), at_provider)).status_code == 303
    behave(at_provider)
    assert said(await and_back(comes(**HTML), at_provider)).startswith("Another user is called anna@")
    # Nor does a link make a password for whom the provider signs in.
    assert await scalar(database, "SELECT count(*) FROM useraccount WHERE passwordhash IS NOT NULL") == 0


async def test_a_session_from_before_ends(comes: Comes, database: Database, at_provider: Client) -> None:
    browser = comes(**HTML)
    await and_back(browser, at_provider)
    before = browser.cookies["session"]
    await and_back(browser, at_provider)
    assert browser.cookies["session"] != before
    assert await scalar(database, "SELECT count(*) FROM usersession") == 1


async def test_without_a_provider_there_is_no_such_address(settings: Settings, database: Database) -> None:
    app = create_app(settings.model_copy(update={"auth": Auth.REQUIRED}))
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, client=ADDRESS)
        async with AsyncClient(transport=transport, base_url="http://localhost", headers=HTML) as browser:
            assert (await browser.get(BEGIN)).status_code == 404
            assert "/sign-in/oidc" not in (await browser.get("/sign-in")).text


async def test_a_password_works_beside_it(comes: Comes, database: Database) -> None:
    path = await invited(comes, database)
    form = {"password": PASSWORD, "again": PASSWORD}
    assert (await comes(**HTML).post(path, data=form)).status_code == 303
