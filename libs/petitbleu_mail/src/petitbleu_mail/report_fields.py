"""Fields of reports about messages: what RFC 3464 §2.1 and RFC 8098 §3.1 share, read and written.

Reading never raises, whatever the octets; writing raises for what would be another field, or no field at all.
"""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail import comments
from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import Headers, scan_headers, unfold
from petitbleu_mail.smtp_parameters import decode_utf8_xtext

MAX_VALUE = 4096
# RFC 5322 §2.1.1: a line has 998 octets at most, 78 where that can be
MAX_WORD = 900
_LINE = 78
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NAME = re.compile(r"[!-9;-~]{1,76}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}")


class Typed(msgspec.Struct, frozen=True):
    """A value that says what it is (RFC 3464 §2.1.2): `rfc822; anna@example.org`, `dns; mx.example.org`, `smtp; 550 no`.

    `kind` is in lower case, empty where the field has none.
    """

    kind: str
    value: str

    @property
    def text(self) -> str:
        """The value as it stands in a field."""
        return f"{self.kind}; {self.value}" if self.kind else self.value

    @property
    def address(self) -> str:
        """The value as an address: that of the type `utf-8` is decoded (RFC 6533 §3)."""
        return (decode_utf8_xtext(self.value.encode()) or self.value) if self.kind == "utf-8" else self.value


def recipient(address: str) -> Typed:
    """Return an address as a recipient of a report (RFC 3464 §2.3.2; RFC 6533 §3 for what is not ASCII)."""
    return Typed("rfc822" if address.isascii() else "utf-8", address)


class Fields:
    """The fields of one group (RFC 3464 §2.1), by their names in lower case; of several of a name the first counts."""

    def __init__(self, headers: Headers) -> None:
        self._all = [(name.decode("latin-1"), _clean(value)) for name, value in headers.fields]
        self._first: dict[str, str] = {}
        for name, value in self._all:
            self._first.setdefault(name.lower(), value)

    def __bool__(self) -> bool:
        return bool(self._all)

    def text(self, name: str) -> str | None:
        """Return a field's text, None when there is none."""
        return self._first.get(name) or None

    def word(self, name: str) -> str | None:
        """Return a field's text without comments, in lower case."""
        return without_comments(self._first.get(name, "")).lower() or None

    def typed(self, name: str) -> Typed | None:
        """Return a field's value with its type."""
        text = self._first.get(name)
        if not text:
            return None
        kind, semicolon, value = text.partition(";")
        kind = without_comments(kind).lower()
        if not semicolon or not _TYPE.fullmatch(kind):
            return Typed("", text)
        value = value.strip()
        return Typed(kind, value) if value else None

    def every(self, name: str) -> tuple[str, ...]:
        """Return the texts of all fields of a name."""
        return tuple(value for known, value in self._all if known.lower() == name and value)

    def others(self, names: frozenset[str]) -> tuple[tuple[str, str], ...]:
        """Return the fields whose names (in lower case) are none of these: extensions (RFC 3464 §2.1, RFC 8098 §3.3)."""
        return tuple((name, value) for name, value in self._all if name.lower() not in names)


def _clean(raw: bytes) -> str:
    return _CONTROLS.sub(" ", to_text(unfold(raw[:MAX_VALUE]))).strip()


def without_comments(text: str) -> str:
    """Return a text without its comments (RFC 5322 §3.2.2), one blank between words."""
    return " ".join(comments.without_comments(text).split())


def groups(data: bytes, most: int) -> list[Fields]:
    """Return the groups of fields that blank lines separate (RFC 3464 §2.1), at most so many."""
    found: list[Fields] = []
    at = 0
    while at < len(data) and len(found) < most:
        headers = scan_headers(data, at)
        fields = Fields(headers)
        if fields:
            found.append(fields)
        if headers.body_start <= at or (not fields and data[at : headers.body_start].strip()):
            break  # no field begins here: the report is over
        at = headers.body_start
    return found


def write(name: str, value: str) -> bytes:
    """Return a field with its line end, folded at blanks (RFC 5322 §2.2.3).

    Raises:
        ValueError: for a name that is none, and a value that is empty, would be lines of its own, or whose words fit on no line.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("not the name of a field")
    if _CONTROLS.search(value) or not value.strip() or value != value.strip():
        raise ValueError("not the value of a field")
    words = value.split(" ")
    if any(len(word.encode()) > MAX_WORD for word in words):
        raise ValueError("a word that fits on no line")
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        # a line of blanks alone would be the end of the group
        if len(lines[-1]) + 1 + len(word) > _LINE and word and lines[-1].strip():
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join([*lines, ""]).encode()


def write_fields(*fields: tuple[str, str | None]) -> bytes:
    """Return the fields that have a value."""
    return b"".join([write(name, value) for name, value in fields if value is not None])
