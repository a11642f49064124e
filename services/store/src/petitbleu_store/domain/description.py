"""What a message's octets say that its row keeps: structure, date, attachment, and the keys of its thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu_kit.logs import get_logger
from petitbleu_mail.mime import Part
from petitbleu_mail.structure import ParsedMessage, encode_meta, parse_message
from petitbleu_mail.threading import thread_keys

_log = get_logger(__name__)
# Of a message's keys these are kept; its own comes first, then root and nearest parents (petitbleu_mail.threading).
MAX_REFS: Final = 32


@dataclass(frozen=True, slots=True)
class Description:
    """What is kept of a message's octets.

    Attributes:
        size: Octets described.
        meta: The record of envelope, structure and preview.
        sent_ms: Unix milliseconds of the Date field, 0 when there is none.
        has_attachment: As RFC 8621 §4.1.4 says.
        refs: Keys by which it is threaded, to be hashed.
    """

    size: int
    meta: bytes
    sent_ms: int
    has_attachment: bool
    refs: tuple[bytes, ...]


def describe(raw: bytes) -> Description:
    """Read a message; what cannot be read is described as one part of octets, for it was acknowledged and must be filed."""
    try:
        parsed = parse_message(raw)
        refs = tuple(f"{key}\0{base}".encode("utf-8", "surrogatepass") for key, base in thread_keys(parsed)[:MAX_REFS])
        sent_ms = parsed.sent_at.seconds * 1000 if parsed.sent_at is not None else 0
        return Description(len(raw), encode_meta(parsed), sent_ms, parsed.has_attachment, refs)
    except Exception as error:  # noqa: BLE001 — whatever it is, the message is filed
        _log.error("message not parsed", error_type=type(error).__qualname__)
        part = Part("application/octet-stream", 0, 0, len(raw), part_id="1", size=len(raw))
        return Description(len(raw), encode_meta(ParsedMessage(part, len(raw))), 0, False, ())
