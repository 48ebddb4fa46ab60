"""Settings: where they come from, and which values they refuse."""

import pytest
from pydantic import ValidationError

from scheduler_api.settings import Auth, Settings


def test_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_TICKER", "off")
    monkeypatch.setenv("SCHEDULER_AUTH", "off")
    monkeypatch.setenv("SCHEDULER_ALLOWED_HOSTS", " a.example , b.example ")
    settings = Settings()
    assert not settings.ticker
    assert settings.auth is Auth.OFF
    assert settings.allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+asyncpg://h:5433/d?ssl=require", "postgresql+asyncpg://h:5433/d?ssl=require"),
        ("postgresql://h/d?sslmode=verify-full", "postgresql+asyncpg://h/d?ssl=verify-full"),
    ],
)
def test_the_url_may_be_spelled_as_people_do(given: str, driver: str) -> None:
    url = Settings.model_validate({"database_url": given}).external_url()
    assert url is not None
    assert url.render_as_string(hide_password=False) == driver


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
