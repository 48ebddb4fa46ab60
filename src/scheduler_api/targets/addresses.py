"""Which IP addresses may be called: those of the public Internet, and what the operator opens.

The tables follow the IANA registries of special-purpose addresses. Python's own judgement
(`is_global`) differs between its patch releases.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
#: What the operator names may be anywhere but where clouds hand out credentials.
ANYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

_SPECIAL_V4 = {
    IPv4Network(network): what
    for network, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "this machine"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "reserved for name servers"),
        ("192.52.193.0/24", "a relay"),
        ("192.88.99.0/24", "a relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved for name servers"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
}

#: Those with an IPv4 address inside, which a gateway may take out again.
_EMBEDDING = {
    IPv6Network(network): what
    for network, what in (
        ("::ffff:0:0:0/96", "an IPv4 address in disguise"),
        ("64:ff9b::/96", "an IPv4 address in disguise"),
        ("64:ff9b:1::/48", "an IPv4 address in disguise"),
        ("2001::/32", "a tunnel"),
        ("2002::/16", "a tunnel"),
    )
}

_SPECIAL_V6 = {
    IPv6Network("::1/128"): "this machine",
    **_EMBEDDING,
    **{
        IPv6Network(network): what
        for network, what in (
            ("::/96", "an IPv4 address in disguise"),
            ("2001::/23", "reserved for protocols"),
            ("2001:db8::/32", "for documentation"),
            ("2620:4f:8000::/48", "reserved for name servers"),
            ("3fff::/20", "for documentation"),
            ("fc00::/7", "private"),
            ("fe80::/10", "link-local"),
            ("ff00::/8", "multicast"),
        )
    },
}
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

#: Where clouds hand out credentials to whoever asks.
_METADATA = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "192.0.0.192",
            "fd00:ec2::23",
            "fd00:ec2::254",
            "fd20:ce::254",
        ),
    )
)


class Guard:
    """Refuses addresses that a request from the outside must not reach."""

    def __init__(self, networks: Sequence[Network] = (), *, loopback: bool = False) -> None:
        """Open `networks` on top of the public Internet; with `loopback`, this machine as well.

        The addresses at which clouds hand out credentials stay closed whatever is opened.
        """
        self._open = (*networks, *(_LOOPBACK if loopback else ()))

    def refusal(self, address: str) -> str | None:
        """Why `address` is not called, as a sentence; None: it may be."""
        if "%" in address:
            return f"The address {address} is not called: it is tied to a network interface."
        try:
            parsed = ip_address(address)
        except ValueError:
            return "What is no IP address is not called."
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        what = self._judge(parsed)
        return None if what is None else f"The address {address} is not called: it is {what}."

    def _judge(self, address: IPv4Address | IPv6Address) -> str | None:
        if address in _METADATA or any(inner in _METADATA for inner in _inside(address)):
            return "the metadata service of a cloud"
        if any(address in network for network in self._open):
            return None
        if isinstance(address, IPv4Address):
            return next((what for network, what in _SPECIAL_V4.items() if address in network), None)
        special = next((what for network, what in _SPECIAL_V6.items() if address in network), None)
        if special is None and address not in _GLOBAL_UNICAST:
            return "not one of the public Internet"
        return special


def _inside(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that any of the embeddings would find in the address."""
    if isinstance(address, IPv4Address):
        return
    if int(address) >> 32 and not any(address in network for network in _EMBEDDING):
        return
    bits = int(address)
    last = bits & 0xFFFFFFFF
    yield IPv4Address(last)
    # Teredo inverts it.
    yield IPv4Address(last ^ 0xFFFFFFFF)
    # 6to4, and Teredo's server, have it in front.
    yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    yield IPv4Address(bits >> 64 & 0xFFFFFFFF)
    # RFC 6052 splits it around the bits 64 to 71 where the prefix has 48 of them.
    yield IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)
