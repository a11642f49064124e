"""The canonical forms of RFC 6376 §3.4: of a header field, and of a body that comes in pieces of any size.

Bodies are hashed on the way: what is kept between two pieces is a handful of octets and a count of empty lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

CRLF = b"\r\n"
# Empty lines that turn out to be inside the body are hashed in blocks of this many.
_EMPTY_LINES = CRLF * 4096


def relaxed_field(field: bytes) -> bytes:
    """Return a field, given without its last CRLF, in the relaxed form, without CRLF (RFC 6376 §3.4.2)."""
    name, _, value = field.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _collapsed(value.replace(CRLF, b"")).strip(b" ")


def _collapsed(text: bytes) -> bytes:
    """Make each run of blanks one space."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


class BodyDigest:
    """The SHA-256 of a canonical body, or of its first `limit` octets (l=, RFC 6376 §3.5).

    `size` counts what the whole canonical body has; it and `digest` mean something once the body is finished.
    """

    __slots__ = ("_hash", "_left", "limit", "size")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.size = 0
        self._left = limit
        self._hash = hashlib.sha256()

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next octets of the canonical body."""
        self.size += len(piece)
        if self._left is None:
            self._hash.update(piece)
        elif self._left > 0:
            self._hash.update(piece[: self._left])
            self._left -= len(piece)

    def digest(self) -> bytes:
        """Return the hash of what came so far: 32 octets."""
        return self._hash.digest()


class _Body:
    """What both forms share: empty lines at the end of the body do not count (RFC 6376 §3.4.3, §3.4.4)."""

    def __init__(self) -> None:
        self.digests: dict[int | None, BodyDigest] = {}
        self._held = b""  # what the next piece decides about: a CR, a space
        self._empty_lines = 0  # CRLFs seen since the last octet that counts
        self._any = False

    def _feed(self, text: bytes) -> None:
        """Hash canonical text, without the CRLFs at its end until something follows them."""
        if not text:
            return
        kept = len(text.rstrip(CRLF))
        # Of CRs and LFs in any order the CRLF pairs at the very end are empty lines, or the end of the last one.
        tail = text[kept:].replace(CRLF, b"\0")
        lines = len(tail) - len(tail.rstrip(b"\0"))
        kept = len(text) - 2 * lines
        if kept:
            self._emit_lines(self._empty_lines)
            self._emit(text if kept == len(text) else memoryview(text)[:kept])
            self._empty_lines = 0
            self._any = True
        self._empty_lines += lines

    def _emit_lines(self, count: int) -> None:
        while count > 0:
            self._emit(_EMPTY_LINES if count >= 4096 else CRLF * count)
            count -= 4096

    def _emit(self, piece: bytes | memoryview) -> None:
        for digest in self.digests.values():
            digest.add(piece)


class _SimpleBody(_Body):
    """RFC 6376 §3.4.3: as it is; an empty body is one CRLF."""

    def update(self, piece: bytes) -> None:
        text = self._held + piece if self._held else piece
        self._held = b""
        if text.endswith(b"\r"):
            text, self._held = text[:-1], b"\r"
        self._feed(text)

    def finish(self) -> None:
        self._feed(self._held)
        self._emit(CRLF)


class _RelaxedBody(_Body):
    """RFC 6376 §3.4.4: runs of blanks are one space, none at the end of a line; an empty body is nothing."""

    def update(self, piece: bytes) -> None:
        text = self._held + piece if self._held else piece
        text = _collapsed(text)
        if b" \r\n" in text:
            text = text.replace(b" \r\n", CRLF)
        held = len(text)
        if text.endswith(b"\r"):
            held -= 1
        if text.endswith(b" ", 0, held):
            held -= 1
        self._held = text[held:]
        self._feed(text[:held] if self._held else text)

    def finish(self) -> None:
        self._feed(self._held.removesuffix(b" "))
        if self._any:
            self._emit(CRLF)


class BodyHashes:
    """All hashes of one body that the signatures of a message ask for, in one pass for each canonical form.

    Ask with `want` first, then give the body by `update` in pieces of any size, then `finish`.
    """

    def __init__(self) -> None:
        self._forms: dict[str, _SimpleBody | _RelaxedBody] = {}
        self._finished = False

    def want(self, form: str, limit: int | None = None) -> BodyDigest:
        """Return the digest of the body in the form `"simple"` or `"relaxed"`, shared by all who want the same."""
        body = self._forms.get(form)
        if body is None:
            body = self._forms[form] = _SimpleBody() if form == "simple" else _RelaxedBody()
        return body.digests.setdefault(limit, BodyDigest(limit))

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body, with the line ends that it has on the wire (CRLF)."""
        for body in self._forms.values():
            body.update(piece)

    def finish(self) -> None:
        """Take the end of the body; further calls change nothing."""
        if not self._finished:
            self._finished = True
            for body in self._forms.values():
                body.finish()

    def take(self, pieces: Iterable[bytes]) -> BodyHashes:
        """Take a whole body that is at hand, and its end."""
        for piece in pieces:
            self.update(piece)
        self.finish()
        return self
