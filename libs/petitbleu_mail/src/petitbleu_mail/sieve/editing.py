"""`addheader` and `deleteheader` (RFC 5293); `edited` carries the changes out on a message's octets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petitbleu_mail.headers import scan_headers
from petitbleu_mail.sieve.actions import Edits, HeaderEdit
from petitbleu_mail.sieve.faults import Place
from petitbleu_mail.sieve.grammar import Call
from petitbleu_mail.sieve.header_tests import FIELD_NAME, Index, check_field_names, make_index
from petitbleu_mail.sieve.matching import Match, make_match
from petitbleu_mail.sieve.texts import Text

if TYPE_CHECKING:
    from petitbleu_mail.sieve.machine import Machine

# RFC 5293 §5 forbids to remove the first two; the others tell how a message came here, and what was found out about it.
_PROTECTED: Final = frozenset({"received", "auto-submitted", "return-path", "delivered-to", "authentication-results"})
_MAX_VALUE: Final = 8_192
_LINE: Final = 76
_WORD: Final = 42  # octets in one encoded word, which has at most 75 characters (RFC 2047 §2)


def is_protected(name: str) -> bool:
    """Whether scripts may not touch a field."""
    lower = name.lower()
    return lower in _PROTECTED or lower.startswith("arc-")


@dataclass(frozen=True, slots=True)
class AddHeader:
    """`addheader` (RFC 5293 §4)."""

    place: Place
    name: Text
    value: Text
    last: bool

    def run(self, machine: Machine) -> None:
        """Add a field; one that scripts may not touch is left alone (RFC 5293 §4)."""
        name = machine.expand(self.name)
        if not FIELD_NAME.fullmatch(name) or len(name) > _LINE:
            raise machine.fail("this can be no name of a header field")
        value = machine.expand(self.value)
        if "\0" in value:
            raise machine.fail("a header field may have no NUL")
        # RFC 5293 §4: what a script gives is one field, so its line ends may begin no other
        value = " ".join(value.split("\r\n")).replace("\r", " ").replace("\n", " ").strip(" \t")[:_MAX_VALUE]
        if not is_protected(name):
            _count(machine, 1)
            machine.header.add(name, value, last=self.last)


@dataclass(frozen=True, slots=True)
class DeleteHeader:
    """`deleteheader` (RFC 5293 §5)."""

    place: Place
    match: Match
    index: Index | None
    name: Text
    patterns: tuple[Text, ...]

    def run(self, machine: Machine) -> None:
        """Remove the fields that match; one that scripts may not touch stays (RFC 5293 §5)."""
        name = machine.expand(self.name)
        if not FIELD_NAME.fullmatch(name):
            raise machine.fail("this can be no name of a header field")
        values = machine.header.values(name)
        machine.spend(1 + len(values))
        if is_protected(name):
            return
        # RFC 5293 §5: the index first, then the patterns
        chosen = list(enumerate(values, 1))
        if self.index is not None:
            chosen = list(self.index.pick(chosen))
        if self.patterns:
            chosen = [one for one in chosen if self.match.any(machine, [one[1]], self.patterns)]
        _count(machine, len(chosen))
        machine.header.remove(name, [number for number, _ in chosen])


def _count(machine: Machine, more: int) -> None:
    if len(machine.header.edits) + more > machine.limits.edits:
        raise machine.fail(f"a script may change {machine.limits.edits} header fields")


def make_addheader(call: Call) -> AddHeader:
    """RFC 5293 §4."""
    check_field_names(call, call.texts(0))
    return AddHeader(call.place, call.text(0), call.text(1), "last" in call.tags)


def make_deleteheader(call: Call) -> DeleteHeader:
    """RFC 5293 §5."""
    check_field_names(call, call.texts(0))
    if call.one_of("count") is not None:
        raise call.fault("deleteheader looks at one field at a time, so :count has nothing to count")
    return DeleteHeader(call.place, make_match(call), make_index(call), call.text(0), call.texts(1))


def edited(blob: bytes, edits: Edits) -> bytes:
    """Return a message with the changes of its header made; the body and all other fields stay as they are, octet for octet."""
    if not edits:
        return blob
    headers = scan_headers(blob)
    starts = [start for start, _, _ in headers.ranges()]
    end = headers.ranges()[-1][2] if starts else headers.start
    # Lines that are no field, where a header is read tolerantly, go with the field before them
    cuts = zip(starts, [*starts[1:], end][: len(starts)], strict=True)
    fields = [(name, blob[start:stop]) for name, (start, stop) in zip(headers.names, cuts, strict=True)]
    for edit in edits:
        name = edit.name.lower().encode()
        if edit.value is not None:
            fields.insert(len(fields) if edit.last else 0, (name, field_octets(edit)))
        else:
            places = [at for at, (known, _) in enumerate(fields) if known == name]
            if edit.number <= len(places):
                del fields[places[edit.number - 1]]
    octets = b"".join([octets if octets.endswith(b"\n") else octets + b"\r\n" for _, octets in fields])
    blank = blob[end : headers.body_start] if starts else b""
    return blob[: starts[0] if starts else 0] + octets + (blank or b"\r\n") + blob[headers.body_start :]


def edited_header(blob: bytes, edits: Edits) -> tuple[bytes, int]:
    """Return the header with the changes made, its blank line included, and how many octets of the message it takes the place of.

    Args:
        blob: The message, or as much of its beginning as holds its header and the blank line; else nothing is changed.
        edits: The changes.

    Returns:
        Nothing, and 0, where the changes change nothing.
    """
    end = scan_headers(blob).body_start
    if end == len(blob) and not blob.endswith((b"\n\r\n", b"\n\n")):
        return b"", 0
    header = edited(blob[:end], edits)
    return (b"", 0) if header == blob[:end] else (header, end)


def field_octets(edit: HeaderEdit) -> bytes:
    """Return an added field as it stands in a message: folded, and with encoded words (RFC 2047) for what is not ASCII."""
    value = edit.value or ""
    words = value.split(" ") if value.isascii() else list(_encoded_words(value))
    lines = [f"{edit.name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE and word and lines[-1].strip() and lines[-1] != f"{edit.name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines).encode() + b"\r\n"


def _encoded_words(value: str) -> Iterator[str]:
    held = b""
    for char in value:
        octets = char.encode("utf-8", "replace")
        if len(held) + len(octets) > _WORD:  # RFC 2047 §5: no character is cut
            yield f"=?utf-8?b?{base64.b64encode(held).decode()}?="
            held = b""
        held += octets
    yield f"=?utf-8?b?{base64.b64encode(held).decode()}?="
