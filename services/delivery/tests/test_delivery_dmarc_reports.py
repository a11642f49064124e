"""DMARC aggregate reports: gathered sealed, told once to who asks, forgotten after."""

from __future__ import annotations

import email
import gzip
import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from libs.petitbleu_mail.tests.dns_texts import Texts
from services.delivery.tests.domain_fakes import Calendar, FakeHosted

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu_delivery.adapters.dmarc_rows import DmarcRow
from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.service.domains.dmarc_reports import DmarcReports

NS = "{urn:ietf:params:xml:ns:dmarc-2.0}"
RECORD = "v=DMARC1; p=reject; rua=mailto:r@else.example,mailto:victim@elsewhere.example"


class Rows:
    def __init__(self) -> None:
        self.kept: dict[tuple[date, str, bytes], tuple[bytes, int]] = {}

    async def add(self, rows: Sequence[DmarcRow]) -> None:
        for row in rows:
            _, known = self.kept.get((row.day, row.domain, row.key), (b"", 0))
            self.kept[row.day, row.domain, row.key] = (row.sealed, known + row.messages)

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        return sorted({(day, domain) for day, domain, _ in self.kept if day < before})[:limit]

    async def rows(self, day: date, domain: str, limit: int) -> list[tuple[bytes, int]]:
        return [value for key, value in self.kept.items() if key[:2] == (day, domain)][:limit]

    async def drop(self, day: date, domain: str) -> None:
        self.kept = {key: value for key, value in self.kept.items() if key[:2] != (day, domain)}


class Reporting:
    def __init__(self, sender: str = "dmarc@us.example") -> None:
        self.rows = Rows()
        self.calendar = Calendar()
        self.letters: list[Letter] = []
        self.has_room = True
        self.dns = Texts({"_dmarc.else.example": (RECORD.encode(),)})
        self.reports = DmarcReports(
            self.rows,
            Seal(secrets.token_bytes(32), "reports"),
            self.accept,
            FakeHosted(us_example=5),
            self.dns,
            sender,
            "Us",
            self.calendar,
        )

    async def accept(self, letters: Sequence[Letter]) -> bool:
        self.letters += letters if self.has_room else []
        return self.has_room

    def count(self, source: str = "192.0.2.1", messages: int = 1) -> pb.DmarcCount:
        said = pb.DmarcEvaluation(
            domain="else.example", record=RECORD, source=source, disposition="reject", header_from="else.example",
            envelope_from="x.example", spf_domain="x.example", spf_result="pass", spf_scope="mfrom",
        )  # fmt: skip
        return pb.DmarcCount(evaluation=said, messages=messages, seen_at=int(self.calendar.now.timestamp()))


async def test_a_day_is_told_the_day_after_once_and_forgotten() -> None:
    given = Reporting()
    await given.reports.record([given.count(), given.count("192.0.2.2"), given.count()])
    await given.reports.record([given.count(messages=5)])
    assert all(b"192.0.2" not in sealed for sealed, _ in given.rows.kept.values()), "who sent from where is in clear"
    await given.reports.send()
    assert given.letters == [], "the day is not over"
    given.calendar.pass_days(0.6)
    await given.reports.send()
    (letter,) = given.letters
    assert (letter.to, letter.mail_from, letter.notice, letter.tenant_id) == ("r@else.example", "", True, 5)
    assert letter.header_from == "dmarc@us.example", "the queue signs in the name of this domain"
    mail = email.message_from_bytes(letter.body)
    assert mail["From"] == "<dmarc@us.example>"
    assert str(mail["Subject"]).startswith("Report Domain: else.example Submitter: us.example Report-ID: <")
    attachment = list(mail.walk())[2]
    assert attachment.get_filename() == "us.example!else.example!1769817600!1769903999.xml.gz"
    packed = attachment.get_payload(decode=True)
    assert isinstance(packed, bytes)
    root = ET.fromstring(gzip.decompress(packed))
    counts = {row.findtext(f"{NS}source_ip"): row.findtext(f"{NS}count") for row in root.iter(f"{NS}row")}
    assert counts == {"192.0.2.1": "7", "192.0.2.2": "1"}
    assert given.rows.kept == {}
    await given.reports.send()
    assert len(given.letters) == 1


async def test_a_report_that_is_made_twice_is_the_same_mail_to_store() -> None:
    given = Reporting()
    for _ in range(2):
        await given.reports.record([given.count()])
        given.calendar.pass_days(0.6)
        await given.reports.send()
        given.calendar.pass_days(-0.6)
    first, second = given.letters
    assert first.key == second.key


async def test_without_room_or_an_answer_it_waits_and_not_for_ever() -> None:
    given = Reporting()
    await given.reports.record([given.count()])
    given.calendar.pass_days(1)
    given.has_room = False
    await given.reports.send()
    assert given.rows.kept
    given.has_room = True
    given.dns.records["else.example._report._dmarc.elsewhere.example"] = None
    await given.reports.send()
    assert given.rows.kept
    assert given.letters == []
    given.calendar.pass_days(2)
    await given.reports.send()
    assert given.rows.kept == {}


@pytest.mark.parametrize("sender", ["", "dmarc@elsewhere.example"])
async def test_nothing_is_sent_in_a_name_that_is_not_hosted_here(sender: str) -> None:
    given = Reporting(sender)
    await given.reports.record([given.count()])
    assert bool(given.rows.kept) is bool(sender)
    given.calendar.pass_days(1)
    await given.reports.send()
    assert (given.letters, given.rows.kept) == ([], {})


async def test_days_that_cannot_be_are_today() -> None:
    given = Reporting()
    late = given.count()
    late.seen_at = int((given.calendar.now + timedelta(days=40)).timestamp())
    await given.reports.record([late])
    assert {day for day, _, _ in given.rows.kept} == {given.calendar.now.date()}
