"""The macro language of SPF: parsed once, with every syntax error found, and expanded by values given (RFC 7208 §7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import msgspec

from petitbleu_mail.auth.resolver import MAX_NAME

# RFC 7208 §7.1: everything that may stand in a macro-string; a lone "%" matches nothing of it
_PIECE = re.compile(r"%\{([A-Za-z])([0-9]*+)([Rr]?)([-.+,/_=]*+)\}|%([%_-])|([!-$&-~]++)")
_PIECE_OR_SPACE = re.compile(r"%\{([A-Za-z])([0-9]*+)([Rr]?)([-.+,/_=]*+)\}|%([%_-])|([ -$&-~]++)")
_LITERALS = {"%": "%", "_": " ", "-": "%20"}
_LETTERS = frozenset("slodiphv")
# RFC 7208 §7.2: these are of explanations only
_EXPLANATION_LETTERS = _LETTERS | frozenset("crt")


class MacroError(ValueError):
    """A macro-string against the grammar."""


class Macro(msgspec.Struct, frozen=True):
    """One `%{…}`: `keep` right-hand parts (0 for all) of the value split at `delimiters`, perhaps reversed, perhaps URL-escaped."""

    letter: str
    keep: int
    reverse: bool
    delimiters: str
    escape: bool


class MacroString(msgspec.Struct, frozen=True):
    """A parsed macro-string: literal text and macros in order."""

    pieces: tuple[str | Macro, ...]

    def uses(self, letters: str) -> bool:
        """Whether one of these macros is in it."""
        return any(isinstance(piece, Macro) and piece.letter in letters for piece in self.pieces)


def parse_macro_string(text: str, *, explanation: bool = False) -> MacroString:
    """Parse a macro-string, or with `explanation` an explain-string, which may have spaces. Raises `MacroError`."""
    return _parse(text, explanation=explanation)[0]


def parse_domain_spec(text: str) -> MacroString:
    """Parse a domain-spec (RFC 7208 §7.1): a macro-string that ends in a macro or in a top-level label. Raises `MacroError`."""
    if not text:
        raise MacroError("empty domain-spec")
    spec, ending = _parse(text, explanation=False)
    if ending is not None:
        _, dot, label = ending.removesuffix(".").rpartition(".")
        if not dot or not _is_top_label(label):
            raise MacroError("no top-level label")
    return spec


def _parse(text: str, *, explanation: bool) -> tuple[MacroString, str | None]:
    """Return what was parsed, and the plain text at its end if it ends in such."""
    pieces: list[str | Macro] = []
    ending: str | None = None
    pattern, letters = (_PIECE_OR_SPACE, _EXPLANATION_LETTERS) if explanation else (_PIECE, _LETTERS)
    at = 0
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise MacroError("no macro and no literal")
        at = found.end()
        letter, digits, reverse, delimiters, literal, ending = found.groups()
        if letter is None:
            pieces.append(_LITERALS[literal] if ending is None else ending)
            continue
        if letter.lower() not in letters:
            raise MacroError("no such macro here")
        parts = digits.lstrip("0")
        if digits and not parts:  # RFC 7208 §7.3: the number of parts is not zero
            raise MacroError("no parts at all")
        # a number of more parts than any name has keeps all of them
        keep = int(parts) if 0 < len(parts) <= 3 else 0
        pieces.append(Macro(letter.lower(), keep, bool(reverse), delimiters or ".", letter.isupper()))
    return MacroString(tuple(pieces)), ending


def _is_top_label(label: str) -> bool:
    """Whether this is a toplabel (RFC 7208 §7.1): letters, digits and hyphens within, and not digits alone."""
    if not label or label[0] == "-" or label[-1] == "-" or label.isdigit():
        return False
    return label.replace("-", "").isalnum()


def expand(pieces: Iterable[str | Macro], value: Callable[[str], str]) -> str:
    """Put the pieces together; `value` gives what each letter stands for (RFC 7208 §7.3)."""
    return "".join([piece if isinstance(piece, str) else _transformed(piece, value(piece.letter)) for piece in pieces])


def _transformed(macro: Macro, text: str) -> str:
    if macro.keep or macro.reverse or macro.delimiters != ".":
        for delimiter in macro.delimiters[1:]:
            text = text.replace(delimiter, macro.delimiters[0])
        parts = text.split(macro.delimiters[0])
        if macro.reverse:
            parts.reverse()
        # RFC 7208 §7.3: parts are counted from the right, and joined by dots whatever they were split at
        text = ".".join(parts[-macro.keep :])
    # RFC 7208 §7.3: a macro in upper case is URL-escaped
    return quote(text, safe="") if macro.escape else text


def target_name(expanded: str) -> str:
    """Return the name that an expanded domain-spec asks for: no final dot, and labels cut at the left (RFC 7208 §7.3)."""
    name = expanded.removesuffix(".")
    if len(name) <= MAX_NAME:
        return name
    return name[name.find(".", len(name) - MAX_NAME - 1) + 1 :]


def spelled(address: IPv4Address | IPv6Address) -> str:
    """The macro `i`: dotted quad, or the 32 nibbles of an IPv6 address with dots between (RFC 7208 §7.3)."""
    if isinstance(address, IPv4Address):
        return str(address)
    return ".".join(f"{int(address):032X}")
