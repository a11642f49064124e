"""Who may be written to: look-ups in batches, remembered for a while, forgotten when accounts says so."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from typing import Final

import msgspec

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu_ingest import metrics
from petitbleu_ingest.ports import Directory, Place
from petitbleu_ingest.service.full_accounts import FullAccounts
from petitbleu_kit.batching import Batcher, QueueFullError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MAX_LOOKUPS: Final = 500
# RFC 5321 §4.5.1; RFC 2142 §4
_ROLE_MAILBOXES: Final = frozenset({"postmaster", "abuse"})


class Verdict(Enum):
    """What RCPT is told."""

    WELCOME = "welcome"
    UNKNOWN = "unknown"
    OVER_QUOTA = "over_quota"
    DISABLED = "disabled"
    REMOTE = "remote"
    TROUBLE = "trouble"


class Answer(msgspec.Struct, frozen=True):
    """A verdict and what it hangs on."""

    verdict: Verdict
    tenant_id: int = 0
    domain_id: int = 0
    account_ids: tuple[int, ...] = ()


TROUBLE: Final = Answer(Verdict.TROUBLE)


_ELSEWHERE: Final[dict[int, Verdict]] = {
    accounts_pb2.ADDRESS_STATUS_UNKNOWN: Verdict.UNKNOWN,
    accounts_pb2.ADDRESS_STATUS_DISABLED: Verdict.DISABLED,
}


def is_role(address: str) -> bool:
    """Whether an address is one that every domain must have: postmaster (RFC 5321 §4.5.1) and abuse (RFC 2142 §4)."""
    return address.partition("@")[0].lower() in _ROLE_MAILBOXES


def judge(address: str, place: Place, over_quota: frozenset[int]) -> Answer:
    """Turn what accounts and store say of an address into a verdict.

    Over quota means that no account it reaches has room: a group with one full member still takes mail.
    """
    status = place.status
    if status == accounts_pb2.ADDRESS_STATUS_REMOTE:
        return Answer(Verdict.REMOTE)
    local = status == accounts_pb2.ADDRESS_STATUS_LOCAL
    if is_role(address) and (place.domain_id or local):
        # RFC 5321 §4.5.1: always taken; delivery leads it to the tenant's administrator
        verdict = Verdict.WELCOME
    elif local:
        full = bool(place.account_ids) and over_quota.issuperset(place.account_ids)
        verdict = Verdict.OVER_QUOTA if full else Verdict.WELCOME
    else:
        verdict = _ELSEWHERE.get(status, Verdict.TROUBLE)
    return Answer(verdict, place.tenant_id, place.domain_id, place.account_ids)


class RecipientBook:
    """Answers for addresses, from memory or from accounts and store.

    Args:
        directory: Where addresses lead.
        full: Who is over quota.
        seconds: Life of a welcome, at most 60.
        refusal_seconds: Life of any other verdict: a new account, or one that made room, is seen soon.
        entries: Answers remembered.
        linger: Wait for company under load; see `petitbleu_kit.batching`.
        clock: Seconds that never go back.
    """

    def __init__(
        self, directory: Directory, full: FullAccounts, *, seconds: float, refusal_seconds: float, entries: int,
        linger: float = 0, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._full = full
        self._seconds = seconds
        self._refusal_seconds = refusal_seconds
        self._entries = entries
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._by_account: dict[int, set[str]] = {}
        self._by_domain: dict[int, set[str]] = {}
        self._flying: dict[str, asyncio.Future[Answer]] = {}
        self._epoch = 0
        # One at a time: a call costs what it costs whatever it carries, and the next one gathers meanwhile.
        self._batcher: Batcher[str, Answer] = Batcher(self._look_up, max_items=_MAX_LOOKUPS, linger=linger)

    def __len__(self) -> int:
        return len(self._known)

    def known(self, address: str) -> Answer | None:
        """Return the remembered answer, None when it must be looked up."""
        found = self._known.get(address)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._drop(address)
            return None
        self._known.move_to_end(address)
        return found[1]

    def look_up(self, address: str) -> asyncio.Future[Answer]:
        """Look an address up, together with whoever else asks; the future never fails, trouble is a verdict."""
        flying = self._flying.get(address)
        if flying is None:
            try:
                flying = self._batcher.submit(address)
            except QueueFullError:
                flying = asyncio.get_running_loop().create_future()
                flying.set_result(TROUBLE)
                return flying
            self._flying[address] = flying
        return flying

    async def _look_up(self, addresses: list[str]) -> Sequence[Answer]:
        epoch = self._epoch
        try:
            places = await self._directory.resolve(addresses)
            ids = {one for place in places for one in place.account_ids}
            full = await self._full.over_quota(ids)
            answers = [judge(address, place, full) for address, place in zip(addresses, places, strict=True)]
        except Exception as error:  # noqa: BLE001 — whatever it is, the sender is told to come back
            metrics.lookup_failures.inc()
            _log.warning("recipients cannot be looked up", error_type=type(error).__qualname__, count=len(addresses))
            answers = [TROUBLE] * len(addresses)
        for address, answer in zip(addresses, answers, strict=True):
            self._flying.pop(address, None)
            # an answer that was on its way when something changed is used, not remembered
            if answer.verdict is not Verdict.TROUBLE and epoch == self._epoch:
                self._remember(address, answer)
        return answers

    def _remember(self, address: str, answer: Answer) -> None:
        if address in self._known:
            self._drop(address)
        seconds = self._seconds if answer.verdict is Verdict.WELCOME else self._refusal_seconds
        self._known[address] = (self._clock() + seconds, answer)
        self._by_domain.setdefault(answer.domain_id, set()).add(address)
        for account in answer.account_ids:
            self._by_account.setdefault(account, set()).add(address)
        while len(self._known) > self._entries:
            self._drop(next(iter(self._known)))

    def _drop(self, address: str) -> None:
        _, answer = self._known.pop(address)
        for index, keys in ((self._by_domain, (answer.domain_id,)), (self._by_account, answer.account_ids)):
            for key in keys:
                members = index[key]
                members.discard(address)
                if not members:
                    del index[key]

    def forget(self, account_ids: Collection[int], domain_ids: Iterable[int]) -> None:
        """Forget what hangs on these accounts and domains, and what is on its way. A domain may be a new one.

        The quota of an account may be another, too.
        """
        self._full.doubt(account_ids)
        addresses = self._of_accounts(account_ids)
        domains = set(domain_ids)
        for domain in domains | {0} if domains else domains:
            addresses |= self._by_domain.get(domain, set())
        self._forget(addresses)

    def forget_all(self) -> None:
        """Forget everything: events may have been missed."""
        self._full.doubt_all()
        self._forget_every()

    async def refresh_full(self) -> None:
        """Take the latest list of full accounts, and forget what was remembered of those that are full by now."""
        named = await self._full.refresh()
        if named is None:
            self._forget_every()
        elif named:
            self._forget(self._of_accounts(named))

    def _of_accounts(self, account_ids: Iterable[int]) -> set[str]:
        addresses: set[str] = set()
        for account in account_ids:
            addresses |= self._by_account.get(account, set())
        return addresses

    def _forget(self, addresses: Collection[str]) -> None:
        self._epoch += 1
        for address in addresses:
            self._drop(address)
        metrics.forgotten.inc(len(addresses))

    def _forget_every(self) -> None:
        self._epoch += 1
        self._known.clear()
        self._by_account.clear()
        self._by_domain.clear()
