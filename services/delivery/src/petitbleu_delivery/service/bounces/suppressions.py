"""Addresses that do not exist, as their server said: an account's further mail to them is refused here for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from petitbleu_delivery.domain.outbound import COMPLAINED, Answer, Reply, Verdict, destination_of
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.service.measures import SUPPRESSIONS
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
HARD: Final = frozenset({"5.1.1", "5.1.6"})
"""No such mailbox; it has moved and nobody knows where (RFC 3463 §3.2). All else may be another tomorrow, or is about the message."""
_CLEAN_SECONDS: Final = 10.0
_CLEAN_MOST: Final = 50_000


class Suppressed(NamedTuple):
    """An address that is not written to: its keyed hash, until when in Unix seconds, and whether whoever has it complained."""

    key: bytes
    until: float
    complained: bool = False


class SuppressionTable(Protocol):
    """Where they are."""

    async def any(self, account_id: int) -> bool:
        """Whether anything is known of addresses that an account wrote to."""
        ...

    async def find(self, account_id: int, keys: Sequence[bytes]) -> list[Suppressed]:
        """Return those of the addresses that are suppressed now."""
        ...

    async def strike(self, account_id: int, refused: Mapping[bytes, str], first: float, longest: float) -> None:
        """Suppress addresses for `first` seconds, or four times as long as before, at most `longest`.

        One that is suppressed already stays as it is: what was on its way is not a further try.
        """

    async def lift(self, account_id: int, keys: Sequence[bytes]) -> int:
        """Forget addresses; how many were known."""
        ...

    async def taken(self, account_id: int, keys: Sequence[bytes]) -> None:
        """Forget that addresses did not exist; complaints stay."""
        ...


def is_hard(answer: Answer) -> bool:
    """Whether a server said, for good, that there is no such mailbox."""
    reply = answer.reply
    return answer.verdict is Verdict.REFUSED and bool(reply.host) and 500 <= reply.code < 600 and reply.enhanced in HARD


class Suppressions:
    """The use case. Nothing here holds mail up: without the database, mail goes as though nothing were known.

    Args:
        table: Where they are.
        seal: Hashes addresses, which are kept nowhere.
        first: Seconds after the first refusal, 0 for never.
        longest: Seconds at most.
        complained: Seconds after a complaint, 0 for never.
        clock: Seconds that never go back.
    """

    def __init__(
        self, table: SuppressionTable, seal: Seal, first: float, longest: float,
        clock: Callable[[], float] = time.monotonic, complained: float = 0.0,
    ) -> None:  # fmt: skip
        self.complained_seconds = complained
        self._table = table
        self._seal = seal
        self._first = first
        self._longest = longest
        self._clock = clock
        self._clean: OrderedDict[int, float] = OrderedDict()

    def key(self, account_id: int, address: str) -> bytes:
        """Return what is kept of an address: a keyed hash, of one account. Local parts differ by case (RFC 5321 §2.4)."""
        return self._seal.hash(account_id, address.rpartition("@")[0].encode(), destination_of(address).encode())

    async def kept_back(self, account_id: int, addresses: Mapping[int, str]) -> list[Answer]:
        """Return answers for those recipients, by number, to whom nothing is sent now."""
        if not (self._first or self.complained_seconds) or account_id <= 0 or not addresses:
            return []
        try:
            if await self._is_clean(account_id):
                return []
            keys = {number: self.key(account_id, address) for number, address in addresses.items()}
            found = {one.key: one for one in await self._table.find(account_id, list(keys.values()))}
        except Exception as error:  # noqa: BLE001 — mail does not wait for this
            _log.warning("suppressions are not known", error_type=type(error).__qualname__)
            return []
        answers = [
            Answer(number, Verdict.REFUSED, _reply(found[key]), untried_until=found[key].until)
            for number, key in keys.items()
            if key in found
        ]
        SUPPRESSIONS.labels(event="kept-back").inc(len(answers))
        return answers

    async def learn(self, account_id: int, addresses: Mapping[int, str], answers: Sequence[Answer]) -> None:
        """Remember what servers said of recipients; who takes mail again is forgotten."""
        if not self._first or account_id <= 0:
            return
        refused = {
            self.key(account_id, addresses[one.number]): one.reply.enhanced for one in answers if is_hard(one)
        }  # fmt: skip
        taken = [one.number for one in answers if one.verdict is Verdict.SENT]
        try:
            if refused:
                await self._table.strike(account_id, refused, self._first, self._longest)
                self._clean.pop(account_id, None)
                SUPPRESSIONS.labels(event="refused").inc(len(refused))
            if taken and not await self._is_clean(account_id):
                await self._table.taken(account_id, [self.key(account_id, addresses[number]) for number in taken])
        except Exception as error:  # noqa: BLE001 — what was answered is kept, and is not sent again for this
            _log.warning("a refusal is not remembered", error_type=type(error).__qualname__)

    @property
    def seconds(self) -> tuple[float, float]:
        """For how long an address is suppressed: at first, and at most."""
        return self._first, self._longest

    def striking(self, account_id: int, addresses: Mapping[str, str]) -> dict[bytes, str]:
        """Return what is to be kept of addresses that a bounce says something of: status by key, of those that do not exist."""
        if not self._first:
            return {}
        return {self.key(account_id, address): status for address, status in addresses.items() if status in HARD}

    def struck(self, account_id: int) -> None:
        """Learn that something was kept of an account, behind our back."""
        self._clean.pop(account_id, None)

    async def lift(self, account_id: int, address: str) -> bool:
        """Forget what is known of an address; False when nothing was."""
        return bool(await self._table.lift(account_id, [self.key(account_id, address)]))

    async def _is_clean(self, account_id: int) -> bool:
        """Whether nothing is known of an account; asked once in a while, since of nearly all there is nothing."""
        now = self._clock()
        if self._clean.get(account_id, 0.0) > now:
            return True
        if await self._table.any(account_id):
            return False
        self._clean[account_id] = now + _CLEAN_SECONDS
        self._clean.move_to_end(account_id)
        while len(self._clean) > _CLEAN_MOST:
            self._clean.popitem(last=False)
        return True


def _reply(found: Suppressed) -> Reply:
    when = datetime.fromtimestamp(found.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if found.complained:
        return Reply(
            550, COMPLAINED, f"not sent: the recipient called earlier mail of yours unwanted; sent again after {when}"
        )
    return Reply(
        550, "5.1.1", f"not tried: its server said lately that there is no such address; tried again after {when}"
    )
