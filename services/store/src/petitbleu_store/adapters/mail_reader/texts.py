"""What of a message is searched: its people, subject, bodies, and the text of what is attached (RFC 8621 §4.4.1).

Index, scan and snippets all read a message through here, so that what one finds the others find too. Octets of other kinds of
attachments (`Attached`) are read elsewhere, under limits, and their texts handed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from petitbleu_mail.address_list import EmailAddress
from petitbleu_mail.body_lists import body_lists
from petitbleu_mail.charsets import decode
from petitbleu_mail.header_values import as_text
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.mime import Part, part_beginning, part_content
from petitbleu_mail.recognition import is_tnef_part
from petitbleu_mail.structure import ParsedMessage
from petitbleu_mail.tnef import TnefMessage, read_tnef
from petitbleu_mail.tnef_message import bodies_of
from petitbleu_store.adapters.extraction.outcomes import Kind, kind_of
from petitbleu_text.searchable import Field, Searchable

# Raw octets of one part that are looked at; what is searched of a field is bounded again (`searchable.MAX_CHARACTERS`).
_PART_OCTETS: Final = 4 << 20
# Attachments of one message that are read, and their raw octets together
MAX_READ: Final = 20
MAX_READ_OCTETS: Final = 64 << 20
# A forward of a forward of a forward
_MAX_WITHIN: Final = 4
_MAX_TEXT_PARTS: Final = 100
# What is enciphered within a text (RFC 9580 §6.2) has no words.
_ARMOR: Final = re.compile(r"-----(BEGIN PGP (?:MESSAGE|SIGNATURE|PUBLIC KEY BLOCK)|END PGP [A-Z ]{1,20})-----")
_TEXTS: Final = frozenset({Kind.TEXT, Kind.HTML})


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment whose text is not simply there."""

    kind: Kind
    part: Part


def header_texts(message: ParsedMessage) -> dict[Field, list[str]]:
    """Return the texts of the header: each name and each address one, and the subject."""
    people = {Field.FROM: message.from_, Field.TO: message.to, Field.CC: message.cc, Field.BCC: message.bcc}
    texts = {field: _people(addresses) for field, addresses in people.items()}
    texts[Field.SUBJECT] = [message.subject or ""]
    return texts


def _people(addresses: Sequence[EmailAddress] | None) -> list[str]:
    return [text for one in addresses or () for text in (one.name, one.email) if text]


def body_texts(root: Part, blob: bytes) -> list[str]:
    """Return the texts that are shown as the message: of alternatives all, for a reader sees one or the other."""
    lists = body_lists(root)
    shown = {id(part): part for part in (*lists.text_body, *lists.html_body) if part.type.startswith("text/")}
    return [_text(blob, part) for part in list(shown.values())[:_MAX_TEXT_PARTS]]


def attachment_texts(root: Part, blob: bytes) -> list[str]:
    """Return the names of attachments, and the texts of those that are text or messages."""
    names: list[str] = []
    texts: list[str] = []
    for part in list(_attachments(root))[:_MAX_TEXT_PARTS]:
        if part.name:
            names.append(part.name)
        if part.message is not None:
            texts.extend(_within(part.message, blob, 1))
        elif is_tnef_part(part):
            texts.extend(_of_tnef(read_tnef(part_content(blob, part)), 1))
        elif kind_of(part.type, part.name) in _TEXTS:
            texts.append(_text(blob, part))
    return names + texts


def attached(root: Part) -> list[Attached]:
    """Return the attachments that a reader of files must read, those within attached messages too."""
    found: list[Attached] = []
    octets = 0
    for part in _all_attachments(root, 0):
        kind = kind_of(part.type, part.name)
        if kind is None or kind in _TEXTS:
            continue
        octets += part.body_end - part.body_start
        if len(found) >= MAX_READ or octets > MAX_READ_OCTETS:
            break
        found.append(Attached(kind, part))
    return found


def searchable(message: ParsedMessage, blob: bytes | None, read: Sequence[str] = ()) -> Searchable:
    """Return all that is searched of a message.

    Args:
        message: Its record.
        blob: Its octets, None when they cannot be had: then only the header is searched.
        read: The texts of `attached`, in that order.
    """
    texts = header_texts(message)
    if blob is not None:
        texts[Field.BODY] = body_texts(message.root, blob)
        texts[Field.ATTACHMENT] = [*attachment_texts(message.root, blob), *read]
    return Searchable(texts)


def content_of(blob: bytes, part: Part) -> bytes:
    """Return the octets of an attachment."""
    return part_content(blob, part)


def _attachments(root: Part) -> Iterator[Part]:
    lists = body_lists(root)
    shown = {id(part) for part in (*lists.text_body, *lists.html_body) if part.type.startswith("text/")}
    seen: set[int] = set()
    for part in (*lists.attachments, *lists.text_body, *lists.html_body):
        if id(part) not in shown and id(part) not in seen:
            seen.add(id(part))
            yield part


def _all_attachments(root: Part, depth: int) -> Iterator[Part]:
    for part in _attachments(root):
        if part.message is None:
            yield part
        elif depth < _MAX_WITHIN:
            yield from _all_attachments(part.message, depth + 1)


def _within(root: Part, blob: bytes, depth: int) -> Iterator[str]:
    """Give the texts of a message within the message."""
    headers = scan_headers(blob, root.header_start).last_values()
    for name in (b"subject", b"from", b"to"):
        if name in headers:
            yield as_text(headers[name])
    yield from body_texts(root, blob)
    for part in _attachments(root):
        if part.name:
            yield part.name
        if part.message is not None and depth < _MAX_WITHIN:
            yield from _within(part.message, blob, depth + 1)
        elif kind_of(part.type, part.name) in _TEXTS:
            yield _text(blob, part)


def _of_tnef(message: TnefMessage | None, depth: int) -> Iterator[str]:
    """Give the texts of Outlook's message within the message ([MS-OXTNEF])."""
    if message is None:
        return
    text, html = bodies_of(message)
    yield from [one for one in (message.subject, text, _of_html(html) if html else None) if one]
    for one in message.attachments[:_MAX_TEXT_PARTS]:
        if one.name:
            yield one.name
        kind = kind_of(one.type, one.name)
        if one.message is not None and depth < _MAX_WITHIN:
            yield from _of_tnef(one.message, depth + 1)
        elif kind in _TEXTS:
            plain = decode(one.data[:_PART_OCTETS], None)[0]
            yield _of_html(plain) if kind is Kind.HTML else plain


def _text(blob: bytes, part: Part) -> str:
    text = part_beginning(blob, part, _PART_OCTETS)
    if kind_of(part.type, part.name) is Kind.HTML:
        return _of_html(text)
    return without_armor(text) if "-----BEGIN PGP " in text else text


def _of_html(html: str) -> str:
    return text_of_html(html, titles=True)  # RFC 8621 §4.4.1: "alt" and "title" are presented to people


def without_armor(text: str) -> str:
    """Return a text without what is enciphered in it, from each beginning to the next end; a beginning without an end stays.

    The text is gone through once, whatever stands in it.
    """
    kept: list[str] = []
    begun: int | None = None
    done = 0
    for found in _ARMOR.finditer(text):
        if found[1].startswith("BEGIN"):
            begun = found.start() if begun is None else begun
        elif begun is not None:
            kept += (text[done:begun], " ")
            begun, done = None, found.end()
    return "".join([*kept, text[done:]])
