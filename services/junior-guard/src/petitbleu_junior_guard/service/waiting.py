"""What waits for a child: guardians see senders, and decide on each with all that waits from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from prometheus_client import Counter

from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.domain.waiting import SenderAction
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Errand, WaitingRow
from petitbleu_junior_guard.ports import Waiting as Rows
from petitbleu_junior_guard.service.guard import Clock, Guard, utc_now
from petitbleu_junior_guard.service.guardianship import LAST
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_decided = Counter("petitbleu_junior_guard_sender_decisions_total", "Decisions on what waits from a sender", ["action"])
_expired = Counter("petitbleu_junior_guard_expired_total", "Messages that nobody decided on in time")
_AT_ONCE: Final = 8
_MOST: Final = 200
# store may hold a message a while after it was decided on: delivery was told to hold it and had not yet.
_PATIENCE: Final = timedelta(days=1)


class WaitingSender(msgspec.Struct, frozen=True):
    """A sender whose mail waits, for guardians' eyes."""

    row: WaitingRow
    address: str


class WaitingMail(msgspec.Struct, frozen=True):
    """What waits for a child; of what else there was only numbers."""

    senders: Sequence[WaitingSender]
    unannounced: int
    dropped: int
    expired: int


class Decision(msgspec.Struct, frozen=True):
    """How many messages a decision was on, and whose decision stands (0 and None when there never was one)."""

    messages: int
    decided_by: int
    action: SenderAction | None


class WaitingRoom:
    """The use cases.

    Args:
        rows: What is kept.
        guard: Has decisions carried out.
        seal: Reads and hashes addresses.
        clock: The time.
    """

    def __init__(self, rows: Rows, guard: Guard, seal: Seal, clock: Clock = utc_now) -> None:
        self._rows = rows
        self._guard = guard
        self._seal = seal
        self._clock = clock

    async def waiting(self, account_id: int, actor: Actor) -> WaitingMail:
        """Give what waits for a child to one of its guardians; NOT_YOURS."""
        found = await self._rows.list_for(account_id, actor)
        senders = [WaitingSender(row, self._seal.open(account_id, row.sealed)) for row in found.senders]
        return WaitingMail(senders, found.unannounced, found.dropped, found.expired)

    async def decide(
        self, account_id: int, sender_id: bytes, actor: Actor, action: SenderAction, *, authenticated: bool,
        ends_at: datetime | None = None, although_alike: bool = False,
    ) -> Decision:  # fmt: skip
        """Decide on all that waits from a sender: recorded first, then carried out; what fails of that is done later.

        Raises:
            GuardError: BAD_REQUEST, NOT_YOURS, NO_SENDER, LOOKS_ALIKE, REFUSED_BY_OTHERS, TOO_MANY or DATABASE_AWAY.
        """
        approves = action is SenderAction.DELIVER_AND_APPROVE
        if account_id <= 0 or (ends_at is not None and not (approves and self._clock() < ends_at < LAST)):
            raise GuardError(Fault.BAD_REQUEST)
        cleared = await self._rows.decide(
            account_id, sender_id, actor, action, self._clock(), authenticated=authenticated, ends_at=ends_at,
            although_alike=although_alike, skeletons=lambda sealed: self._skeleton(account_id, sealed),
        )  # fmt: skip
        _decided.labels(action=action.name.lower()).inc()
        await self._carry_out(cleared.errands)
        return Decision(len(cleared.errands), cleared.decided_by, cleared.action)

    def _skeleton(self, account_id: int, sealed: bytes) -> bytes:
        return self._seal.skeleton_hash(account_id, self._seal.open(account_id, sealed))

    async def _carry_out(self, errands: Sequence[Errand]) -> None:
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def one(errand: Errand) -> None:
            async with at_once:
                try:
                    await self._guard.carry_out(errand.account_id, errand.accepted_id, errand.verdict)
                except GuardError as error:
                    if self._clock() - errand.decided_at > _PATIENCE and error.fault is not Fault.STORE_AWAY:
                        _log.warning(
                            "a decision is not carried out", account_id=errand.account_id, why=error.fault.name
                        )
                        await self._rows.give_up(errand)

        await asyncio.gather(*(one(errand) for errand in errands))

    async def complete(self) -> int:
        """Carry out what was decided and not done, a bounded number; how many there were."""
        errands = await self._rows.due(self._clock(), _MOST)
        await self._carry_out(errands)
        return len(errands)

    async def expire(self) -> int:
        """Decide on what nobody decided on for 30 days; how many messages that were."""
        done = 0
        while (found := await self._rows.expire(self._clock(), _MOST)) == _MOST:
            done += found
        done += found
        if done:
            _expired.inc(done)
            _log.info("held mail has expired", messages=done)
        return done
