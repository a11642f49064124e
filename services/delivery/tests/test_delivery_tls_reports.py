"""Reports of TLS (RFC 8460): counted by policy, told once to the places that a domain names, forgotten after."""

from __future__ import annotations

import asyncio
import email
import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.dns_texts import Texts
from services.delivery.tests.domain_fakes import Calendar, FakeHosted

from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.adapters.tls_rows import Held, TlsRow
from petitbleu_delivery.domain.outbound import does_without_tls
from petitbleu_delivery.domain.tls_report import PolicyType, ResultType, TlsFailure, TlsPolicy, report_places
from petitbleu_delivery.service.domains.tls_reports import TlsReports
from petitbleu_delivery.service.domains.tls_results import TlsResults

STS = TlsPolicy(PolicyType.STS, "else.example", ("version: STSv1", "mode: testing"), ("*.else.example",))
NONE = TlsPolicy(PolicyType.NONE, "else.example")
EXPIRED = TlsFailure(ResultType.EXPIRED, "mx.else.example", "192.0.2.9", "198.51.100.1", "certificate has expired")


class Rows:
    def __init__(self) -> None:
        self.kept: dict[tuple[date, str, bytes], tuple[bytes, int]] = {}
        self.elsewhere = False

    async def add(self, rows: Sequence[TlsRow]) -> None:
        for row in rows:
            _, known = self.kept.get((row.day, row.domain, row.key), (b"", 0))
            self.kept[row.day, row.domain, row.key] = (row.said, known + row.sessions)

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        return sorted({(day, domain) for day, domain, _ in self.kept if day < before})[:limit]

    @asynccontextmanager
    async def hold(self, day: date, domain: str, limit: int) -> AsyncIterator[Held]:
        mine = [value for key, value in self.kept.items() if key[:2] == (day, domain)][:limit]
        held = Held([] if self.elsewhere else mine)
        yield held
        if held.done:
            self.kept = {key: value for key, value in self.kept.items() if key[:2] != (day, domain)}


class Reporting:
    def __init__(self, record: str = "v=TLSRPTv1; rua=mailto:r@else.example,https://else.example/tls") -> None:
        self.rows = Rows()
        self.calendar = Calendar()
        self.letters: list[Letter] = []
        self.posts: list[tuple[str, bytes]] = []
        self.has_room = True
        self.url_works = True
        self.dns = Texts({"_smtp._tls.else.example": (record.encode(),)})
        self.results = TlsResults(self.rows, self.dns, self.calendar)
        self.reports = TlsReports(
            self.rows, self.accept, self.post, FakeHosted(us_example=5), self.dns, "tls@us.example", "Us", self.calendar
        )

    async def accept(self, letters: Sequence[Letter]) -> bool:
        self.letters += letters if self.has_room else []
        return self.has_room

    async def post(self, url: str, packed: bytes) -> bool:
        self.posts += [(url, packed)] if self.url_works else []
        return self.url_works

    async def count(self) -> None:
        for _ in range(3):
            self.results.saw("else.example", STS)
        self.results.saw("else.example", STS, EXPIRED)
        self.results.saw("else.example", NONE)
        self.results.saw("silent.example", NONE)
        await self.results.flush()


async def test_rfc8460_4_4_a_day_is_told_by_policy_the_day_after_once_and_forgotten() -> None:
    given_ = Reporting()
    await given_.count()
    await given_.count()
    assert {domain for _, domain, _ in given_.rows.kept} == {"else.example"}, "kept of a domain that wants no report"
    await given_.reports.send()
    assert given_.letters == [], "the day is not over"
    given_.calendar.pass_days(0.75)
    await given_.reports.send()
    (letter,) = given_.letters
    assert (letter.to, letter.mail_from, letter.notice, letter.tenant_id) == ("r@else.example", "", True, 5)
    assert letter.header_from == "tls@us.example", "the queue signs in the name of this domain (§3)"
    mail = email.message_from_bytes(letter.body)
    # §5.3
    assert (mail.get_content_type(), mail.get_param("report-type")) == ("multipart/report", "tlsrpt")
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("else.example", "us.example")
    assert re.fullmatch(
        r"Report Domain: else\.example Submitter: us\.example Report-ID: <\S+@us\.example>", mail["Subject"]
    )
    assert does_without_tls(letter.body), "RFC 8460 §3: delivered despite any failure of TLS"
    _, text, attachment = mail.walk()
    assert text.get_content_type() == "text/plain"
    assert attachment.get_content_type() == "application/tlsrpt+gzip"
    assert attachment.get_filename() == "us.example!else.example!1769817600!1769903999.json.gz"
    packed = attachment.get_payload(decode=True)
    assert isinstance(packed, bytes)
    assert given_.posts == [("https://else.example/tls", packed)]
    judge(json.loads(gzip.decompress(packed)))
    assert given_.rows.kept == {}
    await given_.reports.send()
    assert len(given_.letters) == 1


def judge(report: dict[str, Any]) -> None:
    """Compare a report with the structure that RFC 8460 §4.4 gives."""
    assert set(report) == {"organization-name", "date-range", "contact-info", "report-id", "policies"}
    assert report["organization-name"] == "Us"
    assert report["date-range"] == {"start-datetime": "2026-01-31T00:00:00Z", "end-datetime": "2026-01-31T23:59:59Z"}
    none, sts = sorted(report["policies"], key=lambda one: str(one["policy"]["policy-type"]))
    assert none == {
        "policy": {"policy-type": "no-policy-found", "policy-domain": "else.example"},
        "summary": {"total-successful-session-count": 2, "total-failure-session-count": 0},
    }
    assert sts == {
        "policy": {
            "policy-type": "sts", "policy-domain": "else.example", "policy-string": ["version: STSv1", "mode: testing"],
            "mx-host": ["*.else.example"],
        },
        "summary": {"total-successful-session-count": 6, "total-failure-session-count": 2},
        "failure-details": [
            {
                "result-type": "certificate-expired", "sending-mta-ip": "198.51.100.1",
                "receiving-mx-hostname": "mx.else.example", "receiving-ip": "192.0.2.9",
                "failure-reason-code": "certificate has expired", "failed-session-count": 2,
            }
        ],
    }  # fmt: skip


async def test_a_report_of_tls_that_is_made_twice_is_the_same_mail_to_store() -> None:
    given_ = Reporting()
    for _ in range(2):
        await given_.count()
        given_.calendar.pass_days(1)
        await given_.reports.send()
        given_.calendar.pass_days(-1)
    first, second = given_.letters
    assert first.key == second.key


async def test_what_another_process_has_in_hand_is_left_to_it() -> None:
    given_ = Reporting()
    await given_.count()
    given_.calendar.pass_days(1)
    given_.rows.elsewhere = True
    await given_.reports.send()
    assert (given_.letters, given_.posts) == ([], [])
    assert given_.rows.kept


async def test_rfc8460_5_5_what_is_not_taken_is_tried_again_and_not_for_ever() -> None:
    given_ = Reporting()
    await given_.count()
    given_.calendar.pass_days(1)
    given_.has_room = False
    await given_.reports.send()
    given_.has_room = True
    await given_.reports.send()
    assert len(given_.posts) == 1, "a URL that took it is not posted to again"
    assert given_.rows.kept == {}
    await given_.count()
    given_.url_works = False
    given_.calendar.pass_days(1)
    await given_.reports.send()
    assert given_.rows.kept
    given_.calendar.pass_days(3)
    await given_.reports.send()
    assert given_.rows.kept == {}


async def test_places_that_hang_hold_the_day_for_no_longer_than_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = Reporting("v=TLSRPTv1; rua=https://a.example/,https://b.example/,https://c.example/")
    at_once = asyncio.Barrier(3)

    async def post(url: str, packed: bytes) -> bool:
        await asyncio.wait_for(at_once.wait(), 5)
        return await given_.post(url, packed)

    monkeypatch.setattr(given_.reports, "_post", post)
    await given_.count()
    given_.calendar.pass_days(1)
    await given_.reports.send()
    assert len(given_.posts) == 3


async def test_reports_do_not_all_begin_at_once() -> None:
    given_ = Reporting()
    hours = set()
    for number in range(40):
        given_.dns.records[f"_smtp._tls.d{number}.example"] = (b"v=TLSRPTv1; rua=mailto:r@d.example",)
        given_.results.saw(f"d{number}.example", NONE)
    await given_.results.flush()
    given_.calendar.pass_days(0.5)
    for _ in range(5):
        given_.calendar.pass_days(1 / 24)
        await given_.reports.send()
        hours.add(len(given_.letters))
    assert len(hours) > 2
    assert len(given_.letters) == 40, "all within some four hours"


async def test_memory_is_bounded_whatever_servers_there_are() -> None:
    given_ = Reporting()
    for number in range(1000):
        given_.results.saw("else.example", STS, TlsFailure(ResultType.VALIDATION, f"mx{number}.else.example"))
    await given_.results.flush()
    assert len(given_.rows.kept) == 100
    given_.results.saw("else.example", STS)
    await given_.results.flush()
    assert len(given_.rows.kept) == 101


@pytest.mark.parametrize(
    ("records", "addresses", "urls"),
    [
        ([b"v=TLSRPTv1; rua=mailto:r@else.example"], ("r@else.example",), ()),
        ([b"v=TLSRPTv1;rua=https://r.example/a%21b , mailto:r@else.example"], ("r@else.example",), ("https://r.example/a%21b",)),
        ([b"v=TLSRPTv1; rua=mailto:r%2Bx@else.example;", b"v=spf1 -all"], ("r+x@else.example",), ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example", b"v=TLSRPTv1; rua=mailto:a@b.example"], None, None),
        ([b"v=TLSRPTv1; rua=http://r.example/"], None, None),
        ([b"v=TLSRPTv2; rua=mailto:a@b.example"], None, None),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example%0d%0aBcc:c@d.example"], None, None),
        ([b"v=TLSRPTv1; rua=https://[::1"], None, None),
        ([], None, None),
    ],
)  # fmt: skip
def test_rfc8460_3_where_reports_are_wanted(
    records: list[bytes], addresses: tuple[str, ...] | None, urls: tuple[str, ...] | None
) -> None:
    places = report_places(records)
    assert (places and places.addresses, places and places.urls) == (addresses, urls)


PIECES = st.sampled_from(
    [
        b"mailto:",
        b"https://",
        b"a@b.example",
        b",",
        b";",
        b" ",
        b"!",
        b"%0a",
        b"\r\n",
        b"[",
        b"\xff",
        b"rua=",
        b"x" * 300,
    ]
)


@given(st.lists(PIECES, max_size=20).map(b"".join))
@settings(deadline=None)
def test_whatever_a_record_says_a_place_is_one_line_of_ascii(text: bytes) -> None:
    places = report_places([b"v=TLSRPTv1; rua=" + text])
    if places is not None:
        found = [*places.addresses, *places.urls]
        assert 0 < len(found) <= 4
        assert all(one.isascii() and one.isprintable() and " " not in one for one in found)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"TLS-Required: No\r\nFrom: a@b.test", True),
        (b"From: a@b.test\r\ntls-required:no\r\n", True),
        (b"From: a@b.test\r\nTLS-Required: Yes", False),
        (b"Subject: TLS-Required: No", False),
        (b"Subject: x\r\n\r\nTLS-Required: No", False),
    ],
)
def test_rfc8689_5_a_message_may_say_that_tls_does_not_matter(header: bytes, expected: bool) -> None:
    assert does_without_tls(header + b"\r\n\r\nTLS-Required: No\r\n") is expected
