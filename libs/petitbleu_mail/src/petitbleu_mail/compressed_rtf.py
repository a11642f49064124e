"""Compressed RTF, the body of a message that Outlook wrote ([MS-OXRTFCP]).

Takes any octets and never raises. Time is linear in the result, of which at most `MAX_RTF` octets are made.
"""

from __future__ import annotations

import struct

MAX_RTF = 2 << 20

_HEADER = struct.Struct("<IIII")  # [MS-OXRTFCP] §2.1.3.1.1: COMPSIZE, RAWSIZE, COMPTYPE, CRC
_COMPRESSED = 0x75465A4C  # "LZFu"
_UNCOMPRESSED = 0x414C454D  # "MELA"
_DICTIONARY = 4096
# [MS-OXRTFCP]: what the dictionary begins with
_FIRST_WORDS = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbol"
    b"ArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_START = len(_FIRST_WORDS)


def decompress_rtf(data: bytes) -> tuple[bytes, bool]:
    """Return the RTF, and whether something was wrong: a broken header, an end too soon, more than `MAX_RTF`.

    The checksum is not looked at: what is damaged is shown as far as it goes.
    """
    if len(data) < _HEADER.size:
        return b"", True
    _, raw_size, kind, _ = _HEADER.unpack_from(data)
    if kind == _UNCOMPRESSED:
        raw = data[_HEADER.size : _HEADER.size + min(raw_size, MAX_RTF)]
        return raw, len(raw) != raw_size
    if kind != _COMPRESSED:
        return b"", True
    raw = _expand(data, min(raw_size, MAX_RTF))
    return raw, len(raw) != raw_size


def _expand(data: bytes, limit: int) -> bytes:
    """Undo the compression ([MS-OXRTFCP], decompressing).

    The dictionary is the last 4,096 octets written: it is kept as the beginning of the result, so that what is at offset n of
    the dictionary is at one known place before the end.
    """
    out = bytearray(_DICTIONARY - _START) + _FIRST_WORDS
    end = _DICTIONARY + limit
    at, size = _HEADER.size, len(data)
    while at < size and len(out) < end:
        control = data[at]
        at += 1
        if control == 0:  # eight octets as they are
            out += data[at : at + 8]
            at += 8
            continue
        for bit in range(8):
            if not control >> bit & 1:
                out += data[at : at + 1]
                at += 1
                continue
            if at + 2 > size:
                return bytes(out[_DICTIONARY:end])
            token = data[at] << 8 | data[at + 1]
            at += 2
            # how far back: the place to write next is at offset (len(out) + _START) of the dictionary
            back = (len(out) + _START - (token >> 4)) % _DICTIONARY
            if back == 0:
                return bytes(out[_DICTIONARY:end])  # [MS-OXRTFCP]: a reference to the place to write next is the end
            length = (token & 15) + 2
            if back >= length:
                start = len(out) - back
                out += out[start : start + length]
            else:
                out += (out[-back:] * (length // back + 1))[:length]
    return bytes(out[_DICTIONARY:end])
