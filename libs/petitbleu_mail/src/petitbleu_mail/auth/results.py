"""Authentication-Results (RFC 8601): the model, and the strict reading of a field."""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import MAX_VALUE, unfold

# Results of one field, and properties of one result, that are read; more is no field of an honest verifier.
MAX_RESULTS = 64
MAX_PROPERTIES = 32
# RFC 8601 §2.2: the version of the field that this is
VERSION = 1

_BLANK = re.compile(r"[ \t\r\n]*+")
_COMMENT = re.compile(r"[()]|\\.", re.DOTALL)
_KEYWORD = re.compile(r"[A-Za-z0-9_-]++")
_NUMBER = re.compile(r"[0-9]{1,9}+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# RFC 2045 §5.1 has fewer characters in a token; verifiers write base64, addresses and identifiers without quotes
_WORD = re.compile(r'[^\s;"()\\\x00-\x1f\x7f]++')
_AT_DOMAIN = re.compile(r'@[^\s;"()\\@\x00-\x1f\x7f]++')


class Property(msgspec.Struct, frozen=True):
    """What a result is about, such as `smtp.mailfrom=example.com`: type and name in lower case, the value unquoted."""

    ptype: str
    name: str
    value: str


class MethodResult(msgspec.Struct, frozen=True):
    """One result: method and result in lower case, the method's version, the reason and comment if there are any."""

    method: str
    result: str
    properties: tuple[Property, ...] = ()
    reason: str | None = None
    comment: str | None = None
    version: int = 1

    def get(self, ptype: str, name: str) -> str | None:
        """Return the value of the first such property."""
        return next((one.value for one in self.properties if (one.ptype, one.name) == (ptype, name)), None)


class AuthenticationResults(msgspec.Struct, frozen=True):
    """A field: who says it, as written and unquoted, and what."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()


class _BadFieldError(ValueError):
    """The field is against the grammar."""


def parse_results(value: bytes) -> AuthenticationResults | None:
    """Read the value of a field; None for one against the grammar, or of a version that is not known (RFC 8601 §2.2).

    Whether its authserv-id can be trusted is the caller's to know (RFC 8601 §1.6).
    """
    if len(value) >= MAX_VALUE:
        return None
    try:
        return _Reader(to_text(unfold(value))).field()
    except _BadFieldError:
        return None


class _Reader:
    """Reads one value from left to right, in linear time; `comment` is the last one that was passed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.comment: str | None = None

    def field(self) -> AuthenticationResults:
        authserv_id = self._value()
        self._cfws()
        version = _NUMBER.match(self.text, self.at)
        if version is not None:
            self.at = version.end()
            if int(version[0]) != VERSION:
                raise _BadFieldError
        results: list[MethodResult] = []
        self._need(";")
        while not results or (self._sign(";") and not self._ended()):  # a final semicolon is common
            if len(results) == MAX_RESULTS:
                raise _BadFieldError
            result = self._result(first=not results)
            if result is None:
                break
            results.append(result)
        if not self._ended():
            raise _BadFieldError
        return AuthenticationResults(authserv_id, tuple(results))

    def _result(self, *, first: bool) -> MethodResult | None:
        method = self._keyword()
        # RFC 8601 §2.2: no-result stands alone
        if first and method == "none" and self._ended():
            return None
        version = 1
        if self._sign("/"):
            self._cfws()
            number = _NUMBER.match(self.text, self.at)
            if number is None:
                raise _BadFieldError
            self.at = number.end()
            version = int(number[0])
        self._need("=")
        result = self._keyword()
        self.comment = None
        self._cfws()
        comment = self.comment
        reason = None
        properties: list[Property] = []
        while not self._ended() and self.text[self.at] != ";":
            name = self._keyword()
            if name == "reason" and reason is None and not properties and self._sign("="):
                reason = self._value()
                continue
            if len(properties) == MAX_PROPERTIES:
                raise _BadFieldError
            self._need(".")
            kind = self._keyword()
            self._need("=")
            properties.append(Property(name, kind, self._value()))
        return MethodResult(method, result, tuple(properties), reason, comment, version)

    def _cfws(self) -> None:
        """Pass over blanks and comments, nested as they may be (RFC 5322 §3.2.2)."""
        while True:
            blank = _BLANK.match(self.text, self.at)
            self.at = blank.end() if blank else self.at
            if not self.text.startswith("(", self.at):
                return
            begin = self.at + 1
            depth = 0
            for found in _COMMENT.finditer(self.text, self.at):
                depth += {"(": 1, ")": -1}.get(found[0], 0)
                if depth == 0:
                    self.comment = _ESCAPE.sub(r"\1", self.text[begin : found.start()])
                    self.at = found.end()
                    break
            else:
                raise _BadFieldError

    def _ended(self) -> bool:
        self._cfws()
        return self.at == len(self.text)

    def _sign(self, sign: str) -> bool:
        self._cfws()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise _BadFieldError

    def _keyword(self) -> str:
        self._cfws()
        found = _KEYWORD.match(self.text, self.at)
        if found is None:
            raise _BadFieldError
        self.at = found.end()
        return found[0].lower()

    def _value(self) -> str:
        """Read a value: a word, or a quoted string with perhaps a domain behind it (RFC 8601 §2.2 pvalue)."""
        self._cfws()
        quoted = _QUOTED.match(self.text, self.at)
        if quoted is None:
            word = _WORD.match(self.text, self.at)
            if word is None:
                raise _BadFieldError
            self.at = word.end()
            return word[0]
        self.at = quoted.end()
        behind = _AT_DOMAIN.match(self.text, self.at)
        if behind is None:
            return _ESCAPE.sub(r"\1", quoted[1])
        self.at = behind.end()
        return quoted[0] + behind[0]
