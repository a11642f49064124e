"""Feedback reports (RFC 5965 §2): who calls what we sent unwanted gets no more of it from that account (ADR 42)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

from petitbleu.store.v1 import outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES
from petitbleu_delivery.adapters.returned_rows import Complained
from petitbleu_delivery.domain.bounce_report import READ_OCTETS, concerned, folded
from petitbleu_delivery.domain.bounce_token import BounceToken, Standing
from petitbleu_delivery.domain.feedback import Feedback, read_report, signed_by_author
from petitbleu_delivery.domain.model import Recipient
from petitbleu_delivery.errors import DATABASE_AWAY, Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.bounces.hearing import Look, ReadsAccepted
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_delivery.service.bounces.tokens import BounceTokens
from petitbleu_delivery.service.measures import COMPLAINTS
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_HEADER_ONLY: Final = -1


class ComplainedTable(Protocol):
    """Where it is kept."""

    async def complained(self, complaint: Complained) -> frozenset[int]:
        """Keep a complaint; return the recipients of whom it was not known."""
        ...


class Complaints:
    """The use case.

    Args:
        mail: store.
        table: Where it is kept.
        tokens: Prove what a report is about.
        suppressions: Which addresses are not written to.
        addresses: Where reports come to.
        own_name: Our name in Authentication-Results (RFC 8601 §2.5).
        look: Judges an account of which something was learnt.
    """

    def __init__(
        self, mail: ReadsAccepted, table: ComplainedTable, tokens: BounceTokens, suppressions: Suppressions,
        addresses: Sequence[str], own_name: str, look: Look | None = None,
    ) -> None:  # fmt: skip
        self._look = look
        self._mail = mail
        self._table = table
        self._tokens = tokens
        self._suppressions = suppressions
        self._addresses = frozenset(folded(one) for one in addresses if one.strip())
        self._own_name = own_name

    def concerns(self, recipient: Recipient) -> bool:
        """Whether a mail came to where reports come to, from a stranger."""
        return (
            bool(self._addresses)
            and not recipient.message.submitter_id
            and folded(recipient.address) in self._addresses
        )

    async def hear(self, recipients: Sequence[Recipient]) -> None:
        """Learn from reports; what they are is filed as other mail.

        Raises:
            PeerUnavailableError: store or the database does not answer: nothing is lost by trying again.
        """
        messages = {one.message.accepted_id: one.message for one in recipients}
        ids = list(messages)
        for start in range(0, len(ids), MAX_MESSAGES):
            try:
                read = await self._mail.read(ids[start : start + MAX_MESSAGES], READ_OCTETS)
            except PeerRefusedError as error:
                _log.warning("reports are not looked at", code=error.code)
                continue
            for accepted_id, letter in read.items():
                message = messages[accepted_id]
                octets = message.late_results + letter.body
                if not message.authenticated or not signed_by_author(octets, self._own_name, message.header_from):
                    COMPLAINTS.labels(result="unsigned").inc()
                    continue
                await self._hear_one(accepted_id, octets)

    async def _hear_one(self, accepted_id: bytes, octets: bytes) -> None:
        try:
            result = await self._hear(accepted_id, octets)
        except PeerUnavailableError:
            raise
        except DATABASE_AWAY as error:
            raise PeerUnavailableError(Peer.DATABASE, type(error).__name__) from None
        except Exception as error:  # noqa: BLE001 — an error of ours: it is mail all the same, and its text might quote it
            _log.error("a report could not be learnt from", error_type=type(error).__qualname__)
            result = "failed"
        COMPLAINTS.labels(result=result).inc()

    async def _hear(self, accepted_id: bytes, octets: bytes) -> str:
        feedback = read_report(octets)
        if feedback is None:
            return "unreadable"
        token = await self._proof(feedback)
        if token is None:
            return "unproven"
        try:
            found = await self._mail.read([token.accepted_id.bytes], _HEADER_ONLY)
        except PeerRefusedError:
            return "forgotten"
        letter = found.get(token.accepted_id.bytes)
        if letter is None or not letter.header.found or letter.header.submitter_account_id <= 0:
            return "forgotten"
        header = letter.header
        complaint = Complained(
            header.submitter_account_id, header.submitter_tenant_id, token.accepted_id, UUID(bytes=accepted_id),
            self._numbers(feedback, header, token), feedback.kind, self._suppressions.complained_seconds,
        )  # fmt: skip
        fresh = await self._table.complained(complaint)
        if fresh:
            self._suppressions.struck(header.submitter_account_id)
        if fresh and self._look is not None:
            await self._look(header.submitter_account_id, header.submitter_tenant_id)
        return "heard" if fresh else "known"

    async def _proof(self, feedback: Feedback) -> BounceToken | None:
        """Return what the message's own envelope sender proves, where the report tells it."""
        for address in feedback.senders:
            standing, token = await self._tokens.read(address)
            if standing is Standing.REAL:
                return token
        return None

    def _numbers(
        self, feedback: Feedback, header: outgoing_pb2.AcceptedHeader, token: BounceToken
    ) -> Mapping[int, bytes]:
        """Return who complained, and the keys of their addresses; of nobody to whom this message did not go.

        Where the report does not say who (RFC 6590), it is whom the message was for, if that is one address; else the complaint counts and
        nobody is kept back.
        """
        known = concerned([one.address for one in header.recipients], token.first_no)
        named = [one for one in map(folded, feedback.recipients) if one in known]
        if not named and not feedback.recipients and len(known) == 1:
            named = list(known)
        if not named:
            return {token.first_no: b""} if not feedback.recipients else {}
        seconds = self._suppressions.complained_seconds
        return {
            number: self._suppressions.key(header.submitter_account_id, header.recipients[number].address)
            if seconds
            else b""
            for one in named
            for number in known[one]
        }
