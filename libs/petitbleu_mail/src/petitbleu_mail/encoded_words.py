"""Encoded words (RFC 2047) in header text: what is none, or stands where none may stand, stays as it is written."""

from __future__ import annotations

import binascii
import re

from petitbleu_mail.charsets import decode
from petitbleu_mail.transfer import decode_base64

# RFC 2047 §2 and §5: no blank inside, and blanks or an end around it; longer than 75 characters occur and are unambiguous.
_WORD = re.compile(r"(?<![^ \t])=\?([^?\s]{1,64}+)\?([BbQq])\?([^?\s]*+)\?=(?![^ \t])")
_ANYWHERE = re.compile(r"=\?([^?\s]{1,64}+)\?([BbQq])\?([^?]*+)\?=")
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)])


def decode_words(text: str, *, anywhere: bool = False) -> str:
    """Decode the encoded words of unfolded header text; blanks between two of them vanish (RFC 2047 §6.2).

    What only looks like one is not decoded, and encoded control characters are dropped (RFC 8621 §4.1.2.2). With `anywhere`,
    words are taken wherever they stand: for places where none is allowed at all and senders put them nevertheless.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    held = b""  # octets of words side by side in one charset: a character may be cut between them
    held_charset: str | None = None
    at = 0
    for found in (_ANYWHERE if anywhere else _WORD).finditer(text):
        gap = text[at : found.start()]
        charset, encoding, payload = found.groups()
        charset = charset.partition("*")[0].lower()  # RFC 2231 §5: a language may follow
        octets = _octets(payload, encoding)
        if held_charset is not None and (gap == "" or gap.isspace()):
            if charset == held_charset:
                held += octets
                at = found.end()
                continue
            out.append(_text(held, held_charset))
        else:
            if held_charset is not None:
                out.append(_text(held, held_charset))
            out.append(gap)
        held, held_charset = octets, charset
        at = found.end()
    if held_charset is not None:
        out.append(_text(held, held_charset))
    out.append(text[at:])
    return "".join(out)


def _text(octets: bytes, charset: str) -> str:
    return decode(octets, charset)[0].translate(_CONTROLS)


def _octets(payload: str, encoding: str) -> bytes:
    data = payload.encode("utf-8", "replace")
    if encoding in "Bb":
        return decode_base64(data)[0]
    return binascii.a2b_qp(data, header=True)
