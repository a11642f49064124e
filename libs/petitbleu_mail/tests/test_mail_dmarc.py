"""DMARC: records, the walk, alignment, policies, and authors who are none."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_zone import TIMEOUT, Zone

from petitbleu_mail.auth.author import Author, AuthorFault, author_of
from petitbleu_mail.auth.dmarc import (
    DmarcOutcome,
    DmarcResult,
    Identifiers,
    TreeWalk,
    check_dmarc,
    identifiers_of,
    walk_targets,
)
from petitbleu_mail.auth.dmarc_record import Policy, parse_record, report_uris, select_record
from petitbleu_mail.auth.spf import SpfOutcome, SpfResult
from petitbleu_mail.headers import scan_headers


def dmarc(**records: str) -> Zone:
    """A zone with DMARC records; in the names, `_` is a dot."""
    return Zone({f"_dmarc.{name.replace('_', '.')}": [("TXT", text)] for name, text in records.items()})


async def judged(
    zone: Zone, domain: str, *, spf: str = "", dkim: tuple[str, ...] = (), undecided: tuple[str, ...] = ()
) -> DmarcOutcome:
    return await check_dmarc(zone, Author((domain,)), Identifiers(spf, dkim, undecided))


# --- the record


def test_rfc9989_4_7_every_tag() -> None:
    record = parse_record(
        b"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=n; t=y; fo=1:d:s; "
        b"rua=mailto:a@example.com!10m,mailto:b@example.com; ruf=mailto:c@example.com"
    )
    assert record is not None
    assert (record.policy, record.subdomains, record.nonexistent) == (Policy.REJECT, Policy.QUARANTINE, Policy.NONE)
    assert (record.strict_dkim, record.strict_spf, record.psd, record.testing, record.fo) == (
        True,
        True,
        "n",
        True,
        "1ds",
    )
    assert record.rua == ("mailto:a@example.com", "mailto:b@example.com")
    assert record.ruf == ("mailto:c@example.com",)


def test_rfc7489_6_3_an_old_record_is_read() -> None:
    record = parse_record(b"v=DMARC1;p=quarantine;pct=20;rf=afrf;ri=86400;fo=d;rua=mailto:a@example.com")
    assert record is not None
    assert (record.policy, record.testing, record.psd, record.fo) == (Policy.QUARANTINE, False, "u", "0")


@pytest.mark.parametrize(
    "text",
    ["", "p=reject; v=DMARC1", "v=DMARC2; p=none", "v=dmarc1; p=none", "v=DMARC1 p=none", "v=DMARC10; p=none", " v=DMARC1; p=none", "v=spf1 -all"],
)  # fmt: skip
def test_rfc9989_4_7_the_version_comes_first(text: str) -> None:
    assert parse_record(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "policy", "sp"),
    [  # RFC 9989 §4.10.1
        ("p=reject; sp=soon; rua=mailto:a@example.com", Policy.NONE, None),
        ("p=reject; sp=soon", None, None),
        ("p=reject; np=", Policy.REJECT, None),
        ("rua=mailto:a@example.com", Policy.NONE, None),
        ("sp=reject; rua=mailto:a@example.com", Policy.NONE, None),
        ("rua=nowhere", None, None),
        ("p = REJECT ; sp\t=none", Policy.REJECT, Policy.NONE),
        ("p=quarantine; p=none; what; =x; é=1; adkim=q; t=2; psd=7", Policy.QUARANTINE, None),
    ],
)
def test_rfc9989_4_8_errors_leave_the_defaults(text: str, policy: Policy | None, sp: Policy | None) -> None:
    record = parse_record(f"v=DMARC1; {text}".encode())
    assert record is not None
    assert (record.policy, record.subdomains) == (policy, sp)
    assert (record.strict_dkim, record.testing, record.psd) == (False, False, "u")


def test_rfc9989_4_10_several_records_are_none() -> None:
    assert select_record([b"v=DMARC1; p=reject", b"v=DMARC1; p=reject"]) is None
    assert select_record([b"hello", b"v=DMARC1; p=reject"]) is not None


def test_rfc9989_4_6_reporting_uris() -> None:
    uris = report_uris(
        "mailto:a@example.com!1k , https://r.example/x , a@b.example, mailto:a@example.com,mailto:x y@z.example,"
    )
    assert uris == ("mailto:a@example.com", "https://r.example/x")
    assert len(report_uris(",".join(f"mailto:{n}@example.com" for n in range(100)))) == 8


@given(st.binary(max_size=200) | st.text(string.printable, max_size=150).map(str.encode))
def test_rfc9989_4_8_any_octets_are_a_record_or_none(octets: bytes) -> None:
    parse_record(octets)
    record = parse_record(b"v=DMARC1;" + octets)
    assert record is not None
    assert record.policy is not None or not record.rua


# --- the walk


def test_rfc9989_4_10_the_example_of_thirteen_labels() -> None:
    assert walk_targets("a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com",
        "j.mail.example.com", "mail.example.com", "example.com", "com",
    ]  # fmt: skip


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_rfc9989_4_10_eight_queries_at_most(labels: list[str]) -> None:
    targets = walk_targets(".".join(labels))
    assert len(targets) == min(len(labels), 8)
    assert targets[-1] == labels[-1]
    assert targets[0] == ".".join(labels)


@pytest.mark.parametrize(
    ("records", "wanted"),
    [  # RFC 9989 §4.10.2
        ({"mail_example_com": "p=none", "example_com": "p=none"}, "example.com"),
        ({"mail_example_com": "p=none; psd=n", "example_com": "p=none"}, "mail.example.com"),
        ({"com": "p=none; psd=y"}, "example.com"),
        ({"example_com": "p=none; psd=y"}, "mail.example.com"),
        ({"a_mail_example_com": "p=none; psd=y", "example_com": "p=none"}, "a.mail.example.com"),
        ({"a_mail_example_com": "p=none", "com": "p=none; psd=y"}, "example.com"),
        ({}, "a.mail.example.com"),
    ],
)
async def test_rfc9989_4_10_2_the_organizational_domain(records: dict[str, str], wanted: str) -> None:
    zone = dmarc(**{name: f"v=DMARC1; {text}" for name, text in records.items()})
    assert await TreeWalk(zone).organizational("a.mail.example.com") == wanted


# --- the policy


async def test_rfc9989_4_10_1_the_record_of_the_author_domain_comes_first() -> None:
    zone = dmarc(mail_example_com="v=DMARC1; p=none; sp=reject", example_com="v=DMARC1; p=reject")
    outcome = await judged(zone, "mail.example.com")
    assert (outcome.result, outcome.policy_domain, outcome.policy) == (
        DmarcResult.FAIL,
        "mail.example.com",
        Policy.NONE,
    )


async def test_rfc9989_4_10_1_the_organization_comes_before_what_lies_between() -> None:
    zone = dmarc(mail_example_com="v=DMARC1; p=none", example_com="v=DMARC1; p=reject; sp=quarantine")
    zone.names["a.mail.example.com"] = [("A", "192.0.2.1")]
    outcome = await judged(zone, "a.mail.example.com")
    assert (outcome.policy_domain, outcome.policy) == ("example.com", Policy.QUARANTINE)


async def test_rfc9989_4_10_1_the_public_suffix_comes_last() -> None:
    zone = dmarc(bank="v=DMARC1; p=none; sp=reject; psd=y")
    outcome = await judged(zone, "small.bank")
    assert (outcome.policy_domain, outcome.policy) == ("bank", Policy.REJECT)
    zone = dmarc(bank="v=DMARC1; p=reject; psd=y", small_bank="v=DMARC1; p=quarantine")
    outcome = await judged(zone, "www.small.bank")
    assert (outcome.policy_domain, outcome.policy) == ("small.bank", Policy.QUARANTINE)


@pytest.mark.parametrize(
    ("text", "there", "gone"),
    [
        ("p=none; sp=quarantine; np=reject", Policy.QUARANTINE, Policy.REJECT),
        ("p=none; sp=quarantine", Policy.QUARANTINE, Policy.QUARANTINE),
        ("p=reject", Policy.REJECT, Policy.REJECT),
        ("p=none; np=reject", Policy.NONE, Policy.REJECT),
    ],
)
async def test_rfc9989_4_7_np_is_for_names_that_do_not_exist(text: str, there: Policy, gone: Policy) -> None:
    zone = dmarc(example_com=f"v=DMARC1; {text}")
    zone.names["there.example.com"] = []
    assert (await judged(zone, "there.example.com")).policy == there
    assert (await judged(zone, "gone.example.com")).policy == gone


@pytest.mark.parametrize(
    ("p", "lowered"), [("reject", Policy.QUARANTINE), ("quarantine", Policy.NONE), ("none", Policy.NONE)]
)
async def test_rfc9989_4_7_test_mode_lowers_the_policy(p: str, lowered: Policy) -> None:
    outcome = await judged(dmarc(example_com=f"v=DMARC1; p={p}; t=y"), "example.com")
    assert (outcome.published.name.lower(), outcome.policy) == (p, lowered)
    outcome = await judged(dmarc(example_com=f"v=DMARC1; p={p}; pct=0"), "example.com")
    assert outcome.policy == outcome.published != lowered or p == "none"


async def test_rfc9989_4_10_1_without_a_record_there_is_no_verdict() -> None:
    assert (await judged(Zone({}), "example.com", spf="example.com")).result is DmarcResult.NONE
    assert (
        await judged(dmarc(example_com="v=DMARC1; p=maybe"), "example.com", spf="example.com")
    ).result is DmarcResult.NONE


# --- alignment


@pytest.mark.parametrize(
    ("author", "identifier", "record", "wanted"),
    [
        ("news.example.com", "news.example.com", "p=reject; aspf=s; adkim=s", True),
        ("news.example.com", "foo.example.com", "p=reject", True),
        ("news.example.com", "example.com", "p=reject", True),
        ("example.com", "deep.down.example.com", "p=reject", True),
        ("news.example.com", "foo.example.com", "p=reject; aspf=s; adkim=s", False),
        ("news.example.com", "foo.example.net", "p=reject", False),
        ("news.example.com", "notexample.com", "p=reject", False),
        ("news.example.com", "com", "p=reject", False),
    ],
)
async def test_rfc9989_4_4_alignment(author: str, identifier: str, record: str, wanted: bool) -> None:
    for identified in ({"spf": identifier}, {"dkim": ("other.example", identifier)}):
        outcome = await judged(dmarc(example_com=f"v=DMARC1; {record}"), author, **identified)
        assert outcome.result is (DmarcResult.PASS if wanted else DmarcResult.FAIL)
        assert (outcome.spf_aligned or outcome.dkim_aligned != "") == wanted


async def test_rfc9989_4_10_2_a_boundary_between_two_names_parts_them() -> None:
    zone = dmarc(example_com="v=DMARC1; p=reject", b_example_com="v=DMARC1; p=reject; psd=n")
    assert (await judged(zone, "example.com", spf="x.b.example.com")).result is DmarcResult.FAIL
    assert (await judged(zone, "b.example.com", spf="example.com")).result is DmarcResult.FAIL
    assert (await judged(zone, "y.b.example.com", spf="x.b.example.com")).result is DmarcResult.PASS
    zone = dmarc(co_example="v=DMARC1; p=reject; psd=y")
    assert (await judged(zone, "one.co.example", spf="two.co.example")).result is DmarcResult.FAIL
    assert (await judged(zone, "one.co.example", spf="mail.one.co.example")).result is DmarcResult.PASS


async def test_rfc9989_4_4_2_only_a_pass_of_mail_from_identifies() -> None:
    def outcome(result: SpfResult, identity: str = "mailfrom") -> SpfOutcome:
        return SpfOutcome(result, "example.com", identity)

    assert identifiers_of(outcome(SpfResult.PASS), ["B.Example."]) == Identifiers("example.com", ("b.example",), ())
    assert identifiers_of(outcome(SpfResult.PASS, "helo"), []) == Identifiers()
    assert identifiers_of(outcome(SpfResult.SOFTFAIL), []) == Identifiers()
    assert identifiers_of(outcome(SpfResult.TEMPERROR), [], ["x.example"]) == Identifiers(
        "", (), ("x.example", "example.com")
    )
    assert identifiers_of(None, []) == Identifiers()


# --- failures of the DNS


async def test_rfc9989_5_3_6_neither_pass_nor_fail_without_an_answer() -> None:
    down: list[tuple[str, Any]] = [(TIMEOUT, None)]
    assert (
        await judged(Zone({"_dmarc.example.com": down}), "example.com", spf="example.com")
    ).result is DmarcResult.TEMPERROR
    zone = dmarc(a_example_com="v=DMARC1; p=reject")
    zone.names["_dmarc.com"] = down
    # the policy is known, what relaxed alignment goes by is not
    assert (await judged(zone, "a.example.com", spf="b.example.com")).result is DmarcResult.TEMPERROR
    assert (await judged(zone, "a.example.com", spf="a.example.com")).result is DmarcResult.PASS
    assert (await judged(zone, "a.example.com")).result is DmarcResult.FAIL
    zone = dmarc(example_com="v=DMARC1; p=reject; np=reject")
    zone.names["x.example.com"] = down
    assert (await judged(zone, "x.example.com")).result is DmarcResult.TEMPERROR


async def test_rfc9989_5_3_6_what_could_not_be_asked_could_have_passed() -> None:
    zone = dmarc(example_com="v=DMARC1; p=reject")
    assert (await judged(zone, "example.com", undecided=("mail.example.com",))).result is DmarcResult.TEMPERROR
    # a stranger's failing DNS is no way around the policy
    assert (await judged(zone, "example.com", undecided=("evil.example.net", "evil.com"))).result is DmarcResult.FAIL


async def test_rfc9989_4_10_work_is_bounded_whatever_the_signatures_say() -> None:
    zone = dmarc(example_com="v=DMARC1; p=reject", b_example_com="v=DMARC1; p=none; psd=n")
    signers = tuple(f"{'x.' * 40}s{n}.b.example.com" for n in range(500))
    identifiers = identifiers_of(None, signers, signers)
    outcome = await check_dmarc(zone, Author(("a." * 50 + "example.com",)), identifiers)
    assert outcome.result is DmarcResult.FAIL
    assert len(zone.asked) <= 8 + 16 * 8 + 1
    strangers = tuple(f"s{n}.example.net" for n in range(500))
    zone.asked.clear()
    await check_dmarc(zone, Author(("example.com",)), identifiers_of(None, strangers))
    assert len(zone.asked) == 1


# --- the author


def author(header: str | bytes) -> Author:
    raw = header.encode() if isinstance(header, str) else header
    return author_of(scan_headers(raw + b"\r\n\r\nbody"))


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        ("From: a@Example.COM", "example.com"),
        ("from : A <a@example.com>", "example.com"),
        ('From: "b@good.example" <a@example.com>', "example.com"),
        ("From: b@good.example <a@example.com>", "example.com"),
        ("From: a@example.com (b@good.example)", "example.com"),
        ("From: =?utf-8?q?b=40good.example?=\r\n <a@example.com>", "example.com"),
        ("From: a@bücher.example", "xn--bcher-kva.example"),
        ("From: G: a@example.com;", "example.com"),
    ],
)
def test_rfc9989_5_3_1_the_author_domain(header: str, domain: str) -> None:
    assert author(header) == Author((domain,))


@pytest.mark.parametrize(
    ("header", "fault", "domains"),
    [
        ("Subject: x", AuthorFault.MISSING, ()),
        ("From:", AuthorFault.MISSING, ()),
        ("From: undisclosed-recipients:;", AuthorFault.MISSING, ()),
        ("From: a@one.example\r\nFrom: b@two.example", AuthorFault.REPEATED, ("one.example", "two.example")),
        ("From: a@one.example\r\nFROM : a@one.example", AuthorFault.REPEATED, ("one.example",)),
        ("From: a@one.example, b@two.example", AuthorFault.MULTIPLE, ("one.example", "two.example")),
        ("From: <a@one.example> <b@two.example>", AuthorFault.MULTIPLE, ("one.example", "two.example")),
        ("From: a@one.example, b@one.example", AuthorFault.MULTIPLE, ("one.example",)),
        ("From: nobody", AuthorFault.UNREADABLE, ()),
        ("From: a@[192.0.2.1]", AuthorFault.UNREADABLE, ()),
        ("From: a@one..example", AuthorFault.UNREADABLE, ()),
        ("From: a@one.example, b@two..example", AuthorFault.UNREADABLE, ("one.example",)),
        ("From: a@one.example\x00", AuthorFault.UNREADABLE, ()),
        ("From: a@one.example\rFrom: b@two.example", AuthorFault.UNREADABLE, ()),
        (b"From: a@one\xff.example", AuthorFault.UNREADABLE, ()),
        ("From: " + "x" * 70_000 + " <a@one.example>", AuthorFault.UNREADABLE, ()),
        ("X: y\r\n" * 1000 + "From: a@one.example", AuthorFault.UNREADABLE, ()),
        ("From: " + ",".join(f"a@d{n}.example" for n in range(9)), AuthorFault.UNREADABLE, tuple(f"d{n}.example" for n in range(4))),
    ],
)  # fmt: skip
async def test_rfc9989_11_5_what_is_no_single_author_never_passes(
    header: str | bytes, fault: AuthorFault, domains: tuple[str, ...]
) -> None:
    found = author(header)
    assert found == Author(domains, fault)
    zone = Zone({f"_dmarc.{domain}": [("TXT", "v=DMARC1; p=none")] for domain in domains})
    outcome = await check_dmarc(zone, found, Identifiers(domains[0] if domains else "one.example", domains))
    assert outcome.result is (DmarcResult.PERMERROR if domains else DmarcResult.NONE)
    assert outcome.fault is fault


async def test_rfc9989_11_5_the_strictest_policy_of_several_that_fail() -> None:
    zone = dmarc(
        one_example="v=DMARC1; p=quarantine", two_example="v=DMARC1; p=reject", three_example="v=DMARC1; p=reject"
    )
    found = author("From: a@one.example, b@two.example, c@three.example")
    outcome = await check_dmarc(zone, found, Identifiers("three.example"))
    assert (outcome.result, outcome.policy, outcome.domain) == (DmarcResult.FAIL, Policy.REJECT, "two.example")
    assert outcome.fault is AuthorFault.MULTIPLE


@given(st.binary(max_size=80) | st.text(max_size=60).map(str.encode))
async def test_rfc9989_5_3_1_any_from_is_judged(value: bytes) -> None:
    found = author(b"From: " + value.replace(b"\n", b"") + b" <a@example.com>")
    outcome = await check_dmarc(dmarc(example_com="v=DMARC1; p=reject"), found, Identifiers("example.com"))
    assert (outcome.result is DmarcResult.PASS) == (found == Author(("example.com",)))
