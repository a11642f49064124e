"""Bounces of what rules sent on: they come to a rewritten sender (SRS), and are sent on to who wrote the mail (ADR 47)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.domain.model import Outcome, Reason, Recipient, Settlement
from petitbleu_delivery.domain.rules import MOST_HOPS, MOST_SENT_ON
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.verdict import try_again
from petitbleu_delivery.errors import PeerRefusedError
from petitbleu_delivery.service.measures import RETURN_PATHS
from petitbleu_kit.logs import get_logger
from petitbleu_mail.addresses import AddressError, canonical_mailbox
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.srs import DAY_SECONDS, is_rewritten, restored, rewritten

_log = get_logger(__name__)
_AN_HOUR: Final = 60
_HOUR: Final = 3600.0
_REMEMBERED: Final = 10_000


class Store(Protocol):
    """store, as far as a bounce goes through us."""

    async def read(self, accepted_id: bytes, octets: int) -> bytes | None:
        """Return an accepted message; 0 for the whole."""
        ...

    async def accept(self, letters: Sequence[Letter]) -> bool:
        """Hand mails to store; say whether all are durable."""
        ...


class ReturnPaths:
    """The use case.

    Args:
        store: store.
        seal: Of the purpose `srs`.
        rewrites: Whether redirects have rewritten senders; those that came to be before count either way.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, seal: Seal, *, rewrites: bool, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._seal = seal
        self._rewrites = rewrites
        self._clock = clock
        self._lately: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def sender_of(self, mail_from: str, owner: str, at: float, *, ours: bool = False, junk: bool = False) -> str:
        """Return the envelope sender with which a message is sent on for an owner; empty for the null path.

        Args:
            mail_from: The one that it came with.
            owner: The address of whoever sends it on.
            at: Unix seconds of its acceptance, so that each attempt has the same one.
            ours: Somebody submitted it here: the domain is one of ours, and its SPF passes without this.
            junk: It was found to be Junk: whoever it names as its sender is told nothing of it.
        """
        if not mail_from or not self._rewrites or junk:
            return owner if mail_from else ""
        if ours:
            return mail_from
        # what does not fit leaves as before
        return rewritten(mail_from, owner.rpartition("@")[2], int(at // DAY_SECONDS), self._hash) or owner

    def good(self, addresses: Collection[str]) -> set[str]:
        """Return those of addresses that lead back to a sender."""
        return {address for address in addresses if self._restored(address) is not None}

    def concerns(self, recipients: Sequence[Recipient]) -> bool:
        """Whether any of these is a bounce to a rewritten sender; of nearly all mail it is not."""
        return any(not one.message.mail_from and is_rewritten(one.address) for one in recipients)

    async def returned(self, recipients: Sequence[Recipient]) -> tuple[list[Recipient], list[Settlement]]:
        """Send on bounces that came to rewritten senders; return the other recipients, and what became of these.

        Raises:
            PeerUnavailableError: store does not answer: nothing is lost by trying again.
        """
        others: list[Recipient] = []
        settlements: list[Settlement] = []
        for recipient in recipients:
            sender = None if recipient.message.mail_from else self._restored(recipient.address)
            if sender is None:
                others.append(recipient)
            else:
                settlements.append(await self._send_on(recipient, sender))
        return others, settlements

    async def _send_on(self, recipient: Recipient, sender: str) -> Settlement:
        message = recipient.message
        key = self._seal.hash(0, b"return", message.accepted_id, recipient.number.to_bytes(4, "big"))
        done = Settlement(recipient, Outcome.DISCARDED, Reason.RETURNED)
        try:
            octets = await self._store.read(message.accepted_id, 0) if message.size <= MOST_SENT_ON else None
            if octets is None or _goes_in_circles(octets):
                RETURN_PATHS.labels(result="left-out").inc()
                return done
            if not self._may(sender, recipient.attempts):
                RETURN_PATHS.labels(result="too-many").inc()
                return done
            if not await self._store.accept([Letter(key, "", sender, b"", octets, 0, 0, notice=True)]):
                return try_again(recipient, Reason.STORE_FAILED)
        except PeerRefusedError as error:
            _log.warning("a bounce is not sent on", code=error.code)
            return try_again(recipient, Reason.STORE_FAILED)
        RETURN_PATHS.labels(result="sent-on").inc()
        return done

    def _may(self, sender: str, attempts: int) -> bool:
        """Count a bounce for a sender, who gets so many an hour of this process; what is tried again was counted."""
        if attempts:
            return True
        try:
            name = canonical_mailbox(sender).address
        except AddressError:
            name = sender
        now = self._clock()
        since, count = self._lately.pop(name, (now, 0))
        if now - since >= _HOUR:
            since, count = now, 0
        self._lately[name] = (since, count + 1)
        while len(self._lately) > _REMEMBERED:
            self._lately.popitem(last=False)
        return count < _AN_HOUR

    def _restored(self, address: str) -> str | None:
        return restored(address, int(self._clock() // DAY_SECONDS), self._hash) if is_rewritten(address) else None

    def _hash(self, octets: bytes) -> bytes:
        return self._seal.hash(0, b"sender", octets)


def _goes_in_circles(octets: bytes) -> bool:
    return len(Fields(split_message(octets)[0]).indexes(b"received")) > MOST_HOPS
