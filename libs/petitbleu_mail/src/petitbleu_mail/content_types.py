"""Content-Type and Content-Disposition with their parameters (RFC 2045 §5, RFC 2183, RFC 2231), read tolerantly."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from petitbleu_mail.charsets import decode
from petitbleu_mail.comments import without_comments
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import unfold

MAX_PARAMETERS = 200
# RFC 2046 §5.1.1 says 70; longer ones occur and do no harm
MAX_BOUNDARY = 250

_TYPE = re.compile(r"\s*+([^\s/;\"()<>@,:\\\[\]?=]++)\s*+/\s*+([^\s/;\"()<>@,:\\\[\]?=]++)")
_WORD = re.compile(r"\s*+\"?([^\s;\"()]++)")
_PARAMETER = re.compile(r';\s*+([^\s=;"()]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"?|([^;"]*+))', re.DOTALL)
# A boundary whose semicolon is missing
_LOST_BOUNDARY = re.compile(r'boundary=[ "]?([^\s;"]++)', re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"(.+?)\*([0-9]{1,3})?(\*?)", re.DOTALL)
_CACHED = 128
_HEAD = 1000  # letters in which a type or a disposition stands, with the comments before and in it

Parameters = dict[str, str]


def parse_content_type(raw: bytes) -> tuple[str | None, Parameters]:
    """Return the media type in lower case (None when it is not one, RFC 2045 §5.2) and the parameters."""
    if len(raw) <= _CACHED and b"oundary" not in raw and b"name" not in raw:
        kind, pairs = _cached_type(raw)
        return kind, dict(pairs)
    return _parse_type(raw)


@lru_cache(maxsize=1024)
def _cached_type(raw: bytes) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Most parts have one of a few values; those that name something are not kept."""
    kind, parameters = _parse_type(raw)
    return kind, tuple(parameters.items())


def _parse_type(raw: bytes) -> tuple[str | None, Parameters]:
    text = to_text(unfold(raw))
    found = _TYPE.match(without_comments(text[:_HEAD]))  # RFC 8621 §4.1.4: CFWS is removed
    kind = f"{found[1]}/{found[2]}".lower() if found else None
    parameters = _parameters(text)
    if kind is not None and "boundary" not in parameters and kind.startswith("multipart/"):
        lost = _LOST_BOUNDARY.search(text)
        if lost is not None:
            parameters["boundary"] = lost[1]
    return kind, parameters


def parse_disposition(raw: bytes) -> tuple[str | None, Parameters]:
    """Return the disposition in lower case (RFC 2183 §2) and the parameters."""
    text = to_text(unfold(raw))
    found = _WORD.match(without_comments(text[:_HEAD]))  # RFC 8621 §4.1.4: CFWS is removed
    return (found[1].lower() if found and "=" not in found[1] else None), _parameters(text)


def _parameters(text: str) -> Parameters:
    if ";" not in text:
        return {}
    if "(" in text and '"' not in text:
        text = without_comments(text)  # RFC 2045 §5.1: comments may stand between any two words
    plain: Parameters = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(text)):
        if count >= MAX_PARAMETERS:
            break
        name, quoted, token = found.groups()
        name = name.lower()
        value = (_ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted) if quoted is not None else token.strip()
        if "*" in name:
            section = _SECTION.fullmatch(name)
            if section is not None:
                # RFC 2231 §3, §4: name*, name*0, name*0*
                number = int(section[2]) if section[2] else 0
                encoded = bool(section[3]) or section[2] is None
                sections.setdefault(section[1], {}).setdefault(number, (value, encoded))
                continue
        plain.setdefault(name, value)
    for name, pieces in sections.items():
        value = _join(pieces)
        if value or name not in plain:
            plain[name] = value
    return plain


def _join(pieces: dict[int, tuple[str, bool]]) -> str:
    """Put the sections of a parameter together (RFC 2231 §3) and undo their percent encoding (§4)."""
    charset: str | None = None
    octets = bytearray()
    for number, (value, encoded) in sorted(pieces.items()):
        text = value
        if encoded:
            if number == min(pieces) and text.count("'") >= 2:
                charset, _, text = text.split("'", 2)
            octets += unquote_to_bytes(text)
        else:
            octets += text.encode("utf-8", "replace")
    return decode(bytes(octets), charset or None)[0]


def file_name(disposition: Parameters, content: Parameters) -> str | None:
    """Return a part's file name (RFC 8621 §4.1.4): `filename` of the disposition, else `name` of the type; decoded.

    Encoded words are not allowed there (RFC 2047 §5) and are common, so they are decoded too.
    """
    name = disposition.get("filename") or content.get("name")
    if not name:
        return None
    return decode_words(name, anywhere=True)


def first_word(value: str) -> str:
    """Return what stands before the first blank: `us-ascii` of `us-ascii format=flowed`, whose semicolon is missing."""
    words = value.split(None, 1)
    return words[0] if words else ""
