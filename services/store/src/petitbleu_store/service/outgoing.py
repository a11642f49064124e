"""Mail on its way out: a message of an account is accepted in order to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from petitbleu_kit.ids import BlobId
from petitbleu_mail.submitted import BLIND, header_octets, without_fields
from petitbleu_store.core import Core
from petitbleu_store.domain.acceptance import Accepted, AcceptedStatus, Arriving
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.content import open_content
from petitbleu_store.domain.envelope import Envelope
from petitbleu_store.domain.frames import DamagedError
from petitbleu_store.domain.provenance import SUBMITTED, packed
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.acceptance import Acceptance
from petitbleu_store.service.accepted_reading import AcceptedReading
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.bodies import BodyMissingError

# A submission is tried for days by whoever hands it over; its key outlives every repeat.
KEEP_KEY_DAYS: Final = 60
# A header is looked through as a whole; what has a larger one is nobody's letter.
MAX_HEADER_OCTETS: Final = 1 << 20
# Up to here a body is accepted from memory; a larger one is staged.
_INLINE_OCTETS: Final = 1 << 20

_FIND: Final = """/* hot:store.submit_find */ SELECT m.blob_id, m.size, c.sealed FROM message m
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id = $3"""


def _key(submission_id: bytes) -> bytes:
    """Return the key of idempotency of a submission. Raises `StoreError` INVALID for an id that is none."""
    if len(submission_id) != 16:
        raise StoreError(Problem.INVALID, "a submission id is 16 octets")
    return hashlib.sha256(b"petitbleu submission" + submission_id).digest()


class NoMessageError(Exception):
    """The account has no such message."""


class UnreadableError(Exception):
    """The message is there, and its body cannot be read."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A message of an account, to be sent.

    Attributes:
        submission_id: 16 octets; a repeat within `KEEP_KEY_DAYS` gives the same accepted message.
        account_id: Whose message.
        message_id: Which.
        envelope: With whom it is accepted.
        tenants: Tenant of each recipient.
        trace: Our trace lines.
        hold_until: Unix seconds before which nobody routes it; 0 for at once.
        spam_score: What a scanner said of it, in hundredths of a point.
    """

    submission_id: bytes
    account_id: int
    message_id: int
    envelope: Envelope
    tenants: tuple[int, ...]
    trace: bytes
    hold_until: float
    spam_score: int = 0


class Outgoing:
    """Accepts what an account sends, and reads accepted mail for who sends it (`reading`)."""

    def __init__(self, core: Core, book: AccountBook, acceptance: Acceptance) -> None:
        self._core = core
        self._book = book
        self._acceptance = acceptance
        self.reading = AcceptedReading(core)

    async def submit(self, submission: Submission) -> Accepted:
        """Accept a message that lies in an account, without its blind copies; when it returns, it is on stable storage.

        Raises:
            NoMessageError: the account, or the message in it, does not exist.
            UnreadableError: its body cannot be read, or has a header without bounds.
            StoreError: INVALID for an id that is none; BUSY at a bound; AWAY.
        """
        key = _key(submission.submission_id)
        known = await self._acceptance.known(key)
        if known is not None:  # the message may be gone from the account by now
            return Accepted(AcceptedStatus.REPEAT, known)
        envelope = submission.envelope
        pieces = self._without_blind(
            submission.account_id, envelope.submitter_tenant_id, submission.message_id
        )  # fmt: skip
        body = bytearray()
        staged_id = None
        async for piece in pieces:
            body += piece
            if len(body) > _INLINE_OCTETS:
                staged_id = await self._staged(submission.trace, bytes(body), pieces)
                break
        arriving = Arriving(
            key, envelope, submission.tenants,
            submission.trace, b"" if staged_id else bytes(body), staged_id, submission.hold_until, KEEP_KEY_DAYS,
            # whoever hands it over has seen to it that the account may write in this name (RFC 6409 §6.1)
            packed(
                origin=SUBMITTED, from_authenticated=True, envelope_authenticated=True, spam_score=submission.spam_score
            ),
        )  # fmt: skip
        (accepted,) = await self._acceptance.accept([arriving])
        if accepted.status not in {AcceptedStatus.OK, AcceptedStatus.REPEAT}:
            raise StoreError(Problem.INVALID, "nothing to accept")
        return accepted

    async def read(
        self, submission_id: bytes, account_id: int, tenant_id: int, message_id: int
    ) -> AsyncIterator[bytes] | None:
        """Return the octets of a message that would be submitted, without its blind copies; None when it was submitted before.

        Raises:
            NoMessageError, UnreadableError: as for `submit`, the second one also while they are read.
            StoreError: as for `submit`.
        """
        if await self._acceptance.known(_key(submission_id)) is not None:
            return None
        return self._without_blind(account_id, tenant_id, message_id)

    async def _staged(self, trace: bytes, begun: bytes, rest: AsyncIterator[bytes]) -> BlobId:
        async def pieces() -> AsyncIterator[bytes]:
            yield trace
            yield begun
            async for piece in rest:
                yield piece

        return (await self._core.staging.stage(pieces())).blob_id

    async def _without_blind(self, account_id: int, tenant_id: int, message_id: int) -> AsyncIterator[bytes]:
        """Yield the message as the account keeps it, but for blind copies in its header (RFC 5322 §3.6.3)."""
        header = b""
        whole = False
        async for piece in self._body(account_id, tenant_id, message_id):
            if whole:
                yield piece
                continue
            header += piece
            end = header_octets(header)
            if end >= 0:
                whole = True
                yield without_fields(header[:end], BLIND) + header[end:]
            elif len(header) > MAX_HEADER_OCTETS:
                raise UnreadableError
        if not whole:  # a message may have no body (RFC 5322 §2.1)
            yield without_fields(header, BLIND)

    async def _body(self, account_id: int, tenant_id: int, message_id: int) -> AsyncIterator[bytes]:
        try:
            account = await self._book.one(self._core.pool, account_id)
        except StoreError as error:
            if error.problem is Problem.NOT_FOUND:
                raise NoMessageError from None
            raise
        if account.tenant_id != tenant_id:
            raise NoMessageError
        row = await self._core.pool.fetchrow(_FIND, account.partition, account.account_id, message_id)
        if row is None:
            raise NoMessageError
        blob_id = BlobId(row["blob_id"])
        try:
            content = open_content(account.cipher, blob_id, row["sealed"])
            if content.header:
                yield content.header
            async for piece in self._core.bodies.stream(blob_id, content.blob_key, content.skip):
                yield piece
        except (SealBrokenError, DamagedError, BodyMissingError):
            raise UnreadableError from None
