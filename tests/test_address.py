"""Addresses of databases, as clouds, poolers and people spell them."""

import pytest

from scheduler_api.address import Address


@pytest.mark.parametrize(
    ("text", "dsn", "shown"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d", "h:5432/d"),
        ("postgresql+asyncpg://h:5433/d?ssl=require", "postgresql://h:5433/d?sslmode=require", "h:5433/d"),
        (
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
            "h1:5432,h2:5433/db",
        ),
        ("postgresql://u:p%40ss@h/d", "postgresql://u:p%40ss@h/d", "h:5432/d"),
        ("postgresql://[::1]:5433/d", "postgresql://[::1]:5433/d", "[::1]:5433/d"),
        ("postgresql://[::1]/d", "postgresql://[::1]/d", "[::1]:5432/d"),
        ("postgresql:///d?host=/run/pg&user=u", "postgresql:///d?host=%2Frun%2Fpg&user=u", "/run/pg/d"),
        (
            "postgresql://?host=h1,h2&port=1,2&dbname=d",
            "postgresql://?host=h1%2Ch2&port=1%2C2&dbname=d",
            "h1:1,h2:2/d",
        ),
        (
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/a%20b.pem&channel_binding=prefer",
            "postgresql://h/d?sslmode=verify-full&sslrootcert=%2Fa%20b.pem",
            "h:5432/d",
        ),
        ("postgresql://h/d?application_name=x&keepalives_idle=9", "postgresql://h/d", "h:5432/d"),
        ("postgresql://h/d?options=-c%20geqo%3Doff", "postgresql://h/d?options=-c%20geqo%3Doff", "h:5432/d"),
    ],
)
def test_what_is_heeded(text: str, dsn: str, shown: str) -> None:
    address = Address.of(text)
    assert (address.dsn, address.shown, address.timeout) == (dsn, shown, 3)


def test_values_are_spelled_as_the_driver_does() -> None:
    text = "postgresql://h/d?sslmode=REQUIRE&target_session_attrs=Any"
    assert Address.of(text).dsn == "postgresql://h/d?sslmode=require&target_session_attrs=any"


@pytest.mark.parametrize(("given", "timeout"), [("10", 10), ("0", 60), ("3600", 60)])
def test_how_long_a_connection_may_take(given: str, timeout: float) -> None:
    address = Address.of(f"postgresql://h/d?connect_timeout={given}")
    assert (address.timeout, address.dsn) == (timeout, "postgresql://h/d")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must start with"),
        ("hunter2", "must start with"),
        ("mysql://u:hunter2@h/d", "must start with"),
        ("postgresql://u:hunter2@more@h/d", "write %40"),
        ("postgresql://u:hunter2/x@h/d", "write %40 for @ and %2F"),
        ("postgresql://u:hunter2#x@h/d", "write %23"),
        ("postgresql://u:hunter2/d", "a port that is no number"),
        ("postgresql://u:hunter2@h:x/d", "a port that is no number"),
        ("postgresql://u:hunter2@h/d?sslmode=on", "sslmode, which must be one of allow, disable"),
        ("postgresql://u:hunter2@h/d?target_session_attr=any", "did you mean target_session_attrs?"),
        ("postgresql://u:hunter2@h/d?channel_binding=require", "channel_binding, which cannot be heeded"),
        ("postgresql://u:hunter2@h/d?hostaddr=10.0.0.1", "hostaddr, which cannot be heeded"),
        ("postgresql://u:hunter2@h/d?gssencmode=require", "gssencmode, which cannot be heeded"),
        ("postgresql://u:hunter2@h/d?connect_timeout=soon", "connect_timeout, which must be"),
        ("postgresql://u:hunter2@h/d?sslmode=require&sslmode=prefer", "sslmode twice"),
        ("postgresql://u:hunter2@h/d?x", "no list of name=value"),
        ("postgresql://u:p?hunter2=1@h/d", "write %3F"),
        ("postgresql://u:hunt?er2@h/d", "write %3F"),
        ("postgresql://u:[hunter2@h/d", "write %5B and %5D"),
        ("postgresql://u:se[hunter2]et@h/d", "write %5B and %5D"),
        ("postgresql://u:hunter2%@h/d", "write %25"),
        ("postgresql://u:hunter2\t@h/d", "percent-encode it"),
        ("postgresql://u:hunter2\u2100@h/d", "cannot be read"),
        ("postgresql://u:hunter2@h\u2100st/d", "cannot be read"),
        ("postgresql://u:hunter2@h:99999/d", "from 1 to 65,535"),
        ("postgresql://u:hunter2@h:5432,/d", "empty, or no name"),
        ("postgresql://u:hunter2@h..x/d", "empty, or no name"),
        ("postgresql://u:hunter2@%ff/d", "empty, or no name"),
        ("postgresql://u:hunter2@::1/d", "in brackets"),
        ("postgresql://u:hunter2@/d?host=a,b,c&port=1,2", "one for each"),
        ("postgresql://u:hunter2@/d?host=,b&port=1,2", "empty, or no name"),
        ("postgresql://u:hunter2@h/d?host=/tmp", "host beside what stands before"),
        ("postgresql://u:hunter2@h/d?port=1", "port beside what stands before"),
        ("postgresql://u:hunter2@h/d?user=x", "user beside what stands before"),
        ("postgresql://u:hunter2@h/d?password=x", "password beside what stands before"),
        ("postgresql://u:hunter2@h/d?dbname=x", "dbname beside what stands before"),
    ],
)
def test_what_is_not_is_named_without_the_password(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has|cannot) ") as raised:
        Address.of(text)
    assert sentence in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_password_does_not_show() -> None:
    address = Address.of("postgresql://u:hunter2@h/d")
    assert "hunter2" not in f"{address!r} {address.shown}"
