"""TNEF streams written attribute by attribute ([MS-OXTNEF]), and compressed RTF around a body."""

from __future__ import annotations

import struct

MESSAGE_OBJECT = bytes.fromhex("0703020000000000c000000000000046")
STORAGE = bytes.fromhex("0b00000000000000c000000000000046")


def attribute(level: int, name: int, data: bytes, kind: int = 6) -> bytes:
    return struct.pack("<BHHI", level, name, kind, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def stream(*attributes: bytes) -> bytes:
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join(attributes)


def padded(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data + b"\0" * (-len(data) % 4)


def variable(kind: int, name: int, *values: bytes) -> bytes:
    return struct.pack("<HHI", kind, name, len(values)) + b"".join(padded(value) for value in values)


def wide(name: int, text: str) -> bytes:
    return variable(0x1F, name, (text + "\0").encode("utf-16-le"))


def properties(*found: bytes) -> bytes:
    return struct.pack("<I", len(found)) + b"".join(found)


def rtf(raw: bytes, body: bytes, kind: int = 0x75465A4C) -> bytes:
    return struct.pack("<IIII", len(body) + 12, len(raw), kind, 0) + body
