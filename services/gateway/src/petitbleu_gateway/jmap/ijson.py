"""I-JSON (RFC 7493), read strictly: JMAP takes nothing else (RFC 8620 §1.1)."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
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


def _float(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:  # RFC 7493 §2.2: beyond what IEEE 754 doubles hold
        raise NotIJsonError("number too large")
    return value


def _int(text: str) -> int | float:
    return int(text) if len(text) <= 20 else _float(text)


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
)


def decode(data: bytes | bytearray) -> Any:
    """Return the value that the octets are.

    Raises:
        NotIJsonError: for invalid UTF-8 (RFC 7493 §2.1), a name twice in an object (§2.3), lone surrogates, numbers that no
            double holds, absurd nesting or size, or what is no JSON (RFC 8259).
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
    surrogates = _SURROGATE.search(data) is not None
    if surrogates or opened >= _MAX_DEPTH:  # what opens fewer brackets than that is not nested more deeply
        _check(value, surrogates=surrogates)
    return value


def _check(root: Any, *, surrogates: bool) -> None:
    """Bound the nesting, and refuse surrogates that are no pair (RFC 7493 §2.1) where there may be some."""
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
                if surrogates:
                    below.extend(value)
            elif isinstance(value, list):
                below.extend(value)
            elif surrogates and isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise NotIJsonError("lone surrogate") from None
        level = below
