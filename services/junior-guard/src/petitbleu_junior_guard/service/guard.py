"""Checking mail for children, and the operator's decisions on what is held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from prometheus_client import Counter

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Reason, Verdict, canonical, judge, judge_outgoing
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import HeldMail, Records, Ruling
from petitbleu_kit.identity import Signer
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_checked = Counter("petitbleu_junior_guard_checks_total", "Messages decided on by rule", ["verdict", "reason"])
_outgoing = Counter(
    "petitbleu_junior_guard_outgoing_checks_total", "Recipients of children's mail decided on", ["verdict", "reason"]
)
_decided = Counter("petitbleu_junior_guard_decisions_total", "Held messages decided on by a person", ["verdict"])

MAX_ITEMS: Final = 1000
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
        clock: The time by which approvals end.
    """

    def __init__(
        self, records: Records, held: HeldMail, seal: Seal, signer: Signer, token_seconds: int, clock: Clock = utc_now
    ) -> None:
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
        senders = [canonical(item.header_from) if item.header_from else None for item in items]
        known = await self._known(items, senders)
        rulings: list[Ruling] = []
        for item, knowledge, sender in zip(items, known, senders, strict=True):
            verdict, reason = judge(item, knowledge, sender)
            rulings.append(Ruling(item.account_id, item.accepted_id, verdict, reason))
            _checked.labels(verdict=_WORD[verdict], reason=reason.value).inc()
            if reason is Reason.NOT_A_CHILD:
                _log.error("guarded account is not registered: its mail is held", account_id=item.account_id)
        await self._records.record(rulings)
        return [
            Decided(
                r.verdict, self._token(r.account_id, r.accepted_id, r.verdict), newcomer=r.reason is Reason.NEWCOMER
            )
            for r in rulings
        ]

    async def _known(self, items: Sequence[Item], addresses: Sequence[str | None]) -> list[Knowledge]:
        named = list(zip(items, addresses, strict=True))
        hashes = [b"" if one is None else self._seal.hash(item.account_id, one) for item, one in named]
        skeletons = [b"" if one is None else self._seal.skeleton_hash(item.account_id, one) for item, one in named]
        return await self._records.knowledge(items, hashes, skeletons, self._clock())

    async def check_outgoing(self, items: Sequence[Item]) -> list[Verdict]:
        """Decide whether what children send may go; `header_from` of an item is the recipient's address here. Answers in order.

        Nothing is recorded: what waits is asked about again, and goes once its recipient is approved.

        Raises:
            GuardError: BAD_REQUEST, or DATABASE_AWAY: without its records the guard lets nothing go.
        """
        if len(items) > MAX_ITEMS or any(len(item.accepted_id) != 16 or item.account_id <= 0 for item in items):
            raise GuardError(Fault.BAD_REQUEST)
        recipients = [canonical(item.header_from) for item in items]
        known = await self._known(items, recipients)
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
        await self._held.decide(account_id, accepted_id, self._token(account_id, accepted_id, verdict))
        _decided.labels(verdict=_WORD[verdict]).inc()
