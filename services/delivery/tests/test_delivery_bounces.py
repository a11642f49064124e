"""What bounces say: of the recipients of what we sent and of nobody else, whatever they are, once, and at a bounded cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.delivery.tests.test_delivery_bounce_tokens import Returning
from services.delivery.tests.test_delivery_suppressions import Table as SuppressionTable

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter
from petitbleu_delivery.adapters.returned_rows import Bounced
from petitbleu_delivery.domain.bounce_report import READ_OCTETS, concerned, read_bounce
from petitbleu_delivery.domain.bounce_token import BounceToken
from petitbleu_delivery.domain.outbound import Reply, Verdict
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import News
from petitbleu_delivery.service.bounces.hearing import Bounce, Hearing
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_kit.ids import new_blob_id

OURS = ["ann@else.test", "bob@else.test", "far@away.test", "Ann@ELSE.test", "ünal@else.test"]
ADDRESSES = [*OURS, "stranger@else.test", "ann@away.test", "", "@", "a" * 300 + "@else.test", "ann@else.test\x00"]
HOUR, LONGEST = 3600.0, 7 * 86_400.0


def report(*groups: str, head: str = "Reporting-MTA: dns; mx.else.test\r\n", encoding: str = "") -> bytes:
    """A bounce whose machine's part has these groups."""
    extra = f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
    return (
        "From: mailer-daemon@else.test\r\nSubject: failure\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt failed.\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n{extra}\r\n{head}\r\n" + "\r\n".join(groups) + "\r\n--b--\r\n"
    ).encode("utf-8", "surrogatepass")


def group(
    address: str = "ann@else.test", action: str = "failed", status: str = "5.1.1", original: str = "", more: str = ""
) -> str:  # fmt: skip
    given = f"Original-Recipient: rfc822; {original}\r\n" if original else ""
    return f"{given}Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n{more}"


def test_rfc3464_2_3_2_a_report_speaks_of_the_recipients_of_its_unit_alone() -> None:
    known = concerned(OURS, 0)
    assert known == {"ann@else.test": [0, 3], "bob@else.test": [1], "ünal@else.test": [4]}
    assert concerned(OURS, 1) == {"bob@else.test": [1], "ann@else.test": [3], "ünal@else.test": [4]}
    assert concerned(OURS, 2) == {"far@away.test": [2]}
    assert concerned(OURS, 5) == concerned(OURS, -1) == {}
    text = "Remote-MTA: dns; mx2.else.test\r\nDiagnostic-Code: smtp; 550-5.1.1 no such\r\n user here\r\n"
    found = read_bounce(
        report(group(more=text), group("far@away.test"), group("stranger@else.test"), group("BOB@Else.TEST", "delayed", "4.2.0")),
        known,
    )  # fmt: skip
    assert found is not None
    assert {number: (one.delivered, one.status, one.reply) for number, one in found.items()} == {
        number: (False, "5.1.1", Reply(550, "5.1.1", "no such user here", "mx2.else.test")) for number in (0, 3)
    }


def test_rfc3464_2_3_1_the_address_that_we_gave_goes_before_the_one_that_it_became() -> None:
    known = concerned(OURS, 0)
    found = read_bounce(report(group("inner@host.else.test", original="bob@else.test")), known)
    assert found is not None
    assert list(found) == [1]
    assert read_bounce(report(group("bob@else.test", original="other@else.test")), known) is not None
    assert read_bounce(report(group("inner@host.else.test")), known) == {}


def test_rfc3464_2_3_3_failures_and_deliveries_are_told_apart_and_the_rest_says_nothing() -> None:
    known = concerned(OURS, 0)
    found = read_bounce(
        report(group("bob@else.test", "delivered", "2.0.0"), group(action="relayed", status="2.0.0")), known
    )
    assert found is not None
    assert {number: one.delivered for number, one in found.items()} == {1: True}
    both = read_bounce(report(group("bob@else.test", "delivered", "2.0.0"), group("bob@else.test")), known)
    assert both is not None
    assert not both[1].delivered
    assert read_bounce(report(group(action="failed", status="2.0.0")), known) == {}
    assert read_bounce(b"Subject: sorry\r\n\r\nyour mail failed for ann@else.test\r\n", known) is None


@given(st.lists(st.builds(group, st.sampled_from(ADDRESSES), st.sampled_from(["failed", "delivered", "delayed", "x", ""]),
    st.sampled_from(["5.1.1", "5.1.6", "4.4.7", "2.0.0", "9.9", ""]), st.sampled_from(["", *ADDRESSES]), st.text(max_size=40)), max_size=8),
    st.sampled_from(["", "base64", "quoted-printable", "7bit", "x"]), st.integers(-1, 6), st.text(max_size=30))  # fmt: skip
def test_no_report_says_anything_of_who_was_not_written_to(
    groups: list[str], encoding: str, first_no: int, head: str
) -> None:
    recipients = concerned(OURS, first_no)
    found = read_bounce(report(*groups, head=head, encoding=encoding), recipients) or {}
    assert set(found) <= {number for numbers in recipients.values() for number in numbers}
    for one in found.values():
        assert one.reply.text.isprintable()
        assert len(one.reply.text) <= 400
        assert one.reply.host.isprintable()


@given(st.binary(max_size=2000), st.binary(max_size=200))
@settings(max_examples=200)
def test_no_octets_raise(octets: bytes, inside: bytes) -> None:
    known = concerned(OURS, 0)
    read_bounce(octets, known)
    whole = report(group()).replace(b"Status: 5.1.1", b"Status: " + inside)
    read_bounce(whole, known)
    nested = whole
    for _ in range(8):
        nested = report("x").replace(b"x\r\n--b--", b"") + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + nested
    read_bounce(nested, known)


def test_ten_thousand_recipients_are_read_as_far_as_is_bounded() -> None:
    addresses = [f"u{number}@else.test" for number in range(10_000)]
    known = concerned(addresses, 0)
    whole = report(*(group(address) for address in addresses))
    found = read_bounce(whole[:READ_OCTETS], known)
    assert found is not None
    assert 0 < len(found) <= 1000
    assert set(found) == set(range(len(found)))


class Mail:
    def __init__(self) -> None:
        self.letters: dict[bytes, AcceptedLetter] = {}
        self.asked: list[tuple[int, int]] = []
        self.error: Exception | None = None

    def add(self, accepted_id: bytes, body: bytes = b"", *recipients: str, account: int = 7) -> None:
        header = outgoing_pb2.AcceptedHeader(
            accepted_id=accepted_id, found=True, mail_from="me@x.test" if recipients else "",
            submitter_account_id=account if recipients else 0, submitter_tenant_id=3,
            recipients=[accept_pb2.AcceptRecipient(address=one) for one in recipients],
        )  # fmt: skip
        self.letters[accepted_id] = AcceptedLetter(header, body, True)

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        if self.error is not None:
            raise self.error
        self.asked.append((len(accepted_ids), max_octets))
        return {one: self.letters[one] for one in accepted_ids if one in self.letters}


class Kept:
    def __init__(self) -> None:
        self.bounces: list[Bounced] = []
        self.known: set[tuple[UUID, int]] = set()
        self.away = False

    async def bounced(self, bounce: Bounced) -> frozenset[int]:
        if self.away:
            raise asyncpg.PostgresConnectionError
        self.bounces.append(bounce)
        fresh = frozenset(number for number in bounce.statuses if (bounce.accepted_id, number) not in self.known)
        self.known |= {(bounce.accepted_id, number) for number in fresh}
        return fresh


class Told:
    def __init__(self) -> None:
        self.news: list[News] = []

    async def record(self, news: Sequence[News]) -> None:
        self.news += news


class World:
    def __init__(self, first: float = HOUR) -> None:
        self.mail, self.kept, self.told = Mail(), Kept(), Told()
        self.suppressions = Suppressions(SuppressionTable(), Seal(bytes(32), "x"), first, LONGEST)
        self.hearing = Hearing(self.mail, self.kept, self.told, self.suppressions)
        self.sent = new_blob_id(1, 1)
        self.mail.add(self.sent.bytes, b"", *OURS)

    async def back(self, body: bytes, first_no: int = 0, of: UUID | None = None) -> Mapping[bytes, int]:
        bounce = new_blob_id(2, 2).bytes
        self.mail.add(bounce, body)
        return await self.hearing.hear([Bounce(bounce, BounceToken(of or self.sent, first_no, 1))])


async def test_a_bounce_becomes_news_an_event_and_a_suppressed_address() -> None:
    world = World()
    groups = (group("bob@else.test"), group("ann@else.test", status="5.2.2"), group("far@away.test"))
    assert list((await world.back(report(*groups))).values()) == [7]
    (kept,) = world.kept.bounces
    assert (kept.account_id, kept.tenant_id, kept.accepted_id) == (7, 3, world.sent)
    assert dict(kept.statuses) == {0: "5.2.2", 1: "5.1.1", 3: "5.2.2"}
    assert dict(kept.strikes) == {1: world.suppressions.key(7, "bob@else.test")}
    assert (kept.first, kept.longest) == (HOUR, LONGEST)
    assert [(one.accepted_id, one.account_id, one.number, one.verdict) for one in world.told.news] == [
        (world.sent.bytes, 7, number, Verdict.REFUSED) for number in (0, 1, 3)
    ]
    assert all(octets <= READ_OCTETS for _, octets in world.mail.asked)


async def test_a_delivery_is_news_and_no_event() -> None:
    world = World()
    await world.back(report(group("bob@else.test", "delivered", "2.1.5")))
    assert [(one.number, one.verdict, one.reply) for one in world.told.news] == [(1, Verdict.SENT, None)]
    assert world.kept.bounces == []


async def test_of_what_is_not_known_any_more_nothing_is_learnt() -> None:
    world = World()
    assert await world.back(report(group()), of=new_blob_id(5, 5)) == {}
    assert await world.back(b"Subject: no report\r\n\r\n") != {}
    world.mail.add(world.sent.bytes, b"", *OURS, account=0)  # a report of ours: nobody submitted it
    await world.back(report(group()))
    assert world.kept.bounces == []
    assert world.told.news == []


async def test_without_suppressions_it_is_an_event_all_the_same() -> None:
    world = World(first=0.0)
    await world.back(report(group()))
    assert [dict(one.strikes) for one in world.kept.bounces] == [{}]


async def test_a_database_that_is_away_has_the_bounce_wait_and_nothing_else_does() -> None:
    world = World()
    world.kept.away = True
    with pytest.raises(PeerUnavailableError):
        await world.back(report(group()))
    world.mail.error = PeerUnavailableError(Peer.STORE, "UNAVAILABLE")
    with pytest.raises(PeerUnavailableError):
        await world.back(report(group()))
    world.mail.error = PeerRefusedError(Peer.STORE, "INVALID_ARGUMENT", lasting=True)
    assert await world.back(report(group())) == {}


async def test_an_error_of_ours_keeps_no_bounce_from_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("petitbleu_delivery.service.bounces.hearing.read_bounce", broken)
    world = World()
    assert len(await world.back(report(group()))) == 1
    assert world.kept.bounces == []


async def test_what_comes_back_to_a_group_reaches_the_one_of_it_who_sent() -> None:
    world = Returning()
    await world.tokens.upkeep()
    real = world.tokens.sender_of("team@x.test", new_blob_id(1, 1), 0, world.clock.now)
    world.delivery.directory.add(real, 1, 2, 3, via=True)
    for submitter, reached in ((2, {2}), (9, {1, 2, 3})):
        accepted = world.delivery.store.accept(real, mail_from="")
        world.deaf.submitters = {accepted: submitter}
        await world.delivery.rounds.deliver([accepted])
        assert {account for known, account in world.noted.junk if known == accepted} == reached
    assert len(world.deaf.heard) == 2
