"""Encoded words (RFC 2047) in header text, read tolerantly: what does not decode stays as it is written."""

from __future__ import annotations

import binascii
import re

from petitbleu_mail.charsets import decode
from petitbleu_mail.transfer import decode_base64

# RFC 2047 §2; longer than 75 characters, and blanks inside, occur and are unambiguous.
_WORD = re.compile(r"=\?([^?\s]{1,64}+)\?([BbQq])\?([^?]*+)\?=")
_CONTROLS = {c: " " for c in range(32) if c != 9} | {127: " "}


def decode_words(text: str) -> str:
    """Decode the encoded words of unfolded header text; blanks between two of them vanish (RFC 2047 §6.2)."""
    if "=?" not in text:
        return text
    out: list[str] = []
    held = b""  # octets of words side by side in one charset: a character may be cut between them
    held_charset: str | None = None
    at = 0
    for found in _WORD.finditer(text):
        gap = text[at : found.start()]
        charset, encoding, payload = found.groups()
        charset = charset.partition("*")[0].lower()  # RFC 2231 §5: a language may follow
        octets = _octets(payload, encoding)
        if held_charset is not None and (gap == "" or gap.isspace()):
            if charset == held_charset:
                held += octets
                at = found.end()
                continue
            out.append(decode(held, held_charset)[0])
        else:
            if held_charset is not None:
                out.append(decode(held, held_charset)[0])
            out.append(gap)
        held, held_charset = octets, charset
        at = found.end()
    if held_charset is not None:
        out.append(decode(held, held_charset)[0])
    out.append(text[at:])
    return "".join(out).translate(_CONTROLS)


def _octets(payload: str, encoding: str) -> bytes:
    data = payload.encode("utf-8", "replace")
    if encoding in "Bb":
        return decode_base64(data)[0]
    return binascii.a2b_qp(data, header=True)
