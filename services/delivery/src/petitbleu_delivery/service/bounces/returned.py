"""Mail that came without a sender to an address of ours: a bounce of what we sent, or one of what we never sent (ADR 37)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedLetter
from petitbleu_delivery.domain.bounce_token import Standing
from petitbleu_delivery.domain.model import Recipient, Route, Status
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_delivery.service.measures import RETURNED
from petitbleu_mail.reports import find_report

_HEAD_OCTETS: Final = 64 << 10
_RECEIPT: Final = "disposition-notification"
_OURS: Final = frozenset({accept_pb2.ORIGIN_SUBMITTED, accept_pb2.ORIGIN_NOTICE, accept_pb2.ORIGIN_RULE})
_NOT_REAL: Final = frozenset({Standing.FORGED, Standing.EXPIRED, Standing.ABSENT})


class ReadsAccepted(Protocol):
    """store, for what was accepted."""

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        """Return accepted messages by id, at most 64."""
        ...


class ReturnedMail:
    """Tells real bounces from forged ones.

    Args:
        tokens: What is asked.
        mail: store.
    """

    def __init__(self, tokens: BounceTokens, mail: ReadsAccepted) -> None:
        self._tokens = tokens
        self._mail = mail

    async def judged(self, recipients: Sequence[Recipient], routes: Mapping[str, Route]) -> Sequence[Recipient]:
        """Return recipients, in order, with forged bounces for Junk. Nothing is refused for it, whoever's address it is.

        Raises:
            PeerUnavailableError: store does not answer.
        """
        forged: list[int] = []
        for place, recipient in enumerate(recipients):
            if not _came_back(recipient) or routes[recipient.address].status is not Status.LOCAL:
                continue
            standing, _ = await self._tokens.read(recipient.address)
            RETURNED.labels(standing=standing.value).inc()
            if standing in _NOT_REAL and not recipient.message.junk:
                forged.append(place)
        if not forged or not self._tokens.enforced:
            return recipients
        receipts = await self._receipts(list({recipients[place].message.accepted_id for place in forged}))
        judged = list(recipients)
        for place in forged:
            recipient = recipients[place]
            if recipient.message.accepted_id not in receipts:
                judged[place] = msgspec.structs.replace(
                    recipient, message=msgspec.structs.replace(recipient.message, junk=True)
                )
        return judged

    async def _receipts(self, accepted_ids: Sequence[bytes]) -> set[bytes]:
        """Return those that are receipts: they have no sender, and go where the message asked for them (RFC 8098 §2.1, §3)."""
        found: set[bytes] = set()
        for start in range(0, len(accepted_ids), MAX_MESSAGES):
            read = await self._mail.read(accepted_ids[start : start + MAX_MESSAGES], _HEAD_OCTETS)
            for accepted_id, letter in read.items():
                report = find_report(letter.body)
                if report is not None and report.kind == _RECEIPT:
                    found.add(accepted_id)
        return found


def _came_back(recipient: Recipient) -> bool:
    """Whether a stranger's server brought a mail without a sender."""
    message = recipient.message
    return not message.mail_from and message.origin not in _OURS and not message.submitter_id
