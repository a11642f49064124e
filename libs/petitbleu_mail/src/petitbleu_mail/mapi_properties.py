"""Lists of MAPI properties as TNEF carries them ([MS-OXTNEF], MsgPropertyList; types of [MS-OXCDATA] §2.11.1).

Takes any octets and never raises: a list is read up to the first thing in it that cannot be.
"""

from __future__ import annotations

import struct
from collections.abc import Container

from petitbleu_mail.charsets import decode

# Fields of all lists of one blob that are looked at, some three a property. Outlook writes a hundred properties of a message
# and twenty of an attachment.
MAX_FIELDS = 100_000

_TYPE_AND_ID = struct.Struct("<HH")
_NUMBER = struct.Struct("<I")
_MANY = 0x1000
_NAMED = 0x8000
_STRING8, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_VARIABLE = {_STRING8, _UNICODE, _BINARY, _OBJECT}
_FIXED = {
    0x00: 4, 0x01: 4, 0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 2, 0x14: 8, 0x40: 8, 0x48: 16,
}  # fmt: skip

# Text is decoded; an octet string is a range of the blob, since it may be large; a number is a number.
Value = str | int | tuple[int, int]


class _EndError(Exception):
    """Raised where a list ends too soon."""


def codec_of(codepage: int) -> str:
    """Return the charset of a Windows code page number."""
    if 28591 <= codepage <= 28606:
        return f"iso-8859-{codepage - 28590}"
    return _CODEPAGES.get(codepage, f"cp{codepage}")


_CODEPAGES = {
    1200: "utf-16-le", 1201: "utf-16-be", 10000: "mac-roman", 20127: "us-ascii", 20866: "koi8-r", 21866: "koi8-u",
    50220: "iso-2022-jp", 50221: "iso-2022-jp", 50222: "iso-2022-jp", 50225: "iso-2022-kr", 51932: "euc-jp", 51949: "euc-kr",
    52936: "hz", 54936: "gb18030", 65000: "utf-7", 65001: "utf-8",
}  # fmt: skip


class PropertyLists:
    """The lists in one blob, which have `MAX_FIELDS` together."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.fields = 0

    def read(self, start: int, end: int, wanted: Container[int], charset: str) -> tuple[dict[int, Value], bool]:
        """Return the wanted properties of the list at `start:end` by their ids, and whether something in it was wrong.

        `charset` is that of 8-bit text. Of a property with several values the first one counts; named ones are passed by.
        """
        reader = _Reader(self, start, end, charset)
        found: dict[int, Value] = {}
        try:
            for _ in range(reader.number()):
                kind, name = reader.head()
                value = reader.value(kind, keep=name in wanted)
                if value is not None:
                    found.setdefault(name, value)
        except _EndError:
            return found, True
        return found, False


class _Reader:
    def __init__(self, lists: PropertyLists, start: int, end: int, charset: str) -> None:
        self.lists = lists
        self.blob = lists.blob
        self.at = start
        self.end = end
        self.charset = charset

    def _take(self, size: int) -> int:
        """Pass by some octets, padded to four; return where they begin."""
        at = self.at
        self.lists.fields += 1
        if at + size > self.end or self.lists.fields > MAX_FIELDS:
            raise _EndError
        self.at = min(at + size + -size % 4, self.end)
        return at

    def number(self) -> int:
        found: int = _NUMBER.unpack_from(self.blob, self._take(4))[0]
        return found

    def head(self) -> tuple[int, int]:
        """Read a property's type and id, and pass by the name that a named one has ([MS-OXTNEF], NamedPropSpec)."""
        kind, name = _TYPE_AND_ID.unpack_from(self.blob, self._take(4))
        if name >= _NAMED:
            self._take(16)
            if self.number() == 0:
                self._take(4)
            else:
                self._take(self.number())
        return kind, name

    def value(self, kind: int, *, keep: bool) -> Value | None:
        """Read a property's first value and pass by the others; None when it is not to be kept."""
        bare = kind & ~_MANY
        if bare in _VARIABLE:
            first: tuple[int, int] | None = None
            # [MS-OXTNEF], PropMultiVariableValue: also what has one value says how many it has; each takes four octets at least
            for _ in range(self.number()):
                size = self.number()
                at = self._take(size)
                first = first or (at, at + size)
            return self._variable(bare, *first) if keep and first else None
        if bare not in _FIXED:
            raise _EndError  # its length is unknown, so nothing behind it can be found
        size = _FIXED[bare]
        at = self._take(size * self.number() if kind & _MANY else size)
        if not keep or kind & _MANY:
            return None
        return int.from_bytes(self.blob[at : at + size], "little")

    def _variable(self, kind: int, at: int, end: int) -> Value:
        if kind == _UNICODE:
            return decode(self.blob[at:end], "utf-16-le")[0].partition("\0")[0]
        if kind == _STRING8:
            return decode(self.blob[at:end], self.charset)[0].partition("\0")[0]
        return at, end
