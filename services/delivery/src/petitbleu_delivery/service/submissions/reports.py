"""Reports on what people submitted (RFC 8621 §7): which message in the account says what became of which submission.

Only mail without a sender is looked at, and only in accounts that ever submitted anything. A report is about the submissions of the message
that it names by its Message-ID, which none but those who got the message know; a delivery status is believed by its token alone (`service.bounces`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

from prometheus_client import Counter

from petitbleu.delivery.v1 import submission_pb2
from petitbleu_delivery.adapters.accepted_mail import MAX_MESSAGES, AcceptedLetter
from petitbleu_delivery.domain.bounce_report import READ_OCTETS, folded
from petitbleu_delivery.domain.model import Placement
from petitbleu_delivery.domain.submissions import Report, ReportKind, Submission
from petitbleu_delivery.errors import DATABASE_AWAY, Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.disposition import read_notification
from petitbleu_mail.header_values import as_message_ids
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.mime import Part
from petitbleu_mail.reports import find_report
from petitbleu_mail.transfer import decode_transfer

_log = get_logger(__name__)
_heard: Final = Counter(
    "petitbleu_delivery_submission_reports_total", "Mail without a sender, by what it is to a submission", ["kind"]
)
_PART_OCTETS: Final = 128 << 10
_KINDS: Final = {"delivery-status": ReportKind.DELIVERY, "disposition-notification": ReportKind.RECEIPT}
_SEEN: Final = "displayed"


class Said(NamedTuple):
    """What a report says: its kind, the Message-ID of what it is about, and the addresses of those who saw that, folded."""

    kind: ReportKind
    subject: str
    seen_by: frozenset[str] = frozenset()


class ReadsAccepted(Protocol):
    """store, for what was accepted."""

    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        """Return accepted messages by id, at most 64."""
        ...


class Table(Protocol):
    """Where submissions are kept."""

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Give the modseqs of accounts that ever submitted anything."""
        ...

    async def report(self, account_id: int, subject: str, report: Callable[[Submission], Report | None]) -> None:
        """Record a report about the message with a Message-ID."""
        ...


class SubmissionReports:
    """Hears of reports.

    Args:
        table: Submissions.
        mail: store.
    """

    def __init__(self, table: Table, mail: ReadsAccepted) -> None:
        self._table = table
        self._mail = mail

    async def hear(self, filed: Sequence[Placement]) -> None:
        """Look at mail without a sender that was filed; twice is as once.

        Raises:
            PeerUnavailableError: store or the database does not answer.
        """
        try:
            submitting = await self._table.states({one.account_id for one in filed})
            mine = [one for one in filed if one.account_id in submitting]
            for start in range(0, len(mine), MAX_MESSAGES):
                part = mine[start : start + MAX_MESSAGES]
                ids = list(dict.fromkeys(one.recipient.message.accepted_id for one in part))
                read = await self._mail.read(ids, READ_OCTETS)
                for one in part:
                    letter = read.get(one.recipient.message.accepted_id)
                    if letter is not None:
                        await self._hear_one(one, letter.body)
        except DATABASE_AWAY as error:
            raise PeerUnavailableError(Peer.DATABASE, type(error).__name__) from None
        except PeerRefusedError as error:
            _log.warning("what may be a report is not looked at", code=error.code)

    async def _hear_one(self, placement: Placement, octets: bytes) -> None:
        try:
            said = read_report(octets)
        except Exception as error:  # noqa: BLE001 — an error of ours: it is mail all the same, and its text might quote it
            _heard.labels("failed").inc()
            _log.error("a report could not be read", error_type=type(error).__qualname__)
            return
        if said is None:
            _heard.labels("none").inc()
            return
        _heard.labels(said.kind.name.lower()).inc()

        def of(one: Submission) -> Report:
            return Report(placement.message_id, said.kind, _seen_by(one, said.seen_by))

        await self._table.report(placement.account_id, said.subject, of)


def read_report(octets: bytes) -> Said | None:
    """Return what a mail, or its beginning, says as a report; None for what is none, or names no message."""
    report = find_report(octets)
    kind = _KINDS.get(report.kind) if report is not None else None
    if report is None or kind is None:
        return None
    subject = "" if report.original is None else _message_id(_content(octets, report.original))
    seen: set[str] = set()
    if kind is ReportKind.RECEIPT:
        said = read_notification(_content(octets, report.machine))
        if said is None:
            return None
        subject = _only(said.original_message_id or "") or subject
        if said.disposition.type == _SEEN:
            seen = {folded(one.value) for one in (said.final_recipient, said.original_recipient) if one is not None}
    return Said(kind, subject, frozenset(seen)) if subject else None


def _content(octets: bytes, part: Part) -> bytes:
    content, _ = decode_transfer(octets[part.body_start : part.body_end][: 2 * _PART_OCTETS], part.encoding)
    return content[:_PART_OCTETS]


def _message_id(message: bytes) -> str:
    value = scan_headers(message).first(b"message-id")
    return "" if value is None else _only(value.decode("utf-8", "replace"))


def _only(text: str) -> str:
    found = as_message_ids(text.encode("utf-8", "replace"))
    return found[0] if found else ""


def _seen_by(one: Submission, addresses: Collection[str]) -> int:
    """Return the number of the recipient whose address is one of these, -1 for none."""
    if not addresses or not one.envelope:
        return -1
    envelope = submission_pb2.SubmissionEnvelope.FromString(one.envelope)
    return next((no for no, known in enumerate(envelope.recipients) if folded(known.address) in addresses), -1)
