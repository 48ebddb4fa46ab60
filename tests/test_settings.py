"""Settings: where they come from, and which values they refuse."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from scheduler_api.actors import Grant, Role, Roles, roles_of
from scheduler_api.admission import require_coherent
from scheduler_api.errors import Misconfigured
from scheduler_api.settings import Auth, Settings, unknown_variables


def test_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_TICKER", "off")
    monkeypatch.setenv("SCHEDULER_AUTH", "off")
    monkeypatch.setenv("SCHEDULER_ALLOWED_HOSTS", " a.example , b.example ")
    settings = Settings()
    assert not settings.ticker
    assert settings.auth is Auth.OFF
    assert settings.allowed_hosts == ("a.example", "b.example")


def test_the_url_may_be_spelled_as_people_do() -> None:
    address = Settings.model_validate({"database_url": "postgres://u:p@h/d"}).address
    assert address is not None
    assert address.dsn == "postgresql://u:p@h/d"
    assert Settings().address is None


def test_what_looks_like_a_setting_and_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SCHEDULER_PORT=5001\nSCHEDULER_POTR=5002\nOTHER=1\n")
    assert Settings().port == 5001
    environment = {"SCHEDULER_DATABASE_ULR": "x", "scheduler_ticker": "off", "SCHEDULER": "x", "HOME": "/"}
    assert unknown_variables(environment) == [
        "There is no setting SCHEDULER_DATABASE_ULR. Did you mean SCHEDULER_DATABASE_URL?",
        "There is no setting SCHEDULER_POTR. Did you mean SCHEDULER_PORT?",
    ]
    monkeypatch.setenv("SCHEDULER_PORT", "5003")
    assert Settings().port == 5003


@pytest.mark.parametrize("given", ["", "nonsense", "mysql://h/d", "sqlite:///x.db"])
def test_other_urls_are_refused_without_repeating_a_password(given: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"database_url": given.replace("//h", "//u:hunter2@h")})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("scheduler.example", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(host: str, local: bool) -> None:
    assert Settings.model_validate({"host": host}).binds_loopback() is local


def test_secrets_do_not_show() -> None:
    settings = Settings.model_validate({"database_url": "postgresql://u:hunter2@h/d"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_roles_are_given_to_groups() -> None:
    given = "admin=platform, operator=on call ,editor=cn=dev,viewer=*,admin=user:root"
    roles = Settings.model_validate({"roles": given}).roles
    assert roles[:3] == (
        Grant(Role.ADMIN, "platform"), Grant(Role.OPERATOR, "on call"), Grant(Role.EDITOR, "cn=dev"),
    )  # fmt: skip
    for name, groups, role in (
        ("anna", [], Role.VIEWER),
        ("anna", ["on call", "cn=dev"], Role.EDITOR),
        ("root", [], Role.ADMIN),
        # What somebody calls a group, or oneself, is no more than that.
        ("platform", ["root", "user:root", "*"], Role.VIEWER),
    ):
        assert roles_of(name, groups, roles) == Roles(role)
    assert not roles_of("anna", ["strangers"], roles[:3]).is_any
    given = "editor@billing=finance,viewer@billing=*,operator@crm=finance"
    roles = Settings.model_validate({"roles": given}).roles
    expected = {"billing": Role.EDITOR, "crm": Role.OPERATOR}
    assert roles_of("anna", ["finance"], roles) == Roles(None, expected)


@pytest.mark.parametrize("given", ["platform", "owner=platform", "admin=", "=platform", "admin=user:"])
def test_what_gives_no_role_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="must be a role, = and a group"):
        Settings.model_validate({"roles": given})


@pytest.mark.parametrize(
    ("issuer", "fine"),
    [
        ("https://login.example.com/realms/team", True),
        ("http://localhost:8080", True),
        ("http://identity.localhost:9000", True),
        ("http://localhost.example.com", False),
        ("http://login.example.com", False),
        ("https://", False),
        ("https://login.example.com/?a=b", False),
        ("https://u:p@login.example.com", False),
    ],
)
def test_an_issuer_is_spoken_to_in_private(issuer: str, fine: bool) -> None:
    if fine:
        assert Settings.model_validate({"oidc_issuer": issuer}).oidc_issuer == issuer
        return
    with pytest.raises(ValidationError):
        Settings.model_validate({"oidc_issuer": issuer})


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"auth": "off"}, "SCHEDULER_ALLOWED_HOSTS"),
        ({"oidc_issuer": "https://a.example"}, "SCHEDULER_AUTH=required"),
        ({"auth": "required", "oidc_issuer": "https://a.example"}, "SCHEDULER_ROLES"),
        ({"auth": "required", "oidc_issuer": "https://a.example", "roles": "viewer=*"}, "OIDC_CLIENT_ID"),
        ({"auth": "required", "proxy_user_header": "Remote-User", "roles": "viewer=*"}, "TRUSTED_PROXIES"),
        ({"auth": "required", "proxy_groups_header": "Remote-Groups"}, "SCHEDULER_PROXY_USER_HEADER"),
    ],
)
def test_half_of_a_way_in_is_none(given: dict[str, str], missing: str) -> None:
    with pytest.raises(Misconfigured, match=missing):
        require_coherent(Settings.model_validate(given))
