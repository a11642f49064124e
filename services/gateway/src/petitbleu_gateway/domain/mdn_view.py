"""MDN objects (RFC 9007 §2): what a notification in a blob says."""

from __future__ import annotations

from typing import Any, Final

from petitbleu_mail.disposition import Notification, read_notification
from petitbleu_mail.header_values import as_text
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.mime import Part, part_content, part_text
from petitbleu_mail.reports import find_report

# not the header of it alone
_WHOLE: Final = frozenset({"message/rfc822", "message/global"})
_MAX_TEXT: Final = 256 << 10
_MAX_MACHINE: Final = 64 << 10
# RFC 9007 §2, Disposition
_ACTION_MODES: Final = frozenset({"manual-action", "automatic-action"})
_SENDING_MODES: Final = frozenset({"mdn-sent-manually", "mdn-sent-automatically"})
_TYPES: Final = frozenset({"deleted", "dispatched", "displayed", "processed"})


def parsed_mdn(raw: bytes) -> dict[str, Any] | None:
    """Return the MDN that a message is, or None when it is none that the standard knows."""
    report = find_report(raw)
    if report is None or report.kind != "disposition-notification":
        return None
    machine = report.machine
    if machine.body_end - machine.body_start > _MAX_MACHINE:
        return None
    found = read_notification(part_content(raw, machine))
    if found is None or not _is_known(found):
        return None
    subject = scan_headers(raw).last(b"subject")
    return {
        # RFC 9007 §2: it may be null here. To which message of the account it belongs, originalMessageId says.
        "forEmailId": None,
        "subject": None if subject is None else as_text(subject),
        "textBody": None if report.text is None else _text(raw, report.text),
        "includeOriginalMessage": report.original is not None and report.original.type in _WHOLE,
        "reportingUA": found.reporting_ua,
        "disposition": {
            "actionMode": found.disposition.action_mode,
            "sendingMode": found.disposition.sending_mode,
            "type": found.disposition.type,
        },
        "mdnGateway": None if found.gateway is None else found.gateway.text,
        "originalRecipient": None if found.original_recipient is None else found.original_recipient.text,
        "finalRecipient": None if found.final_recipient is None else found.final_recipient.text,
        "originalMessageId": found.original_message_id,
        "error": list(found.errors) or None,
        "extensionFields": dict(reversed(found.extensions)) or None,
    }


def _is_known(found: Notification) -> bool:
    said = found.disposition
    return said.action_mode in _ACTION_MODES and said.sending_mode in _SENDING_MODES and said.type in _TYPES


def _text(raw: bytes, part: Part) -> str:
    return part_text(raw, part)[0][:_MAX_TEXT]
