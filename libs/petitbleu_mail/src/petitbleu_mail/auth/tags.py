"""Tag lists (RFC 6376 §3.2): `a=rsa-sha256; d=example.org; …`, as signatures and key records write them.

Parsing takes linear time, gives the values with their inner folds, and raises nothing but `TagError`.
"""

from __future__ import annotations

import base64
import re

# Octets of a list that are read: a signature with thousands of names in h= is none that anybody made for mail.
MAX_LIST = 65536

FWS = b" \t\r\n"
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*+")
# RFC 6376 §3.2: printable ASCII without the semicolon, folds; RFC 8616 §3 adds UTF-8
_VALUE = re.compile(rb"[\x21-\x3a\x3c-\x7e\x80-\xff \t\r\n]*+")
_BLANKS = re.compile(r"[ \t\r\n]+")
# Numbers have at most 76 digits (RFC 6376 §3.5, l=)
_NUMBER = re.compile(r"[0-9]{1,76}+")


class TagError(ValueError):
    """The text is no tag list, or a tag's value is none of its kind; `args[0]` says why in plain words."""


class TagList:
    """The tags of one list, in order.

    `values` maps names to values without the blanks around them. `spans` says where in the source each value lies, the blanks
    around it included: what is left out of a signature's own field when it is hashed (RFC 6376 §3.7).
    """

    __slots__ = ("spans", "values")

    def __init__(self, values: dict[str, str], spans: dict[str, tuple[int, int]]) -> None:
        self.values = values
        self.spans = spans

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> str | None:
        """Return the value of a tag; an empty one is `""` (RFC 6376 §3.2 allows it)."""
        return self.values.get(name)

    def need(self, name: str) -> str:
        """Return the value of a tag that must be there and say something."""
        value = self.values.get(name)
        if not value:
            raise TagError(f"{name}= is missing" if value is None else f"{name}= is empty")
        return value

    def octets(self, name: str) -> bytes:
        """Return the base64 value of a tag that must be there; blanks in it are ignored (RFC 6376 §3.2, base64string)."""
        try:
            return base64.b64decode(unblank(self.need(name)), validate=True)
        except TagError:
            raise
        except ValueError:
            raise TagError(f"{name}= is no base64") from None

    def number(self, name: str) -> int | None:
        """Return the decimal value of a tag, None where there is no such tag."""
        value = self.values.get(name)
        if value is None:
            return None
        if _NUMBER.fullmatch(value) is None:
            raise TagError(f"{name}= is no number")
        return int(value)

    def words(self, name: str) -> list[str] | None:
        """Return the colon-separated words of a tag without blanks, None where there is no such tag."""
        value = self.values.get(name)
        return None if value is None else [word.strip(" \t\r\n") for word in value.split(":")]


def unblank(value: str) -> str:
    """Leave out every blank and fold."""
    return _BLANKS.sub("", value)


def parse_tags(source: bytes) -> TagList:
    """Parse a tag list (RFC 6376 §3.2).

    Names are case-sensitive; a name that comes twice makes the list invalid, and so does an empty specification, other than
    the one behind a last semicolon. Raises `TagError`.
    """
    if len(source) > MAX_LIST:
        raise TagError("too long")
    values: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    at = 0
    specs = source.split(b";")
    if len(specs) > 1 and not specs[-1].strip(FWS):
        specs.pop()
    for spec in specs:
        raw_name, equals, raw_value = spec.partition(b"=")
        tag = raw_name.strip(FWS)
        if not equals or _NAME.fullmatch(tag) is None:
            raise TagError("no tag list")
        name = tag.decode("ascii")
        if name in values:
            raise TagError(f"{name}= comes twice")  # RFC 6376 §3.2: tags with duplicate names MUST NOT occur
        if _VALUE.fullmatch(raw_value) is None:
            raise TagError(f"{name}= has an octet that no value has")
        try:
            values[name] = raw_value.strip(FWS).decode()
        except UnicodeDecodeError:
            raise TagError(f"{name}= is no UTF-8") from None
        end = at + len(spec)
        spans[name] = (end - len(raw_value), end)
        at = end + 1
    return TagList(values, spans)
