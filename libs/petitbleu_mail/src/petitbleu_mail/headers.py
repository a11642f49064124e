"""The header of a message or part, scanned over octets without decoding anything (RFC 5322 §2.2, §3.6).

A scan takes linear time and records at most `MAX_FIELDS` fields. Values are ranges in the blob; `petitbleu_mail.header_values` and
`petitbleu_mail.address_list` give them their meanings.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Container

Blob = bytes | mmap.mmap

# Fields recorded of one header; the rest of a longer one is skipped. Real mail has some tens, rarely a few hundred.
MAX_FIELDS = 1000
# Octets of one value that are looked at. RFC 5322 §2.1.1 allows any number of lines; an address list of 64 KiB is long.
MAX_VALUE = 65536

# The fields of a header without any oddity: no blanks before a colon (RFC 5322 §3.6.8 allows none), a line end behind each.
_PLAIN_FIELD = re.compile(rb"([!-9;-~]++):(.*+(?:\n[ \t].*+)*+\n)")
# With blanks before the colon, which is obsolete syntax (RFC 5322 §4.5), and perhaps cut off.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:(.*+(?:\n[ \t].*+)*+\n?)")
# Any number of fields whose content is of no interest any more
_MORE_FIELDS = re.compile(rb"(?:(?!--)[!-9;-~]++[ \t]*+:.*+(?:\n[ \t].*+)*+\n?)*+")
_FIELD_BEGINS = re.compile(rb"[!-9;-~]++[ \t]*+:")
_BLANK = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n")
# The plain way copies the header, which is only worth it for one of ordinary size.
_ORDINARY = 65536

Field = tuple[bytes, bytes]


class Headers:
    """The fields of one header, in order, and where the body begins.

    `fields` are pairs of the name as written and the raw octets behind the colon, folds and last line end included; `names` are
    the same names in lower case. `body_start` is behind the blank line, or behind the last field where there is none.
    """

    __slots__ = ("blob", "body_start", "fields", "names", "start")

    def __init__(self, blob: Blob, start: int, fields: list[Field], body_start: int) -> None:
        self.blob = blob
        self.start = start
        self.fields = fields
        self.names = [name.lower() for name, _ in fields]
        self.body_start = body_start

    def count(self, name: bytes) -> int:
        """Return how many fields have this name (lower case), such as `received` for loop detection (RFC 5321 §6.3)."""
        return self.names.count(name)

    def first(self, name: bytes) -> bytes | None:
        """Return the raw value of the first field of this name (lower case)."""
        return _value(self.fields[self.names.index(name)]) if name in self.names else None

    def last(self, name: bytes) -> bytes | None:
        """Return the raw value of the last field of this name (lower case): the one that JMAP shows (RFC 8621 §4.1.3)."""
        values = self.all(name)
        return values[-1] if values else None

    def all(self, name: bytes) -> list[bytes]:
        """Return the raw values of all fields of this name (lower case), without their line ends."""
        return [_value(field) for field, known in zip(self.fields, self.names, strict=True) if known == name]

    def first_values(self) -> dict[bytes, bytes]:
        """Return the raw value of the first field of each name, line end included."""
        return dict(zip(reversed(self.names), [value for _, value in reversed(self.fields)], strict=True))

    def last_values(self) -> dict[bytes, bytes]:
        """Return the raw value of the last field of each name, line end included."""
        return dict(zip(self.names, [value for _, value in self.fields], strict=True))

    def ranges(self) -> list[tuple[int, int, int]]:
        """Return where each field begins in the blob, where its value begins, and where the field ends with its line end."""
        out = []
        at = self.start
        for name, value in self.fields:
            # between two fields there may be skipped lines, between name and colon blanks
            while self.blob[at : at + len(name)] != name or not _FIELD_BEGINS.match(self.blob, at):
                at = _line_end(self.blob, at)
            colon = self.blob.find(b":", at + len(name))
            out.append((at, colon + 1, colon + 1 + len(value)))
            at = colon + 1 + len(value)
        return out


def _value(field: Field) -> bytes:
    return field[1].removesuffix(b"\n").removesuffix(b"\r")[:MAX_VALUE]


def _line_end(blob: Blob, at: int) -> int:
    end = blob.find(b"\n", at)
    return end + 1 if end >= 0 else len(blob)


def scan_headers(blob: Blob, start: int = 0, boundaries: Container[bytes] = ()) -> Headers:
    """Scan the header that begins at `start`.

    It ends at a blank line, at a delimiter of one of the `boundaries`, at the end of the blob, or where text begins that
    cannot be header: a line without a field name, unless the next line is a field again, in which case it is skipped.
    """
    # Nearly every header is plain: take it in one go and prove by the lengths that nothing was between the fields.
    end = blob.find(b"\r\n\r\n", start, start + _ORDINARY)
    blank = 4
    if end < 0:
        end = blob.find(b"\n\n", start, start + _ORDINARY) - 1
        blank = 3
    if end > start:
        block = blob[start : end + 2]
        fields = _PLAIN_FIELD.findall(block)
        if (
            sum([len(name) + len(value) for name, value in fields]) + len(fields) == len(block)
            and len(fields) <= MAX_FIELDS
            and not (boundaries and (b"\n--" in block or block.startswith(b"--")))
        ):
            return Headers(blob, start, fields, end + blank)
    return _scan_lines(blob, start, boundaries)


def _scan_lines(blob: Blob, start: int, boundaries: Container[bytes]) -> Headers:
    """Scan a header line by line."""
    fields: list[Field] = []
    skipped = 0
    size = len(blob)
    at = start
    while at < size:
        blank = _BLANK.match(blob, at)
        if blank is not None:
            return Headers(blob, start, fields, blank.end())
        dashed = blob[at : at + 2] == b"--"
        if dashed and is_delimiter(blob[at : min(_line_end(blob, at), at + MAX_VALUE)], boundaries):
            break
        found = _FIELD.match(blob, at)
        if found is None:
            line = _line_end(blob, at)
            skipped += 1
            if skipped > MAX_FIELDS or not _skippable(blob, at, line, first=at == start):
                break
            at = line
            continue
        if len(fields) < MAX_FIELDS:
            fields.append((found[1], found[2]))
            at = found.end()
        else:
            more = _MORE_FIELDS.match(blob, found.end())
            at = more.end() if more else found.end()
    return Headers(blob, start, fields, at)


def _skippable(blob: Blob, at: int, end: int, *, first: bool) -> bool:
    """Whether a line that is no field stands between fields: an mbox "From ", a fold at the top, or plain rubbish."""
    if first and (blob[at : at + 1] in {b" ", b"\t"} or blob[at : at + 6].lstrip(b">").startswith(b"From ")):
        return True
    if blob[at : at + 2] == b"--":
        return False  # the delimiter of a multipart whose blank line is missing
    return end < len(blob) and _FIELD_BEGINS.match(blob, end) is not None


def is_delimiter(line: bytes, boundaries: Container[bytes]) -> bool:
    """Whether a line is the delimiter of one of the boundaries (RFC 2046 §5.1.1)."""
    if not line.startswith(b"--") or not boundaries:
        return False
    word = line[2:].rstrip(b" \t\r\n")
    return word in boundaries or (word.endswith(b"--") and word[:-2] in boundaries)


def unfold(value: bytes) -> bytes:
    """Remove the line ends of a raw value, that of its last line included (RFC 5322 §2.2.3)."""
    if value.endswith(b"\n"):  # most values are one line, and need no more
        value = value[:-2] if value.endswith(b"\r\n") else value[:-1]
    return _FOLD.sub(b"", value) if b"\n" in value else value
