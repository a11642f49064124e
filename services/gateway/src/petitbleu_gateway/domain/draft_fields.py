"""The fields of one part of a draft (RFC 8621 §4.6): disposition, id, language, location, and those that `header:…` sets."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from petitbleu_gateway.domain.header_forms import parse_header_property
from petitbleu_gateway.domain.header_writing import BadValueError, fold, write_property
from petitbleu_gateway.errors import invalid
from petitbleu_mail.content_types import parse_content_type

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
# written by us from other properties
_OURS: Final = frozenset({"content-transfer-encoding", "mime-version"})


def read_word(given: dict[str, Any], key: str, path: str) -> str | None:
    """Return a property that is one line of text, None when it is absent."""
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or _CONTROLS.search(value) or not 0 < len(value) <= 1000:
        raise invalid(f"{path}/{key}")
    return value


def write_part_fields(
    given: dict[str, Any], path: str, name: str | None, kind: str, taken: frozenset[str], *, attached: bool = False
) -> bytes:
    """Write a part's fields, but Content-Type and Content-Transfer-Encoding.

    Args:
        given: The EmailBodyPart.
        path: Where it stands in the Email object, for errors.
        name: Its file name.
        kind: Its media type.
        taken: Fields, in lower case, that the message's own header has already.
        attached: Whether it is an attachment, and is to be one for whoever reads the message (RFC 8621 §4.1.4).

    Raises:
        SetError: `invalidProperties`.
    """
    written: dict[str, bytes] = {}
    disposition = read_word(given, "disposition", path)
    bare = attached and given.get("cid") is None and not _sets_disposition(given)
    if disposition is None and (name or bare) and not kind.startswith("multipart/"):
        disposition = "attachment"
    if disposition is not None:
        if not _TOKEN.fullmatch(disposition):
            raise invalid(f"{path}/disposition")
        words = with_parameters(disposition, parameter("filename", name))
        written["content-disposition"] = fold("Content-Disposition", words)
    _add_names(written, given, path)
    for key, value in given.items():
        if key.startswith("header:"):
            _add_property(written, key, value, path, taken)
    return b"".join(written.values())


def _sets_disposition(given: dict[str, Any]) -> bool:
    wanted = (parse_header_property(key) for key in given)
    return any(found is not None and found.field == "content-disposition" for found in wanted)


def _add_names(written: dict[str, bytes], given: dict[str, Any], path: str) -> None:
    cid = read_word(given, "cid", path)
    if cid is not None:
        if any(c in cid for c in "<> \t"):
            raise invalid(f"{path}/cid")
        written["content-id"] = fold("Content-ID", [f"<{cid}>"])
    if given.get("language") is not None:
        written["content-language"] = fold("Content-Language", [", ".join(_language(given["language"], path))])
    location = read_word(given, "location", path)
    if location is not None:
        if not location.isascii() or " " in location:
            raise invalid(f"{path}/location")
        written["content-location"] = fold("Content-Location", [location])


class OwnType(NamedTuple):
    """A part's Content-Type that the client wrote itself: its media type, its charset, and the field without its line end."""

    kind: str
    charset: str | None
    field: str


def read_own_type(given: dict[str, Any], path: str) -> OwnType | None:
    """Return the Content-Type that a part sets by `header:…`, as for parameters that no property has (RFC 8621 §4.6).

    Raises:
        SetError: `invalidProperties` when it is no media type, one with parts, or stands beside `type` or `charset`.
    """
    for key, value in given.items():
        wanted = parse_header_property(key)
        if wanted is None or wanted.field != "content-type" or value is None:
            continue
        if wanted.all or given.get("type") is not None or given.get("charset") is not None:
            raise invalid(f"{path}/{key}")
        try:
            field = write_property(wanted, value)
        except BadValueError:
            raise invalid(f"{path}/{key}") from None
        kind, parameters = parse_content_type(field.partition(b":")[2])
        if kind is None or kind.startswith("multipart/"):
            raise invalid(f"{path}/{key}")
        return OwnType(kind, parameters.get("charset"), field.decode().rstrip("\r\n"))
    return None


def _language(value: Any, path: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and _TOKEN.fullmatch(tag) for tag in value):
        raise invalid(f"{path}/language")
    return value


def _add_property(written: dict[str, bytes], key: str, value: Any, path: str, taken: frozenset[str]) -> None:
    wanted = parse_header_property(key)
    # RFC 8621 §4.6: no field twice, none that the Email object sets, no Content-Transfer-Encoding
    if wanted is None or wanted.field in _OURS or wanted.field in written or wanted.field in taken:
        raise invalid(f"{path}/{key}")
    if wanted.field == "content-type":
        written[wanted.field] = b""  # written with the part's encoding
        return
    try:
        written[wanted.field] = b"" if value is None else write_property(wanted, value)
    except BadValueError:
        raise invalid(f"{path}/{key}") from None


def parameter(name: str, value: str | None) -> list[str]:
    """Return a parameter of a field as words, in pieces where it is long or not ASCII (RFC 2045 §5.1, RFC 2231 §3, §4)."""
    if value is None:
        return []
    if value.isascii() and len(value) <= 60:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"']
    encoded = quote(value.encode("utf-8", "replace"), safe="")
    if len(encoded) <= 60:
        return [f"{name}*={UTF_8}{encoded}"]
    pieces = re.findall(r"(?:%[0-9A-F]{2}|[^%]){1,18}", encoded)
    return [f"{name}*{at}*={'' if at else UTF_8}{piece}" for at, piece in enumerate(pieces)]


UTF_8: Final = "utf-8''"
"""Charset and (no) language before the first piece of an extended parameter (RFC 2231 §4)."""


def with_parameters(first: str, parameters: list[str]) -> list[str]:
    """Return a value and its parameters as words for `fold`."""
    words = [first, *parameters]
    return [f"{word};" for word in words[:-1]] + words[-1:]
