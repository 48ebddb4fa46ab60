"""Which URLs a target may have, judged by their text alone.

An address is judged again when it is connected to: see `addresses`. What is refused here is what two
readers could take for two different hosts, and what no request can be sent to.
"""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address

from yarl import URL

from scheduler_api.targets import templates

MAX_LENGTH = 2000

_MAX_PORT = 65535
_MAX_HOST = 253
_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<colon>:(?P<port>.*))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def error_in(url: str) -> str | None:
    """What is wrong with `url`, as a sentence that tells what to do; None: nothing.

    Placeholders may stand in the path and the query.
    """
    if len(url) > MAX_LENGTH:
        return f"Shorten the URL to {MAX_LENGTH} characters."
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "Give a URL that begins with http:// or https://."
    end = _end_of_authority(url, scheme.end())
    authority = url[scheme.end() : end]
    if "{{" in authority:
        return "Write the host and the port out; placeholders may stand in the path and the query."
    rest = templates.without(url[end:])
    return (
        templates.error_in(url[end:])
        or _error_of_characters(authority + rest)
        or _error_of_authority(authority)
        or _error_of_parsing(scheme[0] + authority + rest)
    )


def host_of(url: str) -> str:
    """The key under which limits count: the encoded host, and the port unless it is the scheme's own."""
    parsed = URL(url)
    host = _host_of(parsed)
    if ":" in host:
        host = f"[{host}]"
    port = parsed.port
    return host if port is None or port == _PORTS.get(parsed.scheme) else f"{host}:{port}"


def origin_of(url: str) -> str:
    """Scheme, host and port: whoever answers there gets what is sent."""
    return f"{URL(url).scheme}://{host_of(url)}"


def address_of(url: str) -> str | None:
    """The IP address that the URL has in place of a name; None: it has a name."""
    host = _host_of(URL(url))
    return host if ":" in host or _ends_in_number(host) else None


def is_localhost(url: str) -> bool:
    """Whether the URL's name is one that always means this machine (RFC 6761)."""
    host = _host_of(URL(url))
    return host == "localhost" or host.endswith(".localhost")


def _end_of_authority(url: str, start: int) -> int:
    return min((position for mark in "/?#\\" if (position := url.find(mark, start)) >= 0), default=len(url))


def _error_of_characters(text: str) -> str | None:
    if "#" in text:
        return "Leave the # and what follows it out of the URL: it is never sent."
    if "\\" in text:
        return "Write %5C for each backslash in the URL."
    if " " in text or not text.isprintable():
        return "Percent-encode the spaces, line breaks and invisible characters of the URL."
    return None


def _error_of_authority(authority: str) -> str | None:
    if "@" in authority:
        return "Leave the user and the password out of the URL; send them in an Authorization header."
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        return "Give a host of letters, digits, dots and hyphens; put an IPv6 address in brackets."
    if parts["colon"]:
        port = parts["port"]
        if re.fullmatch("[0-9]{1,5}", port) is None or not 1 <= int(port) <= _MAX_PORT:
            return f"Give a port from 1 to {_MAX_PORT} after the colon, or leave the colon out."
    host = parts["host"]
    if host.startswith("["):
        return _error_of_ipv6(host[1:-1])
    return "Give a host after the scheme." if not host else _error_of_ipv4(host)


def _error_of_ipv6(text: str) -> str | None:
    if "%" in text:
        return "Leave the zone (after the %) out of the IPv6 address."
    try:
        IPv6Address(text)
    except ValueError:
        return "Put a valid IPv6 address in the brackets."
    return None


def _error_of_ipv4(host: str) -> str | None:
    """Numbers are an address only as four decimal ones: all other forms are read in different ways."""
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    if not _ends_in_number(plain):
        return None
    try:
        canonical = str(IPv4Address(host)) == host
    except ValueError:
        canonical = False
    return None if canonical else "Write the IPv4 address as four decimal numbers, such as 192.0.2.1."


def _ends_in_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def _error_of_parsing(url: str) -> str | None:
    """Judge the host as it will be looked up."""
    try:
        parsed = URL(url)
        host = parsed.raw_host or ""
    except ValueError:
        return "Give a URL that can be read: the host, or what follows it, is malformed."
    if ":" in host:
        return None
    name = host.lower().removesuffix(".")
    if len(name) > _MAX_HOST or not all(map(_LABEL.fullmatch, name.split("."))):
        return "Give a host of letters, digits, dots and hyphens."
    # The encoding of names may have made a number of what was none before.
    return _error_of_ipv4(name)


def _host_of(url: URL) -> str:
    host = (url.raw_host or "").lower().rstrip(".")
    if ":" not in host:
        return host
    address = IPv6Address(host)
    # Python has changed how it spells these; limits are kept under the name.
    return str(address) if address.ipv4_mapped is None else f"::ffff:{address.ipv4_mapped}"
