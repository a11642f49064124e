"""Contents of parts in a transfer encoding (RFC 2045 §6) that every server takes."""

from __future__ import annotations

import binascii
from typing import Final

_MAX_LINE: Final = 998  # RFC 5322 §2.1.1


def encode_text(data: bytes) -> tuple[str, bytes]:
    """Return a transfer encoding for text with CRLF line ends, and the text in it (RFC 2045 §6)."""
    longest = max(map(len, data.split(b"\r\n")))
    if data.isascii() and longest <= _MAX_LINE and b"\0" not in data:
        return "7bit", data
    foreign = len(data) - len(data.decode("ascii", "ignore"))
    if foreign * 6 > len(data):  # where every sixth octet is foreign, base64 is the shorter one
        return "base64", encode_base64(data)
    quoted = binascii.b2a_qp(data, istext=True)
    return "quoted-printable", quoted.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")  # its soft line ends have no CR


def encode_base64(data: bytes) -> bytes:
    """Return base64 in lines of 76 letters (RFC 2045 §6.8)."""
    return b"".join(binascii.b2a_base64(data[at : at + 57], newline=False) + b"\r\n" for at in range(0, len(data), 57))
