"""Where the database is: addresses as libpq spells them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

#: Seconds to wait for a new connection, unless the address says otherwise; and at most.
CONNECT_TIMEOUT, MAX_CONNECT_TIMEOUT = 3, 60
SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg"}
DEFAULT_PORT, MAX_PORT = "5432", 65_535

#: What the driver understands, with the values that it takes where those are few.
PASSED: dict[str, set[str] | None] = {
    "host": None,
    "port": None,
    "dbname": None,
    "user": None,
    "password": None,
    "passfile": None,
    "service": None,
    "options": None,
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "sslcert": None,
    "sslkey": None,
    "sslrootcert": None,
    "sslcrl": None,
    "sslpassword": None,
    "sslnegotiation": {"postgres", "direct"},
    "ssl_min_protocol_version": None,
    "ssl_max_protocol_version": None,
    "target_session_attrs": {"any", "primary", "standby", "read-write", "read-only", "prefer-standby"},
    "krbsrvname": None,
    "gsslib": None,
}
#: What the service settles by itself, or what makes no difference to it, with the values that ask for that.
SETTLED: dict[str, set[str] | None] = {
    # Each of its connections has a name that says what it is for.
    "application_name": None,
    "fallback_application_name": None,
    "client_encoding": {"utf8", "utf-8", "auto", "unicode"},
    # They are on, on both sides.
    "keepalives": {"1"},
    "keepalives_idle": None,
    "keepalives_interval": None,
    "keepalives_count": None,
    "tcp_user_timeout": None,
    "sslcompression": {"0"},
    "sslsni": {"1"},
    "channel_binding": {"disable", "prefer"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
}
#: What the driver cannot do, and what to write instead.
REFUSED = {
    "hostaddr": "give the address as the host",
    "channel_binding": "the driver cannot bind channels; use sslmode=verify-full",
    "gssencmode": "the driver cannot encrypt with GSSAPI; use sslmode",
    "keepalives": "they are always on",
    "sslsni": "the name of the host is always sent",
    "load_balance_hosts": "name the hosts in the order in which to try them",
    "requirepeer": "use sslmode=verify-full",
    "require_auth": "use sslmode=verify-full",
    "replication": "the service needs an ordinary connection",
    "client_encoding": "the service speaks UTF-8",
}
#: What other programs call them.
OTHER_NAMES = {"ssl": "sslmode", "database": "dbname"}


@dataclass(frozen=True)
class Address:
    """Where the database is. Its password shows nowhere but in `dsn`."""

    dsn: str = field(repr=False)
    """For the driver."""
    shown: str
    """For people: hosts, ports and database."""
    timeout: float = CONNECT_TIMEOUT
    """Seconds to wait for a new connection."""

    @classmethod
    def of(cls, text: str) -> "Address":
        """The address that a URL means. Raises ValueError with a sentence that repeats no secret."""
        if text.partition("://")[0] not in SCHEMES or "://" not in text:
            raise ValueError("must start with postgresql:// (or postgres://, or postgresql+asyncpg://)")
        _check_encoding(text)
        try:
            parts = urlsplit(text)
        except ValueError:
            # It says what it stumbled over, which may be a part of the password.
            raise ValueError("cannot be read; percent-encode the special characters in it") from None
        auth, _, hosts = parts.netloc.rpartition("@")
        given = _parameters(parts.query)
        _check_once(auth, hosts, parts.path, given)
        timeout = _timeout(given.pop("connect_timeout", str(CONNECT_TIMEOUT)))
        places = _places(hosts)
        query = {name: value for name, value in given.items() if name in PASSED}
        dsn = f"postgresql://{auth}{'@' if auth else ''}{hosts}{parts.path}"
        shown = _shown(places or _places_of(given), given.get("dbname") or unquote(parts.path[1:]))
        return cls(dsn + (f"?{urlencode(query, quote_via=quote)}" if query else ""), shown, timeout)


def _check_encoding(text: str) -> None:
    """Refuse characters that end a user or a password where they were not meant to, without repeating any."""
    if not text.isprintable() or " " in text:
        raise ValueError("has a space or an invisible character; percent-encode it")
    authority, _, rest = text.partition("://")[2].partition("/")
    if "#" in text:
        raise ValueError("has a #; in a user or a password write %23 for it")
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("has a % that encodes nothing; in a user or a password write %25 for it")
    user, at, hosts = authority.partition("?")[0].rpartition("@")
    if not at and "@" in authority + rest.partition("?")[2]:
        raise ValueError("has a ? before the @; in a user or a password write %3F for it")
    if "@" in user or "@" in rest.partition("?")[0]:
        raise ValueError("has an @ or a / in a user or a password; write %40 for @ and %2F for /")
    if "[" in user or "]" in user or hosts.count("[") != hosts.count("]"):
        raise ValueError("has a [ or a ]; in a user or a password write %5B and %5D for them")


def _check_once(auth: str, hosts: str, path: str, given: Mapping[str, str]) -> None:
    """Nothing is said twice: the driver and libpq would heed another one of the two."""
    user, colon, _ = auth.partition(":")
    said = {"user": user, "password": colon, "host": hosts, "port": hosts, "dbname": path.strip("/")}
    for name, is_there in said.items():
        if is_there and name in given:
            raise ValueError(f"has the parameter {name} beside what stands before the ?; give it once")


def _parameters(query: str) -> dict[str, str]:
    """The parameters of a query, by the names of libpq; those that make no difference are left out."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ValueError("has a query that is no list of name=value") from None
    found: dict[str, str] = {}
    for spelled, value in pairs:
        name = OTHER_NAMES.get(spelled, spelled)
        if name in found:
            raise ValueError(f"has the parameter {name} twice")
        found[name] = value if name == "connect_timeout" else _checked(name, value)
    return found


def _checked(name: str, value: str) -> str:
    """The value as the driver spells it."""
    known = PASSED | SETTLED
    if name not in known:
        if name in REFUSED:
            _refuse(name)
        near = "".join(f"; did you mean {other}?" for other in get_close_matches(name, known, 1))
        raise ValueError(f"has the parameter {name}, which there is not{near}")
    values = known[name]
    if values is not None and value.lower() not in values:
        if name in REFUSED:
            _refuse(name)
        raise ValueError(f"has the parameter {name}, which must be one of {', '.join(sorted(values))}")
    return value if values is None else value.lower()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"has the parameter {name}, which cannot be heeded: {REFUSED[name]}")


def _timeout(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}", text):
        raise ValueError("has the parameter connect_timeout, which must be a whole number of seconds")
    # 0 means to wait for ever.
    return float(min(int(text) or MAX_CONNECT_TIMEOUT, MAX_CONNECT_TIMEOUT))


def _places(hosts: str) -> list[tuple[str, str]]:
    """Each host of a list with its port."""
    if not hosts:
        return []
    found = []
    for place in hosts.split(","):
        host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not colon:
            host, port = place, DEFAULT_PORT
        found.append(_place(unquote(host), port))
    return found


def _place(host: str, port: str) -> tuple[str, str]:
    # It may be a password that lacks its host: not to be repeated.
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= MAX_PORT:
        raise ValueError(
            f"has a port that is no number from 1 to {MAX_PORT:,}; write user:password@host:port/database"
        )
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("has a host with a colon; put an IPv6 address in brackets")
    try:
        is_name = bool(host) and bool(host.encode("idna"))
    except UnicodeError:
        is_name = host.startswith("/")
    if not is_name:
        raise ValueError("has a host that is empty, or no name")
    return host, port


def _places_of(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """The same of hosts that are given as parameters."""
    hosts = parameters.get("host", "localhost").split(",")
    ports = parameters.get("port", DEFAULT_PORT).split(",")
    if len(ports) not in {1, len(hosts)}:
        raise ValueError("has the parameter port, which must be one for all hosts, or one for each")
    each = ports if len(ports) > 1 else ports * len(hosts)
    return [_place(host, port) for host, port in zip(hosts, each, strict=True)]


def _shown(places: list[tuple[str, str]], database: str) -> str:
    hosts = ",".join(host if host.startswith("/") else f"{host}:{port}" for host, port in places)
    return f"{hosts}/{database}" if database else hosts
