"""A header in exact octets, as signatures cover it (RFC 6376 §3.4, §5.4.2): fields with their folds, chosen from the bottom up."""

from __future__ import annotations

import re
from collections.abc import Iterable

from petitbleu_mail.auth.canonical import relaxed_field

# A longer header is not looked at: nothing in it counts as signed. SMTP bounds the message, not its header.
MAX_HEADER = 1 << 20

_END = b"\r\n\r\n"
_NAME = re.compile(rb"[!-9;-~]++")


class Fields:
    """The fields of one header, in order, each without its last CRLF; names in lower case, without blanks.

    Lines that are no field have the name `b""`, which nothing selects. Line ends are CRLF and nothing else (RFC 5321 §2.3.8): a bare
    LF is an octet like any other.
    """

    __slots__ = ("_by_name", "_relaxed", "names", "raw", "too_long")

    def __init__(self, header: bytes) -> None:
        self.too_long = len(header) > MAX_HEADER
        self.raw: list[bytes] = []
        if header and not self.too_long:
            lines = header.removesuffix(b"\r\n").split(b"\r\n")
            start = 0
            for at in range(1, len(lines) + 1):
                # RFC 5322 §2.2.3: a line that begins with a blank goes on with the field before
                if at == len(lines) or lines[at][:1] not in {b" ", b"\t"}:
                    self.raw.append(lines[start] if at - start == 1 else b"\r\n".join(lines[start:at]))
                    start = at
        self.names = [name_of(field) for field in self.raw]
        self._by_name: dict[bytes, list[int]] = {}
        for index, name in enumerate(self.names):
            self._by_name.setdefault(name, []).append(index)
        self._relaxed: dict[int, bytes] = {}

    def indexes(self, name: bytes) -> list[int]:
        """Return the places of all fields of a name (lower case), the topmost first."""
        return self._by_name.get(name, []) if name else []

    def value(self, index: int) -> bytes:
        """Return what stands behind the colon of a field, folds included."""
        return self.raw[index].partition(b":")[2]

    def select(self, names: Iterable[bytes], own: int | None = None) -> list[int]:
        """Return the places of the fields that a list of names selects (RFC 6376 §5.4.2).

        Each mention of a name takes the next field of it from the bottom; a mention with no field left takes nothing, which
        makes a field added later break the signature (§5.4). `own`, the signature's own field, is never taken.
        """
        left: dict[bytes, int] = {}
        chosen = []
        for name in names:
            known = self.indexes(name)
            at = left.get(name, len(known)) - 1
            if at >= 0 and known[at] == own:
                at -= 1
            if at >= 0:
                chosen.append(known[at])
            left[name] = max(at, 0)
        return chosen

    def relaxed(self, index: int) -> bytes:
        """Return a field in the relaxed canonical form, without its CRLF; made once for all signatures (RFC 6376 §3.4.2)."""
        known = self._relaxed.get(index)
        if known is None:
            known = self._relaxed[index] = relaxed_field(self.raw[index])
        return known


def name_of(field: bytes) -> bytes:
    """Return the name of a field in lower case, `b""` for what is none (RFC 5322 §2.2; obsolete blanks before the colon, §4.5)."""
    name, colon, _ = field.partition(b":")
    name = name.rstrip(b" \t")
    return name.lower() if colon and _NAME.fullmatch(name) else b""


def split_message(message: bytes) -> tuple[bytes, int]:
    """Return the header of a message with its last CRLF, and where the body begins (RFC 5322 §2.1)."""
    if message.startswith(b"\r\n"):
        return b"", 2
    end = message.find(_END)
    return (message, len(message)) if end < 0 else (message[: end + 2], end + 4)
