"""Fakes of delivery's ports: a store with its promises (idempotent, per-item answers), a directory, a guard."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from petitbleu_delivery.domain.model import (
    Filed,
    Message,
    Outcome,
    Placement,
    Recipient,
    Route,
    Settlement,
    Status,
    Target,
)
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import Answer, Decided, Leaving, Submitter
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.outbound.presence import Presence
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router

_numbers = itertools.count(1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class HeardRows:
    """Where processes say that they are there: by a clock of its own, as the database has one."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.at: dict[int, float] = {}
        self.away = False

    async def seen(self, worker: int, within_seconds: float) -> bool:
        if self.away:
            raise ConnectionRefusedError
        if self.clock() - self.at[worker] >= within_seconds:
            return False
        self.at[worker] = self.clock()
        return True

    async def arrived(self, worker: int) -> None:
        if self.away:
            raise ConnectionRefusedError
        self.at[worker] = self.clock()


class Present(Presence):
    """A process that is heard of, with a name that units of tests bear; `lost` after a silence."""

    def __init__(self) -> None:
        super().__init__(HeardRows(), 30)
        self.worker = 0
        self.lost = False

    @property
    def sure(self) -> bool:
        return not self.lost


class FakeStore:
    """Keeps recipients and mailboxes; `break_file(placement)` may raise for a whole batch that contains a bad item."""

    def __init__(self) -> None:
        self.open: dict[tuple[bytes, int], Recipient] = {}
        self.settled: dict[tuple[bytes, int], Settlement] = {}
        self.later: dict[tuple[bytes, int], Settlement] = {}
        self.mailboxes: dict[int, dict[bytes, str]] = {}
        self.guarded: set[int] = set()
        self.unknown_accounts: set[int] = set()
        self.unreadable: set[bytes] = set()
        self.calls: list[tuple[str, int]] = []
        self.settles = False
        self.break_file: Callable[[Placement], None] = lambda _placement: None
        self.break_settle: Callable[[Settlement], None] = lambda _settlement: None
        self.break_list: Callable[[bytes], None] = lambda _accepted_id: None

    def accept(self, *addresses: str, mail_from: str = "peer@else.test", authenticated: bool = True) -> bytes:
        accepted_id = next(_numbers).to_bytes(16, "big")
        message = Message(accepted_id, mail_from, mail_from, authenticated)
        for number, address in enumerate(addresses):
            self.open[accepted_id, number] = Recipient(message, number, address, 0)
        return accepted_id

    async def list_open(self, accepted_ids: Sequence[bytes]) -> list[Recipient]:
        self.calls.append(("list", len(accepted_ids)))
        for accepted_id in accepted_ids:
            self.break_list(accepted_id)
        wanted = set(accepted_ids)
        return [recipient for (known, _), recipient in self.open.items() if known in wanted]

    async def file(self, placements: Sequence[Placement]) -> list[Answer]:
        self.calls.append(("file", len(placements)))
        for placement in placements:
            self.break_file(placement)
        answers = []
        for placement in placements:
            filed = self._file(placement)
            settles = self.settles and placement.sole and filed in {Filed.FILED, Filed.HELD}
            if settles:
                outcome = Outcome.FILED if filed is Filed.FILED else Outcome.HELD
                self._record(Settlement(placement.recipient, outcome, account_ids=(placement.account_id,)))
            answers.append(Answer(filed, settles))
        return answers

    def _file(self, placement: Placement) -> Filed:
        accepted_id = placement.recipient.message.accepted_id
        if placement.account_id in self.unknown_accounts:
            return Filed.NO_ACCOUNT
        if accepted_id in self.unreadable:
            return Filed.UNREADABLE
        box = self.mailboxes.setdefault(placement.account_id, {})
        if placement.account_id in self.guarded:
            if placement.token not in {f"deliver {accepted_id.hex()}", f"hold {accepted_id.hex()}"}:
                return Filed.DECISION_REQUIRED
            state = "held" if placement.token.startswith("hold") else "filed"
        else:
            state = "filed"
        return Filed.HELD if box.setdefault(accepted_id, state) == "held" else Filed.FILED

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self.calls.append(("settle", len(settlements)))
        for settlement in settlements:
            self.break_settle(settlement)
        for settlement in settlements:
            self._record(settlement)

    def _record(self, settlement: Settlement) -> None:
        key = (settlement.recipient.message.accepted_id, settlement.recipient.number)
        recipient = self.open.get(key)
        if recipient is None:
            return
        if settlement.outcome is Outcome.OPEN:
            assert settlement.retry_seconds > 0
            self.later[key] = settlement
            self.open[key] = Recipient(recipient.message, recipient.number, recipient.address, recipient.attempts + 1)
        else:
            del self.open[key]
            self.later.pop(key, None)
            self.settled[key] = settlement

    def outcome(self, accepted_id: bytes, number: int = 0) -> Settlement:
        return self.settled[accepted_id, number]


class FakeDirectory:
    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.calls: list[list[str]] = []
        self.down = False
        self.refuses: set[str] = set()
        self.children: set[int] = set()
        self.unknown: set[int] = set()
        self.disabled: set[int] = set()
        self.asked: list[list[int]] = []

    async def submitters(self, account_ids: Sequence[int]) -> list[Submitter]:
        if self.down:
            raise PeerUnavailableError(Peer.ACCOUNTS, "UNAVAILABLE")
        self.asked.append(list(account_ids))
        return [
            Submitter(one, one in self.children, "fr", one in self.disabled)
            for one in account_ids
            if one not in self.unknown
        ]

    def add(
        self, address: str, *account_ids: int, guarded: Sequence[int] = (), domain_id: int = 1, via: bool = False
    ) -> None:
        targets = tuple(Target(account_id, account_id in guarded) for account_id in account_ids)
        self.routes[address] = Route(Status.LOCAL, targets, domain_id, via)

    async def resolve(self, addresses: Sequence[str]) -> list[Route]:
        self.calls.append(list(addresses))
        if self.down:
            raise PeerUnavailableError(Peer.ACCOUNTS, "UNAVAILABLE")
        if self.refuses & set(addresses):
            raise PeerRefusedError(Peer.ACCOUNTS, "INVALID_ARGUMENT", lasting=True)
        return [self.routes.get(address, Route(Status.UNKNOWN, (), 1)) for address in addresses]


class FakeGuard:
    def __init__(self) -> None:
        self.approved: set[str] = set()
        self.calls: list[int] = []
        self.down = False
        self.stale = False
        self.refuses: set[int] = set()
        self.correspondents: set[str] = set()

    async def check_outgoing(self, leaving: Sequence[Leaving]) -> list[bool]:
        self.calls.append(len(leaving))
        if self.down:
            raise PeerUnavailableError(Peer.GUARD, "UNAVAILABLE")
        if any(one.account_id in self.refuses for one in leaving):
            raise PeerRefusedError(Peer.GUARD, "INVALID_ARGUMENT", lasting=True)
        return [one.address in self.correspondents for one in leaving]

    async def check(self, placements: Sequence[Placement]) -> list[Decided]:
        self.calls.append(len(placements))
        if self.down:
            raise PeerUnavailableError(Peer.GUARD, "UNAVAILABLE")
        if any(placement.account_id in self.refuses for placement in placements):
            raise PeerRefusedError(Peer.GUARD, "INVALID_ARGUMENT", lasting=True)
        answers = []
        for placement in placements:
            message = placement.recipient.message
            word = "deliver" if message.mail_from in self.approved else "hold"
            answers.append(Decided("stale" if self.stale else f"{word} {message.accepted_id.hex()}"))
        return answers


class World:
    """Delivery with fakes all around."""

    def __init__(self, most: int = 256) -> None:
        self.store = FakeStore()
        self.directory = FakeDirectory()
        self.guard = FakeGuard()
        self.clock = Clock()
        self.cache = RouteCache(1000, 60, self.clock)
        self.tally = Tally()
        self.rounds = Rounds(
            self.store, Router(self.directory, self.cache), Gate(self.guard, self.clock), self.tally, most
        )
