"""Mail that came without a sender to an address of ours: a bounce of what we sent, or one of what we never sent (ADR 37)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES
from petitbleu_delivery.domain.bounce_token import Standing
from petitbleu_delivery.domain.model import Recipient, Route, Status
from petitbleu_delivery.errors import PeerRefusedError
from petitbleu_delivery.service.bounces.complaints import Complaints
from petitbleu_delivery.service.bounces.hearing import Bounce, ReadsAccepted
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_delivery.service.measures import RETURNED
from petitbleu_kit.logs import get_logger
from petitbleu_mail.reports import find_report

_log = get_logger(__name__)
_HEAD_OCTETS: Final = 64 << 10
_RECEIPT: Final = "disposition-notification"
_OURS: Final = frozenset({accept_pb2.ORIGIN_SUBMITTED, accept_pb2.ORIGIN_NOTICE, accept_pb2.ORIGIN_RULE})
_NOT_REAL: Final = frozenset({Standing.FORGED, Standing.EXPIRED, Standing.ABSENT})


class Hears(Protocol):
    """Learns what bounces say."""

    async def hear(self, bounces: Sequence[Bounce]) -> dict[bytes, int]:
        """Learn it; return who sent what came back, by the bounce's id."""
        ...


class ReturnedMail:
    """Tells real bounces from forged ones.

    Args:
        tokens: What is asked.
        mail: store.
        hearing: Learns what real ones say.
        complaints: Learns from feedback reports; without, they are mail.
    """

    def __init__(
        self, tokens: BounceTokens, mail: ReadsAccepted, hearing: Hears, complaints: Complaints | None = None
    ) -> None:
        self._complaints = complaints
        self._tokens = tokens
        self._mail = mail
        self._hearing = hearing

    def concerns(self, recipients: Sequence[Recipient]) -> bool:
        """Whether any of these is to be judged; of nearly all mail it is not."""
        if self._complaints is not None and any(map(self._complaints.concerns, recipients)):
            return True
        return not all(recipient.message.mail_from for recipient in recipients)

    async def judged(
        self, recipients: Sequence[Recipient], routes: Mapping[str, Route]
    ) -> tuple[Sequence[Recipient], Mapping[str, Route]]:
        """Return recipients, in order, with forged bounces for Junk, and routes by which a real one reaches who sent what came back.

        Nothing is refused for it, whoever's address it is.

        Raises:
            PeerUnavailableError: store or the database does not answer.
        """
        if self._complaints is not None and (reports := [one for one in recipients if self._complaints.concerns(one)]):
            await self._complaints.hear(reports)
        forged: list[int] = []
        real: dict[str, Bounce] = {}
        for place, recipient in enumerate(recipients):
            if not _came_back(recipient) or routes[recipient.address].status is not Status.LOCAL:
                continue
            standing, token = await self._tokens.read(recipient.address)
            RETURNED.labels(standing=standing.value).inc()
            if standing is Standing.REAL and token is not None:
                real[recipient.address] = Bounce(recipient.message.accepted_id, token)
            if standing in _NOT_REAL and not recipient.junk:
                forged.append(place)
        if real:
            routes = _to_their_senders(routes, real, await self._hearing.hear(list(real.values())))
        if forged and self._tokens.enforced:
            recipients = await self._in_junk(recipients, forged)
        return recipients, routes

    async def _in_junk(self, recipients: Sequence[Recipient], forged: Sequence[int]) -> Sequence[Recipient]:
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
            part = accepted_ids[start : start + MAX_MESSAGES]
            try:
                read = await self._mail.read(part, _HEAD_OCTETS)
            except PeerRefusedError as error:
                _log.warning("what may be a receipt is not looked at", code=error.code)
                found.update(part)
                continue
            for accepted_id, letter in read.items():
                report = find_report(letter.body)
                if report is not None and report.kind == _RECEIPT:
                    found.add(accepted_id)
        return found


def _to_their_senders(
    routes: Mapping[str, Route], real: Mapping[str, Bounce], submitters: Mapping[bytes, int]
) -> Mapping[str, Route]:
    """Return routes by which what comes back to a group's address reaches the one of it who sent."""
    found = dict(routes)
    for address, bounce in real.items():
        route = routes[address]
        mine = tuple(one for one in route.targets if one.account_id == submitters.get(bounce.accepted_id))
        if mine and len(route.targets) > 1:
            found[address] = msgspec.structs.replace(route, targets=mine)
    return found


def _came_back(recipient: Recipient) -> bool:
    """Whether a stranger's server brought a mail without a sender."""
    message = recipient.message
    return not message.mail_from and message.origin not in _OURS and not message.submitter_id
