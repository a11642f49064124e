"""I-JSON (RFC 7493), read strictly: JMAP takes nothing else (RFC 8620 §1.1)."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

# escapes of surrogates and of noncharacters
_ODD_ESCAPE: Final = re.compile(rb"\\u(?:[dD][89a-fA-F]|[fF][dD][dDeE]|[fF]{3}[eEfF])")
_NONCHARACTER: Final = re.compile(
    "[\ufdd0-\ufdef" + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)) + "]"
)
_NONCHARACTER_OCTETS: Final = re.compile(
    rb"\xef\xb7[\x90-\xaf]|\xef\xbf[\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]"
)
_LEADS: Final = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")
_SAFE: Final = (1 << 53) - 1
_MAX_DEPTH: Final = 64
"""Nesting beyond this is no request of anybody's; the standard library would go on until the stack ends."""
_MAX_VALUES: Final = 500_000
"""Separators in a request: a bound on the objects that it may become."""


class NotIJsonError(ValueError):
    """The octets are no I-JSON."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # RFC 7493 §2.3
        raise NotIJsonError("a name stands twice in an object")
    return found


def _constant(_name: str) -> NoReturn:
    raise NotIJsonError("not a number")  # RFC 8259 §6 knows neither NaN nor Infinity


def _float(text: str) -> int | float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:  # RFC 7493 §2.2: beyond what IEEE 754 doubles hold
        raise NotIJsonError("number too large")
    # RFC 8620 §1.3: an Int is a number that is an integer, however it is written (RFC 7493 §2.2)
    return int(value) if value.is_integer() and abs(value) <= _SAFE else value


def _int(text: str) -> int | float:
    return int(text) if len(text) <= 20 else _float(text)


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
)


def decode(data: bytes | bytearray) -> Any:
    """Return the value that the octets are.

    Raises:
        NotIJsonError: for invalid UTF-8, lone surrogates and noncharacters (RFC 7493 §2.1), a name twice in an object (§2.3),
            numbers that no double holds, absurd nesting or size, or what is no JSON (RFC 8259).
    """
    opened = data.count(b"[") + data.count(b"{")
    if data.count(b",") + opened > _MAX_VALUES:
        raise NotIJsonError("too many values")
    try:
        text = data.decode("utf-8")
        value = _decoder.decode(text)
    except (UnicodeDecodeError, RecursionError):
        raise NotIJsonError("not UTF-8 or nested too deeply") from None
    except ValueError as error:
        raise NotIJsonError(str(error) if isinstance(error, NotIJsonError) else "not JSON") from None
    if not text.isascii() and _NONCHARACTER.search(text):
        raise NotIJsonError("noncharacter")
    odd = _ODD_ESCAPE.search(data) is not None
    if odd or opened >= _MAX_DEPTH:  # what opens fewer brackets than that is not nested more deeply
        _check(value, odd=odd)
    return value


def without_noncharacters(data: bytes) -> bytes:
    """Return JSON that we made as I-JSON: mail may hold any code point, and an answer no noncharacter (RFC 7493 §2.1)."""
    # Looking for one octet is quick, and few answers hold one with which a noncharacter may begin.
    if data.isascii() or not (b"\xef" in data or (b"\xbf" in data and any(lead in data for lead in _LEADS))):
        return data
    if not (b"\xbf\xbf" in data or b"\xbf\xbe" in data or b"\xef\xb7" in data):
        return data
    return _NONCHARACTER_OCTETS.sub(b"\xef\xbf\xbd", data)


def _check(root: Any, *, odd: bool) -> None:
    """Bound the nesting, and refuse what escapes may have brought in: half pairs and noncharacters (RFC 7493 §2.1)."""
    level: list[Any] = [root]
    depth = 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise NotIJsonError("nested too deeply")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
                if odd:
                    below.extend(value)
            elif isinstance(value, list):
                below.extend(value)
            elif odd and isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise NotIJsonError("lone surrogate") from None
                if _NONCHARACTER.search(value):
                    raise NotIJsonError("noncharacter")
        level = below
