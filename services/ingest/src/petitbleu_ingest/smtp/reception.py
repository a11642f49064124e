"""A message while its octets arrive: held when small, streamed to storage when large, discarded once it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.message import MAX_HEADER_SCAN, Head, blank_line, header_whole, read_head
from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.ports import Upload
from petitbleu_ingest.smtp.door import Door
from petitbleu_ingest.smtp.submission import refused_header
from petitbleu_kit.scanners.scanning import Letter
from petitbleu_mail.auth.forged import without_forged_results
from petitbleu_mail.dotstuff import DotDecoder, LineCheck
from petitbleu_mail.received import protocol, received_line
from petitbleu_mail.submitted import completed, header_octets

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.transaction import Transaction

# Beyond, pieces are joined: one of two octets takes fifty, which the budget does not see
_MAX_PIECES: Final = 512
# A header that goes on and on is looked through for its end after so many octets more
_HEADER_STEP: Final = 16 << 10
_RESULTS: Final = b"authentication-results"


class Reception:
    """Takes the decoded octets of one message.

    Args:
        door: What sessions share.
        transaction: The envelope.
        dotted: Whether the message comes by DATA, dots and all; by BDAT its octets are taken as they are (RFC 3030 §2).
        progress: Called when octets that were queued for storage have left.
    """

    __slots__ = (
        "_digest", "_door", "_lines", "_look_again", "_pieces", "_progress", "_transaction", "decoder", "header_from", "octets",
        "refusal", "size", "trace", "upload",
    )  # fmt: skip

    def __init__(self, door: Door, transaction: Transaction, *, dotted: bool, progress: Callable[[], None]) -> None:
        self._door = door
        self._transaction = transaction
        self._progress = progress
        self._pieces: list[bytes] = []
        self._digest = hashlib.sha256()
        self._look_again = 0
        self.decoder = DotDecoder(door.settings.smtp_text_line) if dotted else None
        # What a stranger sends in chunks is kept as it is (ADR 3); what is submitted leaves again, its lines ending as one expects.
        submitted = transaction.session.submitter is not None
        self._lines = LineCheck(door.settings.smtp_text_line) if submitted and not dotted else None
        self.octets = 0  # held here
        self.size = 0  # received
        self.refusal: Refusal | None = None
        self.upload: Upload | None = None
        self.trace = b""
        self.header_from = ""

    @property
    def held(self) -> int:
        """Octets in memory."""
        if self.upload is None:
            return self.octets
        judgement = self._transaction.judgement
        return max(self.upload.pending, judgement.pending if judgement is not None else 0)

    @property
    def kept(self) -> int:
        """Octets that stay in memory to the end of a message that is streamed: its header, for its signatures."""
        judgement = self._transaction.judgement
        return judgement.kept if judgement is not None and self.upload is not None else 0

    def add(self, piece: bytes) -> None:
        """Take the next octets of the message."""
        self.size += len(piece)
        if self.refusal is not None or not piece:
            return
        door = self._door
        if self.size > door.settings.smtp_message_size:  # RFC 1870 §6.3
            self.refuse(Refusal.MESSAGE_TOO_BIG)
            return
        if self._lines is not None:
            self._lines.feed(piece)
        if self.upload is not None:
            self._digest.update(piece)
            if self._transaction.judgement is not None:
                self._transaction.judgement.update(piece)
            self.upload.put(piece)
            return
        self._pieces.append(piece)
        self.octets += len(piece)
        if len(self._pieces) > _MAX_PIECES:
            self._pieces = [self._take()]
        settings = door.settings
        if self.octets > settings.ingest_inline or (
            self.octets > settings.ingest_inline_pressed and door.budget.pressed
        ):
            self._spill()

    def refuse(self, refusal: Refusal) -> None:
        """Give the message up; what still comes is discarded, and `refusal` told at its end."""
        if self.refusal is None:
            self.refusal = refusal
        self.abort()

    def abort(self) -> None:
        """Free what is held."""
        self._pieces = []
        self.octets = 0
        if self.upload is not None:
            self.upload.abort()
            self.upload = None

    def _spill(self) -> None:
        if self.octets < self._look_again:
            return
        body = self._take()
        if len(body) <= self._door.settings.smtp_header_size and not header_whole(body):
            # its header is still coming, and is looked at as a whole
            self._look_again = len(body) + _HEADER_STEP
            self._pieces = [body]
            return
        kept = self._begin(body, whole=False)
        if self.refusal is not None:
            return
        self._digest.update(body)
        self.upload = self._door.store.stage(self.trace, self._progress)
        self.upload.put(kept)
        self.octets = 0
        metrics.staged.inc()

    def _take(self) -> bytes:
        pieces = self._pieces
        self._pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> tuple[bytes, bytes]:
        """All octets are here: return the body (empty when it was streamed) and the SHA-256 of all of it.

        `refusal` is set when the message cannot be taken.
        """
        body = b""
        if self._lines is not None:
            self._lines.finish()
        lines = self.decoder.lines if self.decoder is not None else self._lines
        if lines is not None and self.refusal is None:
            if lines.bare_cr or lines.bare_lf:  # RFC 5321 §2.3.8, §4.1.1.4: the stuff of SMTP smuggling
                self.refuse(Refusal.BARE_LINE_END)
            elif lines.long_lines:
                self.refuse(Refusal.TEXT_LINE_TOO_LONG)
        if self.refusal is None and self.upload is None:
            body = self._take()
            self._digest.update(body)
            body = self._begin(body, whole=True)
        return body, self._digest.digest()

    def _begin(self, message: bytes, *, whole: bool) -> bytes:
        """Read the header, which is here as a whole; return the message as it is kept, or refuse it."""
        settings = self._door.settings
        if len(message) > settings.smtp_header_size and not header_whole(message[: settings.smtp_header_size]):
            self.refuse(Refusal.HEADER_TOO_BIG)
            return b""
        head = read_head(message)
        if head.received > settings.smtp_received:  # RFC 5321 §6.3
            self.refuse(Refusal.LOOP)
            return b""
        self.header_from = head.header_from
        self.trace = self.trace_lines()
        submitter = self._transaction.session.submitter
        if submitter is not None:
            return self._submitted(submitter, message, head, whole=whole)
        judgement = self._transaction.judgement
        if judgement is not None:
            session = self._transaction.session
            letter = Letter(
                session.address, session.host_name or "", self._transaction.mail_from or "",
                [one.address for one in self._transaction.recipients], self._transaction.queue_id,
            )  # fmt: skip
            judgement.begin_message(message, head, letter, self._progress, whole=whole)
        return self._unforged(message, head)

    def _submitted(self, submitter: Submitter, message: bytes, head: Head, *, whole: bool) -> bytes:
        """Return a submitted message as it is passed on (RFC 6409 §8), or refuse it."""
        refusal = refused_header(submitter, message, head.headers)
        if refusal is None and header_octets(message) < 0 and len(message) > MAX_HEADER_SCAN:
            refusal = Refusal.HEADER_TOO_BIG
        if refusal is not None:
            self.refuse(refusal)
            return b""
        message = self._unforged(message, head)
        end = header_octets(message)
        end = len(message) if end < 0 else end
        unique = f"<{self._transaction.queue_id}.{self._transaction.session.id}@{self._door.hostname}>"
        kept = completed(message[:end], self._door.instant.rfc5322, unique) + message[end:]
        judgement = self._transaction.judgement
        if judgement is not None:
            # where and on what machine somebody writes is no scanner's business either
            letter = Letter(
                "", "", self._transaction.mail_from or "", [one.address for one in self._transaction.recipients],
                self._transaction.queue_id, str(submitter.account_id),
            )  # fmt: skip
            judgement.begin_message(kept, head, letter, self._progress, whole=whole)
        return kept

    def _unforged(self, message: bytes, head: Head) -> bytes:
        """Return the message without Authentication-Results in our name (RFC 8601 §5)."""
        # a header may end here for one reader and there for another
        end = max(head.headers.body_start, blank_line(message))
        if _RESULTS not in message[:end].lower():
            return message
        kept = without_forged_results(head.headers, self._door.own_names)
        if len(message) > MAX_HEADER_SCAN:
            kept += message[MAX_HEADER_SCAN:]
        if len(kept) < len(message):
            metrics.forged.inc()
        return kept

    def trace_lines(self) -> bytes:
        """Return our Received field (RFC 5321 §4.4), without `for` when there are several recipients (§7.2)."""
        door = self._door
        door.instant.now()
        transaction = self._transaction
        session = transaction.session
        mail = transaction.mail
        recipients = transaction.recipients
        if session.submitter is not None:
            # Where somebody writes from, and on what machine, is nobody's business: the line names us alone (ADR 22).
            return (
                f"Received: by {door.hostname} with "
                f"{protocol(extended=True, tls=session.cipher is not None, utf8=mail.smtputf8, auth=True)} "
                f"id {transaction.queue_id};\r\n\t{door.instant.rfc5322}\r\n"
            ).encode()
        return received_line(
            helo=session.host_name or "unknown",
            peer=session.address,
            peer_name=None,
            by=door.hostname,
            with_protocol=protocol(extended=session.extended_smtp, tls=session.cipher is not None, utf8=mail.smtputf8),
            queue_id=transaction.queue_id,
            when=door.instant.rfc5322,
            tls=session.cipher,
            recipients=(recipients[0].mailbox,) if len(recipients) == 1 else (),
        )
