"""Strings of a script whose value may depend on more than the script: encoded characters (RFC 5228 §2.4.2.4), variables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from petitbleu_mail.sieve.faults import Place

_ENCODED: Final = re.compile(
    r"\$\{hex:[ \t\r\n]*+((?:[0-9a-f]{1,2}(?=[ \t\r\n}])[ \t\r\n]*+)++)\}"
    r"|\$\{unicode:[ \t\r\n]*+((?:[0-9a-f]++(?=[ \t\r\n}])[ \t\r\n]*+)++)\}",
    re.IGNORECASE,
)
# RFC 5229 §3: a namespace is identifiers with a dot each
_REFERENCE: Final = re.compile(r"\$\{((?:[a-z_]\w*+\.(?:\w++\.)*+)?+)([a-z_]\w*+|[0-9]++)\}", re.IGNORECASE | re.ASCII)
VARIABLE_NAME: Final = re.compile(r"[a-z_]\w*+", re.IGNORECASE | re.ASCII)
MAX_MATCH_VARIABLE: Final = 32
"""The highest ${n}; RFC 5229 §3.2 wants at least nine."""


class TextError(ValueError):
    """Raised for a string that cannot be; its text says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to a variable; `name` is in lower case, or the digits of a match variable without leading zeros."""

    name: str
    is_global: bool = False

    @property
    def is_match(self) -> bool:
        """Whether it is what the last `:matches` found (RFC 5229 §3.2)."""
        return self.name.isdigit()


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a script: `parts` are literal text and references; `constant` is the value of one without references."""

    parts: tuple[str | Variable, ...]
    place: Place

    @property
    def constant(self) -> str | None:
        """The value, where it is known without a message."""
        if not self.parts:
            return ""
        only = self.parts[0]
        return only if len(self.parts) == 1 and isinstance(only, str) else None


def make_text(value: str, place: Place, *, encoded: bool, variables: bool, namespaces: frozenset[str]) -> Text:
    """Return what a string means under the extensions that the script requires. Raises `TextError`."""
    if encoded and "${" in value:
        value = _ENCODED.sub(_decoded, value)
    if not variables or "${" not in value:
        return Text((value,) if value else (), place)
    parts: list[str | Variable] = []
    at = 0
    for found in _REFERENCE.finditer(value):
        if found.start() > at:
            parts.append(value[at : found.start()])
        parts.append(_variable(found[1].lower(), found[2].lower(), namespaces))
        at = found.end()
    if at < len(value):
        parts.append(value[at:])
    return Text(tuple(parts), place)


def _decoded(found: re.Match[str]) -> str:
    pairs, points = found.groups()
    if pairs is not None:
        try:
            return bytes(int(pair, 16) for pair in pairs.split()).decode("utf-8")
        except UnicodeDecodeError:
            raise TextError(f"the octets of {found[0][:40]} are not UTF-8") from None
    out = []
    for point in points.split():
        number = int(point.lstrip("0")[:8] or "0", 16)
        # RFC 5228 §2.4.2.4: a code point that is no character is an error
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise TextError(f"there is no Unicode character {point[:12]}")
        out.append(chr(number))
    return "".join(out)


def _variable(namespace: str, name: str, namespaces: frozenset[str]) -> Variable:
    if namespace and namespace not in namespaces:  # RFC 5229 §3: only those of extensions that are required
        raise TextError(f"nothing that the script requires has variables named {namespace}…")
    if name.isdigit():
        number = int(name.lstrip("0")[:4] or "0")
        if number > MAX_MATCH_VARIABLE or namespace:  # RFC 5229 §3.2: known when the script is compiled
            raise TextError(f"match variables go up to ${{{MAX_MATCH_VARIABLE}}}")
        return Variable(str(number))
    return Variable(name, is_global=bool(namespace))


def expand(text: Text, lookup: Callable[[Variable], str]) -> str:
    """Return the value of a string."""
    constant = text.constant
    if constant is not None:
        return constant
    return "".join([part if isinstance(part, str) else lookup(part) for part in text.parts])
