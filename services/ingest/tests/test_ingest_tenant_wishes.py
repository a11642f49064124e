"""What becomes of mail whose recipients are of tenants that want different things."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.ingest.tests.judging_world import HELLO, JudgingBench

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import inbound_pb2 as pb
from petitbleu_ingest.adapters.inbound import wishes_of
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.judging.findings import Measure
from petitbleu_ingest.judging.treatment import (
    UNSAID,
    Grounds,
    TenantWishes,
    Treatment,
    Wishes,
    common_refusal,
    junk_numbers,
    treatment_of,
)
from petitbleu_ingest.ports import Place
from petitbleu_ingest.service.wish_book import WishBook
from petitbleu_mail.auth.dmarc_record import Policy

ELSEWHERE = "198.51.100.7"
FORGED = b"From: Ann <ann@good.example>\r\nTo: x\r\nSubject: x\r\n\r\nbody\r\n"
SOFT = FORGED.replace(b"good", b"soft")
HONEST = FORGED.replace(b"good", b"none")
MEASURES = st.sampled_from(list(Measure))


class Tenants:
    """Addresses that begin with a, b, c are of tenants 1, 2, 3."""

    def __init__(self, said: Mapping[int, TenantWishes], *, junk_points: int = 0, **settings: Any) -> None:
        self.asked: list[set[int]] = []
        self.said = said
        self.bench = JudgingBench(None, junk_points=junk_points, **settings)
        self.bench.directory._one = self._place  # type: ignore[method-assign]
        assert self.bench.door.judge is not None
        self.bench.door.judge.tenants = self._wishes

    @staticmethod
    def _place(address: str) -> Place:
        number = ord(address[0]) - ord("a") + 1
        return Place(accounts_pb2.ADDRESS_STATUS_LOCAL, (number,), number, number)

    async def _wishes(self, tenant_ids: Collection[int]) -> Mapping[int, TenantWishes]:
        self.asked.append(set(tenant_ids))
        return self.said

    async def send(self, message: bytes, *names: str, sender: str = "x@other.example", client: str = ELSEWHERE) -> str:
        talk = self.bench.session(client)
        wire = HELLO + f"MAIL FROM:<{sender}>\r\n".encode()
        wire += b"".join(f"RCPT TO:<{name}@demo.test>\r\n".encode() for name in names)
        await talk.say(wire + b"DATA\r\n" + message + b".\r\n")
        await self.bench.until_answered(talk)
        talk.smtp.connection_lost(None)
        return talk.replies()[-1]

    @property
    def verdicts(self) -> Verdicts:
        found = self.bench.store.messages[-1].verdicts
        assert found is not None
        return found


async def test_a_tenant_s_own_wish_goes_before_the_setting() -> None:
    tenants = Tenants({1: TenantWishes(reject=Measure.JUNK), 2: TenantWishes(reject=Measure.NONE)})
    assert await tenants.send(FORGED, "alice") == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.junk_recipients) == (True, ())
    assert await tenants.send(FORGED, "bob") == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.junk_recipients) == (False, ())
    assert await tenants.send(FORGED, "carol") == "550 5.7.1", "who says nothing has what the settings say"
    tenants.said = {1: TenantWishes(quarantine=Measure.REFUSE)}
    assert await tenants.send(SOFT, "alice") == "550 5.7.1"


async def test_all_say_no_and_it_is_refused_else_each_has_it_their_way() -> None:
    tenants = Tenants({1: TenantWishes(reject=Measure.REFUSE), 2: TenantWishes(reject=Measure.NONE)})
    assert await tenants.send(FORGED, "alice", "carol") == "550 5.7.1"
    assert tenants.bench.store.messages == []
    assert await tenants.send(FORGED, "bob", "alice", "carol", "bobby") == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.junk_recipients) == (False, (1, 2))
    assert tenants.asked[-1] == {1, 2, 3}, "one question for all"


async def test_a_virus_is_nobodys_wish_and_mail_without_fault_is_asked_of_nobody() -> None:
    tenants = Tenants({})
    assert await tenants.send(HONEST, "alice", "bob", sender="x@none.example", client="192.0.2.9") == "250 2.6.0"
    assert tenants.asked == []
    assert common_refusal([Treatment()], Refusal.VIRUS) is Refusal.VIRUS


async def test_points_of_the_scorer_are_the_tenant_s_too() -> None:
    lie = b'From: "bob@demo.test" <x@none.example>\r\nTo: x\r\nDate: now\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\nbody\r\n'
    said = {
        1: TenantWishes(junk_points=0), 2: TenantWishes(refuse_points=300), 3: TenantWishes(junk_points=100_000),
    }  # fmt: skip
    tenants = Tenants(said, junk_points=300)
    sender = "x@none.example"
    assert await tenants.send(lie, "dan", sender=sender, client="192.0.2.9") == "250 2.6.0"
    assert tenants.verdicts.junk
    assert tenants.verdicts.spam_score >= 300
    assert await tenants.send(lie, "bob", sender=sender, client="192.0.2.9") == "550 5.7.1"
    assert await tenants.send(lie, "alice", "carol", "bob", sender=sender, client="192.0.2.9") == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.junk_recipients) == (False, (2,))


async def test_the_past_of_an_authenticated_domain_speaks() -> None:
    tenants = Tenants({}, junk_points=300)
    asked: list[set[str]] = []
    known = {"none.example": 300}

    async def reputations(domains: Collection[str]) -> Mapping[str, int]:
        asked.append(set(domains))
        return known

    judge = tenants.bench.door.judge
    assert judge is not None
    judge.reputations = reputations
    honest = {"sender": "x@none.example", "client": "192.0.2.9"}
    whole = HONEST.replace(b"Subject", b"Date: %s\r\nMessage-ID: <1@x>\r\nSubject" % formatdate().encode())
    assert await tenants.send(whole, "alice", **honest) == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.spam_score, asked) == (True, 300, [{"none.example"}])
    known["none.example"] = 299
    assert await tenants.send(whole, "alice", **honest) == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.spam_score) == (False, 299)
    # a good name outweighs a careless header, and is worth nothing more
    known["none.example"] = -150
    assert await tenants.send(HONEST, "alice", **honest) == "250 2.6.0"
    assert (tenants.verdicts.junk, tenants.verdicts.spam_score) == (False, 10)
    assert await tenants.send(whole, "alice", **honest) == "250 2.6.0"
    assert tenants.verdicts.spam_score == 0
    # nobody is asked about a name that anybody may write
    del asked[:]
    assert await tenants.send(whole, "alice", sender="x@other.example") == "250 2.6.0"
    assert asked == []


async def test_a_large_message_has_it_too() -> None:
    tenants = Tenants({1: TenantWishes(reject=Measure.NONE)})
    assert await tenants.send(FORGED + (b"z" * 998 + b"\r\n") * 400, "alice", "bob") == "250 2.6.0"
    assert tenants.bench.store.messages[-1].staged_id
    assert tenants.verdicts.junk_recipients == (1,)
    assert tenants.verdicts.late_results


GROUNDS = st.builds(
    Grounds, st.sampled_from(list(Policy)), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2000)
)
WISHES = st.builds(
    Wishes, MEASURES, MEASURES, MEASURES, MEASURES, st.integers(0, 1000), st.integers(0, 1000)
)  # fmt: skip
OWN = st.builds(
    TenantWishes, st.none() | MEASURES, st.none() | MEASURES, st.none() | MEASURES, st.none() | MEASURES,
    st.none() | st.integers(0, 1000), st.none() | st.integers(0, 1000),
)  # fmt: skip


@given(GROUNDS, WISHES, st.lists(OWN, min_size=1, max_size=6), st.sampled_from([None, Refusal.VIRUS, Refusal.LATER]))
def test_whatever_is_wanted_each_recipient_has_it(
    grounds: Grounds, house: Wishes, said: Sequence[TenantWishes], general: Refusal | None
) -> None:
    each = [treatment_of(grounds, one.over(house)) for one in said]
    for one in each:
        assert (one.refusal is not None) is (one.measure is Measure.REFUSE)
        if grounds.none:
            assert one == Treatment()
    refusal = common_refusal(each, general)
    if general is None:
        assert (refusal is not None) is all(one.measure is Measure.REFUSE for one in each)
    else:
        assert refusal is not None, "what holds for everybody is nobody's to wish away"
    assert junk_numbers(each) == tuple(n for n, one in enumerate(each) if one.measure is not Measure.NONE)
    assert UNSAID.over(house) == house


@given(st.binary(max_size=60))
def test_any_policy_that_delivery_may_send_is_read(octets: bytes) -> None:
    policy = pb.InboundPolicy(tenant_id=1)
    try:
        policy.MergeFromString(octets)
    except Exception:  # noqa: BLE001 - not a message
        return
    assert isinstance(wishes_of(policy).over(Wishes()), Wishes)


class Delivery:
    """Answers questions, until it is away."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.away = False
        self.now = 0.0

    async def read(self, tenant_ids: Sequence[int]) -> Mapping[int, TenantWishes]:
        self.asked.append(list(tenant_ids))
        if self.away:
            raise OSError
        return {one: TenantWishes(junk_points=one) for one in tenant_ids if one % 2}


async def test_wishes_are_remembered_for_a_while_and_outlive_delivery() -> None:
    delivery = Delivery()
    book = WishBook(delivery.read, seconds=60, entries=3, clock=lambda: delivery.now)
    assert await book.of([1, 2, 1]) == {1: TenantWishes(junk_points=1), 2: UNSAID}
    assert await book.of([1, 2]) == {1: TenantWishes(junk_points=1), 2: UNSAID}
    assert [sorted(one) for one in delivery.asked] == [[1, 2]]
    delivery.now, delivery.away = 61.0, True
    assert await book.of([1, 3]) == {1: TenantWishes(junk_points=1), 3: UNSAID}
    assert len(delivery.asked) == 2
    assert await book.of([3, 5]) == {3: UNSAID, 5: UNSAID}
    assert len(delivery.asked) == 2, "it is left alone for a while"
    delivery.now, delivery.away = 70.0, False
    assert await book.of([3]) == {3: TenantWishes(junk_points=3)}
    assert await book.of(range(10, 40)) == {n: TenantWishes(junk_points=n) if n % 2 else UNSAID for n in range(10, 40)}
    assert len(book) == 3


@pytest.mark.parametrize("measure", list(Measure))
def test_what_is_said_is_not_taken_for_unsaid(measure: Measure) -> None:
    assert TenantWishes(reject=measure).over(Wishes()).reject is measure
