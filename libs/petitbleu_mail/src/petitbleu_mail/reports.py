"""multipart/report (RFC 6522): a text for people, the same for machines, and the message that it is about."""

from __future__ import annotations

import hashlib
import quopri

import msgspec

from petitbleu_mail import delivery_status, disposition, feedback_report
from petitbleu_mail.mime import Part, scan

_REPORTS = {
    "disposition-notification": disposition.TYPES,
    "delivery-status": delivery_status.TYPES,
    "feedback-report": feedback_report.TYPES,
}
_MAX_TEXT_PARTS = 16


class Report(msgspec.Struct, frozen=True):
    """Where the pieces of a report stand: the machine's part, the text for people if there is any, and the message reported."""

    kind: str
    machine: Part
    text: Part | None
    original: Part | None


def find_report(raw: bytes) -> Report | None:
    """Return where the pieces of a report are, None when a message is none.

    `report-type` is not asked for (RFC 6522 §3 does): what the machine's part is says it as well, and some leave the parameter out.
    """
    root = scan(raw)
    if root.type != "multipart/report":
        return None
    for kind, types in _REPORTS.items():
        for index, part in enumerate(root.parts):
            if part.type in types:
                original = next((one for one in root.parts[index + 1 :] if _is_original(one)), None)
                return Report(kind, part, _text(root.parts[:index]), original)
    return None


def _is_original(part: Part) -> bool:
    """Whether a part is the message reported, or its header (RFC 6522 §3, RFC 6533 §4)."""
    return part.type in {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"}


def _text(parts: list[Part]) -> Part | None:
    waiting = list(reversed(parts))
    for _ in range(_MAX_TEXT_PARTS):
        if not waiting:
            return None
        part = waiting.pop()
        if part.type == "text/plain":
            return part
        waiting.extend(reversed(part.parts))
    return None


def write_report(kind: str, text: str, machine: bytes, original: bytes | None, *, header_only: bool = False) -> bytes:
    """Return the body of a report, from its MIME-Version field on.

    Args:
        kind: `disposition-notification` or `delivery-status`.
        text: For people, lines ended by LF.
        machine: The content of the machine's part.
        original: The message reported; None to leave it out, which is better for privacy.
        header_only: Whether `original` is the header of the message alone.
    """
    if kind not in _REPORTS:
        raise ValueError("no such report")
    person = quopri.encodestring(text.replace("\r\n", "\n").encode(), quotetabs=False).replace(b"\n", b"\r\n")
    parts = [
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + person,
        b"Content-Type: message/" + _global(kind, machine) + b"\r\n" + _eight_bit(machine) + b"\r\n" + machine,
    ]
    if original is not None:
        # RFC 6532 §3.7: a message with UTF-8 in its header is message/global
        plain = original.partition(b"\r\n\r\n")[0].isascii()
        if header_only:
            kept = b"text/rfc822-headers" if plain else b"message/global-headers"
        else:
            kept = b"message/rfc822" if plain else b"message/global"
        # RFC 2046 §5.2.1: a message within a message is not encoded
        parts.append(b"Content-Type: " + kept + b"\r\n" + _eight_bit(original) + b"\r\n" + original)
    boundary = b"report-" + hashlib.sha256(b"\0".join(parts)).hexdigest()[:40].encode()
    if any(boundary in part for part in parts):
        raise ValueError("a part that holds its own hash")
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%s;\r\n boundary="%s"\r\n\r\n'
    delimiter = b"\r\n--" + boundary
    body = delimiter.removeprefix(b"\r\n") + b"\r\n" + (delimiter + b"\r\n").join(parts) + delimiter + b"--\r\n"
    return head % (kind.encode(), boundary) + body


def _global(kind: str, machine: bytes) -> bytes:
    return kind.encode() if machine.isascii() else b"global-" + kind.encode()


def _eight_bit(data: bytes) -> bytes:
    return b"" if data.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
