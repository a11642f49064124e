"""Entering the queue: what a round finds to be for other servers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.queue_rows import Entry, QueueRows, Unit
from petitbleu_delivery.domain.model import Message, Outcome, Reason, Recipient, Settlement
from petitbleu_delivery.domain.outbound import Priority, destination_of
from petitbleu_delivery.ports import WayOut, Word
from petitbleu_delivery.service.abuse.watch import Watch
from petitbleu_delivery.service.outbound.kept_back import KEPT
from petitbleu_delivery.service.outbound.presence import Presence
from petitbleu_delivery.service.outbound.sending import Sender

SUBMITTED: Final = accept_pb2.ORIGIN_SUBMITTED
_LEAVES: Final = frozenset({accept_pb2.ORIGIN_SUBMITTED, accept_pb2.ORIGIN_NOTICE, accept_pb2.ORIGIN_RULE})
_BULK_RECIPIENTS: Final = 50


def leaves(message: Message) -> bool:
    """Whether a message may go to another server: what a stranger brought never does."""
    return message.origin in _LEAVES


class Entering:
    """Queues recipients.

    Args:
        rows: The queue.
        sender: Takes what there is room for at once; the rest is found by its sweep.
        way_out: The second gate.
        presence: This process.
        watch: Counts what accounts send.
    """

    def __init__(
        self, rows: QueueRows, sender: Sender, way_out: WayOut, presence: Presence, watch: Watch | None = None
    ) -> None:
        self._watch = watch
        self._rows = rows
        self._sender = sender
        self._way_out = way_out
        self._presence = presence

    async def words(self, recipients: Sequence[Recipient]) -> list[Word]:
        """Say for each recipient, ours or not, whether its submitter may write to it now.

        Raises:
            PeerUnavailableError: accounts does not answer.
        """
        return await self._way_out.open_to(recipients)

    async def enter(self, recipients: Sequence[Recipient]) -> tuple[list[Settlement], list[Unit]]:
        """Queue recipients in one commit; return their settlements, and units to hand to `begin` once these are recorded.

        Raises:
            PeerUnavailableError: the gate cannot be asked.
        """
        words = await self.words(recipients)
        counts = Counter(recipient.message.accepted_id for recipient in recipients)
        settlements: list[Settlement] = []
        entries: list[Entry] = []
        for recipient, word in zip(recipients, words, strict=True):
            destination = destination_of(recipient.address)
            if word is not Word.GOES:
                settlements.append(KEPT[word](recipient))
            elif not destination:
                settlements.append(Settlement(recipient, Outcome.PARKED, Reason.UNRESOLVABLE))
            else:
                entries.append(
                    _entry(recipient, destination, bulk=counts[recipient.message.accepted_id] > _BULK_RECIPIENTS)
                )
                settlements.append(Settlement(recipient, Outcome.QUEUED))
        if not entries:
            return settlements, []
        bulk = sum(entry.priority == Priority.BULK.value for entry in entries)
        mine = self._sender.room >= len(entries) and self._sender.bulk_room >= bulk and self._presence.sure
        units = await self._rows.enter(entries, self._presence.worker if mine else None)
        if self._watch is not None:
            _count(self._watch, recipients, units)
        return settlements, units if mine else []

    def begin(self, units: Sequence[Unit]) -> None:
        """Send units whose recipients store knows to be queued."""
        self._sender.take(units)


def _count(watch: Watch, recipients: Sequence[Recipient], units: Sequence[Unit]) -> None:
    """Count whom accounts submitted to: those whom this commit queued, so nobody twice."""
    known = {(one.message.accepted_id, one.number): one for one in recipients if one.message.origin == SUBMITTED}
    sent: dict[bytes, list[Recipient]] = {}
    for unit in units:
        accepted_id = unit.accepted_id.bytes
        found = [known[accepted_id, number] for number in unit.recipients if (accepted_id, number) in known]
        if found:
            sent.setdefault(accepted_id, []).extend(found)
    for people in sent.values():
        message = people[0].message
        addresses = [one.address for one in people]
        watch.sent(message.submitter_id, message.submitter_tenant_id, addresses, message.spam_score)


def _entry(recipient: Recipient, destination: str, *, bulk: bool) -> Entry:
    """Its days of attempts begin now: it may have been held (RFC 4865), or have waited for a guardian, since it was accepted."""
    message = recipient.message
    priority = Priority.BULK if bulk else Priority.PERSON
    if message.origin == accept_pb2.ORIGIN_NOTICE:
        priority = Priority.NOTICE
    return Entry(
        UUID(bytes=message.accepted_id), recipient.number, destination, message.submitter_id, message.submitter_tenant_id,
        message.origin, priority.value, message.size, max(message.received_at, time.time()),
    )  # fmt: skip
