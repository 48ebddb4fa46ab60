"""Users: invited, signed in by password or link, signed out."""

import asyncio
import re
from collections import Counter
from ipaddress import ip_network

import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient, Response

from scheduler_api.app import create_app
from scheduler_api.database.access import sessions as session_statements
from scheduler_api.database.engine import Database
from scheduler_api.errors import DatabaseUnavailable, ServiceBusy
from scheduler_api.settings import Auth, Settings
from scheduler_api.workers import doorkeeper, passwords
from scheduler_api.workers.change_feed import ChangeFeed
from scheduler_api.workers.passwords import Passwords
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
        "kind": "user", "name": "anna@example.com", "role": "editor", "projects": {},
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
    browser = await signed_in(comes, database)
    await invited(comes, database, name="new@example.com")
    said = set()
    for name in ("anna@example.com", "new@example.com", "nobody@example.com", ""):
        answer = await sign_in(comes(**HTML), "wrong password here", name=name)
        said.add((answer.status_code, answer.text.replace(name, "") if name else answer.text))
    assert {status for status, _ in said} == {401}
    assert len(said) == 1
    # How much changes here is nobody's business who has not signed in, and would differ from page to page.
    assert "data-mark" not in next(iter(said))[1]
    assert "data-mark" in (await browser.get("/overview")).text
    refused = await rows(database, "SELECT after ->> 'name' FROM auditevent WHERE action = 'signinrefused'")
    # Some type the password where the name belongs.
    assert {row[0] for row in refused} == {"anna@example.com", "new@example.com", None}


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
            for said in (
                "203.0.113.9",
                "1.1.1.1, 203.0.113.9, 10.1.2.3",
                "203.0.113.9:4711",
                "::ffff:203.0.113.9",
            ):
                await browser.post("/sign-in", data={"name": "anna"}, headers={"x-forwarded-for": said})
            # What the client says stands in a line of its own, before that of the proxy.
            two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")]
            await browser.post("/sign-in", data={"name": "anna"}, headers=two)
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
        database, "SELECT action, actor, client FROM auditevent WHERE client LIKE 'anna%' ORDER BY changeid"
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


async def test_at_once_there_are_no_more_tries_than_one_after_another(
    comes: Comes, database: Database
) -> None:
    await signed_in(comes, database)
    clients = [comes(**HTML) for _ in range(40)]
    answers = await asyncio.gather(*(sign_in(client, "wrong password here") for client in clients))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[401] + statuses[503] <= 20
    assert statuses[429] == 40 - statuses[401] - statuses[503]


async def test_a_try_that_nobody_looked_at_is_no_failure(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_in(comes, database)

    async def crowded(*_: object) -> bool:
        raise ServiceBusy("Too many.")

    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "is_right", crowded)
        for _ in range(21):
            assert (await sign_in(comes(**HTML), PASSWORD)).status_code == 503
    assert (await sign_in(comes(**HTML), PASSWORD)).status_code == 303


@pytest.mark.parametrize("change", ["UPDATE useraccount SET passwordhash = 'x'", "DELETE FROM useraccount"])
async def test_a_password_that_is_another_by_now_lets_nobody_in(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await signed_in(comes, database)
    look = Passwords.is_right

    async def slowly(self: Passwords, kept: str | None, given: str) -> bool:
        found = await look(self, kept, given)
        await execute(database, change)
        return found

    monkeypatch.setattr(Passwords, "is_right", slowly)
    assert (await sign_in(comes(**HTML), PASSWORD)).status_code == 401


async def test_of_many_links_at_once_the_last_one_works(comes: Comes, database: Database) -> None:
    await invited(comes, database)
    admin = comes(await key_of(database, "admin"))
    answers = await asyncio.gather(*(admin.post("/users/1/link") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert await scalar(database, "SELECT count(*) FROM signinlink") == 1


async def test_a_link_that_is_used_twice_at_once_lets_in_once(comes: Comes, database: Database) -> None:
    path = await invited(comes, database)
    given = {"password": PASSWORD, "again": PASSWORD}
    answers = await asyncio.gather(*(comes(**HTML).post(path, data=given) for _ in range(6)))
    assert Counter(answer.status_code for answer in answers) == {303: 1, 404: 5}
    assert await scalar(database, "SELECT count(*) FROM usersession") == 1


async def test_to_sign_out_ends_the_session_or_says_that_it_did_not(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await signed_in(comes, database)
    token = browser.cookies["session"]
    with monkeypatch.context() as patch:
        patch.setattr(doorkeeper.Doorkeeper, "by_session", failing)
        assert (await browser.post("/sign-out")).status_code == 303
    thief = comes(**HTML)
    assert (await thief.get("/jobs", headers={"cookie": f"session={token}"})).status_code == 303
    assert await scalar(database, "SELECT count(*) FROM auditevent WHERE action = 'signedout'") == 1
    # Who has not signed in leaves nothing behind.
    await comes(**HTML).post("/sign-out")
    await comes(**HTML).post("/sign-out", headers={"cookie": "session=nothing"})
    assert await scalar(database, "SELECT count(*) FROM auditevent WHERE action = 'signedout'") == 1


async def failing(*_: object, **__: object) -> None:
    raise DatabaseUnavailable("It does not answer.")


async def test_signing_in_again_ends_the_session_that_it_takes_the_place_of(
    comes: Comes, database: Database
) -> None:
    browser = await signed_in(comes, database)
    for _ in range(3):
        await sign_in(browser, PASSWORD)
    assert await scalar(database, "SELECT count(*) FROM usersession") == 1


async def test_of_very_many_sessions_the_oldest_end(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_statements, "MAX_SESSIONS", 3)
    browser = await signed_in(comes, database)
    for _ in range(4):
        await sign_in(comes(**HTML), PASSWORD)
    assert await scalar(database, "SELECT count(*) FROM usersession") == 3
    assert (await browser.get("/jobs")).status_code == 303


async def test_a_page_that_follows_by_itself_does_not_keep_a_session(
    comes: Comes, database: Database
) -> None:
    browser = await signed_in(comes, database)
    await execute(database, "UPDATE usersession SET seenat = now() - interval '7 hours'")
    assert (await browser.get("/jobs", headers={"x-live": "1"})).status_code == 200
    old = "SELECT now() - seenat > interval '6 hours' FROM usersession"
    assert await scalar(database, old)
    await browser.get("/jobs")
    assert not await scalar(database, old)


@pytest.mark.parametrize(
    "body",
    [
        b"name=a%00b&password=x",
        b"name=anna&password=a%00b",
        b"name=" + b"x" * 5000,
        b"name=%F0%9F%92%A9&password=%F0%9F%92%A9",
    ],
)
async def test_odd_input_is_refused_as_any_other(comes: Comes, database: Database, body: bytes) -> None:
    await signed_in(comes, database)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await comes(**HTML).post("/sign-in", content=body, headers=form)).status_code == 401


async def test_a_form_in_a_charset_with_half_characters_is_refused(comes: Comes) -> None:
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n+2AA-\r\n'
    body = (part.format("name") + part.format("password") + "--x--\r\n").encode()
    kind = {"content-type": "multipart/form-data; boundary=x; charset=utf-7"}
    assert (await comes(**HTML).post("/sign-in", content=body, headers=kind)).status_code in {400, 422}


async def test_what_a_stranger_sends_makes_no_page_look_again(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = []
    monkeypatch.setattr(ChangeFeed, "publish", lambda _: published.append(1))
    stranger = comes(**HTML)
    for path in ("/jobs/1/run", "/sign-out", "/jobs", "/sign-in"):
        await stranger.post(path, data={"name": "x"})
    assert not published
    await comes(await key_of(database, "operator")).post("/jobs/run")
    assert published


async def test_another_authorization_of_a_proxy_keeps_nobody_out(comes: Comes, database: Database) -> None:
    browser = await signed_in(comes, database)
    basic = {"authorization": "Basic YW5uYTpwYXNzd29yZA=="}
    assert (await browser.get("/jobs", headers=basic)).status_code == 200


async def test_who_has_signed_in_finds_the_way_from_a_page_of_an_error(
    comes: Comes, database: Database
) -> None:
    browser = await signed_in(comes, database)
    missing = await browser.get("/jobs/999")
    assert (missing.status_code, "anna@example.com" in missing.text) == (404, True)
    assert "anna@example.com" not in (await comes(**HTML).get("/nowhere")).text


async def test_a_flood_of_tries_costs_the_database_nothing(
    comes: Comes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 0)
    monkeypatch.setattr(passwords, "PAUSE", 0.0)
    answer = await comes(accept="text/html").post("/sign-in", data={"name": "anna", "password": "not one"})
    assert (answer.status_code, "Too many are signing in at once" in answer.text) == (503, True)
    assert await scalar(database, "SELECT count(*) FROM signintry") == 0
