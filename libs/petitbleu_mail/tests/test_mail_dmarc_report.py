"""DMARC aggregate reports: whole and well-formed whatever strangers wrote, and sent only to who wants them."""

from __future__ import annotations

import gzip
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_texts import Texts

from petitbleu_mail.auth.dmarc_record import DmarcRecord, parse_record
from petitbleu_mail.auth.dmarc_report import (
    AggregateReport,
    AggregateRow,
    SignatureResult,
    record_text,
    report_addresses,
    willing_addresses,
)
from petitbleu_mail.auth.resolver import TemporaryDnsError

NS = "{urn:ietf:params:xml:ns:dmarc-2.0}"


def record(text: bytes) -> DmarcRecord:
    found = parse_record(text)
    assert found is not None
    return found


ROW = AggregateRow(
    "192.0.2.1", 3, "reject", False, True, "example.org", "bounce.example.org", "bounce.example.org", "pass", "mfrom",
    (SignatureResult("other.example", "s1", "pass"), SignatureResult("example.org", "s2", "fail")), "local_policy",
)  # fmt: skip
REPORT = AggregateReport(
    "Post & Telegraph", "dmarc@us.example", "1@us.example", 1_700_000_000, 1_700_086_399, "example.org",
    record(b"v=DMARC1; p=reject; sp=none; adkim=s; t=y; rua=mailto:a@example.org; ruf=mailto:a@example.org; fo=1:d"), (ROW,),
)  # fmt: skip


def text(root: ET.Element, path: str) -> list[str | None]:
    return [found.text for found in root.findall("/".join(NS + step for step in path.split("/")))]


def test_rfc9990_a_report_says_what_was_published_and_what_was_seen() -> None:
    root = ET.fromstring(gzip.decompress(REPORT.packed()))
    assert root.tag == f"{NS}feedback"
    assert text(root, "report_metadata/org_name") == ["Post & Telegraph"]
    assert text(root, "report_metadata/date_range/end") == ["1700086399"]
    published = {one.tag.removeprefix(NS): one.text for one in root.find(f"{NS}policy_published") or []}
    assert published == {
        "domain": "example.org", "p": "reject", "sp": "none", "np": "reject", "adkim": "s", "aspf": "r",
        "discovery_method": "treewalk", "fo": "1:d", "testing": "y",
    }  # fmt: skip
    assert text(root, "record/row/policy_evaluated/dkim") + text(root, "record/row/policy_evaluated/spf") == [
        "fail",
        "pass",
    ]
    assert text(root, "record/row/policy_evaluated/reason/type") == ["local_policy"]
    assert text(root, "record/auth_results/dkim/selector") == ["s1", "s2"]
    assert text(root, "record/auth_results/spf/scope") == ["mfrom"]
    assert REPORT.file_name("us.example") == "us.example!example.org!1700000000!1700086399.xml.gz"
    assert REPORT.subject("us.example") == "Report Domain: example.org Submitter: us.example Report-ID: <1@us.example>"
    assert REPORT.packed() == REPORT.packed()


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_names_strangers_use_the_report_is_well_formed(name: str, selector: str) -> None:
    row = AggregateRow(
        "2001:db8::1", 1, "none", True, False, name, name, name, "none", dkim=(SignatureResult(name, selector, "pass"),)
    )
    report = AggregateReport("us", "a@b", "id", 0, 1, name, record(b"v=DMARC1; p=none"), (row,) * 3)
    root = ET.fromstring(report.xml())
    assert len(root.findall(f"{NS}record")) == 3
    assert len(root.findall(f"{NS}record/{NS}auth_results/{NS}dkim")) == 3


@pytest.mark.parametrize(
    ("uris", "addresses"),
    [
        (["mailto:a@example.org"], [("a@example.org", "example.org")]), (["MAILTO:a%2Bb@Example.ORG?subject=x"], [("a+b@Example.ORG", "example.org")]),
        (["https://example.org/r", "mailto:nobody", "mailto:a@[192.0.2.1]", "mailto:a@b.example"], [("a@b.example", "b.example")]),
        (["mailto:a@b.example", "mailto:a@b.example"], [("a@b.example", "b.example")]), ([], []),
    ],
)  # fmt: skip
def test_addresses_of_uris(uris: list[str], addresses: list[tuple[str, str]]) -> None:
    assert report_addresses(uris) == addresses


async def test_rfc9990_4_a_stranger_gets_no_report_that_it_does_not_ask_for() -> None:
    rua = b"v=DMARC1; p=none; rua=mailto:a@mail.example.org,mailto:b@wants.example,mailto:c@all.example,mailto:d@victim.example"
    dns = Texts({
        "_dmarc.example.org": (rua,),
        "example.org._report._dmarc.wants.example": (b"v=DMARC1",),
        "example.org._report._dmarc.all.example": (b"v=DMARC1;",),
        "example.org._report._dmarc.victim.example": (b"v=spf1 -all",),
    })  # fmt: skip
    willing = await willing_addresses(dns, "example.org", record(rua))
    assert willing == ["a@mail.example.org", "b@wants.example", "c@all.example"]
    dns.records["example.org._report._dmarc.victim.example"] = None
    with pytest.raises(TemporaryDnsError):
        await willing_addresses(dns, "example.org", record(rua))


TAGS = st.sampled_from([
    b"v=DMARC1", b"p=none", b"p=reject", b"sp=quarantine", b"np=reject", b"adkim=s", b"aspf=s", b"t=y", b"psd=n", b"psd=y",
    b"rua=mailto:a@b.example,https://x.example/y", b"ruf=mailto:c@d.example", b"fo=1:d:s", b"fo=0", b"p=bogus", b"rua=!", b"x=y",
])  # fmt: skip


@given(st.lists(TAGS, max_size=8))
def test_a_record_written_is_read_as_the_same(tags: list[bytes]) -> None:
    found = parse_record(b"; ".join([b"v=DMARC1", *tags]))
    if found is not None:
        assert parse_record(record_text(found)) == found
