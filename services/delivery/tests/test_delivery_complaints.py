"""Feedback reports: only signed ones count, only for what the token proves, and whoever complained gets no more from that account."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.test_delivery_bounce_tokens import Clock, Keys, made
from services.delivery.tests.test_delivery_bounces import OURS, Mail
from services.delivery.tests.test_delivery_suppressions import Table as SuppressionTable

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.returned_rows import Complained
from petitbleu_delivery.domain.dsn import Action, Concerned, Notice, delivery_notice
from petitbleu_delivery.domain.feedback import read_report, signed_by_author
from petitbleu_delivery.domain.model import Message, Recipient
from petitbleu_delivery.domain.outbound import Answer, Verdict
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import PeerUnavailableError
from petitbleu_delivery.service.bounces.complaints import Complaints
from petitbleu_delivery.service.bounces.suppressions import Suppressed, Suppressions
from petitbleu_kit.ids import new_blob_id

RESULTS = "Authentication-Results: mx.x.test; dkim={} header.d={} header.s=s; dmarc=pass header.from=big.test\r\n"


def feedback(sender: str, *to: str, kind: str = "abuse", results: str = "", path: str = "") -> bytes:
    """A feedback report as it lies in store."""
    named = "".join(f"Original-Rcpt-To: {one}\r\n" for one in to)
    return (
        f"{results or RESULTS.format('pass', 'big.test')}From: fbl@big.test\r\nSubject: report\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\nSpam.\r\n"
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: x/1\r\nVersion: 1\r\n"
        f"Original-Mail-From: {sender}\r\n{named}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{path}Subject: buy\r\n\r\nx\r\n--b--\r\n"
    ).encode()


class Kept:
    def __init__(self) -> None:
        self.complaints: list[Complained] = []
        self.known: set[tuple[UUID, int]] = set()
        self.away = False

    async def complained(self, complaint: Complained) -> frozenset[int]:
        if self.away:
            raise asyncpg.PostgresConnectionError
        self.complaints.append(complaint)
        fresh = {(complaint.accepted_id, number) for number in complaint.numbers} - self.known
        self.known |= fresh
        return frozenset(number for _, number in fresh)


class World:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.mail, self.kept, self.clock = Mail(), Kept(), Clock()
        self.tokens = made(Keys(), self.clock)
        self.suppressions = Suppressions(SuppressionTable(), Seal(bytes(32), "x"), 3600.0, 7200.0, complained=seconds)
        self.complaints = Complaints(
            self.mail, self.kept, self.tokens, self.suppressions, [" fbl@X.test", ""], "mx.x.test"
        )
        self.sent = new_blob_id(1, 1)
        self.mail.add(self.sent.bytes, b"", *OURS)

    async def sender(self, first_no: int = 0) -> str:
        await self.tokens.upkeep()
        return self.tokens.sender_of("me@x.test", self.sent, first_no, self.clock.now)

    async def hear(self, body: bytes, *, authenticated: bool = True, late: bytes = b"") -> Sequence[Complained]:
        report = new_blob_id(2, 2).bytes
        self.mail.add(report, body)
        message = Message(report, "fbl@big.test", "fbl@big.test", authenticated, late_results=late)
        recipient = Recipient(message, 0, "fbl@x.test", 0)
        assert self.complaints.concerns(recipient)
        before = len(self.kept.complaints)
        await self.complaints.hear([recipient])
        return self.kept.complaints[before:]


async def test_rfc5965_3_2_a_complaint_counts_for_whom_the_message_was_for_and_keeps_them_back() -> None:
    world = World()
    (kept,) = await world.hear(
        feedback(f"<{await world.sender()}>", "<bob@ELSE.test>", "<far@away.test>", "<x@y.test>")
    )
    assert (kept.account_id, kept.tenant_id, kept.accepted_id) == (7, 3, world.sent)
    assert kept.numbers == {1: world.suppressions.key(7, "bob@else.test")}
    assert (kept.feedback_type, kept.seconds) == ("abuse", 1000.0)
    (other,) = await world.hear(feedback("", path=f"Return-Path: <{await world.sender(2)}>\r\n"))
    assert other.numbers == {2: world.suppressions.key(7, "far@away.test")}  # the one that it can be


async def test_rfc6590_who_is_not_named_is_kept_back_only_where_it_can_be_nobody_else() -> None:
    world = World()
    (kept,) = await world.hear(feedback(await world.sender()))
    assert kept.numbers == {0: b""}
    (named,) = await world.hear(feedback(await world.sender(), "redacted"))
    assert named.numbers == {}
    other = World(seconds=0.0)
    (counted,) = await other.hear(feedback(await other.sender(), "bob@else.test"))
    assert counted.numbers == {1: b""}  # it counts, and keeps nobody back


async def test_without_proof_or_signature_nothing_is_learnt() -> None:
    world = World()
    sender = await world.sender()
    assert await world.hear(feedback("me@x.test", "bob@else.test")) == []
    assert await world.hear(feedback(sender.replace("+b", "+c"), "bob@else.test")) == []
    assert await world.hear(feedback(sender, "bob@else.test"), authenticated=False) == []
    for result, domain in (("fail", "big.test"), ("pass", "other.test"), ("pass", "test"), ("pass", "evilbig.test")):
        assert await world.hear(feedback(sender, "bob@else.test", results=RESULTS.format(result, domain))) == []
    forged = "Authentication-Results: other.x.test; dkim=pass header.d=big.test\r\n"
    assert await world.hear(feedback(sender, "bob@else.test", results=forged)) == []
    assert await world.hear(feedback(sender, "bob@else.test", kind="not-spam")) == []
    assert await world.hear(b"Subject: no report\r\n\r\n") == []
    world.mail.letters.pop(world.sent.bytes)
    assert await world.hear(feedback(sender, "bob@else.test")) == []


async def test_results_of_a_large_report_stand_apart_from_it() -> None:
    world = World()
    late = RESULTS.format("pass", "mail.big.test").encode()
    (kept,) = await world.hear(feedback(await world.sender(), "bob@else.test", results="X-A: b\r\n"), late=late)
    assert list(kept.numbers) == [1]


async def test_a_database_that_is_away_has_the_report_wait() -> None:
    world = World()
    world.kept.away = True
    with pytest.raises(PeerUnavailableError):
        await world.hear(feedback(await world.sender(), "bob@else.test"))


async def test_what_comes_elsewhere_or_from_our_own_is_no_report() -> None:
    world = World()
    own = Message(b"1" * 16, "a@x.test", "a@x.test", True, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_id=5)
    stranger = Message(b"1" * 16, "a@y.test", "a@y.test", True)
    assert not world.complaints.concerns(Recipient(own, 0, "fbl@x.test", 0))
    assert not world.complaints.concerns(Recipient(stranger, 0, "fbl2@x.test", 0))
    nobody = Complaints(world.mail, world.kept, world.tokens, world.suppressions, [""], "mx.x.test")
    assert not nobody.concerns(Recipient(stranger, 0, "", 0))


@given(st.binary(max_size=600), st.text(max_size=60), st.text(max_size=60))
def test_no_report_raises(octets: bytes, sender: str, author: str) -> None:
    for whole in (octets, feedback("me@x.test", "a@b.test").replace(b"abuse", octets)):
        read_report(whole)
        signed_by_author(whole, "mx.x.test", author)
    read_report(
        feedback("x").replace(b"Original-Mail-From: x", b"Original-Mail-From: " + sender.encode("utf-8", "replace"))
    )


class Complainer(SuppressionTable):
    async def find(self, account_id: int, keys: Sequence[bytes]) -> list[Suppressed]:
        return [one._replace(complained=True) for one in await super().find(account_id, keys)]


async def test_who_complained_is_kept_back_for_that_account_and_its_person_is_told_why() -> None:
    table = Complainer()
    suppressions = Suppressions(table, Seal(bytes(32), "x"), 0.0, 7200.0, complained=100.0)
    table.known[7, suppressions.key(7, "bob@else.test")] = ("complaint", 1_800_000_000.0)
    (answer,) = await suppressions.kept_back(7, {4: "bob@ELSE.test", 5: "ann@else.test"})
    assert (answer.number, answer.verdict, answer.reply.enhanced) == (4, Verdict.REFUSED, "5.7.1")
    assert await suppressions.kept_back(8, {4: "bob@else.test"}) == []
    for language, words in (("fr", "indésirable"), ("en", "unwanted")):
        text = delivery_notice(
            Notice(
                action=Action.FAILED, language=language, to="me@x.test", reporting_mta="mx.x.test",
                recipients=(Concerned("bob@else.test", "", Answer(4, Verdict.REFUSED, answer.reply, untried_until=1.8e9)),),
                original=b"Subject: x\r\n\r\n", full=False, envid="", arrived=0.0, now=0.0, until=0.0, message_id="x@x.test",
            )
        )  # fmt: skip
        assert words.encode() in text.replace(b"=C3=A9", "é".encode()).replace(b"=\r\n", b"")
