"""Content transfer encodings (RFC 2045 §6), decoded tolerantly: no octets raise, and as much as can be is returned."""

from __future__ import annotations

import binascii
import re

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FOREIGN = bytes(c for c in range(256) if c not in _ALPHABET)
_PADS = re.compile(rb"=[=\s]*+")
_MAX_PADS = 1000  # more of them are no joined sections but rubbish
_UU_BEGIN = re.compile(rb"(?:\A|\n)begin [0-7]{3,4} [^\n]*+\n")
_UU_NAMES = {"x-uuencode", "uuencode", "x-uue", "uue"}
IDENTITY = frozenset({"7bit", "8bit", "binary"})


def decode_transfer(data: bytes, encoding: str | None) -> tuple[bytes, bool]:
    """Undo a content transfer encoding; return the octets and whether something was wrong with data or encoding.

    An unknown encoding leaves the octets as they are (RFC 2045 §6.4).
    """
    if encoding is None or encoding in IDENTITY:
        return data, False
    if encoding == "base64":
        return decode_base64(data)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(data), False  # RFC 2045 §6.7; what is no valid escape stays as it is
    if encoding in _UU_NAMES:
        return decode_uu(data)
    return data, True


def decode_base64(data: bytes) -> tuple[bytes, bool]:
    """Decode base64 (RFC 2045 §6.8): foreign octets are skipped, missing padding is added, sections are joined."""
    try:
        pad = data.find(b"=")
        if pad < 0 or not data[pad:].strip(b"=\r\n \t"):
            return binascii.a2b_base64(data), False
    except binascii.Error:
        pass
    out = []
    sections = _PADS.split(data) if data.count(b"=") < _MAX_PADS else [data]
    for section in sections:
        clean = section.translate(None, _FOREIGN)
        extra = len(clean) % 4
        if extra == 1:  # six bits make no octet
            clean = clean[:-1]
        elif extra:
            clean += b"=" * (4 - extra)
        out.append(binascii.a2b_base64(clean))
    return b"".join(out), True


def decode_uu(data: bytes) -> tuple[bytes, bool]:
    """Decode the first uuencoded file in `data`; without its `begin` line the octets come back as they are."""
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data, True
    out = []
    wrong = True
    for line in data[begin.end() :].split(b"\n"):
        if line.rstrip() == b"end":
            wrong = False
            break
        if not line:
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # some encoders write a wrong tail; the first octet says how many count
            size = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                out.append(binascii.a2b_uu(line[:size]))
            except binascii.Error:
                wrong = True
    return b"".join(out), wrong
