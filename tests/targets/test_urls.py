"""Which URLs a target may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from scheduler_api.targets import urls

GOOD = [
    "http://example.com",
    "HTTPS://Example.COM/",
    "https://example.com:8443/a/b?c=d&e=%20",
    "https://example.com./",
    "https://my_host/hook",
    "https://bücher.example/über",
    "https://xn--bcher-kva.example/",
    "http://192.0.2.1/",
    "http://192.0.2.1:65535?x",
    "http://[2001:db8::1]:8080/",
    "http://[::1]/",
    "https://1and1.example/",
    "https://example.com/{{ jobid }}?at={{scheduledfor}}",
    "https://example.com?x=user@host:80",
    "https://example.com/" + "a" * 1980,
]

HOSTILE = [
    # No web address.
    "",
    "example.com",
    "//example.com/",
    "file:///etc/passwd",
    "gopher://example.com:70/_x",
    "ftp://example.com/",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "http:/example.com",
    "http:example.com",
    " http://example.com/",
    # No host, or a broken one.
    "http://",
    "http:///path",
    "http://?x",
    "http://:80/",
    "http://.example.com/",
    "http://exa..mple.com/",
    "http://example.com../",
    "http://-example.com/",
    "http://%6c%6fcalhost/",
    "http://exa mple.com/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/",
    "http://xn--/",
    "http://[::1",
    "http://::1/",
    "http://[]/",
    "http://[::1]x/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[v1.x]/",
    "http://[127.0.0.1]/",
    # Addresses in other dress.
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.1/",
    "http://0x/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.1./",
    "http://127.0.0.256/",
    "http://1.2.3.4.5/",
    "http://0/",
    "http://example.1/",
    "http://127。0。0。1/",
    "http://127\uff0e0\uff0e0\uff0e1/",
    "http://\uff11\uff12\uff17.0.0.1/",  # fullwidth digits
    "http://①②⑦.⓪.⓪.①/",
    "http://①②⑦.①/",
    "http://１２７.1/",
    "http://١٢٧.0.0.1/",
    "http://0ｘ7f.1/",
    # Two readers, two hosts.
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com:80@10.0.0.1/",
    "http://@example.com/",
    "http://example.com\\@10.0.0.1/",
    "http://example.com\\.evil.example/",
    "http://10.0.0.1#@example.com/",
    "https://example.com/#part",
    # What would break the request.
    "http://example.com/\r\nHost: evil",
    "http://example.com/\nx",
    "http://example.com/\0",
    "http://example.com/a b",
    "http://example.com/\u202e",
    "http://example.com/\u2028",
    "http://example.com/\ud800",
    "http://exam\u200bple.com/",
    "http://example.com\t/",
    "https://example.com/" + "a" * 1981,
    # Ports.
    "http://example.com:/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:80x/",
    "http://example.com:-1/",
    "http://example.com:８０/",
    "http://example.com:80:80/",
    # Placeholders where none may be, or that are none.
    "http://{{ jobname }}/",
    "http://example.com:{{ jobid }}/",
    "{{ jobname }}://example.com/",
    "https://example.com/{{ secret }}",
    "https://example.com/{{",
]


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    assert urls.error_in(url) is None


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
def test_hostile_urls(url: str) -> None:
    field_error = urls.error_in(url)
    assert field_error is not None
    assert field_error.endswith(".")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.COM/", "example.com"),
        ("http://example.com.:80/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://bücher.example:8443/{{ jobid }}", "xn--bcher-kva.example:8443"),
        ("http://192.0.2.1/", "192.0.2.1"),
        ("http://[2001:DB8:0::1]/", "[2001:db8::1]"),
        ("http://[2001:db8::1]:8080/", "[2001:db8::1]:8080"),
    ],
)
def test_the_key_for_limits(url: str, host: str) -> None:
    assert urls.error_in(url) is None
    assert urls.host_of(url) == host


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://192.0.2.1:80/", "192.0.2.1"),
        ("http://[::FFFF:10.0.0.1]/", "::ffff:10.0.0.1"),
        ("http://[2002:7f00:1::]/", "2002:7f00:1::"),
        ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1"),
        ("http://example.com/", None),
        ("http://1.example/", None),
    ],
)
def test_literal_addresses(url: str, address: str | None) -> None:
    assert urls.error_in(url) is None
    assert urls.address_of(url) == address


def test_names_of_this_machine() -> None:
    for url in ("http://localhost/", "http://LOCALHOST.:80/", "http://a.localhost/{{ jobid }}"):
        assert urls.is_localhost(url)
    for url in ("http://localhost.example/", "http://notlocalhost/", "http://127.0.0.1/"):
        assert not urls.is_localhost(url)


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.from_regex(r"[0-9a-fx.:@\[\]%①０。-]{1,20}"))
def test_what_passes_is_read_in_one_way(authority: str) -> None:
    url = f"http://{authority}/path"
    if urls.error_in(url) is None:
        parsed = URL(url)
        assert parsed.user is None
        assert parsed.raw_host
        assert parsed.raw_host.isascii()
        address = urls.address_of(url)
        assert address is None or not address.replace(".", "").isdigit() or parsed.raw_host == address
        assert urls.host_of(url)
