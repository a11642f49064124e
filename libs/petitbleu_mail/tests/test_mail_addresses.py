"""Tests of envelope addresses: RFC 5321 §4.1.2, RFC 6531, canonical forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petitbleu_mail.addresses import (
    AddressError,
    AddressFault,
    Canonical,
    Mailbox,
    canonical_domain,
    canonical_local,
    canonical_mailbox,
    parse_mailbox,
    parse_path,
    scan_path,
    unicode_domain,
)


@pytest.mark.parametrize(
    ("raw", "local", "domain"),
    [
        (b"<Smith@bar.com>", "Smith", "bar.com"),
        (b'<"Joe Blow"@example.org>', "Joe Blow", "example.org"),
        (b'<"a\\"b\\\\c"@example.org>', 'a"b\\c', "example.org"),
        (b'<"plain"@example.org>', "plain", "example.org"),
        (b'<"a>b@c"@example.org>', "a>b@c", "example.org"),
        (b"<first.last+detail@example.org>", "first.last+detail", "example.org"),
        (b"<@hosta.int,@jkl.org:userc@d.bar.org>", "userc", "d.bar.org"),  # RFC 5321 appendix C
        (b"<user@[192.0.2.1]>", "user", "[192.0.2.1]"),
        (b"<user@[IPv6:2001:db8::1]>", "user", "[IPv6:2001:db8::1]"),
        (b"<POSTMASTER>", "postmaster", ""),
        ("<jörg@müller.example>".encode(), "jörg", "müller.example"),
        (b"<a@under_score.example>", "a", "under_score.example"),
    ],
)
def test_paths_that_parse(raw: bytes, local: str, domain: str) -> None:
    assert parse_path(raw) == Mailbox(local, domain)


def test_the_null_path() -> None:
    assert parse_path(b"<>") is None
    assert scan_path(b"FROM:<> SIZE=1", 5) == (None, 7)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", AddressFault.SYNTAX),
        (b"a@b", AddressFault.SYNTAX),
        (b"<a>", AddressFault.SYNTAX),
        (b"<a@>", AddressFault.SYNTAX),
        (b"<@b>", AddressFault.SYNTAX),
        (b"<a@b>x", AddressFault.SYNTAX),
        (b"<a b@c>", AddressFault.SYNTAX),
        (b"<.a@c>", AddressFault.SYNTAX),
        (b"<a..b@c>", AddressFault.SYNTAX),
        (b"<a.@c>", AddressFault.SYNTAX),
        (b"<a@b.>", AddressFault.SYNTAX),
        (b"<a@b..c>", AddressFault.SYNTAX),
        (b"<a@-b>", AddressFault.BAD_DOMAIN),
        (b"<a@b->", AddressFault.BAD_DOMAIN),
        (b'<""@c>', AddressFault.SYNTAX),
        (b'<"a\r\nb"@c>', AddressFault.SYNTAX),
        (b'<"a\x00b"@c>', AddressFault.SYNTAX),
        (b"<a@[300.0.0.1]>", AddressFault.BAD_LITERAL),
        (b"<a@[IPv6:zz]>", AddressFault.BAD_LITERAL),
        (b"<a@[IPv6:fe80::1%eth0]>", AddressFault.BAD_LITERAL),
        (b"<a@[x-tag:thing]>", AddressFault.BAD_LITERAL),
        (b"<\xff@c>", AddressFault.BAD_UTF8),
        ("<a@☃ snow>".encode(), AddressFault.SYNTAX),
        ("<a@☃>".encode(), AddressFault.BAD_DOMAIN),
    ],
)
def test_paths_that_do_not_parse(raw: bytes, fault: AddressFault) -> None:
    with pytest.raises(AddressError) as caught:
        parse_path(raw)
    assert caught.value.fault is fault
    assert "@" not in str(caught.value)


def test_utf8_only_where_it_is_allowed() -> None:
    with pytest.raises(AddressError) as caught:
        parse_path("<jörg@example.org>".encode(), utf8=False)
    assert caught.value.fault is AddressFault.NEEDS_UTF8
    with pytest.raises(AddressError):
        parse_mailbox("a@müller.example", utf8=False)


def test_the_limits_of_rfc_5321() -> None:
    label = "d" * 60
    domain = ".".join([label] * 3)
    assert parse_path(f"<{'l' * 64}@{domain}>".encode()) == Mailbox("l" * 64, domain)
    for raw, fault in (
        (f"<{'l' * 65}@example.org>", AddressFault.LOCAL_TOO_LONG),
        (f"<l@{'.'.join(['d' * 50] * 6)}>", AddressFault.PATH_TOO_LONG),
        (f"<l@{'d' * 64}.example>", AddressFault.DOMAIN_TOO_LONG),
        (f"<{'l' * 64}@{'.'.join(['d' * 48] * 4)}>", AddressFault.PATH_TOO_LONG),
    ):
        with pytest.raises(AddressError) as caught:
            parse_path(raw.encode())
        assert caught.value.fault is fault
    assert parse_path(f"<{'l' * 128}@example.org>".encode(), max_local=128) is not None


@pytest.mark.parametrize(
    ("domain", "canonical"),
    [
        ("Example.ORG", "example.org"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2008 keeps ß
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),  # no final sigma by case mapping alone
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("\uff45xample.org", "example.org"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[ipv6:2001:DB8:0:0::1]", "[IPv6:2001:db8::1]"),
        ("", ""),
    ],
)
def test_canonical_domains(domain: str, canonical: str) -> None:
    assert canonical_domain(domain) == canonical
    assert canonical_domain(canonical) == canonical


def test_unicode_domains() -> None:
    assert unicode_domain("xn--bcher-kva.example") == "bücher.example"
    assert unicode_domain("xn--strae-oqa.example") == "straße.example"
    assert unicode_domain("xn--99999999999999.example") == "xn--99999999999999.example"
    assert unicode_domain("xn--a.example") == "xn--a.example"


def test_canonical_addresses_and_details() -> None:
    canonical = Mailbox("Alice+Shop+2", "Example.ORG").canonical()
    assert (canonical.local, canonical.base, canonical.detail) == ("alice+shop+2", "alice", "shop+2")
    assert canonical.address == "alice+shop+2@example.org"
    assert Mailbox("alice+", "e.org").canonical().detail == ""
    assert Mailbox("alice", "e.org").canonical().detail is None
    plus = Mailbox("+x", "e.org").canonical()
    assert (plus.base, plus.detail) == ("+x", None)
    assert Mailbox("JO\u0308RG", "e.org").canonical().local == "jörg"


@given(st.binary(max_size=80))
@example(b'<"' + b"a" * 70 + b'"@b>')
@example(b"<@a:b@c>")
def test_any_octets_parse_or_are_refused(data: bytes) -> None:
    try:
        path = parse_path(data)
    except AddressError:
        return
    if path is not None and path.domain:
        again = parse_path(f"<{path.address}>".encode())
        assert again == path


LOCALS = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@given(LOCALS, st.sampled_from(["example.org", "müller.example", "[192.0.2.9]"]))
def test_every_mailbox_can_be_written_and_read(local: str, domain: str) -> None:
    mailbox = Mailbox(local, domain)
    assert parse_path(f"<{mailbox.address}>".encode()) == mailbox
    canonical = mailbox.canonical()
    assert Mailbox(canonical.local, canonical.domain).canonical() == canonical


def _outcome(canonical: Callable[[str], Canonical], text: str) -> Canonical | AddressFault:
    try:
        return canonical(text)
    except AddressError as error:
        return error.fault


def _by_parts(local: str, domain: str) -> str:
    return f"{local}@{domain}"


ATOM_LIKE = st.text("aZ9.+-_=!#{}~'", max_size=12) | st.text("ab", min_size=60, max_size=68)
NAME_LIKE = st.text("aZ9.-_", max_size=12) | st.lists(st.text("aB", min_size=1, max_size=65), max_size=9).map(".".join)
WRITTEN = (
    st.builds(_by_parts, ATOM_LIKE, NAME_LIKE)
    | st.builds(_by_parts, ATOM_LIKE | LOCALS, st.sampled_from(["One.test", "MÜLLER.example", "[IPv6:2001:DB8::1]"]))
    | st.text(st.characters(max_codepoint=0x17F), max_size=20).map(lambda text: text + "@One.test")
    | st.text(max_size=40)
)


@given(WRITTEN)
@example("Alice+Shop+2@Example.ORG")
@example("+x@e.org")
@example("x+@e.org")
@example(".a@one.test")
@example("a.@one.test")
@example("a..b@one.test")
@example('"A.b"@One.test')
@example('"a b"+c@one.test')
@example("a@one.test.")
@example("a@one.test\n")
@example("\u212a@one.test")  # the Kelvin sign, whose lower case is ASCII
@example("k@\u212a.test")
@example("İ@one.test")
@example("a@xn--bcher-kva.Example")
@example("a@B\u00dcCHER.example")
@example("a@" + "b" * 64 + ".test")
@example("a" * 64 + "@" + ".".join(["b" * 63] * 4))
@example("a" * 65 + "@" + ".".join(["b" * 63] * 5))
@example("\ud800@one.test")
def test_the_short_way_to_a_canonical_address_leads_where_the_long_one_does(text: str) -> None:
    assert _outcome(canonical_mailbox, text) == _outcome(lambda given: parse_mailbox(given).canonical(), text)


@given(st.text(max_size=30))
def test_canonical_locals_are_stable(local: str) -> None:
    once = canonical_local(local)
    assert canonical_local(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text(max_size=30))
def test_canonical_domains_are_stable_ascii(domain: str) -> None:
    try:
        once = canonical_domain(domain)
    except AddressError:
        return
    assert once.isascii()
    assert canonical_domain(once) == once
    if not once.startswith("["):
        assert canonical_domain(unicode_domain(once)) == once


def test_a_long_path_is_refused_in_linear_steps() -> None:
    for data in (
        b"<" + b"a." * 500_000,
        b'<"' + b"\\a" * 500_000,
        b"<" + b"@a," * 300_000,
        b"<a@" + b"b-" * 500_000 + b">",
    ):
        with pytest.raises(AddressError):
            parse_path(data)
