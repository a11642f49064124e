"""What names say without the DNS: who registered them, and what the machine's own file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from petitbleu_kit.egress_names import domain_of, machine_hosts, server_of


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.example", "b.example"),
        ("www.shop.co.uk", "shop.co.uk"),
        ("deep.www.shop.com.au", "shop.com.au"),
        ("co.uk", "co.uk"),
        ("a.push.mozilla.com", "mozilla.com"),
        ("example", "example"),
    ],
)
def test_names_of_one_registration_share_its_turns(name: str, domain: str) -> None:
    assert domain_of(name) == domain


def test_a_resolver_is_an_address_and_a_port() -> None:
    assert server_of("") is None
    assert server_of("127.0.0.1:53") == ("127.0.0.1", 53)
    assert server_of("[2001:db8::1]:5353") == ("2001:db8::1", 5353)
    for text in ("dns.example:53", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:65536", ":53"):
        with pytest.raises(ValueError, match="address:port"):
            server_of(text)


def test_the_machines_own_names_are_read_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(
        b"# comment\n127.0.0.1 localhost\n::1\tLOCALHOST ip6\n192.0.2.7 push.corp. alias # x\nno.address name\n\n\xff y\n"
    )
    assert machine_hosts(file) == {
        "localhost": ["127.0.0.1", "::1"],
        "ip6": ["::1"],
        "push.corp": ["192.0.2.7"],
        "alias": ["192.0.2.7"],
    }
    assert machine_hosts(tmp_path / "none") == {}
