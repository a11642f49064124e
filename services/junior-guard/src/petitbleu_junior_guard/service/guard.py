"""Checking mail for children, and the operator's decisions on what is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from prometheus_client import Counter

from petitbleu_junior_guard.domain.rules import (
    UNANNOUNCED,
    Item,
    Knowledge,
    Reason,
    Verdict,
    canonical,
    judge,
    judge_outgoing,
)
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Asked, Bell, HeldMail, Records, Ruling
from petitbleu_kit.decisions import tokens_of
from petitbleu_kit.identity import Signer
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_checked = Counter("petitbleu_junior_guard_checks_total", "Messages decided on by rule", ["verdict", "reason"])
_outgoing = Counter(
    "petitbleu_junior_guard_outgoing_checks_total", "Recipients of children's mail decided on", ["verdict", "reason"]
)
_decided = Counter("petitbleu_junior_guard_decisions_total", "Held messages decided on by a person", ["verdict"])


# A look-up by labels costs more than the count itself; verdicts and reasons are few.
@cache
def _checked_of(verdict: Verdict, reason: Reason) -> Counter:
    return _checked.labels(verdict=_WORD[verdict], reason=reason.value)


MAX_ITEMS: Final = 1000
_HOLDS_AT_ONCE: Final = 4
_UNSHOWN: Final = UNANNOUNCED | {Reason.PERSON}
_WORD: Final = {Verdict.DELIVER: "deliver", Verdict.HOLD: "hold", Verdict.DESTROY: "destroy"}


Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Decided(NamedTuple):
    """A verdict, its token for store, and whether the sender is nobody that was approved."""

    verdict: Verdict
    token: str
    newcomer: bool = False


def decision_claims(account_id: int, accepted_id: bytes, verdict: Verdict) -> dict[str, object]:
    """Claims of a decision's token: the account, the accepted id in hexadecimal, and the verdict."""
    return {"use": "decision", "account": account_id, "accepted": accepted_id.hex(), "verdict": _WORD[verdict]}


class Guard:
    """The use cases.

    Args:
        records: What is kept.
        held: store's door for decisions.
        seal: Hashes and seals addresses.
        signer: Signs decisions for store.
        token_seconds: How long store accepts one.
        bell: Tells guardians' pages of what waits.
        clock: The time by which approvals end.
    """

    def __init__(
        self, records: Records, held: HeldMail, seal: Seal, signer: Signer, token_seconds: int, bell: Bell,
        clock: Clock = utc_now,
    ) -> None:  # fmt: skip
        self._bell = bell
        self._clock = clock
        self._records = records
        self._held = held
        self._seal = seal
        self._signer = signer
        self._token_seconds = token_seconds

    def _token(self, account_id: int, accepted_id: bytes, verdict: Verdict) -> str:
        return self._signer.sign("store", decision_claims(account_id, accepted_id, verdict), self._token_seconds)

    async def check(self, items: Sequence[Item]) -> list[Decided]:
        """Decide on messages for guarded accounts, in order.

        Raises:
            GuardError: BAD_REQUEST, or DATABASE_AWAY: without its records the guard decides nothing.
        """
        if len(items) > MAX_ITEMS or any(len(item.accepted_id) != 16 or item.account_id <= 0 for item in items):
            raise GuardError(Fault.BAD_REQUEST)
        asked = [self._asked(item, canonical(item.header_from) if item.header_from else None) for item in items]
        rulings = self._ruled(asked, await self._records.knowledge(asked, self._clock()))
        await self._records.record([one for one in rulings if one.verdict is Verdict.DELIVER])
        waiting: dict[int, list[int]] = {}
        for index, one in enumerate(rulings):
            if one.verdict is not Verdict.DELIVER:
                waiting.setdefault(one.account_id, []).append(index)
        at_once = asyncio.Semaphore(_HOLDS_AT_ONCE)

        async def hold(account_id: int, indices: Sequence[int]) -> None:
            async with at_once:
                held = await self._records.hold(
                    account_id, [asked[index] for index in indices], self._ruled, self._clock()
                )
            for index, one in zip(indices, held, strict=True):
                rulings[index] = one

        newcomers = [one for one in rulings if one.reason is Reason.NEWCOMER]
        if newcomers:
            await self._records.newcomers(newcomers, self._clock())
        await asyncio.gather(*(hold(account_id, indices) for account_id, indices in waiting.items()))
        self._bell.ring(list(waiting), child=False)
        for one in rulings:
            _checked_of(one.verdict, one.reason).inc()
            if one.reason is Reason.NOT_A_CHILD:
                _log.error("guarded account is not registered: its mail is held", account_id=one.account_id)
        return self._decided(rulings)

    def _asked(self, item: Item, address: str | None) -> Asked:
        if address is None:
            return Asked(item, None, b"", b"")
        account_id = item.account_id
        return Asked(item, address, self._seal.hash(account_id, address), self._seal.skeleton_hash(account_id, address))

    def _ruled(self, asked: Sequence[Asked], known: Sequence[Knowledge]) -> list[Ruling]:
        rulings = []
        for one, knowledge in zip(asked, known, strict=True):
            verdict, reason = judge(one.item, knowledge, one.sender)
            shown = (verdict is Verdict.HOLD and reason not in _UNSHOWN) or reason is Reason.NEWCOMER
            sealed = (
                self._seal.seal(one.item.account_id, one.sender) if shown and knowledge.level and one.sender else b""
            )
            rulings.append(Ruling(one, verdict, reason, sealed))
        return rulings

    def _decided(self, rulings: Sequence[Ruling]) -> list[Decided]:
        # too much waits: delivery drops it, and store never holds it
        told = [one for one in rulings if one.verdict is not Verdict.DESTROY]
        decisions = [(one.account_id, one.accepted_id, _WORD[one.verdict]) for one in told]
        tokens = iter(tokens_of(self._signer, decisions, self._token_seconds))
        return [
            Decided(one.verdict, "")
            if one.verdict is Verdict.DESTROY
            else Decided(one.verdict, next(tokens), newcomer=one.reason is Reason.NEWCOMER)
            for one in rulings
        ]

    async def check_outgoing(self, items: Sequence[Item]) -> list[Verdict]:
        """Decide whether what children send may go; `header_from` of an item is the recipient's address here. Answers in order.

        Nothing is recorded: what waits is asked about again, and goes once its recipient is approved.

        Raises:
            GuardError: BAD_REQUEST, or DATABASE_AWAY: without its records the guard lets nothing go.
        """
        if len(items) > MAX_ITEMS or any(len(item.accepted_id) != 16 or item.account_id <= 0 for item in items):
            raise GuardError(Fault.BAD_REQUEST)
        recipients = [canonical(item.header_from) for item in items]
        asked = [self._asked(item, recipient) for item, recipient in zip(items, recipients, strict=True)]
        known = await self._records.knowledge(asked, self._clock())
        verdicts = []
        for item, knowledge, recipient in zip(items, known, recipients, strict=True):
            verdict, reason = judge_outgoing(knowledge, recipient)
            verdicts.append(verdict)
            _outgoing.labels(verdict=_WORD[verdict], reason=reason.value).inc()
            if reason is Reason.NOT_A_CHILD:
                _log.error("guarded account is not registered: what it sends waits", account_id=item.account_id)
        return verdicts

    async def decide(self, account_id: int, accepted_id: bytes, *, deliver: bool, actor: str) -> None:
        """Release or destroy a held message: recorded first, then done by store, so that a repeat completes it.

        Raises:
            GuardError: BAD_REQUEST, NOT_HELD, DECIDED_OTHERWISE, DATABASE_AWAY, STORE_AWAY or STORE_REFUSES.
        """
        if account_id <= 0 or len(accepted_id) != 16:
            raise GuardError(Fault.BAD_REQUEST)
        verdict = Verdict.DELIVER if deliver else Verdict.DESTROY
        stands = await self._records.decide(account_id, accepted_id, verdict, actor)
        if stands is None:
            raise GuardError(Fault.NOT_HELD)
        if stands is not verdict:
            raise GuardError(Fault.DECIDED_OTHERWISE)
        await self.carry_out(account_id, accepted_id, verdict)
        _decided.labels(verdict=_WORD[verdict]).inc()

    async def carry_out(self, account_id: int, accepted_id: bytes, verdict: Verdict) -> None:
        """Have store do what a person decided, or expiry; idempotent.

        Raises:
            GuardError: STORE_AWAY or STORE_REFUSES; NOT_HELD when store has no such message (yet); DATABASE_AWAY.
        """
        await self._held.decide(account_id, accepted_id, self._token(account_id, accepted_id, verdict))
        await self._records.carried(account_id, accepted_id)
