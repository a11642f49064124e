"""What a submission server changes in the header of a message before it leaves (RFC 6409 §8), octet by octet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# RFC 5322 §3.6.3: blind copies are told to nobody; §3.6.7: a return path is written at final delivery only.
BLIND: Final = (b"bcc", b"resent-bcc")
_END: Final = re.compile(rb"\r?\n\r?\n|\A\r?\n")


def header_octets(message: bytes) -> int:
    """Return how many octets the header of a message takes, the empty line behind it included; -1 when its end is not there."""
    found = _END.search(message)
    return -1 if found is None else found.end()


def without_fields(header: bytes, names: Iterable[bytes]) -> bytes:
    """Return a header without the fields of these names (lower case), folded lines and all; every other octet stays as it is.

    A name may be followed by white space (RFC 5322 §4.5). `header` may end with the empty line.
    """
    unwanted = frozenset(names)
    kept: list[bytes] = []
    dropping = False
    for line in _lines(header):
        if line[:1] not in {b" ", b"\t"}:
            dropping = line.partition(b":")[0].rstrip(b" \t").lower() in unwanted if b":" in line else False
        if not dropping or not line.strip(b"\r\n"):
            kept.append(line)
    return b"".join(kept)


def _lines(header: bytes) -> list[bytes]:
    """Cut at line feeds only: a lone CR, or another character that `splitlines` breaks at, is content."""
    return [line + b"\n" for line in header.split(b"\n")[:-1]] + (
        [last] if (last := header.rpartition(b"\n")[2]) else []
    )


def completed(header: bytes, date: str, message_id: str) -> bytes:
    """Return a header as a submission server passes it on: no blind copies, no Return-Path, and with Date and Message-ID.

    `date` and `message_id` (with its brackets) are written where the field is missing (RFC 6409 §8.2, §8.3); `header` ends with
    the empty line, or is all of a message without body.
    """
    kept = without_fields(header, (*BLIND, b"return-path"))
    names = {line.partition(b":")[0].rstrip(b" \t").lower() for line in _lines(kept) if line[:1] not in {b" ", b"\t"}}
    added = b""
    if b"date" not in names:
        added += b"Date: " + date.encode("ascii") + b"\r\n"
    if b"message-id" not in names:
        added += b"Message-ID: " + message_id.encode("ascii") + b"\r\n"
    return added + kept
