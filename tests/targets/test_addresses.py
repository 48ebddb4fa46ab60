"""Which addresses may be called."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets import Guard

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "192.0.1.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
]

SPECIAL = {
    "this network": ["0.0.0.0", "0.1.2.3"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1"],
    "carrier": ["100.64.0.1", "100.127.255.255"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "link-local": ["169.254.1.1", "fe80::1", "febf::1"],
    "protocols": ["192.0.0.8", "2001::1", "2001:10::1", "2001:20::1", "2001:2::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255"],
    "relays and name servers": [
        "192.88.99.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "2620:4f:8000::1",
    ],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "5f00::1", "100::1", "::", "1::"],
    "v4-mapped": ["::ffff:127.0.0.1", "::ffff:a00:1", "::ffff:169.254.169.254"],
    "v4-compatible": ["::127.0.0.1", "::8.8.8.8"],
    "translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"],
    "6to4": ["2002:7f00:1::", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
    "site-local": ["fec0::1"],
    "zones": ["fe80::1%eth0", "2606:4700::1111%1", "::1%lo"],
    "no address": ["", "localhost", "2130706433", "0x7f.1", "127.1", "127.0.0.01", "[::1]", "1.2.3.4/32"],
}

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2001:0:808:808::5601:5601",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_called(address: str) -> None:
    assert Guard().refusal(address) is None


@pytest.mark.parametrize(("kind", "address"), [(kind, one) for kind, all_ in SPECIAL.items() for one in all_])
def test_special_addresses_are_refused(kind: str, address: str) -> None:
    refusal = Guard().refusal(address)
    assert refusal is not None
    assert refusal.endswith(".")


@pytest.mark.parametrize("address", METADATA)
def test_metadata_stays_closed_whatever_is_opened(address: str) -> None:
    everything = Guard([ip_network("0.0.0.0/0"), ip_network("::/0")], loopback=True)
    assert everything.refusal("10.0.0.1") is None
    assert everything.refusal(address) is not None


def test_the_operator_opens_networks() -> None:
    guard = Guard([ip_network("10.1.0.0/16"), ip_network("fd12::/16")])
    for address in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3"):
        assert guard.refusal(address) is None
    for address in ("10.2.0.1", "fd13::1", "127.0.0.1", "2002:a01:203::1", "64:ff9b::10.1.2.3", "fd12::1%x"):
        assert guard.refusal(address) is not None


def test_the_operator_opens_this_machine() -> None:
    guard = Guard(loopback=True)
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert guard.refusal(address) is None
    for address in ("0.0.0.0", "::", "10.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1"):
        assert guard.refusal(address) is not None


@given(st.ip_addresses(v=4).map(IPv4Address))
def test_no_ipv4_address_passes_that_python_calls_special(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert Guard().refusal(str(address)) is not None
        assert Guard().refusal(f"::ffff:{address}") is not None


@given(
    st.ip_addresses(v=6).map(IPv6Address)
    | st.ip_addresses(v=6, network="2000::/8").map(IPv6Address)
    | st.integers(0, 2**48).map(IPv6Address)
)
def test_no_ipv6_address_passes_that_python_calls_special(address: IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address not in IPv6Network("2000::/3")
    if address.ipv4_mapped is None and special:
        assert Guard().refusal(str(address)) is not None


@given(st.text(max_size=40))
def test_it_answers_whatever_it_is_asked(address: str) -> None:
    assert isinstance(Guard().refusal(address), str | None)
