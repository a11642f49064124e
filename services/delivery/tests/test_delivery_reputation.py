"""Reputation by sending domain: what the numbers say, and whose mail is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu.events.v1 import events_pb2
from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter
from petitbleu_delivery.domain.model import Message, Outcome, Recipient, Settlement
from petitbleu_delivery.domain.reputation import BEST, HALF_LIFE_DAYS, WORST, Standing, partition_of_domain, points_of
from petitbleu_delivery.errors import Peer, PeerRefusedError
from petitbleu_delivery.service.reputation import JUDGED_PREFIX, Reputations, domain_of
from petitbleu_kit.bus import Event

MAILS = st.floats(0, 1e9)


def test_a_domain_of_which_nothing_is_known_has_no_points() -> None:
    assert points_of(Standing()) == 0
    assert points_of(Standing(1000, 20)) == 0, "the usual share"


@pytest.mark.parametrize(
    ("mails", "junk", "least", "most"),
    [
        (3, 3, 200, 300),
        (10, 10, 350, 400),
        (1000, 990, WORST, WORST),
        (1000, 100, 150, 220),
        (20, 0, -100, -50),
        (1000, 0, BEST, BEST),
    ],
)
def test_the_share_that_is_called_junk_speaks(mails: float, junk: float, least: int, most: int) -> None:
    assert least <= points_of(Standing(mails, junk)) <= most


@given(MAILS, MAILS, MAILS)
def test_more_junk_never_speaks_for_a_domain_nor_more_mail_against_it(mails: float, junk: float, more: float) -> None:
    points = points_of(Standing(mails, junk))
    assert BEST <= points <= WORST
    assert points_of(Standing(mails, junk + more)) >= points
    if junk <= mails:
        assert points_of(Standing(mails + more, junk)) <= points


def test_what_was_is_forgotten_by_halves() -> None:
    old = Standing(100, 10, 20_000)
    later = old.at(20_000 + int(HALF_LIFE_DAYS))
    assert later == Standing(50, 5, 20_014)
    assert old.at(19_990) == old, "a clock that goes back adds nothing"


@given(st.text(min_size=1, max_size=50))
def test_a_domain_has_a_partition(domain: str) -> None:
    assert 0 <= partition_of_domain(domain) < 1024
    assert partition_of_domain(domain) == partition_of_domain(domain)


def message(sender: str = "a@shop.test", *, authenticated: bool = True, origin: int = 1) -> Message:
    return Message(b"i" * 16, sender, sender, authenticated, origin=origin)


@pytest.mark.parametrize(
    ("one", "domain"),
    [
        (message(), "shop.test"),
        (message("a@BÜCHER.test"), "xn--bcher-kva.test"),
        (message(authenticated=False), ""),
        (message(origin=2), ""),
        (message("a@localhost"), ""),
        (message("a@[192.0.2.1]"), ""),
        (message(""), ""),
        (message("a@" + "x" * 60 + ".test" * 50), ""),
    ],
)
def test_only_authenticated_strangers_have_a_name(one: Message, domain: str) -> None:
    assert domain_of(one) == domain


class Rows:
    """Counts."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.taught: list[tuple[int, bytes, str, bool, int]] = []
        self.away = False

    async def count(self, mails: dict[str, int], day: int) -> None:
        if self.away:
            raise OSError
        for domain, count in mails.items():
            self.counted[domain] = self.counted.get(domain, 0) + count

    async def teach(
        self, account_id: int, accepted_id: bytes, domain: str, day: int, *, junk: bool, version: int
    ) -> bool:
        self.taught.append((account_id, accepted_id, domain, junk, version))
        return True


class Mail:
    """store."""

    def __init__(self) -> None:
        self.refuses = False

    async def read(self, ids: list[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        if self.refuses:
            raise PeerRefusedError(Peer.STORE, "INVALID_ARGUMENT", lasting=True)
        kinds = {b"1": (True, True, 1), b"2": (True, False, 1), b"3": (True, True, 2), b"4": (False, False, 0)}
        found = {}
        for one in ids:
            there, known, origin = kinds[one[:1]]
            header = outgoing_pb2.AcceptedHeader(
                accepted_id=one,
                found=there,
                from_authenticated=known,
                origin=accept_pb2.Origin.ValueType(origin),
                header_from="x@Shop.Test",
            )
            found[one] = AcceptedLetter(header, b"", False)
        return found


def settled(one: Message, outcome: Outcome = Outcome.FILED) -> Settlement:
    return Settlement(Recipient(one, 0, "b@here.test", 0), outcome)


async def test_what_was_filed_is_counted_once_and_later_when_the_database_is_away() -> None:
    rows = Rows()
    reputations = Reputations(rows, Mail())  # type: ignore[arg-type]
    reputations.note(
        [
            settled(message()),
            settled(message()),
            settled(message(), Outcome.OPEN),
            settled(message(authenticated=False)),
        ]
    )
    rows.away = True
    await reputations.flush()
    assert rows.counted == {}
    rows.away = False
    reputations.note([settled(message("a@other.test"))])
    await reputations.flush()
    await reputations.flush()
    assert rows.counted == {"shop.test": 2, "other.test": 1}


def event(data: bytes) -> Event:
    return Event(JUDGED_PREFIX + "v1.3", data, 1)


async def test_what_is_said_of_authenticated_strangers_counts() -> None:
    rows, mail = Rows(), Mail()
    reputations = Reputations(rows, mail)  # type: ignore[arg-type]
    ids = [digit * 16 for digit in (b"1", b"2", b"3", b"4")]
    told = events_pb2.MessagesJudged(account_id=9, version=4, junk=[*ids, b"short"], not_junk=[b"1" + b"0" * 15])
    await reputations.hear([event(b"\xff\xff"), event(told.SerializeToString())])
    assert rows.taught == [(9, b"1" + b"0" * 15, "shop.test", False, 4), (9, ids[0], "shop.test", True, 4)]
    mail.refuses = True
    await reputations.hear([event(told.SerializeToString())])
    assert len(rows.taught) == 2


async def test_more_than_one_question_of_store_is_asked_in_parts() -> None:
    rows = Rows()
    reputations = Reputations(rows, Mail())  # type: ignore[arg-type]
    ids = [b"1" + number.to_bytes(15, "big") for number in range(150)]
    await reputations.hear([event(events_pb2.MessagesJudged(account_id=9, version=1, junk=ids).SerializeToString())])
    assert [one[1] for one in rows.taught] == ids
