"""EmailBodyValue (RFC 8621 §4.1.4): a text part's content as text, cut where a client wants it cut."""

from __future__ import annotations

import re
from typing import Any, Final

from petitbleu_mail.charsets import decode
from petitbleu_mail.mime import Part
from petitbleu_mail.transfer import decode_transfer

MAX_VALUE_OCTETS: Final = 4 << 20
"""Octets of one value that are given at most; beyond, it is cut and says so. Ten times the longest novel's chapter."""

_OPEN_ENTITY: Final = re.compile(r"&[#A-Za-z0-9]{0,32}\Z")
_LONGEST_TAG: Final = 8192


def octets_to_read(part: Part, limit: int) -> int:
    """Return how many raw octets of a part are enough for `limit` octets of its value (0: no limit of the client's)."""
    raw = part.body_end - part.body_start
    limit = min(limit or MAX_VALUE_OCTETS, MAX_VALUE_OCTETS)
    # quoted-printable triples at most, and its soft line ends add a little; base64 adds a third
    return min(raw, limit * 4 + 1024)


def body_value(part: Part, raw: bytes, limit: int) -> dict[str, Any]:
    """Return the EmailBodyValue of a part.

    Args:
        part: A text part.
        raw: Its raw octets, or their beginning, at least `octets_to_read`.
        limit: maxBodyValueBytes; 0 for none.
    """
    partial = len(raw) < part.body_end - part.body_start
    if partial:
        line = raw.rfind(b"\n")
        if line > 0:  # whole lines: neither an escape nor four letters of base64 are torn
            raw = raw[: line + 1]
    octets, wrong = decode_transfer(raw, part.encoding)
    text, odd = decode(octets, part.charset)
    if "\r" in text:
        text = text.replace("\r\n", "\n")  # RFC 8621 §4.1.4
    text, cut = truncate(text, min(limit or MAX_VALUE_OCTETS, MAX_VALUE_OCTETS), html=part.type == "text/html")
    return {"value": text, "isEncodingProblem": wrong or odd, "isTruncated": cut or partial}


def truncate(text: str, limit: int, *, html: bool) -> tuple[str, bool]:
    """Cut text to `limit` octets of UTF-8, between characters, and in HTML outside of tags and entities."""
    if len(text) * 4 <= limit:
        return text, False
    octets = text.encode("utf-8", "replace")
    if len(octets) <= limit:
        return text, False
    short = octets[:limit].decode("utf-8", "ignore")
    if html:
        opening = short.rfind("<", max(0, len(short) - _LONGEST_TAG))
        if opening > short.rfind(">"):
            short = short[:opening]
        short = _OPEN_ENTITY.sub("", short)
    return short, True
