"""The tokens of a Sieve script (RFC 5228 §2, §8.1). Scanning takes time linear in the size of the script."""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum
from typing import Final, NamedTuple

from petitbleu_mail.sieve.faults import LIMITS, Fault, Limits, Place, SieveSyntaxError

# RFC 5228 §2.4.1 wants 2^31 - 1 at least
MAX_NUMBER: Final = 2**63 - 1


class Kind(Enum):
    """What a token is, as a fault calls it."""

    NAME = "a name"
    TAG = "a tag"
    NUMBER = "a number"
    STRING = "a string"
    MARK = "a mark"
    END = "the end of the script"


class Token(NamedTuple):
    """One token; `text` is a name or tag in lower case, a string's value, a mark, or the digits of a number's value."""

    kind: Kind
    text: str
    at: int


# RFC 5228 §2.3: comments stand wherever white space may
_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_NUMBER: Final = re.compile(r"([0-9]++)([KMGkmg]?)(?![A-Za-z0-9_])")
_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MULTI_LINE: Final = re.compile(r"[Tt][Ee][Xx][Tt]:[ \t]*+(?:#[^\n]*+)?(?:\r?\n)")
# RFC 5228 §8.1: a line with nothing but a dot ends it; the script may end right behind
_LINES: Final = re.compile(r"(?:(?!\.\r?(?:\n|\Z))[^\n]*+\n)*+")
_LAST_LINE: Final = re.compile(r"\.\r?(?:\n|\Z)")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# RFC 5228 §2.4.2: a dot before another one at the beginning of a line is taken away
_STUFFED: Final = re.compile(r"^\.(?=\.)", re.MULTILINE)
_QUANTIFIERS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_MARKS: Final = frozenset("()[]{},;")


class Source:
    """The text of a script and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, at: int) -> Place:
        """Return the line and column of an offset."""
        line = bisect_right(self._lines, at)
        return Place(line, at - self._lines[line - 1] + 1)

    def fault(self, at: int, reason: str) -> SieveSyntaxError:
        """Return the error that has this one fault."""
        return SieveSyntaxError((Fault(self.place(at), reason),))


def read_source(script: str | bytes, limits: Limits = LIMITS) -> Source:
    """Take a script as it came. Raises `SieveSyntaxError` when it is too large or no UTF-8 text."""
    octets = script.encode("utf-8", "surrogatepass") if isinstance(script, str) else script
    if len(octets) > limits.script_octets:
        raise SieveSyntaxError((Fault(Place(1, 1), f"the script is larger than {limits.script_octets} octets"),))
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:  # RFC 5228 §2.1: UTF-8
        before = Source(octets[: error.start].decode("utf-8"))
        raise before.fault(len(before.text), "the script is not UTF-8 here") from None
    source = Source(text.removeprefix("\ufeff"))
    nul = source.text.find("\0")
    if nul >= 0:  # RFC 5228 §8.1: no NUL anywhere
        raise source.fault(nul, "a NUL stands here, which no script may have")
    return source


def tokens(source: Source) -> list[Token]:
    """Return the tokens of a script, an END last. Raises `SieveSyntaxError`."""
    text = source.text
    found: list[Token] = []
    at = _skip(source, 0)
    while at < len(text):
        token, at = _token(source, at)
        found.append(token)
        at = _skip(source, at)
    found.append(Token(Kind.END, "", len(text)))
    return found


def _skip(source: Source, at: int) -> int:
    blank = _BLANK.match(source.text, at)
    at = blank.end() if blank else at
    if source.text.startswith("/*", at):
        raise source.fault(at, "the comment that begins here has no */")
    return at


def _token(source: Source, at: int) -> tuple[Token, int]:
    text = source.text
    char = text[at]
    if char in _MARKS:
        return Token(Kind.MARK, char, at), at + 1
    if char == '"':
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise source.fault(at, "the string that begins here has no closing quote")
        # RFC 5228 §2.4.2: an escape of anything else than a quote or backslash means that character
        return Token(Kind.STRING, _crlf(_ESCAPE.sub(r"\1", quoted[1])), at), quoted.end()
    if char == ":":
        name = _NAME.match(text, at + 1)
        if name is None:
            raise source.fault(at, "a name must follow the colon at once")
        return Token(Kind.TAG, name[0].lower(), at), name.end()
    if char.isascii() and char.isdigit():
        return _number(source, at)
    name = _NAME.match(text, at)
    if name is None:
        raise source.fault(
            at, f"{char!r} cannot stand here" if char.isprintable() else "this character cannot stand here"
        )
    if name[0].lower() == "text" and text.startswith(":", name.end()):
        return _multi_line(source, at)
    # RFC 5228 §2.1: names know no case
    return Token(Kind.NAME, name[0].lower(), at), name.end()


def _number(source: Source, at: int) -> tuple[Token, int]:
    found = _NUMBER.match(source.text, at)
    if found is None:
        raise source.fault(at, "this is no number: digits, then K, M, G or nothing")
    digits, quantifier = found.groups()
    # a long row of digits is never made an integer, which would take the square of its length
    significant = digits.lstrip("0") or "0"
    value = int(significant) * _QUANTIFIERS[quantifier.lower()] if len(significant) < 20 else MAX_NUMBER + 1
    if value > MAX_NUMBER:
        raise source.fault(at, f"this number is larger than {MAX_NUMBER}")
    return Token(Kind.NUMBER, str(value), at), found.end()


def _multi_line(source: Source, at: int) -> tuple[Token, int]:
    opening = _MULTI_LINE.match(source.text, at)
    if opening is None:
        raise source.fault(at, "the line must end behind text:")
    lines = _LINES.match(source.text, opening.end())
    body = lines[0] if lines else ""
    end = opening.end() + len(body)
    closing = _LAST_LINE.match(source.text, end)
    if closing is None:
        raise source.fault(at, "the text that begins here has no line with a single dot behind it")
    return Token(Kind.STRING, _crlf(_STUFFED.sub("", body)), at), closing.end()


def _crlf(value: str) -> str:
    """Return a string with the line ends that the standard knows, however the script was typed (RFC 5228 §2.1)."""
    return _LINE_END.sub("\r\n", value) if "\n" in value or "\r" in value else value
