"""Which addresses and URLs a person may send our services to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_kit.egress_addresses import (
    EgressError,
    EgressRules,
    Refusal,
    is_public,
    networks,
    public_addresses,
    read_url,
)

CLOSED = (
    "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "2a01:e0a::5efe:7f00:1", "2a01:e0a::200:5efe:a00:1",
)  # fmt: skip
OPEN = (
    "8.8.8.8",
    "9.9.9.9",
    "172.32.0.1",
    "100.128.0.1",
    "193.0.0.1",
    "2a01:e0a::1",
    "2606:4700::1111",
    "2001:4860::8888",
)


@pytest.mark.parametrize("text", CLOSED)
def test_addresses_that_are_not_of_one_public_host_are_closed(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", OPEN)
def test_public_addresses_are_open(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_what_python_holds_for_private_is_closed(address: IPv4Address) -> None:
    assert not is_public(address) or (not address.is_private and not address.is_multicast and not address.is_reserved)


@given(st.integers(0, (1 << 32) - 1), st.sampled_from(("::ffff:0:0", "64:ff9b::", "::", "::ffff:0:0:0")))
def test_no_address_inside_another_is_open(inner: int, prefix: str) -> None:
    assert not is_public(IPv6Address(int(IPv6Address(prefix)) | inner))


def test_an_address_with_a_zone_is_closed() -> None:
    assert not is_public(IPv6Address("2a01:e0a::1%eth0"))


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/", "ftp://a.example/", "file:///etc/passwd", "//a.example/", "a.example", "", "https://", "https:///x",
        "https://user@a.example/", "https://user:word@a.example/", "https://@a.example/", "https://a.example:0/",
        "https://a.example:65536/", "https://a.example:x/", "https://127.1/", "https://2130706433/", "https://0x7f000001/",
        "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://127.0.0.1.1/", "https://1.2.3/", "https://a.0x/",
        "https://127.0.0.01/", "https://[::1%25lo]/", "https://[::1", "https://[v1.x]/", "https://[127.0.0.1]/",
        "https://a%2eexample/", "https://a.example%00.b/", "https://a..example/", "https://.a.example/", "https://a b/",
        "https://a.example\\@b.example/", "https://a.example/\r\nx", "https://a.example/\tx", "https://\u2024/",
        "https://a.example/" + "x" * 5000, "https://" + "a" * 64 + ".example/",
    ],
)  # fmt: skip
def test_urls_in_odd_spellings_are_refused(url: str) -> None:
    with pytest.raises(EgressError) as refused:
        read_url(url, http=False)
    assert refused.value.refusal is Refusal.URL


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://A.Example", "https://a.example", b"/"),
        ("HTTPS://a.example:443/b/c?d=e#f", "https://a.example", b"/b/c?d=e"),
        ("https://a.example:8443/é x", "https://a.example:8443", b"/%C3%A9%20x"),
        ("https://a.example./", "https://a.example", b"/"),
        ("https://bücher.example/%2e%2E/", "https://xn--bcher-kva.example", b"/%2e%2E/"),
        ("https://[2001:DB8::0:1]/", "https://[2001:db8::1]", b"/"),
        ("https://\uff11\uff12\uff17.0.0.1/", "https://127.0.0.1", b"/"),
    ],
)
def test_urls_are_read_as_they_are_gone_to(url: str, origin: str, path: bytes) -> None:
    target = read_url(url, http=False)
    assert (target.origin, target.path) == (origin, path)


def test_http_is_open_only_where_it_is_asked_for() -> None:
    target = read_url("http://a.example/", http=True)
    assert (target.secure, target.port, target.origin) == (False, 80, "http://a.example")


@given(st.text(max_size=80))
def test_whatever_a_url_is_it_is_read_or_refused(text: str) -> None:
    for url in (text, f"https://{text}"):
        try:
            target = read_url(url, http=True)
        except EgressError:
            continue
        assert target.path.startswith(b"/")
        assert not any(octet <= 0x20 or octet >= 0x7F for octet in target.path)
        assert target.host
        assert 0 < target.port < 65536


def test_of_a_name_only_the_addresses_that_pass_are_tried() -> None:
    rules = EgressRules()
    found = public_addresses(["127.0.0.1", "9.9.9.9", "fe80::1%2", "2606:4700::1111"], rules, 443)
    assert list(map(str, found)) == ["9.9.9.9", "2606:4700::1111"]
    for none, why in (
        (["10.0.0.1", "::1"], Refusal.ADDRESS),
        (["rubbish"], Refusal.ADDRESS),
        ([], Refusal.UNREACHABLE),
    ):
        with pytest.raises(EgressError) as refused:
            public_addresses(none, rules, 443)
        assert refused.value.refusal is why


def test_ports_are_a_list_and_an_operator_opens_and_closes() -> None:
    rules = EgressRules(networks("127.0.0.0/8, ::1/128"), networks("9.9.9.0/24,127.0.0.0/8"), frozenset({443}))
    rules.check(IPv4Address("127.0.0.9"), 5555)
    rules.check(IPv6Address("::1"), 1)
    rules.check(IPv4Address("8.8.8.8"), 443)
    for address, port, why in (
        ("8.8.8.8", 25, Refusal.PORT), ("9.9.9.9", 443, Refusal.ADDRESS), ("10.0.0.1", 443, Refusal.ADDRESS),
        ("::ffff:127.0.0.1", 443, Refusal.ADDRESS),
    ):  # fmt: skip
        with pytest.raises(EgressError) as refused:
            rules.check(ip_address(address), port)
        assert refused.value.refusal is why
