"""Suppressions: what a server refused for good is not tried again for a while, by that account, and nothing else is held up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import pytest
from services.delivery.tests.test_delivery_sending import Scene, taken

from petitbleu_delivery.domain.outbound import Answer, Letter, Reply, Verdict
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.service.bounces.suppressions import Suppressed, Suppressions, is_hard

UNKNOWN = Answer(0, Verdict.REFUSED, Reply(550, "5.1.1", "no such user", "mx.else.test"))
HOUR, LONGEST = 3600.0, 7 * 86_400.0


class Table:
    """Keeps what it is told; `away` for ever when set."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, bytes], tuple[str, float]] = {}
        self.asked = 0
        self.away = False

    def _here(self) -> None:
        if self.away:
            raise asyncpg.PostgresConnectionError

    async def any(self, account_id: int) -> bool:
        self._here()
        self.asked += 1
        return any(owner == account_id for owner, _ in self.known)

    async def find(self, account_id: int, keys: Sequence[bytes]) -> list[Suppressed]:
        self._here()
        return [Suppressed(key, self.known[account_id, key][1]) for key in keys if (account_id, key) in self.known]

    async def strike(self, account_id: int, refused: Mapping[bytes, str], first: float, longest: float) -> None:
        self._here()
        assert (first, longest) == (HOUR, LONGEST)
        for key, status in refused.items():
            self.known[account_id, key] = (status, 1_800_000_000.0)

    async def taken(self, account_id: int, keys: Sequence[bytes]) -> None:
        await self.lift(account_id, keys)

    async def lift(self, account_id: int, keys: Sequence[bytes]) -> int:
        self._here()
        return sum(self.known.pop((account_id, key), None) is not None for key in keys)


class World:
    def __init__(self, first: float = HOUR) -> None:
        self.now = 100.0
        self.table = Table()
        self.suppressions = Suppressions(self.table, Seal(bytes(32), "x"), first, LONGEST, lambda: self.now)

    async def refused(self, account_id: int, address: str, answer: Answer = UNKNOWN) -> None:
        await self.suppressions.learn(account_id, {0: address}, [answer])

    async def kept(self, account_id: int, *addresses: str) -> list[int]:
        found = await self.suppressions.kept_back(account_id, dict(enumerate(addresses)))
        assert all(one.verdict is Verdict.REFUSED and one.reply.enhanced == "5.1.1" for one in found)
        return [one.number for one in found]


async def test_what_was_refused_for_good_is_kept_back_from_that_account_alone() -> None:
    world = World()
    await world.refused(7, "nobody@else.test")
    assert await world.kept(7, "some@else.test", "nobody@Else.TEST", "Nobody@else.test") == [1]
    assert await world.kept(8, "nobody@else.test") == []
    (answer,) = await world.suppressions.kept_back(7, {4: "nobody@else.test"})
    assert (answer.number, answer.reply.code, answer.reply.host) == (4, 550, "")
    assert "2027-01-15 08:00 UTC" in answer.reply.text
    assert answer.untried_until == 1_800_000_000.0
    assert not any(b"nobody" in key for _, key in world.table.known)


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        (Verdict.SENT, Reply(250, "2.1.5", "fine", "mx")),
        (Verdict.DEFERRED, Reply(450, "4.1.1", "greylisted", "mx")),
        (Verdict.REFUSED, Reply(550, "5.7.1", "we do not like you", "mx")),
        (Verdict.REFUSED, Reply(550, "5.7.26", "not authenticated", "mx")),
        (Verdict.REFUSED, Reply(552, "5.2.2", "full", "mx")),
        (Verdict.REFUSED, Reply(550, "5.2.1", "disabled for now", "mx")),
        (Verdict.REFUSED, Reply(550, "5.0.0", "no words", "mx")),
        (Verdict.REFUSED, Reply(451, "4.4.7", "not taken in time", "mx")),
        (Verdict.REFUSED, Reply(0, "5.1.2", "no such domain", "")),
        (Verdict.REFUSED, Reply(550, "5.1.1", "our own word for it", "")),
    ],
)
async def test_nothing_else_that_a_server_says_keeps_anything_back(verdict: Verdict, reply: Reply) -> None:
    world = World()
    assert not is_hard(Answer(0, verdict, reply))
    await world.refused(7, "some@else.test", Answer(0, verdict, reply))
    assert await world.kept(7, "some@else.test") == []


async def test_who_takes_mail_again_is_forgotten() -> None:
    world = World()
    await world.refused(7, "new@else.test")
    await world.suppressions.learn(7, {3: "new@else.test"}, [taken()._replace(number=3)])
    assert await world.kept(7, "new@else.test") == []


async def test_an_operator_lifts_it() -> None:
    world = World()
    await world.refused(7, "new@else.test")
    assert not await world.suppressions.lift(8, "new@else.test")
    assert await world.suppressions.lift(7, "new@ELSE.test")
    assert not await world.suppressions.lift(7, "new@else.test")
    assert await world.kept(7, "new@else.test") == []


async def test_of_an_account_without_refusals_is_asked_once_in_a_while() -> None:
    world = World()
    for _ in range(100):
        assert await world.kept(7, "some@else.test") == []
    assert world.table.asked == 1
    await world.refused(7, "some@else.test")
    assert await world.kept(7, "some@else.test") == [0]
    assert await world.kept(8, "some@else.test") == []
    await world.table.strike(8, {world.suppressions.key(8, "some@else.test"): "5.1.1"}, HOUR, LONGEST)
    world.now += 11
    assert await world.kept(8, "some@else.test") == [0]  # another process learnt it


async def test_without_the_database_mail_goes() -> None:
    world = World()
    await world.refused(7, "nobody@else.test")
    world.table.away = True
    assert await world.kept(7, "nobody@else.test") == []
    await world.refused(7, "other@else.test")


async def test_it_can_be_switched_off_and_is_not_for_notices() -> None:
    world = World(0.0)
    await world.refused(7, "nobody@else.test")
    assert not world.table.known
    world = World()
    await world.refused(0, "nobody@else.test")
    assert not world.table.known


class Bounces(Scene):
    """A sender that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.sender._suppressions = self.world.suppressions

    async def go(self) -> Answer:
        done = len(self.teller.told)
        self.sender.take([self.unit()])
        await self.settled(lambda: len(self.teller.told) == done + 1 and self.sender.in_hand == 0)
        await asyncio.sleep(0)
        return self.teller.told[-1].finals[0]


async def test_the_next_message_is_refused_at_once_and_its_sender_told() -> None:
    scene = Bounces()

    def unknown(_destination: str, _letter: Letter) -> Answer:
        return UNKNOWN

    scene.transport.answering = unknown
    assert (await scene.go()).reply.text == "no such user"
    again = await scene.go()
    assert again.verdict is Verdict.REFUSED
    assert (again.reply.code, again.reply.enhanced, again.reply.host) == (550, "5.1.1", "")
    assert len(scene.transport.delivered) == 1
    await scene.world.suppressions.lift(8, "b@else.test")
    scene.transport.answering = lambda _destination, _letter: taken()
    assert (await scene.go()).verdict is Verdict.SENT
    assert len(scene.transport.delivered) == 2
