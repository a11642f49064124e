"""The message that a script looks at: its envelope, its header with the changes made so far, its bodies.

Everything is read when it is first asked for, and no more of a body than `MAX_BODY`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from petitbleu_mail.header_values import as_text
from petitbleu_mail.headers import MAX_VALUE, Blob, Field, Headers
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.mime import Part, part_content, part_text, scan_message
from petitbleu_mail.sieve.actions import HeaderEdit

MAX_BODY: Final = 1_048_576
"""Octets of one body, and characters of all, that tests look at."""
MAX_HTML_TEXT: Final = 131_072
"""Characters of HTML that are made text for `body :text`, which costs far more than looking."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent it and to whom it goes. `sender` is empty for the null path; `original` is the recipient before aliases."""

    sender: str
    recipient: str
    original: str | None = None


class MessageView(Protocol):
    """What scripts see of a message."""

    @property
    def size(self) -> int:
        """Octets of the message (RFC 5228 §5.9)."""

    def fields(self) -> Sequence[Field]:
        """The header: names as written, raw values."""

    def raw_body(self) -> str:
        """The body as it is, undecoded (RFC 5173 §5.1)."""

    def contents(self, types: Sequence[str]) -> list[str]:
        """The decoded bodies of parts of these types: `type/subtype`, `type`, or nothing for all (RFC 5173 §5.2)."""

    def texts(self) -> list[str]:
        """The texts that a person would read (RFC 5173 §5.3)."""


class ParsedView:
    """The view of a message that lies in memory, or in a mapped file."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    @cached_property
    def _scanned(self) -> tuple[Part, Headers]:
        return scan_message(self.blob)

    @property
    def size(self) -> int:
        """Octets of the message."""
        return len(self.blob)

    def fields(self) -> Sequence[Field]:
        """The header's fields."""
        return self._scanned[1].fields

    def raw_body(self) -> str:
        """RFC 5173 §5.1."""
        start = self._scanned[1].body_start
        return self.blob[start : start + MAX_BODY].decode("utf-8", "replace")

    def contents(self, types: Sequence[str]) -> list[str]:
        """RFC 5173 §5.2."""
        wanted = [one.lower() for one in types]
        found: list[str] = []
        left = MAX_BODY
        for part in _parts(self._scanned[0]):
            if left <= 0:
                break
            if not any(_is_of(part.type, one) for one in wanted):
                continue
            for content in self._contents_of(part):
                found.append(content[:left])
                left -= len(content)
        return found

    def _contents_of(self, part: Part) -> Iterator[str]:
        if part.parts:  # RFC 5173 §5.2: of a multipart, what stands before and behind its parts
            before = self.blob[part.body_start : part.parts[0].header_start][:MAX_BODY]
            behind = self.blob[part.parts[-1].body_end : part.body_end][:MAX_BODY].lstrip(b"\r\n")
            yield before[: before.rstrip(b"\r\n").rfind(b"\n") + 1].decode("utf-8", "replace")
            yield behind.partition(b"\n")[2].decode("utf-8", "replace")
        elif part.message is not None:  # RFC 5173 §5.2: of a message, its header
            start, end = part.message.header_start, part.message.body_start
            yield self.blob[start : min(end, start + MAX_BODY)].decode("utf-8", "replace")
        elif part.body_end - part.body_start > MAX_BODY:
            yield self._beginning(part)
        elif part.type.startswith("text/"):
            yield part_text(self.blob, part)[0]
        else:
            yield part_content(self.blob, part).decode("utf-8", "replace")

    def _beginning(self, part: Part) -> str:
        cut = Part(part.type, part.header_start, part.body_start, part.body_start + MAX_BODY, encoding=part.encoding)
        cut.charset = part.charset
        return part_text(self.blob, cut)[0]

    def texts(self) -> list[str]:
        """RFC 5173 §5.3: text parts, HTML without its markup."""
        found: list[str] = []
        left, left_html = MAX_BODY, MAX_HTML_TEXT
        for part in _parts(self._scanned[0]):
            if left <= 0:
                break
            if not part.type.startswith("text/"):
                continue
            text = (
                self._beginning(part) if part.body_end - part.body_start > MAX_BODY else part_text(self.blob, part)[0]
            )
            if part.type == "text/html":
                taken = text[:left_html]
                left_html -= len(taken)
                text = text_of_html(taken)
            found.append(text[:left])
            left -= len(text)
        return found


def _parts(root: Part) -> Iterator[Part]:
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.parts))
        if part.message is not None:
            waiting.append(part.message)


def _is_of(kind: str, wanted: str) -> bool:
    if not wanted:
        return True
    if "/" in wanted:  # RFC 5173 §5.2: one that is no media type matches nothing
        return kind == wanted
    return kind.partition("/")[0] == wanted


class HeaderView:
    """The header as the script has changed it so far (RFC 5293 §3)."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = [(name.decode("latin-1").lower(), value) for name, value in fields]
        self._texts: dict[bytes, str] = {}
        self.edits: list[HeaderEdit] = []

    def names(self) -> list[str]:
        """Return the names of all fields in lower case, from the top."""
        return [known for known, _ in self._fields]

    def raw(self, name: str) -> list[bytes]:
        """Return the raw values of the fields of this name, from the top."""
        wanted = name.lower()
        return [value for known, value in self._fields if known == wanted]

    def values(self, name: str) -> list[str]:
        """Return the values as they are compared: unfolded, decoded, without blanks at both ends (RFC 5228 §2.4.2.2, §5.7)."""
        return [self._text(value) for value in self.raw(name)]

    def _text(self, raw: bytes) -> str:
        text = self._texts.get(raw)
        if text is None:
            text = self._texts[raw] = as_text(raw[:MAX_VALUE]).strip(" \t\r\n")
        return text

    def has(self, name: str) -> bool:
        """Whether there is such a field (RFC 5228 §5.5)."""
        wanted = name.lower()
        return any(known == wanted for known, _ in self._fields)

    def add(self, name: str, value: str, *, last: bool) -> None:
        """Add a field (RFC 5293 §4)."""
        self._fields.insert(len(self._fields) if last else 0, (name.lower(), b" " + value.encode("utf-8", "replace")))
        self.edits.append(HeaderEdit(name, value, last=last))

    def remove(self, name: str, indexes: Sequence[int]) -> None:
        """Remove fields of this name by their numbers, counted from 1 from the top (RFC 5293 §5)."""
        wanted = name.lower()
        places = [at for at, (known, _) in enumerate(self._fields) if known == wanted]
        for index in sorted(indexes, reverse=True):  # from below, so that the numbers of those above stay
            del self._fields[places[index - 1]]
            self.edits.append(HeaderEdit(name, number=index))
