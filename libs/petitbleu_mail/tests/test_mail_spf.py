"""SPF beside its suite: the grammar as properties, the bounds on work, addresses in UTF-8, the HELO identity."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_zone import TIMEOUT, Zone

from petitbleu_mail.auth.macros import MacroError, expand, parse_domain_spec, parse_macro_string, target_name
from petitbleu_mail.auth.resolver import askable, unmapped
from petitbleu_mail.auth.spf import SpfResult, check_helo, check_mail_from
from petitbleu_mail.auth.spf_record import MAX_RECORD, SpfSyntaxError, parse_record

CLIENT = IPv4Address("192.0.2.1")


def spf(text: str) -> list[tuple[str, str]]:
    return [("TXT", text)]


@given(st.binary(max_size=200) | st.text(string.printable, max_size=120).map(str.encode))
def test_rfc7208_4_6_any_octets_are_a_record_or_a_syntax_error(octets: bytes) -> None:
    try:
        record = parse_record(b"v=spf1 " + octets)
    except SpfSyntaxError:
        return
    assert len(record.directives) <= len(octets)
    assert octets.isascii()


TERMS = st.sampled_from(
    ["a", "mx", "ptr", "-all", "?a/24", "~a//64", "mx:%{d}/24//64", "a:b.example", "ip4:192.0.2.0/24", "ip6:2001:db8::/32",
     "include:%{ir}.%{v}._spf.%{d2}", "exists:%{l1r+-}.x.example", "redirect=c.example", "exp=%{s}.e.example", "x-y.z=%%%_%-",
     "a:foo:bar/baz.example.com", "ptr:%{h}", "a:%{D2R}.example."]
)  # fmt: skip


@given(st.lists(TERMS, max_size=12))
def test_rfc7208_12_records_of_the_grammar_are_read(terms: list[str]) -> None:
    modifiers = [term for term in terms if term.startswith(("redirect=", "exp="))]
    raw = ("v=spf1 " + "  ".join(terms)).encode()
    if len(set(modifiers)) < len(modifiers):  # RFC 7208 §6
        with pytest.raises(SpfSyntaxError):
            parse_record(raw)
        return
    record = parse_record(raw)
    assert len(record.directives) == len([term for term in terms if "=" not in term])
    assert (record.redirect is not None) == ("redirect=c.example" in terms)


@pytest.mark.parametrize(
    "term",
    ["all:x", "+", "+all=x.example", "ip4:192.0.2.1%25", "ip6:fe80::1%eth0", "ip4:192.0.2.0/", "ip4:192.0.2.0/033", "ip6:::1/0128",
     "a/00", "a/", "a//", "a:%{d}/", "a:%{x}.example", "a:%{d0}.example", "a:%{d", "a:%", "a:%{dd}.example", "a:%{d.example", "include",
     "include:", "exists:a", "ptr:a.123", "a:a.-b", "redirect=", "redirect=a", "exp=", "1x=y", "a\tb", "all\n", "a:b.example\x7f",
     "a:%{c}.example", "mx:", "ptr/24", "ip4:::1", "ip6:192.0.2.1", "a:.", "a:a.."]
)  # fmt: skip
def test_rfc7208_4_6_every_error_is_found(term: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parse_record(f"v=spf1 ip4:192.0.2.1 {term} -all".encode())


def test_rfc7208_3_4_a_record_has_an_end() -> None:
    filler = b"v=spf1" + b" ip4:192.0.2.1" * 580
    assert len(parse_record(filler).directives) == 580
    with pytest.raises(SpfSyntaxError):
        parse_record(filler + b" -all" * (MAX_RECORD // 5))


@given(st.text(string.printable, max_size=60))
def test_rfc7208_7_3_macros_expand_or_are_an_error(text: str) -> None:
    try:
        parsed = parse_macro_string(text, explanation=True)
    except MacroError:
        assert "%" in text or not text.isascii() or not text.isprintable()
        return
    expanded = expand(parsed.pieces, lambda letter: f"{letter}.value")
    if "%" not in text:
        assert expanded == text


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [  # RFC 7208 §7.4, its examples
        ("%{s}", "strong-bad@email.example.com"), ("%{o}", "email.example.com"), ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"), ("%{d3}", "email.example.com"), ("%{d2}", "example.com"), ("%{d1}", "com"),
        ("%{dr}", "com.example.email"), ("%{d2r}", "example.email"), ("%{l}", "strong-bad"), ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"), ("%{lr-}", "bad.strong"), ("%{l1r-}", "strong"), ("%{d0010}", "email.example.com"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"), ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)  # fmt: skip
def test_rfc7208_7_4_expansion_examples(spec: str, wanted: str) -> None:
    values = {"s": "strong-bad@email.example.com", "o": "email.example.com", "d": "email.example.com", "l": "strong-bad",
              "i": "192.0.2.3", "v": "in-addr"}  # fmt: skip
    assert expand(parse_domain_spec(spec).pieces, values.__getitem__) == wanted


@given(st.lists(st.text("ab-", min_size=1, max_size=70), min_size=1, max_size=12))
def test_rfc7208_7_3_long_names_are_cut_at_a_label(labels: list[str]) -> None:
    name = ".".join(labels)
    cut = target_name(name + ".")
    assert name == cut or (name.endswith("." + cut) and len(cut) <= 253)
    assert len(name) > 253 or cut == name


@given(st.text(max_size=80))
def test_rfc1035_2_3_4_names_fit_to_be_asked_for(name: str) -> None:
    if askable(name):
        assert name.isascii()
        assert all(0 < len(label) < 64 for label in name.split("."))


async def test_rfc7208_4_6_4_work_is_bounded_whatever_the_records_say() -> None:
    """Each of ten terms names ten exchangers, and the explanation wants the validated name of ten more."""
    exchangers = [("MX", (n, f"h{n}.example.com")) for n in range(10)]
    names: dict[str, list[tuple[str, object]]] = {
        "example.com": [*spf("v=spf1 " + "mx " * 10 + "-all exp=exp.example.com"), *exchangers],
        "exp.example.com": [("TXT", "%{p} " * 100)],
        "1.2.0.192.in-addr.arpa": [("PTR", f"p{n}.example.com") for n in range(50)],
    }
    names |= {f"{kind}{n}.example.com": [("A", "192.0.2.99")] for kind in "hp" for n in range(50)}
    zone = Zone(names)
    outcome = await check_mail_from(zone, CLIENT, "a@example.com", "helo.example.com")
    assert outcome.result is SpfResult.FAIL
    assert outcome.explanation is None  # 700 characters are no reply line
    assert len(zone.asked) == 1 + 10 * 11 + 1 + 11


async def test_rfc7208_4_6_4_voids_of_all_records_count_together() -> None:
    zone = Zone({
        "example.com": spf("v=spf1 a:n1.example.com include:inc.example.com +all"),
        "inc.example.com": spf("v=spf1 exists:n2.example.com mx:n3.example.com ?all"),
    })  # fmt: skip
    outcome = await check_mail_from(zone, CLIENT, "a@example.com", "helo.example.com")
    assert (outcome.result, outcome.problem) == (SpfResult.PERMERROR, "too many empty look-ups")


@pytest.mark.parametrize(
    "term", ["a:t.example.com", "mx:t.example.com", "mx:m.example.com", "exists:t.example.com", "include:t.example.com"]
)
async def test_rfc7208_5_a_failed_look_up_ends_the_check(term: str) -> None:
    zone = Zone({
        "example.com": spf(f"v=spf1 {term} +all"), "t.example.com": [(TIMEOUT, None)], "m.example.com": [("MX", (1, "t.example.com"))],
    })  # fmt: skip
    outcome = await check_mail_from(zone, CLIENT, "a@example.com", "helo.example.com")
    assert outcome.result is SpfResult.TEMPERROR


async def test_rfc7208_5_5_a_failed_ptr_is_no_match_and_no_error() -> None:
    zone = Zone({"example.com": spf("v=spf1 ptr -all"), "1.2.0.192.in-addr.arpa": [(TIMEOUT, None)]})
    assert (await check_mail_from(zone, CLIENT, "a@example.com", "h.example")).result is SpfResult.FAIL


async def test_rfc7208_2_3_the_helo_identity() -> None:
    zone = Zone({"mail.example.com": spf("v=spf1 ip4:192.0.2.1 -all")})
    outcome = await check_helo(zone, CLIENT, "Mail.Example.COM.")
    assert (outcome.result, outcome.domain, outcome.identity) == (SpfResult.PASS, "mail.example.com", "helo")
    null_path = await check_mail_from(zone, CLIENT, "", "mail.example.com")
    assert (null_path.result, null_path.domain, null_path.identity) == (SpfResult.PASS, "mail.example.com", "mailfrom")


@pytest.mark.parametrize(
    "helo", ["", "[192.0.2.1]", "localhost", ".", "a..b", "-", "x" * 300 + ".example", "mäil", "\udc80.example"]
)
async def test_rfc7208_4_3_what_is_no_name_is_not_asked_for(helo: str) -> None:
    zone = Zone({})
    assert (await check_helo(zone, CLIENT, helo)).result is SpfResult.NONE
    assert zone.asked == []


async def test_rfc8616_4_u_labels_are_asked_for_as_a_labels() -> None:
    zone = Zone({"xn--bcher-kva.example": spf("v=spf1 include:%{d} ip4:192.0.2.1 -all")})
    outcome = await check_mail_from(zone, IPv4Address("192.0.2.2"), "a@Bücher.example", "h.example")
    assert outcome.domain == "xn--bcher-kva.example"
    assert outcome.result is SpfResult.PERMERROR  # it includes itself for ever: what is asked for is the A-label again
    assert {name for _, name in zone.asked} == {"xn--bcher-kva.example"}


async def test_rfc8616_4_a_local_part_in_utf8_matches_no_macro() -> None:
    zone = Zone({"example.com": spf("v=spf1 exists:%{l}.example.com exists:%{S}.example.com -all exp=e.example.com"),
                 "e.example.com": [("TXT", "not %{l}")]})  # fmt: skip
    outcome = await check_mail_from(zone, CLIENT, "bücher@example.com", "h.example")
    assert (outcome.result, outcome.explanation) == (SpfResult.FAIL, None)
    assert ("A", "bücher.example.com") not in zone.asked


async def test_rfc7208_6_2_an_explanation_is_printable() -> None:
    zone = Zone({"example.com": spf("v=spf1 -all exp=e.example.com"), "e.example.com": [("TXT", "no %{h}")]})
    assert (await check_mail_from(zone, CLIENT, "a@example.com", "h.example")).explanation == "no h.example"
    assert (await check_mail_from(zone, CLIENT, "a@example.com", "h\r\n250 ok")).explanation is None


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_rfc7208_5_3_prefix_lengths(one: IPv4Address, other: IPv4Address, length: int) -> None:
    directive = parse_record(f"v=spf1 a/{length}".encode()).directives[0]
    assert directive.covers(one, other) == (other in IPv4Network((one, length), strict=False))
    assert not directive.covers(IPv6Address(int(one)), other)
    assert unmapped(IPv6Address(f"::ffff:{one}")) == one


@given(st.text(max_size=40), st.text(max_size=40))
async def test_rfc7208_4_1_nothing_of_the_client_makes_it_raise(mail_from: str, helo: str) -> None:
    zone = Zone({"example.com": spf("v=spf1 exists:%{l}.%{h}.%{s}.%{p} a:%{h} -all exp=%{h}.example")})
    outcome = await check_mail_from(zone, ip_address("2001:db8::1"), f"{mail_from}@example.com", helo)
    assert outcome.result in {SpfResult.FAIL, SpfResult.PERMERROR}
    await check_mail_from(zone, CLIENT, mail_from, helo)
