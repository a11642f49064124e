"""Carrying out rules where something is away, or is no longer what a remembered route says."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from petitbleu_delivery.adapters.rule_peers import Letter, Person
from petitbleu_delivery.adapters.rule_rows import Kind
from petitbleu_delivery.domain.model import Filed, Message, Placement, Recipient
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths
from petitbleu_delivery.service.permits import SuspendedError
from petitbleu_delivery.service.scripts.carrying import Means
from petitbleu_delivery.service.scripts.rulebook import Rules
from petitbleu_delivery.service.scripts.rulings import Rulings
from petitbleu_mail.sieve.catalog import DELIVERED
from petitbleu_mail.sieve.script import compile_script

ACCOUNT, OWNER, SENDER = 7, "zoe@demo.test", "peer@else.test"
OCTETS = b"From: <peer@else.test>\r\nTo: <zoe@demo.test>\r\nSubject: hello\r\n\r\nHello\r\n"


class Peers:
    """store and accounts, one message and one person."""

    def __init__(self) -> None:
        self.away = False
        self.guarded = False
        self.asked = 0
        self.guarded_from: float = math.inf
        self.sent: list[Letter] = []

    async def read(self, accepted_id: bytes, octets: int) -> bytes:
        return OCTETS

    async def weighed(self, items: Sequence[tuple[bytes, int]]) -> list[bool]:
        return [False] * len(items)

    async def people(self, account_ids: Sequence[int]) -> dict[int, Person]:
        self.asked += 1
        return {ACCOUNT: Person(OWNER, "Zoe", self.guarded or self.asked >= self.guarded_from)}

    async def accept(self, letters: Sequence[Letter]) -> bool:
        if self.away:
            raise PeerUnavailableError(Peer.STORE, "UNAVAILABLE")
        self.sent += letters
        return True


class Memory:
    """What rules remember, as the table does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Kind, bytes], UUID] = {}

    async def find(self, account_id: int, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, UUID]:
        return {key: self.rows[kind, key] for key in keys if (kind, key) in self.rows}

    async def claim(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID, seconds: float) -> bool:
        return self.rows.setdefault((kind, key), accepted_id) == accepted_id

    async def release(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID) -> None:
        if self.rows.get((kind, key)) == accepted_id:
            del self.rows[kind, key]

    async def keep(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID, seconds: float) -> None:
        self.rows[kind, key] = accepted_id


class Book:
    """One account's script."""

    def __init__(self, script: str) -> None:
        self.rules = Rules(1, 1, compile_script(script.encode(), catalog=DELIVERED), {})

    async def of(self, account_ids: Collection[int]) -> tuple[dict[int, Rules], set[int]]:
        return {ACCOUNT: self.rules}, set()


class Unlimited:
    """Permits whatever is asked, except of those who are suspended."""

    suspended = False

    async def permit(self, account_id: int, tenant_id: int, recipients: int, key: bytes = b"") -> int:
        if self.suspended:
            raise SuspendedError
        return 0


async def as_it_is(message: bytes, owner: str) -> bytes:
    return message


class Case:
    """A script, and what is around it."""

    def __init__(self, script: str) -> None:
        self.peers, self.memory, self.permits = Peers(), Memory(), Unlimited()
        means: Any = Means(
            cast(Any, self.peers), cast(Any, self.memory), Seal(bytes(32), "scripts"), as_it_is, cast(Any, self.permits),
            ReturnPaths(cast(Any, self.peers), Seal(bytes(32), "srs"), rewrites=True), "mx.test"
        )  # fmt: skip
        self.rulings = Rulings(cast(Any, Book(script)), means, cast(Any, None), cast(Any, None))
        self._count = 0

    async def comes(self) -> Placement:
        """Judge one more message; the route that is remembered says that the account is a grown-up's."""
        self._count += 1
        message = Message(self._count.to_bytes(16, "big"), SENDER, SENDER, True, size=len(OCTETS))
        placement = Placement(Recipient(message, 0, OWNER, 0), ACCOUNT, guarded=False)
        await self.rulings.apply([placement])
        return placement


async def test_rfc5230_4_2_an_answer_that_could_not_be_sent_does_not_count_as_one() -> None:
    case = Case('require "vacation"; vacation "away";')
    case.peers.away = True
    assert (await case.comes()).filed is not Filed.DISCARDED
    assert case.peers.sent == []
    case.peers.away = False
    await case.comes()
    assert [one.to for one in case.peers.sent] == [SENDER]
    await case.comes()
    assert len(case.peers.sent) == 1


async def test_who_is_suspended_sends_nothing_by_a_rule_and_keeps_the_message() -> None:
    case = Case('redirect "else@other.test";')
    case.permits.suspended = True
    placement = await case.comes()
    assert placement.filed is not Filed.DISCARDED
    assert placement.roles == ("inbox",)
    assert "else@other.test" not in [one.to for one in case.peers.sent]
    case.permits.suspended = False
    assert (await case.comes()).filed is Filed.DISCARDED
    assert "else@other.test" in [one.to for one in case.peers.sent]


@pytest.mark.parametrize(
    "script", ["discard;", 'redirect "else@other.test";', 'require "reject"; reject "no";']
)  # fmt: skip
async def test_nothing_is_thrown_away_or_sent_out_of_an_account_that_has_become_a_childs(script: str) -> None:
    grown_up, child = Case(script), Case(script)
    child.peers.guarded = True
    await grown_up.comes()
    placement = await child.comes()
    assert placement.guarded and placement.filed is not Filed.DISCARDED
    assert placement.roles == ("inbox",)
    assert child.peers.sent == []


@pytest.mark.parametrize(
    "script",
    [
        "discard;", 'redirect "else@other.test";', 'require "reject"; reject "no";', 'require "vacation"; vacation "away";',
        'require "enotify"; notify "mailto:else@other.test";',
    ],
)  # fmt: skip
async def test_who_becomes_a_child_while_the_script_runs_is_judged_as_one(script: str) -> None:
    case = Case(script)
    case.peers.guarded_from = 2
    placement = await case.comes()
    assert placement.guarded and placement.filed is not Filed.DISCARDED
    assert placement.roles == ("inbox",)
    assert case.peers.sent == []
