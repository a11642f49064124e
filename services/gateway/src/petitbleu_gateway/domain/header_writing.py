"""Header fields written from their JMAP forms (RFC 8621 §4.1.2), folded and encoded so that any server takes them."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from petitbleu_gateway.domain.header_forms import HeaderProperty

_LINE: Final = 76
_WORD_OCTETS: Final = 42
"""Octets in an encoded word: with its frame it has 68 characters, of 75 (RFC 2047 §2)."""
_LEAST_OCTETS: Final = 12
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RAW_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ATOM_TEXT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
# RFC 5322 §3.4.1, with the UTF-8 of RFC 6532 §3.2; quoted local parts included
_ADDRESS: Final = re.compile(
    r"(?:[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]{1,128}|\"[^\"\\\x00-\x1f\x7f]{1,128}\")@(?:[^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]{1,255}"
    r"|\[[0-9A-Za-z:.]{1,64}\])"
    # RFC 8621 §4.1.2.3: a draft may be half written: its address has no "@" yet, or nothing behind it
    r"|[^\s<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,128}"
)
_MESSAGE_ID: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,900}")
_URL: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,2000}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


class BadValueError(ValueError):
    """A value that its form does not allow."""


def write_field(name: str, form: str, value: Any) -> bytes:
    """Return a whole field with its line end; nothing for an empty list, which no field can say (RFC 5322 §3.6).

    Args:
        name: The field's name as the client writes it.
        form: Raw, Text, Addresses, GroupedAddresses, MessageIds, Date or URLs.
        value: Of that form.

    Raises:
        BadValueError: when it is not.
    """
    if form == "Raw":
        return _raw(name, value)
    if form == "Text":
        words = encoded_text(_string(value), (_LINE - len(f"{name}: {_word('')}")) // 4 * 3)
    elif form == "Addresses":
        words = _addresses(value)
    elif form == "GroupedAddresses":
        words = _groups(value)
    elif form == "MessageIds":
        words = [f"<{found}>" for found in _matching(value, _MESSAGE_ID)]
    elif form == "URLs":
        words = _comma([[f"<{found}>"] for found in _matching(value, _URL)])
    else:
        words = [_date(value)]
    return fold(name, words) if words or form == "Text" else b""


def write_property(wanted: HeaderProperty, value: Any) -> bytes:
    """Return the fields that a property `header:…` sets; with `:all`, its value is a list of values."""
    if not wanted.all:
        return write_field(wanted.name, wanted.form, value)
    if not isinstance(value, list):
        raise BadValueError
    return b"".join(write_field(wanted.name, wanted.form, entry) for entry in value)


def fold(name: str, words: list[str]) -> bytes:
    """Put words on lines of at most 76 characters where they can be broken (RFC 5322 §2.2.3)."""
    out = [f"{name}:"]
    length = len(name) + 1
    for word in words:
        # RFC 2047 §2: a line with an encoded word has 76 characters at most, the first one too
        if length + 1 + len(word) > _LINE and (length > len(name) + 1 or word.startswith("=?")):
            out.append("\r\n")
            length = 0
        out.append(" ")
        out.append(word)
        length += 1 + len(word)
    out.append("\r\n")
    return "".join(out).encode("utf-8", "replace")


def _string(value: Any) -> str:
    if not isinstance(value, str) or _CONTROLS.search(value) or len(value) > 65536:
        raise BadValueError
    return value


def _raw(name: str, value: Any) -> bytes:
    if not isinstance(value, str) or _RAW_CONTROLS.search(value) or len(value) > 65536:
        raise BadValueError
    lines = value.split("\r\n")
    # a line end that is no fold would begin a field of the client's own, or end the header
    if any(not line.strip(" \t") or line[0] not in " \t" for line in lines[1:]) or any(
        c in line for line in lines for c in "\r\n"
    ):
        raise BadValueError
    if any(len(line.encode()) > 990 for line in lines):  # RFC 5322 §2.1.1
        raise BadValueError
    return f"{name}:{value}\r\n".encode()


def encoded_text(text: str, first: int = _WORD_OCTETS) -> list[str]:
    """Return unstructured text as words: plain where it is ASCII, else encoded words of UTF-8 (RFC 2047 §2).

    `first` is how many octets the first encoded word shall hold at most; with fewer than 12 it is a word as others are.
    """
    if text.isascii() and "=?" not in text and all(len(word) < 900 for word in text.split(" ")):
        # runs of blanks stay with the word before them, so that unfolding gives the text back
        return [word for word in re.findall(r"[^ \t]+[ \t]*(?=[ \t])|[^ \t]+", text.strip(" \t")) if word]
    words = []
    chunk = ""
    size = 0
    room = min(first, _WORD_OCTETS) if first >= _LEAST_OCTETS else _WORD_OCTETS
    for character in text:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > room:  # no character is cut (RFC 2047 §5)
            words.append(_word(chunk))
            chunk, size, room = "", 0, _WORD_OCTETS
        chunk += character
        size += octets
    if chunk:
        words.append(_word(chunk))
    return words


def _word(chunk: str) -> str:
    return f"=?UTF-8?B?{base64.b64encode(chunk.encode('utf-8', 'replace')).decode('ascii')}?="


def _phrase(text: str) -> list[str]:
    """Return a display name (RFC 5322 §3.2.5)."""
    if not text.isascii() or "=?" in text or len(text) > 200:
        return encoded_text(text)
    if _ATOM_TEXT.fullmatch(text) and text == " ".join(text.split()):
        return text.split()
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return [f'"{escaped}"']


def _address(value: Any) -> list[str]:
    if not isinstance(value, dict) or not set(value) <= {"name", "email"}:
        raise BadValueError
    email, name = value.get("email"), value.get("name")
    if not isinstance(email, str) or not _ADDRESS.fullmatch(email):
        raise BadValueError
    if name is None or name == "":
        return [email]
    return [*_phrase(_string(name)), f"<{email}>"]


def _comma(entries: list[list[str]]) -> list[str]:
    """Put a comma behind the last word of each entry but the last."""
    words: list[str] = []
    for entry in entries[:-1]:
        words += [*entry[:-1], entry[-1] + ","]
    return words + (entries[-1] if entries else [])


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 1000:
        raise BadValueError
    return _comma([_address(entry) for entry in value])


def _groups(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 1000:
        raise BadValueError
    entries: list[list[str]] = []
    for group in value:
        if not isinstance(group, dict) or not set(group) <= {"name", "addresses"}:
            raise BadValueError
        words = _addresses(group.get("addresses"))
        name = group.get("name")
        if name is None:
            if words:
                entries.append(words)
            continue
        phrase = _phrase(_string(name)) or ['""']
        phrase[-1] += ":"
        entries.append([*phrase, *words[:-1], words[-1] + ";"] if words else [*phrase, ";"])
    return _comma(entries)


def _matching(value: Any, form: re.Pattern[str]) -> list[str]:
    if not isinstance(value, list) or len(value) > 1000:
        raise BadValueError
    if not all(isinstance(entry, str) and form.fullmatch(entry) for entry in value):
        raise BadValueError
    return value


def _date(value: Any) -> str:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise BadValueError
    try:
        return format_datetime(datetime.fromisoformat(value))
    except ValueError:
        raise BadValueError from None
