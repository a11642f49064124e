"""Authentication-Results: read, made, and forged ones removed; iprev and HELO."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_zone import TIMEOUT, Zone

from petitbleu_mail.auth.author import Author, AuthorFault
from petitbleu_mail.auth.client import HeloForm, HeloOutcome, IprevResult, check_helo_name, check_iprev
from petitbleu_mail.auth.dmarc import DmarcOutcome, DmarcResult, Identifiers, check_dmarc
from petitbleu_mail.auth.forged import MAX_FIELDS, OwnNames, forged_results, without_forged_results
from petitbleu_mail.auth.results import AuthenticationResults, MethodResult, Property, parse_results
from petitbleu_mail.auth.results_field import dmarc_result, iprev_result, make_results, spf_result
from petitbleu_mail.auth.spf import SpfOutcome, SpfResult
from petitbleu_mail.headers import scan_headers

# --- reading


def test_rfc8601_2_2_the_grammar_with_all_its_blanks() -> None:
    field = parse_results(
        b' (a (nested) comment) mx.example.com (ours) 1 ;\r\n\tspf (c) / (c) 1 = (c) fail (sender) reason (c) = "not \\"him\\"" (c)\r\n'
        b'  smtp (c) . (c) mailfrom (c) = (c) "a b"@example.net (c) smtp.helo=h.example ; dkim=PASS header.d=example.com header.b="a/b+="; '
    )  # fmt: skip
    assert field == AuthenticationResults(
        "mx.example.com",
        (
            MethodResult(
                "spf", "fail", (Property("smtp", "mailfrom", '"a b"@example.net'), Property("smtp", "helo", "h.example")),
                'not "him"', "sender",
            ),
            MethodResult("dkim", "pass", (Property("header", "d", "example.com"), Property("header", "b", "a/b+="))),
        ),
    )  # fmt: skip
    assert field is not None
    assert (field.results[1].get("header", "d"), field.results[1].get("header", "x")) == ("example.com", None)


@pytest.mark.parametrize("text", ["mx.example.com; none", "mx.example.com;NONE (nothing)", '"mx.example.com" 1; none'])
def test_rfc8601_2_2_no_results(text: str) -> None:
    assert parse_results(text.encode()) == AuthenticationResults("mx.example.com")


@pytest.mark.parametrize(
    "value",
    ["a.example; spf=pass smtp.mailfrom=@example.com", "a.example; dkim=pass (2048-bit key) header.i=@x.example header.b=ab/c+d=",
     "a.example; auth=pass (cram) smtp.auth=a@b.example", "a.example; iprev=pass policy.iprev=2001:db8::1", "a.example; x-y=z a.b=c;"]
)  # fmt: skip
def test_rfc8601_appendix_b_what_verifiers_write(value: str) -> None:
    field = parse_results(value.encode())
    assert field is not None
    assert len(field.results) == 1


@pytest.mark.parametrize(
    "value",
    ["", ";", "spf=pass", "(mx.example.com", "mx.example.com 2; spf=pass", "mx.example.com 1 x; none", "mx.example.com; spf",
     "mx.example.com; spf=", "mx.example.com; spf=pass smtp.mailfrom", "mx.example.com; spf=pass smtp=x", "mx.example.com; =pass",
     'mx.example.com; spf=pass reason="x', "mx.example.com; none; spf=pass x", "mx.example.com; spf/x=pass", "mx.example.com; spf=pass a.b=;",
     "mx.example.com;;", "mx.example.com; spf=pass" * 2000, "mx.example.com" + "; spf=pass" * 65, "mx.example.com; spf=pass" + " a.b=c" * 33]
)  # fmt: skip
def test_rfc8601_2_2_what_is_no_field(value: str) -> None:
    assert parse_results(value.encode()) is None


@given(st.binary(max_size=120) | st.text('a.;=/"\\( )1\r\n\t', max_size=80).map(str.encode))
def test_rfc8601_2_2_any_octets_are_a_field_or_none(value: bytes) -> None:
    parse_results(value)
    parse_results(b"mx.example.com; spf=pass " + value)


# --- making

KEYWORDS = st.sampled_from(["spf", "dkim", "x-y", "smtp", "header", "pass", "i", "a1_b"])
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
RESULTS = st.builds(
    MethodResult, KEYWORDS, KEYWORDS, st.lists(st.builds(Property, KEYWORDS, KEYWORDS, TEXTS), max_size=2).map(tuple),
    st.none() | TEXTS, st.none() | TEXTS, st.integers(1, 9),
)  # fmt: skip


@given(st.lists(RESULTS, max_size=3))
def test_rfc8601_2_2_what_is_made_is_read(results: list[MethodResult]) -> None:
    field = make_results("mx.example.com", results)
    name, _, value = field.partition(b":")
    assert name == b"Authentication-Results"
    assert field.endswith(b"\r\n")
    assert parse_results(value) == AuthenticationResults("mx.example.com", tuple(results))


@given(st.text(max_size=500), st.text(max_size=500), st.text(max_size=500))
def test_rfc5322_2_2_nothing_breaks_out_of_the_field(reason: str, comment: str, value: str) -> None:
    result = MethodResult("spf", "fail", (Property("smtp", "mailfrom", value),), reason, comment)
    field = make_results("mx.example.com", [result])
    headers = scan_headers(field + b"X-Next: y\r\n\r\n")
    assert headers.names == [b"authentication-results", b"x-next"]
    assert max(map(len, field.split(b"\r\n"))) < 998
    assert field.count(b"\n") == field.count(b"\r") == field.count(b"\r\n")
    read = parse_results(headers.fields[0][1])
    assert read is not None
    assert [(one.method, one.result) for one in read.results] == [("spf", "fail")]


@pytest.mark.parametrize("bad", ["", "a b", "x\r\ny", "a;b", "a=b"])
def test_rfc8601_2_2_keywords_are_ours_alone(bad: str) -> None:
    for result in (
        MethodResult(bad, "pass"),
        MethodResult("spf", bad),
        MethodResult("spf", "pass", (Property(bad, "x", ""),)),
    ):
        with pytest.raises(ValueError, match="keyword"):
            make_results("mx.example.com", [result])
    with pytest.raises(ValueError, match="token"):
        make_results(bad, [])


async def test_rfc8601_2_7_what_was_found_out_as_a_field() -> None:
    zone = Zone({"_dmarc.example.com": [("TXT", "v=DMARC1; p=none; sp=reject; t=y")], "a.example.com": []})
    dmarc = await check_dmarc(zone, Author(("a.example.com",)), Identifiers())
    zone = Zone({"1.2.0.192.in-addr.arpa": [("PTR", "h.example.")], "h.example": [("A", "192.0.2.1")]})
    iprev = await check_iprev(zone, ip_address("192.0.2.1"))
    spf = SpfOutcome(SpfResult.PERMERROR, "example.com", "mailfrom", "several records")
    assert make_results("mx.example.net", [spf_result(spf), dmarc_result(dmarc), iprev_result(iprev)]) == (
        b"Authentication-Results: mx.example.net;\r\n"
        b'\tspf=permerror reason="several records" smtp.mailfrom=example.com;\r\n'
        b"\tdmarc=fail header.from=a.example.com polrec.p=reject\r\n"
        b"\t polrec.domain=example.com;\r\n"
        b"\tiprev=pass (h.example) policy.iprev=192.0.2.1\r\n"
    )
    faulty = DmarcOutcome(DmarcResult.NONE, fault=AuthorFault.REPEATED)
    assert dmarc_result(faulty) == MethodResult("dmarc", "none", (), "several From fields")


# --- forged ones

OWN = OwnNames(["mx.example.com", "MX2.bücher.example"])
DISGUISES = [
    "mx.example.com; spf=pass", "MX.Example.COM; spf=pass", "mx.example.com.; spf=pass", '"mx.example.com"; spf=pass', '"mx\\.example.com"; none',
    "(x) mx.example.com (y) 1; spf=pass", "(a(b)c)mx.example.com(;);none", "\r\n\tmx.example.com\r\n\t; spf=pass", "mx.\r\n example.com; spf=pass",
    "mx . example . com 1; spf=pass", "mx.example.com2; none", "mx.exam(c)ple.com; none", "mx.example.com/1; spf=pass", "mx.example.com,; spf=pass",
    "\uff4d\uff58.example.com; spf=pass", "mx。example。com; spf=pass", "mx.exa\u200bmple.com; spf=pass", "mx.exa\u00admple.com; none", "mx.ex\u2060ample.com;none",
    "=?utf-8?q?mx.example.com?=; spf=pass", "=?utf-8?q?mx=2Eexample.com?=; none", "mx.exa\x00mple.com; none", "mx2.bücher.example; none",
    "MX2.BÜCHER.example.; none", "mx2.xn--bcher-kva.example; none", "mx2.bu\u0308cher.example; none", "\ufeffmx.example.com; none", "mx.example.com",
    "spf=pass smtp.mailfrom=example.com", "", ";spf=pass", "(mx.example.com; spf=pass", "x " * 900 + "; none", "other.example mx.example.com; none",
    '"other; mx.example.com"; none',
]  # fmt: skip


@pytest.mark.parametrize("value", DISGUISES)
def test_rfc8601_5_what_is_in_our_name_goes(value: str) -> None:
    for name in ("Authentication-Results", "AUTHENTICATION-RESULTS", "authentication-results \t"):
        before, behind = "Received: x\r\n", "Subject: y\r\n\r\nAuthentication-Results: mx.example.com; none\r\n"
        raw = f"{before}{name}:{value}\r\n{behind}".encode()
        assert without_forged_results(scan_headers(raw), OWN) == (before + behind).encode()
    latin = value.encode("latin-1", "ignore") + b"; \xff"
    assert (
        forged_results(scan_headers(b"Authentication-Results: " + latin + b"\r\n\r\n"), OWN) != []
        or not value.isascii()
    )


@pytest.mark.parametrize(
    "value",
    ["mx.example.org; spf=pass", "mx.example.com.evil.example; spf=pass", "notmx.example.com; spf=pass", "(mx.example.com) other.example; none",
     "other.example; spf=pass smtp.helo=mx.example.com", "example.com; none"]
)  # fmt: skip
def test_rfc8601_5_what_others_say_stays(value: str) -> None:
    raw = f"Authentication-Results: {value}\r\nARC-Authentication-Results: i=1; mx.example.com; spf=pass\r\n\r\nbody".encode()
    assert without_forged_results(scan_headers(raw), OWN) == raw


def test_rfc8601_5_no_place_in_the_header_is_overlooked() -> None:
    field = b"Authentication-Results: mx.example.com; spf=pass\r\n"
    many = b"X: y\r\n" * 1200
    assert without_forged_results(scan_headers(many + field + b"\r\nbody"), OWN) == many + b"\r\nbody"
    broken = b"Subject: x\r\nthis is no field\r\nneither is this\r\n"
    assert without_forged_results(scan_headers(broken + field + b"\r\nbody"), OWN) == broken + b"\r\nbody"
    hidden = b"X: y\r" + field + b"Subject: z\r\n\r\n"
    assert without_forged_results(scan_headers(hidden), OWN) == b"X: y\r\r\nSubject: z\r\n\r\n"
    others = b"Authentication-Results: a.example; none\r\n"
    assert (
        without_forged_results(scan_headers(others * (MAX_FIELDS + 9) + b"\r\n"), OWN) == others * MAX_FIELDS + b"\r\n"
    )
    body = b"\r\n" + field + b"\r\n"
    assert without_forged_results(scan_headers(body), OWN) == body
    assert without_forged_results(scan_headers(field.rstrip()), OWN) == b""


@given(
    st.lists(
        st.sampled_from(
            [
                b"Authentication-Results:",
                b" mx.example.com",
                b";",
                b"\r\n",
                b"\n",
                b"\r",
                b" ",
                b"(",
                b")",
                b'"',
                b"\\",
                b"x: y",
            ]
        )
    )
)
def test_rfc8601_5_none_is_left_after_one_removal(pieces: list[bytes]) -> None:
    once = without_forged_results(scan_headers(b"".join(pieces)), OWN)
    left = without_forged_results(scan_headers(once), OWN)
    for _, value in scan_headers(left).fields:
        assert value in once
    assert all(not OWN.claimed(value) for value in scan_headers(once).all(b"authentication-results"))


# --- the client


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({}, IprevResult.PERMERROR),
        ({"1.2.0.192.in-addr.arpa": []}, IprevResult.PERMERROR),
        ({"1.2.0.192.in-addr.arpa": [(TIMEOUT, None)]}, IprevResult.TEMPERROR),
        ({"1.2.0.192.in-addr.arpa": [("PTR", "gone.example")]}, IprevResult.FAIL),
        ({"1.2.0.192.in-addr.arpa": [("PTR", "h.example")], "h.example": [("A", "192.0.2.2")]}, IprevResult.FAIL),
        ({"1.2.0.192.in-addr.arpa": [("PTR", "h.example")], "h.example": [(TIMEOUT, None)]}, IprevResult.TEMPERROR),
        ({"1.2.0.192.in-addr.arpa": [("PTR", "gone.example"), ("PTR", "H.example")], "h.example": [("A", "192.0.2.1")]}, IprevResult.PASS),
    ],
)  # fmt: skip
async def test_rfc8601_3_iprev(names: dict[str, list[tuple[str, Any]]], wanted: IprevResult) -> None:
    outcome = await check_iprev(Zone(names), ip_address("::ffff:192.0.2.1"))
    assert (outcome.result, outcome.client) == (wanted, "192.0.2.1")
    assert outcome.names == (("h.example",) if wanted is IprevResult.PASS else ())


async def test_rfc8601_3_iprev_looks_at_ten_names() -> None:
    zone = Zone(
        {"1.2.0.192.in-addr.arpa": [("PTR", f"h{n}.example") for n in range(99)], "h98.example": [("A", "192.0.2.1")]}
    )
    assert (await check_iprev(zone, ip_address("192.0.2.1"))).result is IprevResult.FAIL
    assert len(zone.asked) == 11


@pytest.mark.parametrize(
    ("helo", "wanted"),
    [
        ("H.example.", HeloOutcome(HeloForm.NAME, resolves=True, matches=True)),
        ("six.example", HeloOutcome(HeloForm.NAME, resolves=True, matches=False)),
        ("gone.example", HeloOutcome(HeloForm.NAME, resolves=False, matches=False)),
        ("down.example", HeloOutcome(HeloForm.NAME, resolves=None, matches=None)),
        ("[192.0.2.1]", HeloOutcome(HeloForm.LITERAL, resolves=False, matches=True)),
        ("[IPv6:::ffff:192.0.2.1]", HeloOutcome(HeloForm.LITERAL, resolves=False, matches=True)),
        ("[192.0.2.2]", HeloOutcome(HeloForm.LITERAL, resolves=False, matches=False)),
        ("192.0.2.1", HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)),
        ("localhost", HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)),
        ("a b.example", HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)),
        ("", HeloOutcome(HeloForm.INVALID, resolves=False, matches=False)),
    ],
)
async def test_rfc5321_4_1_1_1_the_name_of_helo(helo: str, wanted: HeloOutcome) -> None:
    zone = Zone(
        {"h.example": [("A", "192.0.2.1")], "six.example": [("AAAA", "2001:db8::1")], "down.example": [(TIMEOUT, None)]}
    )
    assert await check_helo_name(zone, ip_address("192.0.2.1"), helo) == wanted
