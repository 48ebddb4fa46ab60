"""Users: invited, signed in by password or link, signed out."""

import re
from ipaddress import ip_network

import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient, Response

from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers import doorkeeper
from tests.factories import execute, rows, scalar
from tests.routers.access.conftest import ADDRESS, Comes, key_of

HTML = {"accept": "text/html"}
ANNA = "anna@example.com"
PASSWORD = "correct horse battery"


async def invited(
    comes: Comes, database: Database, name: str = "anna@example.com", role: str = "editor"
) -> str:
    """The path of a new user's link."""
    admin = comes(await key_of(database, "admin"))
    answer = await admin.post("/users", json={"name": name, "role": role})
    assert answer.status_code == 201, answer.text
    return f"/sign-in/{answer.json()['link'].rpartition('/')[2]}"


async def signed_in(comes: Comes, database: Database, **user: str) -> AsyncClient:
    """A browser of a new user who has set a password."""
    browser = comes(**HTML)
    path = await invited(comes, database, **user)
    answer = await browser.post(path, data={"password": PASSWORD, "again": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/overview")
    return browser


async def sign_in(
    browser: AsyncClient, password: str, name: str = "anna@example.com", **more: str
) -> Response:
    return await browser.post("/sign-in", data={"name": name, "password": password, **more})


async def test_a_link_lets_in_once_to_set_a_password(comes: Comes, database: Database) -> None:
    path = await invited(comes, database)
    browser = comes(**HTML)
    # A preview of the link does not use it up.
    for _ in range(2):
        page = await browser.get(path)
        assert (page.status_code, "anna@example.com" in page.text) == (200, True)
    for given, field in (
        ({"password": "short", "again": "short"}, "password"),
        ({"password": PASSWORD}, "again"),
    ):
        wrong = await browser.post(path, data=given)
        assert (wrong.status_code, f'id="error-{field}"' in wrong.text) == (422, True)
    assert (await browser.post(path, data={"password": PASSWORD, "again": PASSWORD})).status_code == 303
    assert (await browser.get("/jobs")).status_code == 200
    assert (await browser.get("/account", headers={"accept": "*/*"})).json() == {
        "kind": "user", "name": "anna@example.com", "role": "editor",
    }  # fmt: skip
    for method in ("GET", "POST"):
        assert (
            await comes(**HTML).request(method, path, data={"password": PASSWORD, "again": PASSWORD})
        ).status_code == 404
    kept = await rows(database, "SELECT passwordhash FROM useraccount")
    assert kept[0][0].startswith("$argon2id$")


async def test_a_link_expires_and_a_later_one_takes_its_place(comes: Comes, database: Database) -> None:
    first = await invited(comes, database)
    admin = comes(await key_of(database, "admin"))
    second = (await admin.post("/users/1/link")).json()
    assert (await comes(**HTML).get(first)).status_code == 404
    path = f"/sign-in/{second['link'].rpartition('/')[2]}"
    assert (await comes(**HTML).get(path)).status_code == 200
    await execute(database, "UPDATE signinlink SET expiresat = now() - interval '1 second'")
    assert (await comes(**HTML).get(path)).status_code == 404


async def test_a_browser_signs_in_and_goes_on_where_it_was(comes: Comes, database: Database) -> None:
    await signed_in(comes, database)
    browser = comes(**HTML)
    asked = await browser.get("/jobs?state=failing")
    assert asked.status_code == 303
    page = await browser.get(asked.headers["location"])
    back = re.search(r'name="back" value="([^"]*)"', page.text)
    assert back is not None
    answer = await sign_in(browser, PASSWORD, name=" Anna@Example.com ", back=back[1])
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failing")
    assert (await browser.get("/sign-in")).headers["location"] == "/overview"
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        assert (await sign_in(browser, PASSWORD, back=elsewhere)).headers["location"] == "/overview"


async def test_what_is_wrong_is_not_told_apart(comes: Comes, database: Database) -> None:
    await signed_in(comes, database)
    await invited(comes, database, name="new@example.com")
    said = set()
    for name in ("anna@example.com", "new@example.com", "nobody@example.com", ""):
        answer = await sign_in(comes(**HTML), "wrong password here", name=name)
        said.add((answer.status_code, answer.text.replace(name, "") if name else answer.text))
    assert {status for status, _ in said} == {401}
    assert len(said) == 1
    refused = await rows(database, "SELECT after ->> 'name' FROM jobchange WHERE action = 'signinrefused'")
    assert {row[0] for row in refused} == {"anna@example.com", "new@example.com", "nobody@example.com", ""}


async def test_after_twenty_failures_a_password_is_of_no_use_but_all_else_is(
    comes: Comes, database: Database
) -> None:
    browser = await signed_in(comes, database)
    for _ in range(20):
        assert (await sign_in(comes(**HTML), "wrong password here")).status_code == 401
    assert (await sign_in(comes(**HTML), PASSWORD)).status_code == 429
    # By another name from the same address, and by that name from elsewhere.
    assert (await sign_in(comes(**HTML), "x", name="carl")).status_code == 429
    assert (await browser.get("/jobs")).status_code == 200
    admin = comes(await key_of(database, "admin"))
    link = (await admin.post("/users/1/link")).json()["link"].rpartition("/")[2]
    again = comes(**HTML)
    data = {"password": "another long password", "again": "another long password"}
    assert (await again.post(f"/sign-in/{link}", data=data)).status_code == 303
    await execute(database, "UPDATE signintry SET at = now() - interval '61 minutes'")
    assert (await sign_in(comes(**HTML), "another long password")).status_code == 303
    # A success counts as no failure, and what is an hour old is forgotten.
    assert await scalar(database, "SELECT count(*) FROM signintry") == 0


@pytest.mark.parametrize(("trusted", "counted"), [((), ADDRESS[0]), (("10.0.0.0/8",), "203.0.113.9")])
async def test_tries_are_counted_by_the_address_that_a_trusted_proxy_names(
    database: Database, settings: Settings, weakly: None, trusted: tuple[str, ...], counted: str
) -> None:
    own = {"auth": Auth.REQUIRED, "trusted_proxies": tuple(map(ip_network, trusted))}
    async with LifespanManager(create_app(settings.model_copy(update=own))) as manager:
        transport = ASGITransport(manager.app, client=ADDRESS)
        async with AsyncClient(transport=transport, base_url="http://localhost", headers=HTML) as browser:
            for said in ("203.0.113.9", "1.1.1.1, 203.0.113.9, 10.1.2.3"):
                await browser.post("/sign-in", data={"name": "anna"}, headers={"x-forwarded-for": said})
            assert await scalar(database, "SELECT DISTINCT address FROM signintry") == counted
            for said in ("", "no address", "10.0.0.1,,"):
                answer = await browser.post("/sign-in", data={"name": "x"}, headers={"x-forwarded-for": said})
                assert answer.status_code == 401


async def test_a_session_is_new_each_time_and_ends(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    first = browser.cookies["session"]
    other = comes(**HTML)
    other.cookies.set("session", "of my choosing", domain="localhost.local")
    await sign_in(other, PASSWORD)
    assert {first, "of my choosing"}.isdisjoint({other.cookies["session"]})
    # Two tabs, and one of them signs out.
    assert (await browser.post("/sign-out")).headers["location"] == "/sign-in"
    thief = comes(**HTML)
    assert (await thief.get("/jobs", headers={"cookie": f"session={first}"})).status_code == 303
    assert (await other.get("/jobs")).status_code == 200
    for column, age in (("seenat", "8 hours"), ("createdat", "24 hours")):
        await sign_in(other, PASSWORD)
        assert (await other.get("/jobs")).status_code == 200
        await execute(database, f"UPDATE usersession SET {column} = {column} - interval '{age}'")
        assert (await other.get("/jobs")).status_code == 303


async def test_signing_out_everywhere_else_leaves_this_session(comes: Comes, database: Database) -> None:
    browser, other = await signed_in(comes, database), comes(**HTML)
    await sign_in(other, PASSWORD)
    assert (await browser.get("/account")).text.count("<tr>") == 3
    assert (await browser.post("/account/sign-out")).status_code == 303
    assert (await other.get("/jobs")).status_code == 303
    assert (await browser.get("/jobs")).status_code == 200


async def test_a_password_is_changed_by_who_knows_it(comes: Comes, database: Database) -> None:
    browser, other = await signed_in(comes, database), comes(**HTML)
    await sign_in(other, PASSWORD)
    new = {"password": "a quite different one", "again": "a quite different one"}
    wrong = await browser.post("/account/password", data=new | {"current": "not this one"})
    assert (wrong.status_code, 'id="error-current"' in wrong.text) == (422, True)
    assert (await browser.post("/account/password", data=new | {"current": PASSWORD})).status_code == 303
    assert (await browser.get("/jobs")).status_code == 200
    assert (await other.get("/jobs")).status_code == 303
    assert (await sign_in(other, PASSWORD)).status_code == 401
    assert (await sign_in(other, "a quite different one")).status_code == 303


async def test_a_user_who_is_removed_is_out(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    admin = comes(await key_of(database, "admin"))
    assert (await admin.delete("/users/1")).status_code == 204
    assert (await browser.get("/jobs")).status_code == 303
    assert (await sign_in(browser, PASSWORD)).status_code == 401
    assert (await admin.delete("/users/1")).status_code == 404


async def test_the_only_admin_stays_one(comes: Comes, database: Database) -> None:
    await invited(comes, database, role="admin")
    admin = comes(await key_of(database, "admin"))
    assert (await admin.delete("/users/1")).json()["code"] == "last_admin"
    assert (await admin.patch("/users/1", json={"role": "viewer"})).json()["code"] == "last_admin"
    await invited(comes, database, name="bert", role="admin")
    assert (await admin.patch("/users/1", json={"role": "viewer"})).json()["role"] == "viewer"
    assert (await admin.delete("/users/1")).status_code == 204


async def test_a_role_that_changes_holds_at_once(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    assert (await browser.get("/jobs?form=true")).status_code == 200
    admin = comes(await key_of(database, "admin"))
    assert (await admin.post("/users/1/edit", data={"role": "viewer"}, headers=HTML)).status_code == 303
    assert (await browser.post("/jobs", json={"jobname": "Sync", "interval": 60})).status_code == 403


async def test_names_are_told_apart_without_regard_to_case(comes: Comes, database: Database) -> None:
    await invited(comes, database)
    admin = comes(await key_of(database, "admin"))
    taken = await admin.post("/users", json={"name": "ANNA@example.com", "role": "viewer"})
    assert [error["pointer"] for error in taken.json()["errors"]] == ["/name"]
    for wrong in ("", "a b", "<b>", "é", "-a", "x" * 101):
        answer = await admin.post("/users", json={"name": wrong, "role": "viewer"})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/name"], wrong


async def test_what_a_user_does_names_them(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    await browser.post("/jobs", json={"jobname": "Sync", "interval": 60})
    page = (await browser.get("/jobs/1")).text
    assert "anna@example.com" in page
    found = await rows(
        database, "SELECT action, actor, client FROM jobchange WHERE client LIKE 'anna%' ORDER BY changeid"
    )
    assert [tuple(row) for row in found] == [
        (action, "user", "anna@example.com") for action in ("passwordset", "signedin", "created")
    ]


@pytest.mark.parametrize(
    ("base", "headers", "name", "said"),
    [
        ("http://localhost", {}, "session", False),
        ("http://scheduler.example.com", {}, "__Host-session", True),
        ("http://scheduler.example.com", {"x-forwarded-proto": "https"}, "__Host-session", False),
        ("https://scheduler.example.com", {}, "__Host-session", False),
    ],
)
async def test_a_session_is_kept_by_what_cannot_be_read_on_the_way(
    comes: Comes, database: Database, base: str, headers: dict[str, str], name: str, said: bool
) -> None:
    await signed_in(comes, database)
    browser = comes(base=base, **HTML, **headers)
    assert ("not loaded over HTTPS" in (await browser.get("/sign-in")).text) is said
    cookie = (await sign_in(browser, PASSWORD)).headers["set-cookie"]
    assert cookie.startswith(f"{name}=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=86400"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert ("Secure" in cookie) is name.startswith("__Host-")
    assert "Domain" not in cookie


async def test_a_page_of_another_site_signs_nobody_in_or_out(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    for path, data in (
        ("/sign-out", {}),
        ("/sign-in", {"name": "x", "password": "y"}),
        ("/keys", {"name": "x"}),
    ):
        for header in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await browser.post(path, data=data, headers=header)).status_code == 403
    assert (await browser.get("/jobs")).status_code == 200


async def test_readiness_tells_strangers_no_more_than_whether(comes: Comes, database: Database) -> None:
    assert (await comes().get("/readyz")).json() == {"status": "ok", "checks": {}}
    member = comes(await key_of(database, "viewer"))
    assert (await member.get("/readyz")).json()["checks"]["database"] == "ok"


async def test_a_session_that_was_known_a_moment_ago_is_over_after_a_second(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(doorkeeper, "KNOWN_SECONDS", 1.0)
    monkeypatch.setattr(doorkeeper, "monotonic", lambda: clock[0])
    browser = await signed_in(comes, database)
    assert (await browser.get("/jobs")).status_code == 200
    await execute(database, "DELETE FROM usersession")
    assert (await browser.get("/jobs")).status_code == 200
    clock[0] += 1.0
    assert (await browser.get("/jobs")).status_code == 303
