"""The structure of a MIME message (RFC 2045, RFC 2046): a tree of parts with octet ranges in the blob.

`scan` takes any octets and never raises. It goes over the blob once, forwards: its time is linear in the size, whatever the
nesting. Limits: at most `MAX_DEPTH` parts within each other (a deeper multipart is a leaf of type application/octet-stream)
and `MAX_PARTS` parts in all (those behind are left out; their octets still belong to the multipart).
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from petitbleu_mail.charsets import decode
from petitbleu_mail.content_types import (
    MAX_BOUNDARY,
    Parameters,
    file_name,
    first_word,
    parse_content_type,
    parse_disposition,
)
from petitbleu_mail.header_values import as_content_id, as_languages, to_text
from petitbleu_mail.headers import Blob, Headers, scan_headers, unfold
from petitbleu_mail.transfer import IDENTITY, decode_transfer

# Real mail stays under ten levels; each forward of a forward adds two.
MAX_DEPTH = 50
# Digests of mailing lists reach a few hundred.
MAX_PARTS = 1000

# Lines looked at one by one before a pattern is made of the boundaries
_PATIENCE = 500
_LONGEST_DELIMITER = 2 * MAX_BOUNDARY
_MESSAGES = {"message/rfc822", "message/global"}


class Part(msgspec.Struct, array_like=True, gc=False):
    """One part. Offsets are octets in the blob: its header is `header_start:body_start`, its body `body_start:body_end`.

    `part_id` is the part's section number (RFC 3501 §6.4.5: "1", "2.1"), None for a multipart. `size` is that of the decoded
    body, `lines` those of the raw one (text and messages only). `encoding` is None for the identity. `charset` follows
    RFC 8621 §4.1.4. `params` holds the other parameters of the type, for IMAP. A message/rfc822 part is a leaf with respect to
    `parts` (RFC 8621 §4.1.4); the root of the message in it is `message`.
    """

    type: str
    header_start: int
    body_start: int
    body_end: int = 0
    part_id: str | None = None
    size: int = 0
    lines: int = 0
    encoding: str | None = None
    charset: str | None = None
    disposition: str | None = None
    name: str | None = None
    cid: str | None = None
    language: list[str] | None = None
    location: str | None = None
    params: dict[str, str] | None = None
    parts: list[Part] = []
    message: Part | None = None

    @property
    def is_multipart(self) -> bool:
        """Whether this part consists of others."""
        return self.type.startswith("multipart/")


def scan(blob: Blob) -> Part:
    """Return the root part of a message."""
    return scan_message(blob)[0]


def scan_message(blob: Blob) -> tuple[Part, Headers]:
    """Return the root part of a message and the message's header."""
    scanner = _Scanner(blob)
    root, headers = scanner.run()
    _number(root, "")
    return root, headers


class _Scanner:
    """One pass over a blob. `open` are the parts whose end is not yet known, outermost first."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.end = len(blob)
        self.open: list[Part] = []
        self.count = 0
        self.boundaries: dict[bytes, int] = {}  # delimiters that would end something → index in `open`
        self.needle = b""

    def run(self) -> tuple[Part, Headers]:
        headers = self._begin(0, "text/plain")
        root = self.open[0]
        at = self.open[-1].body_start
        while self.boundaries:
            delimiter = self._next(at)
            if delimiter is None:
                break
            start, at, level, closing = delimiter
            self._close(level + 1, start)
            if closing:
                self._forget(level)
            elif self.count >= MAX_PARTS or at >= self.end:  # a delimiter at the very end opens nothing
                break
            else:
                parent = self.open[level]
                # RFC 2046 §5.1.5
                self._begin(at, "message/rfc822" if parent.type == "multipart/digest" else "text/plain", parent)
                at = self.open[-1].body_start
        self._close(0, self.end)
        return root, headers

    def _next(self, at: int) -> tuple[int, int, int, bool] | None:
        """Find the next delimiter line at or behind `at`, which is the start of a line.

        Return where the text before it ends, where the line after it begins, its level in `open`, and whether it closes.
        """
        blob = self.blob
        at = max(at - 1, 0)
        for _ in range(_PATIENCE):
            found = blob.find(self.needle, at)
            if found < 0:
                return None
            line_end = blob.find(b"\n", found + 1)
            if line_end < 0:
                line_end = self.end
            if line_end - found <= _LONGEST_DELIMITER:
                # RFC 2046 §5.1.1: blanks may follow the boundary
                word = blob[found + 3 : line_end].rstrip(b" \t\r")
                level = self.boundaries.get(word)
                closing = level is None and word.endswith(b"--")
                if closing:
                    level = self.boundaries.get(word[:-2])
                if level is not None:
                    return self._text_end(found), min(line_end + 1, self.end), level, closing
            at = line_end
        return self._next_by_pattern(at)

    def _next_by_pattern(self, at: int) -> tuple[int, int, int, bool] | None:
        """Do what `_next` does, in text full of lines that are nearly delimiters: costly to set up, fast in passing them."""
        words = b"|".join([re.escape(word) for word in sorted(self.boundaries, key=len, reverse=True)])
        for found in re.compile(rb"\n--(%s)(--)?[ \t\r]*+(?=\n|\Z)" % words).finditer(self.blob, at):
            start, end = found.span()
            if end - start <= _LONGEST_DELIMITER:
                return self._text_end(start), min(end + 1, self.end), self.boundaries[found[1]], found[2] is not None
        return None

    def _text_end(self, found: int) -> int:
        """Return where the text before a delimiter ends: the line end before it belongs to it (RFC 2046 §5.1.1)."""
        return found - 1 if found > 0 and self.blob[found - 1 : found] == b"\r" else found

    def _begin(self, at: int, default: str, parent: Part | None = None) -> Headers:
        """Open the part whose header begins at `at`, and the message in it if it is one."""
        headers = scan_headers(self.blob, at, self.boundaries)
        part, boundary, content = _describe(headers, default)
        self.count += 1
        if parent is not None:
            parent.parts.append(part)
        level = len(self.open)
        self.open.append(part)
        deep = level + 1 >= MAX_DEPTH
        if part.is_multipart:
            if deep:
                part.type = "application/octet-stream"
            elif boundary and boundary not in self.boundaries:
                # of two multiparts with one boundary the outer one has it: its parts are then found all the same
                self.boundaries[boundary] = level
                self._aim()
        # RFC 2046 §5.2.1: a message within is never encoded; one that is all the same is read when somebody asks for it
        elif part.type in _MESSAGES and part.encoding is None and not deep and self.count < MAX_PARTS:
            self._begin(part.body_start, "text/plain")
            part.message = self.open[level + 1]
        if content:
            part.params = content
        return headers

    def _close(self, level: int, end: int) -> None:
        """End the open parts from `level` on at `end`."""
        if len(self.open) <= level:
            return
        for part in self.open[level:]:
            part.body_end = max(end, part.body_start)
            _measure(self.blob, part)
        del self.open[level:]
        gone = [boundary for boundary, index in self.boundaries.items() if index >= level]
        for boundary in gone:
            del self.boundaries[boundary]
        if gone:
            self._aim()

    def _forget(self, level: int) -> None:
        self.boundaries = {boundary: index for boundary, index in self.boundaries.items() if index != level}
        self._aim()

    def _aim(self) -> None:
        # one search finds all open boundaries by what they have in common, at the speed of `bytes.find`
        self.needle = b"\n--" + _common_prefix(self.boundaries)


def _common_prefix(boundaries: Collection[bytes]) -> bytes:
    if len(boundaries) < 2:
        return next(iter(boundaries), b"")
    low, high = min(boundaries), max(boundaries)  # what these two share, all between them share
    size = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:size]


def _describe(headers: Headers, default: str) -> tuple[Part, bytes | None, Parameters | None]:
    """Build a part from its header; return it, its boundary and the parameters worth keeping."""
    fields = headers.first_values()
    part = Part(default, headers.start, headers.body_start)
    raw_type = fields.get(b"content-type")
    params: Parameters = {}
    if raw_type is not None:
        kind, params = parse_content_type(raw_type)
        part.type = kind or "text/plain"  # RFC 2045 §5.2
    charset = params.pop("charset", None)
    if charset:
        part.charset = first_word(charset)
    elif part.type.startswith("text/"):
        part.charset = "us-ascii"  # RFC 8621 §4.1.4
    boundary = params.pop("boundary", None)
    raw = fields.get(b"content-transfer-encoding")
    if raw is not None:
        encoding = first_word(to_text(raw)).partition(";")[0].strip('"').lower()
        part.encoding = None if encoding in IDENTITY or not encoding else encoding
    raw = fields.get(b"content-disposition")
    disposition: Parameters = {}
    if raw is not None:
        part.disposition, disposition = parse_disposition(raw)
    if params or disposition:
        part.name = file_name(disposition, params)
        params.pop("name", None)
    raw = fields.get(b"content-id")
    if raw is not None:
        part.cid = as_content_id(raw)
    raw = fields.get(b"content-language")
    if raw is not None:
        part.language = as_languages(raw)
    raw = fields.get(b"content-location")
    if raw is not None:
        part.location = "".join(to_text(unfold(raw)).split()) or None
    octets = boundary.rstrip().encode("utf-8", "surrogateescape")[:MAX_BOUNDARY] if boundary else None
    return part, octets, params or None


def _measure(blob: Blob, part: Part) -> None:
    """Fill in what follows from a part's range."""
    if part.is_multipart:
        if part.parts:
            part.size = part.body_end - part.body_start
            return
        # A multipart without parts: no boundary, or one that never comes. Its text is better shown than lost.
        part.type = "text/plain"
        part.charset = part.charset or "us-ascii"
    if part.encoding is None:
        part.size = part.body_end - part.body_start
    else:
        part.size = len(decode_transfer(blob[part.body_start : part.body_end], part.encoding)[0])
    if part.type.startswith("text/") or part.message is not None:
        if isinstance(blob, bytes):
            part.lines = blob.count(b"\n", part.body_start, part.body_end)
        else:
            part.lines = blob[part.body_start : part.body_end].count(b"\n")


def _number(part: Part, prefix: str) -> None:
    """Give section numbers (RFC 3501 §6.4.5)."""
    if part.is_multipart:
        for index, child in enumerate(part.parts, 1):
            section = f"{prefix}.{index}" if prefix else str(index)
            if child.is_multipart:
                _number(child, section)
            else:
                child.part_id = section
                if child.message is not None:
                    _number(child.message, section)
    else:
        part.part_id = f"{prefix}.1" if prefix else "1"
        if part.message is not None:
            _number(part.message, part.part_id)


def part_content(blob: Blob, part: Part) -> bytes:
    """Return a part's body with its transfer encoding undone."""
    return decode_transfer(blob[part.body_start : part.body_end], part.encoding)[0]


def part_text(blob: Blob, part: Part) -> tuple[str, bool]:
    """Return a text part as text with LF line ends, and whether something was wrong with its encoding or charset."""
    octets, wrong = decode_transfer(blob[part.body_start : part.body_end], part.encoding)
    text, odd = decode(octets, part.charset)
    return text.replace("\r\n", "\n") if "\r" in text else text, wrong or odd


def part_beginning(blob: Blob, part: Part, limit: int) -> str:
    """Return the text of a part's first `limit` raw octets, line ends as they are."""
    octets = blob[part.body_start : min(part.body_end, part.body_start + limit)]
    if part.encoding is not None:
        octets = decode_transfer(octets, part.encoding)[0]
    return decode(octets, part.charset)[0]
