"""The parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, AUTH, HOLDFOR, HOLDUNTIL, and those of DSN with their xtext (RFC 3461 §4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, IntFlag
from typing import Any

from petitbleu_mail.future_release import interval_of, time_of
from petitbleu_mail.smtp_faults import Fault

# RFC 3461 §4.4
MAX_ENVID = 100
# RFC 3461 §4.2
MAX_ORCPT = 500


class Body(Enum):
    """The BODY parameter (RFC 6152 §3, RFC 3030 §3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


class Ret(Enum):
    """What a failure notice brings back (RFC 3461 §4.3)."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(IntFlag):
    """When a sender wants to be told (RFC 3461 §4.1). `NEVER` stands alone; 0 is: the parameter was absent."""

    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


# keyword → (attribute, reader that gives None for a bad value, refusal of a bad value)
Table = dict[bytes, tuple[str, Callable[[bytes | None], object | None], Fault]]

_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([\x21-\x3c\x3e-\x7e\x80-\xff]++))?")
_XTEXT = re.compile(rb"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*+")
_XTEXT_HEX = re.compile(rb"\+([0-9A-F]{2})")
_UXTEXT = re.compile(rb"(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\x80-\xff]|\+[0-9A-F]{2}|\\x\{[0-9A-F]{2,6}\})*+")
_UXTEXT_HEX = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_ATOM = re.compile(rb"[A-Za-z0-9-]++")
BODIES = {b"7BIT": Body.SEVEN_BIT, b"8BITMIME": Body.EIGHT_BIT_MIME, b"BINARYMIME": Body.BINARY_MIME}
_NOTIFY = {b"SUCCESS": Notify.SUCCESS, b"FAILURE": Notify.FAILURE, b"DELAY": Notify.DELAY}


def _parameters(data: bytes) -> dict[bytes, bytes | None] | Fault:
    """Split esmtp-params (RFC 5321 §4.1.2) into capitalised keywords and their values."""
    if not data:
        return {}
    if data[0] != 0x20:
        return Fault.UNKNOWN_PARAMETER
    fields: dict[bytes, bytes | None] = {}
    for item in data.split(b" "):
        if not item:
            continue
        found = _PARAMETER.fullmatch(item)
        if found is None:
            return Fault.UNKNOWN_PARAMETER
        name = found[1].upper()
        if name in fields:
            return Fault.REPEATED_PARAMETER
        fields[name] = found[2]
    return fields


def _size(value: bytes | None) -> int | None:
    # RFC 1870 §3: up to 20 digits
    return int(value) if value and value.isdigit() and len(value) <= 20 else None


def _body(value: bytes | None) -> Body | None:
    return BODIES.get(value.upper()) if value else None


def _smtputf8(value: bytes | None) -> bool | None:
    return None if value is not None else True


def _ret(value: bytes | None) -> Ret | None:
    return {b"FULL": Ret.FULL, b"HDRS": Ret.HDRS}.get(value.upper()) if value else None


def _envid(value: bytes | None) -> str | None:
    if not value or len(value) > MAX_ENVID:
        return None
    decoded = decode_xtext(value)
    # RFC 3461 §4.4: the decoded identifier is printable ASCII
    return decoded if decoded is not None and decoded.isascii() and decoded.isprintable() else None


def _auth_parameter(value: bytes | None) -> str | None:
    return decode_xtext(value) if value else None


def _hold_for(value: bytes | None) -> int | None:
    return interval_of(value.decode("utf-8", "replace")) if value else None


def _hold_until(value: bytes | None) -> int | None:
    return time_of(value.decode("utf-8", "replace")) if value else None


MAIL_PARAMETERS: Table = {
    b"SIZE": ("size", _size, Fault.SIZE_VALUE),
    b"BODY": ("body", _body, Fault.BODY_VALUE),
    b"SMTPUTF8": ("smtputf8", _smtputf8, Fault.SMTPUTF8_VALUE),
    b"RET": ("ret", _ret, Fault.RET_VALUE),
    b"ENVID": ("envid", _envid, Fault.ENVID_VALUE),
    b"AUTH": ("auth", _auth_parameter, Fault.AUTH_VALUE),
    b"HOLDFOR": ("hold_for", _hold_for, Fault.HOLDFOR_VALUE),
    b"HOLDUNTIL": ("hold_until_ms", _hold_until, Fault.HOLDUNTIL_VALUE),
}


def _notify(value: bytes | None) -> Notify | None:
    if not value:
        return None
    if value.upper() == b"NEVER":
        return Notify.NEVER
    notify = Notify(0)
    for word in value.upper().split(b","):
        flag = _NOTIFY.get(word)  # RFC 3461 §4.1: NEVER stands alone
        if flag is None:
            return None
        notify |= flag
    return notify


def _orcpt(value: bytes | None) -> tuple[str, str] | None:
    if not value or len(value) > MAX_ORCPT:
        return None
    kind, semicolon, address = value.partition(b";")
    if not semicolon or not address or not _ATOM.fullmatch(kind):
        return None
    name = kind.decode("ascii").lower()
    decoded = decode_utf8_xtext(address) if name == "utf-8" else decode_xtext(address)
    return (name, decoded) if decoded and decoded.isprintable() else None


def decode_xtext(value: bytes) -> str | None:
    """Decode xtext (RFC 3461 §4); None when it is none, or not UTF-8 once decoded."""
    if not _XTEXT.fullmatch(value):
        return None
    try:
        return _XTEXT_HEX.sub(lambda found: bytes((int(found[1], 16),)), value).decode("utf-8")
    except UnicodeDecodeError:
        return None


def encode_xtext(text: str) -> bytes:
    """Encode text as xtext (RFC 3461 §4)."""
    return b"".join(
        [bytes((c,)) if 0x21 <= c <= 0x7E and c not in b"+=" else b"+%02X" % c for c in text.encode("utf-8")]
    )


def decode_utf8_xtext(value: bytes) -> str | None:
    """Decode utf-8-addr-xtext or utf-8-addr-unitext (RFC 6533 §3); None when it is neither."""
    if not _UXTEXT.fullmatch(value):
        return None
    try:
        plain = _XTEXT_HEX.sub(lambda found: bytes((int(found[1], 16),)), value).decode("utf-8")
        text = _UXTEXT_HEX.sub(lambda found: chr(int(found[1], 16)), plain)
        text.encode("utf-8")
    except (ValueError, OverflowError):
        return None
    return text


RCPT_PARAMETERS: Table = {
    b"NOTIFY": ("notify", _notify, Fault.NOTIFY_VALUE),
    b"ORCPT": ("orcpt", _orcpt, Fault.ORCPT_VALUE),
}


def read_parameters(data: bytes, table: Table) -> dict[str, Any] | Fault:
    """Parse esmtp-params against a table of those that are known; return values by attribute name."""
    fields = _parameters(data)
    if isinstance(fields, Fault):
        return fields
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in table:
            return Fault.UNKNOWN_PARAMETER
        key, parse, fault = table[name]
        parsed = parse(value)
        if parsed is None:
            return fault
        values[key] = parsed
    return values
