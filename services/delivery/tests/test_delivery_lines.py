"""Who is next: notices, people, bulk, and nobody's thousand letters before another's one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from services.delivery.tests.test_delivery_sending import FakeStoreMail, Scene, taken

from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter
from petitbleu_delivery.adapters.queue_rows import Unit, Waiting
from petitbleu_delivery.domain.outbound import Answer, Letter, Priority, Reply, is_bulk
from petitbleu_delivery.service import measures
from petitbleu_delivery.service.outbound.lines import Line

NOTICE, PERSON, BULK = (one.value for one in Priority)


def unit(number: int, account: int = 1, priority: int = PERSON, destination: str = "else.test") -> Unit:
    return Unit(UUID(int=number), destination, 0, (0,), account, 1, 2, priority, 100, time.time(), 0, False)


class Told(Scene):
    """A scene that remembers which letters went, in order; those numbered in `lists` are a mailing list's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
        super().__init__(**limits)
        self.went: list[int] = []
        self.lists: range = range(0)
        self.transport.answering = self.answer
        read = FakeStoreMail.read

        async def as_list(
            mail: FakeStoreMail, ids: Sequence[bytes], max_octets: int = 0
        ) -> dict[bytes, AcceptedLetter]:
            found = await read(mail, ids, max_octets)
            for one, letter in found.items():
                if int.from_bytes(one) in self.lists:
                    letter.body = b"List-Unsubscribe: <https://here.test/>\r\n" + letter.body
            return found

        monkeypatch.setattr(FakeStoreMail, "read", as_list)

    def answer(self, _destination: str, letter: Letter) -> Answer:
        self.went.append(int.from_bytes(letter.accepted_id))
        return taken()

    async def turn_of(self, number: int, units: Sequence[Unit]) -> int:
        self.sender.take(units)
        await self.settled(lambda: number in self.went)
        turn = self.went.index(number)
        await self.settled(lambda: len(self.rows.finished) == len(units))
        return turn


async def test_a_bulk_submission_does_not_delay_a_persons_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Told(monkeypatch, first=1, a_destination=1)
    bulk = [unit(number, priority=BULK) for number in range(1, 301)]
    assert await scene.turn_of(1000, [*bulk, unit(1000)]) <= 1
    # a notice goes before both
    scene.went.clear()
    scene.rows.finished.clear()
    assert await scene.turn_of(5000, [*bulk, *map(unit, range(4000, 4100)), unit(5000, priority=NOTICE)]) <= 1


async def test_letters_of_a_list_are_known_by_their_header_and_stand_behind_those_of_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Told(monkeypatch, first=1, a_destination=1)
    scene.lists = range(1, 301)
    # of one and the same account: each goes alone, and its line says nothing of what it is
    assert await scene.turn_of(1000, [*map(unit, range(1, 301)), unit(1000)]) <= 2
    assert sorted(scene.went) == [*range(1, 301), 1000], "each once"


async def test_one_accounts_thousand_letters_are_not_before_anothers_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Told(monkeypatch, first=1, a_destination=1)
    assert await scene.turn_of(2000, [*map(unit, range(1, 1001)), unit(2000, account=2)]) <= 2


async def test_bulk_to_many_destinations_does_not_delay_a_letter_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Told(monkeypatch, connections=1)
    bulk = [unit(number, priority=BULK, destination=f"d{number}.test") for number in range(1, 301)]
    assert await scene.turn_of(1000, [*bulk, unit(1000, destination="alone.test")]) <= 1


async def test_a_quarter_of_the_room_is_not_for_bulk() -> None:
    scene = Scene(units=100, first=1)
    scene.transport.hangs = {"else.test"}
    assert (scene.sender.room, scene.sender.bulk_room) == (100, 75)
    scene.sender.take([unit(number, priority=BULK) for number in range(75)])
    assert (scene.sender.room, scene.sender.bulk_room) == (25, 0)
    await scene.sender.drain(0)


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([NOTICE, PERSON, BULK])), max_size=60), st.data())
def test_a_line_loses_nobody_and_nobody_stands_for_ever(kinds: list[tuple[int, int]], data: st.DataObject) -> None:
    line, out, waiting = Line(), [], 0
    for number, (account, priority) in enumerate(kinds):
        line.append(unit(number, account, priority))
        waiting += 1
        if data.draw(st.booleans()):
            out.append(line.popleft())
            waiting -= 1
        assert len(line) == waiting == len(list(line))
    while line:
        out.append(line.popleft())
    assert sorted(one.accepted_id.int for one in out) == list(range(len(kinds)))
    for account in range(1, 5):
        for priority in (NOTICE, PERSON, BULK):
            mine = [one.accepted_id.int for one in out if (one.account_id, one.priority) == (account, priority)]
            assert mine == sorted(mine), "what an account sends keeps its order"


def test_bulk_is_not_starved() -> None:
    line = Line()
    line.append(unit(1, priority=BULK))
    turns = 0
    while True:
        turns += 1
        line.append(unit(turns + 1))
        if line.popleft().priority == BULK:
            break
    assert turns <= 8


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"List-Id: <x.test>", True),
        (b"From: a@b.test\r\nlist-unsubscribe-post: List-Unsubscribe=One-Click", True),
        (b"Precedence: bulk", True),
        (b"Precedence: first-class", False),
        (b"Subject: List-Id: x", False),
        (b"Subject: x\r\n\r\nList-Id: y", False),
        (b"Listing: 5", False),
    ],
)
def test_rfc2369_3_fields_of_lists_tell_bulk(header: bytes, expected: bool) -> None:
    assert is_bulk(header + b"\r\n\r\nList-Id: z\r\n") is expected


def test_the_queue_is_shown_by_class_and_reason() -> None:
    def shown(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"petitbleu_delivery_outbound_{name}", labels)

    measures.queue_is(
        [Waiting(BULK, "4.2.2", 7, 50.0), Waiting(BULK, "4.2.1", 3, 90.0), Waiting(PERSON, "", 1, 5.0), Waiting(9, "x" * 99, 2, 1.0)]
    )  # fmt: skip
    assert shown("units", priority="bulk", reason="4.2") == 10
    assert shown("units", priority="person", reason="new") == 1
    assert shown("units", priority="other", reason="other") == 2
    assert (shown("waiting"), shown("oldest_seconds")) == (13, 90)
    assert shown("class_oldest_seconds", priority="person") == 5
    measures.queue_is([])
    assert shown("units", priority="bulk", reason="4.2") is None
    assert (shown("waiting"), shown("class_oldest_seconds", priority="bulk")) == (0, 0)
    before = shown("replies_total", code="4", status="4.7") or 0
    measures.answered(Reply(421, "4.7.28", "too much", "mx"))
    measures.answered(Reply(0, "4.4.1", "no route", ""))
    assert shown("replies_total", code="4", status="4.7") == before + 1
    assert (shown("replies_total", code="none", status="4.4") or 0) >= 1
